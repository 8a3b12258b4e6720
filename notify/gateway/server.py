"""A Socket.IO v5 server that is used like `socketio.AsyncServer`, on our own engine."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import socketio
from aiohttp import web
from socketio import exceptions as sio_exceptions
from socketio import packet as sio_packet

from notify.backplane.local import LocalManager
from notify.backplane.membership import Member, Transport, wire_of
from notify.gateway.connecting import MAX_BACKLOG, Admission, Connecting, admit, refuse
from notify.gateway.engine import Engine
from notify.gateway.environ import environ_of
from notify.gateway.handlers import Handlers
from notify.gateway.packets import (
    ACK,
    CONNECT,
    EVENT,
    BadPacket,
    FastJson,
    Packet,
    Partial,
    decode,
    decode_with,
)
from notify.gateway.socket import EngineSocket
from notify.gateway.stats import GatewayStats


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """`socketio.AsyncServer` for aiohttp, with the same options and methods. Of its own it has:

    :param connect_timeout: seconds in which a client must connect to a namespace. Default 45.
    :param keep_environ: whether `get_environ` works after the first connect. Default True; False saves the
                         memory of a request for each client.
    :param max_namespaces: namespaces that one client may be connected to. Default 32.
    :param max_handlers: event handlers of one client that may run at once; then its next packets wait, and in
                         the end it is not read from. Default 100. With `async_handlers=False` it is 1.
    :param engine options: see `notify.gateway.engine.Engine`.

    Guarantees beyond those of `AsyncServer`: the event handlers of one client start in the order in which it
    sent the events. What a connect handler emits to its client arrives after the answer to CONNECT. When a
    client goes away while its connect handler runs, the handler is finished first; if it lets the client in,
    the disconnect handler follows, and nothing of the client remains.

    Handlers that are plain functions run at once, coroutines share a task as long as they do not wait.
    """

    def __init__(
        self,
        client_manager: Any = None,
        logger: Any = False,
        json: Any = None,
        async_handlers: bool = True,
        namespaces: Sequence[str] | str | None = None,
        *,
        serializer: Any = "default",
        always_connect: bool = False,
        connect_timeout: float = 45.0,
        keep_environ: bool = True,
        max_namespaces: int = 32,
        max_handlers: int = 100,
        **engine_options: Any,
    ) -> None:
        """Raises ValueError for an option that cannot be had here, TypeError for an unknown one."""
        if serializer == "default":
            # A class of its own, so that the JSON module of one server is not everybody's.
            serializer = type("Packet", (sio_packet.Packet,), {"json": json or FastJson})
            self._foreign = False
        else:
            self._foreign = True
        super().__init__(
            client_manager=client_manager if client_manager is not None else LocalManager(),
            logger=logger,
            async_handlers=async_handlers,
            namespaces=namespaces,
            serializer=serializer,
            always_connect=always_connect,
            **engine_options,
        )
        if self._foreign and json is not None:
            self.packet_class.json = json
        self.admission: Admission | None = None
        self.stats: GatewayStats = self.eio.stats
        self.eio.receiver = self
        self._handlers: Handlers = self.eio.handlers_in_flight
        self._loads: Callable[[str], Any] = self.packet_class.json.loads
        self._connect_timeout_s = connect_timeout
        self._keep_environ = keep_environ
        self._max_namespaces = max_namespaces
        self._max_handlers = max_handlers if async_handlers else 1

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    # -- what the engine reports (Receiver) -----------------------------------------------------------

    def notes(self, request: web.Request) -> dict[str, Any] | None:
        """The environ, for connect handlers and `get_environ`."""
        if self.admission is not None and not self._keep_environ:
            return None
        return environ_of(request, self.eio.proxies.visitor(request))

    @property
    def needs_no_notes(self) -> bool:
        """True when nobody is going to ask for an environ."""
        return self.admission is not None and not self._keep_environ

    def opened(self, socket: EngineSocket, notes: dict[str, Any] | None) -> None:
        """A new connection: it has `connect_timeout` to connect to a namespace."""
        if not self.manager_initialized:  # type: ignore[has-type]
            self.manager_initialized = True
            self.manager.initialize()
        if notes is not None:
            self.environ[socket.sid] = notes
        self.eio.expect_connect(socket, self._connect_timeout_s)

    def connect_timed_out(self, socket: EngineSocket) -> None:
        """It did not."""
        if not socket.members and not socket.connecting:
            socket.close(self.reason.SERVER_DISCONNECT)

    def text(self, socket: EngineSocket, data: str) -> None:
        """The text of a packet."""
        try:
            if socket.partial is not None:
                raise BadPacket("text where an attachment was expected")
            packet = decode_with(self.packet_class, data) if self._foreign else decode(data, self._loads)
        except BadPacket as error:
            self._bad_packet(socket, error)
            return
        if isinstance(packet, Packet):
            self._dispatch(socket, packet)
        else:
            socket.partial = packet

    def binary(self, socket: EngineSocket, data: bytes) -> None:
        """An attachment; or, with a binary serializer, a whole packet."""
        partial = socket.partial
        try:
            if partial is not None:
                packet: Packet | Partial | None = partial.add(data)
            elif self._foreign:
                packet = decode_with(self.packet_class, data)
            else:
                raise BadPacket("an attachment of nothing")
        except BadPacket as error:
            self._bad_packet(socket, error)
            return
        if isinstance(packet, Packet):
            socket.partial = None
            self._dispatch(socket, packet)

    def closed(self, socket: EngineSocket, reason: str) -> None:
        """A connection is gone: its members leave. Those still connecting do when their handler returns."""
        connecting = {pending.namespace for pending in socket.connecting}
        leaving = []
        for member in socket.members:
            if member.namespace in connecting:
                continue
            if self.admission is not None:
                self.admission.lost(member, reason)
            elif member.state == Member.CONNECTED:
                member.state = Member.LEAVING
                if self._hears_disconnect(member.namespace):
                    leaving.append(member)
                else:
                    self.manager.basic_disconnect(member.sid, member.namespace)
        if leaving:
            self._handlers.submit(self._say_goodbye(socket, leaving, reason))
        self.eio.leaving[socket.sid] = socket
        self._forget(socket)

    def _forget(self, socket: EngineSocket) -> None:
        """Let go of a connection that has ended, once nobody is in a handler on its behalf."""
        if socket.reason is not None and not socket.members and not socket.connecting:
            self.eio.leaving.pop(socket.sid, None)
            self.environ.pop(socket.sid, None)

    def _bad_packet(self, socket: EngineSocket, error: BadPacket) -> None:
        # Never with the packet: a CONNECT holds a token.
        self.logger.info("%s: closing after a bad packet: %s", socket.sid, error)
        socket.protocol_error()

    # -- packets --------------------------------------------------------------------------------------

    def _dispatch(self, socket: EngineSocket, packet: Packet) -> None:
        if packet.type == CONNECT:
            self._begin_connect(socket, packet)
            return
        if socket.connecting:
            for pending in socket.connecting:
                if pending.namespace == packet.namespace and packet.type != ACK:
                    if len(pending.backlog) >= MAX_BACKLOG:
                        self._bad_packet(socket, BadPacket("too many packets before being let in"))
                    else:
                        pending.backlog.append(packet)
                    return
        if socket.backlog is not None and packet.type != ACK:
            socket.backlog.append(packet)
            return
        member = self._member(socket, packet.namespace)
        if member is None or member.state != Member.CONNECTED:
            # It may have crossed a disconnect of ours, unless there is nothing that we could have ended.
            if not socket.members and not socket.connecting:
                self._bad_packet(socket, BadPacket("not connected to any namespace"))
        elif packet.type == EVENT:
            self._event(socket, member, packet)
        elif packet.type == ACK:
            self._handlers.submit(self._acknowledged(member.sid, packet))
        elif self.admission is not None:
            self.admission.left(member)
        else:
            member.state = Member.LEAVING
            self._handlers.submit(self._leave(socket, member, self.reason.CLIENT_DISCONNECT))

    def _member(self, socket: EngineSocket, namespace: str) -> Member | None:
        for member in socket.members:
            if member.namespace == namespace:
                return member
        return None

    def _event(self, socket: EngineSocket, member: Member, packet: Packet) -> None:
        self.stats.messages_in += 1
        event, *data = packet.data
        handler, args = self._get_event_handler(event, packet.namespace, (member.sid, *data))
        if handler is None:
            target, args = self._get_namespace_handler(packet.namespace, (member.sid, *data))
            if target is None or not isinstance(event, str):
                return
            handler, args = target.trigger_event, (event, *args)
        call: Any = partial(handler, *args)
        if self._handlers.idle:
            # Nobody is to be overtaken, so a handler that is a plain function needs no coroutine.
            try:
                result = self._handlers.context.copy().run(call)
            except Exception:
                self.logger.exception("The handler of an event failed")
                return
            if not inspect.iscoroutine(result):
                if packet.id is not None:
                    self._acknowledge(socket, packet, result)
                return
            call = result
        socket.running += 1
        if socket.running >= self._max_handlers:
            socket.hold_back()
        self._handlers.submit(self._finish(socket, packet, call))

    async def _finish(self, socket: EngineSocket, packet: Packet, handler: Any) -> None:
        """Run a handler, or what is left of it, and acknowledge."""
        try:
            result = handler if inspect.iscoroutine(handler) else handler()
            if inspect.iscoroutine(result):
                result = await result
            if packet.id is not None:
                self._acknowledge(socket, packet, result)
        except Exception:
            self.logger.exception("The handler of an event failed")
        finally:
            socket.running -= 1
            if socket.backlog is not None and socket.running < self._max_handlers:
                asyncio.get_running_loop().call_soon(self._catch_up, socket, context=self._handlers.context)

    def _catch_up(self, socket: EngineSocket) -> None:
        for packet in socket.catch_up():
            self._dispatch(socket, packet)

    def _acknowledge(self, socket: EngineSocket, packet: Packet, result: Any) -> None:
        if result is self.not_handled:
            return
        data = [] if result is None else list(result) if isinstance(result, tuple) else [result]
        ack = self.packet_class(sio_packet.ACK, namespace=packet.namespace, id=packet.id, data=data)
        socket.send(wire_of(ack.encode()))

    async def _acknowledged(self, sid: str, packet: Packet) -> None:
        await self.manager.trigger_callback(sid, packet.id, packet.data)

    # -- connecting -----------------------------------------------------------------------------------

    def _begin_connect(self, socket: EngineSocket, packet: Packet) -> None:
        namespace = packet.namespace
        busy = any(pending.namespace == namespace for pending in socket.connecting)
        if busy or self._member(socket, namespace) is not None:
            self._bad_packet(socket, BadPacket("connected to this namespace already"))
            return
        if self.admission is None and not self._accepts(namespace):
            refuse(self, socket, namespace, {"message": "Invalid namespace"})
            return
        if len(socket.members) + len(socket.connecting) >= self._max_namespaces:
            refuse(self, socket, namespace, {"message": "Too many namespaces"})
            return
        pending = Connecting(namespace)
        socket.connecting = (*socket.connecting, pending)
        self._handlers.submit(self._connect(socket, pending, packet.data))

    def _accepts(self, namespace: str) -> bool:
        return (
            namespace in self.handlers
            or namespace in self.namespace_handlers
            or self.namespaces == "*"
            or namespace in self.namespaces
        )

    async def _connect(self, socket: EngineSocket, pending: Connecting, data: Any) -> None:
        namespace = pending.namespace
        try:
            if self.admission is not None:
                await self.admission.connect(socket, namespace, data)
            else:
                await self._handle_connect(socket.sid, namespace, data)
        except Exception:
            # The client is left without an answer: it shall try again.
            self.logger.exception("Connecting a client failed")
            socket.close_transport(self.reason.TRANSPORT_ERROR)
        finally:
            socket.connecting = tuple(other for other in socket.connecting if other is not pending)
            if socket.reason is not None:
                await self._lost_while_connecting(socket, namespace, socket.reason)
            elif socket.members:
                self.eio.settled(socket)
                if not self._keep_environ:
                    self.environ.pop(socket.sid, None)
        for packet in pending.backlog:
            self._dispatch(socket, packet)

    async def _lost_while_connecting(self, socket: EngineSocket, namespace: str, reason: str) -> None:
        member = self._member(socket, namespace)
        if member is not None:
            if self.admission is not None:
                self.admission.lost(member, reason)
            elif member.state == Member.CONNECTED:
                await self._leave(socket, member, reason)
            else:
                self.manager.basic_disconnect(member.sid, namespace)
        self._forget(socket)

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None:
            await admit(self, socket, namespace or "/", data)

    # -- disconnecting ----------------------------------------------------------------------------------

    def _hears_disconnect(self, namespace: str) -> bool:
        handler, _ = self._get_event_handler("disconnect", namespace, ())
        return handler is not None or self._get_namespace_handler(namespace, ())[0] is not None

    async def _say_goodbye(self, socket: EngineSocket, members: Sequence[Member], reason: str) -> None:
        for member in members:
            await self._leave(socket, member, reason)

    async def _leave(self, socket: EngineSocket, member: Member, reason: str) -> None:
        """Call the disconnect handler, then forget the member, whatever the handler did."""
        member.state = Member.LEAVING
        try:
            await self._trigger_event("disconnect", member.namespace, member.sid, reason)
        except Exception:
            self.logger.exception("The disconnect handler failed")
        finally:
            await self.manager.disconnect(member.sid, member.namespace, ignore_queue=True)
            self._forget(socket)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Disconnect a client from a namespace. Its connection stays open; it does not come back by itself.

        See `socketio.AsyncServer.disconnect` for the arguments.
        """
        namespace = namespace or "/"
        if ignore_queue:
            here = self.manager.is_connected(sid, namespace)
        else:
            here = await self.manager.can_disconnect(sid, namespace)
        member = self.manager.member(sid, namespace) if here else None
        if member is not None:
            self.send_packet(member.socket, self.packet_class(sio_packet.DISCONNECT, namespace=namespace))
            if self.admission is not None:
                self.admission.left(member)
            else:
                await self._leave(member.socket, member, self.reason.SERVER_DISCONNECT)

    # -- sending ------------------------------------------------------------------------------------------

    async def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float = 60,  # noqa: ASYNC109 - the name that python-socketio gives it
        ignore_queue: bool = False,
    ) -> Any:
        """Emit to one client, on whichever node, and return what it acknowledges with.

        See `socketio.AsyncServer.call` for the arguments. Raises TimeoutError; nothing of the call is left
        then, be the client gone or unknown.
        """
        target = to or sid
        if target is None:
            raise ValueError("Cannot use call() to broadcast.")
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

        def answered(*arguments: Any) -> None:
            if not answer.done():
                answer.set_result(arguments)

        try:
            await self.emit(
                event, data, room=target, namespace=namespace, callback=answered, ignore_queue=ignore_queue
            )
            async with asyncio.timeout(timeout):
                arguments = await answer
        except TimeoutError:
            raise sio_exceptions.TimeoutError() from None
        finally:
            self.manager.forget_callback(target, answered)
        return arguments if len(arguments) > 1 else arguments[0] if arguments else None

    def send_packet(self, socket: Transport, packet: Any) -> None:
        """Send a Socket.IO packet, an instance of `packet_class`."""
        socket.send(wire_of(packet.encode()))

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None:
            self.send_packet(socket, pkt)

    async def _send_eio_packet(self, eio_sid: str, eio_pkt: Any) -> None:
        await self.eio.send_packet(eio_sid, eio_pkt)

    def instrument(self, *_: Any, **__: Any) -> Any:
        """Refused: raises RuntimeError."""
        raise RuntimeError(
            "The Socket.IO admin UI is not supported: its instrumentation patches python-engineio's sockets "
            "and python-socketio's room books, which this server does without. Its figures are in `stats`."
        )

    async def shutdown(self) -> None:
        """End all transports, let disconnect handlers finish, stop. Call it before the web server stops."""
        await self.eio.shutdown()
