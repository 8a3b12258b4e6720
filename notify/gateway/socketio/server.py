"""A Socket.IO v5 server that is used like `socketio.AsyncServer`, on our own engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import socketio
from aiohttp import web
from socketio import exceptions as sio_exceptions
from socketio import packet as sio_packet

from notify.backplane.delivery import wire_of
from notify.backplane.local import LocalManager
from notify.backplane.membership import Member, Transport
from notify.gateway.engineio.handlers import Handlers
from notify.gateway.engineio.server import Engine
from notify.gateway.http.environ import environ_of
from notify.gateway.socketio.admission import Admission
from notify.gateway.socketio.client import ClientSocket, Connecting
from notify.gateway.socketio.connect_handlers import ConnectHandlers
from notify.gateway.socketio.event_runner import EventRunner
from notify.gateway.stats import GatewayStats
from notify.protocol.fast_json import FastJson
from notify.protocol.socketio import (
    ACK,
    CONNECT,
    EVENT,
    BadPacket,
    Packet,
    Unreadable,
    decode,
    decode_with,
)


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """`socketio.AsyncServer` for aiohttp, with the same options and methods. Of its own it has:

    :param connect_timeout: seconds in which a client must connect to a namespace. Default 45.
    :param keep_environ: whether `get_environ` works after the first connect. Default True; False saves the
                         memory of a request for each client.
    :param max_namespaces: namespaces that one client may be connected to. Default 32.
    :param max_pending: bytes of CONNECT, and of packets sent behind it, that one client may have waiting
                        to be let in; past them it is closed. Default 16 KiB: it may be anyone.
    :param failed: what an event is acknowledged with when its handler raises, or when it cannot be read. By
                   default, as with `AsyncServer`, it is not.
    :param max_handlers: event handlers of one client that may run at once; then its next packets wait, and in
                         the end it is not read from. Default 100. With `async_handlers=False` it is 1.
    :param engine options: see `notify.gateway.engineio.server.Engine`.

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
        max_pending: int = 16_384,
        failed: Callable[[Exception], Any] | None = None,
        **engine_options: Any,
    ) -> None:
        """Raises ValueError for an option that cannot be had here, TypeError for an unknown one."""
        if serializer == "default":
            # A class of its own, so that servers do not share one JSON module.
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
        self.admission: Admission = ConnectHandlers(self)
        """Who lets clients in: plain connect handlers, unless the app sets another."""
        self.stats: GatewayStats = self.eio.stats
        self.eio.receiver = self
        self.handlers_in_flight: Handlers = self.eio.handlers_in_flight
        self._loads: Callable[[str], Any] = self.packet_class.json.loads
        self._connect_timeout_s = connect_timeout
        self._keep_environ = keep_environ
        self._max_namespaces = max_namespaces
        self._max_pending = max_pending
        self.failed = failed
        self._events = EventRunner(self, most=max_handlers if async_handlers else 1)

    def _engineio_server_class(self) -> Callable[..., Engine]:
        return partial(Engine, socket_class=ClientSocket)

    # -- what the engine reports (Receiver) -----------------------------------------------------------

    async def refusal(self, socket: ClientSocket, request: web.Request) -> None:
        """None: clients are judged by their CONNECT."""

    def notes(self, request: web.Request) -> dict[str, Any] | None:
        """The environ, for connect handlers and `get_environ`."""
        if self.needs_no_request:
            return None
        return environ_of(request, self.eio.proxies.visitor(request))

    @property
    def needs_no_request(self) -> bool:
        """True when nobody is going to ask for an environ."""
        return not self._keep_environ and not self.admission.needs_environ

    def opened(self, socket: ClientSocket, notes: dict[str, Any] | None) -> None:
        """A new connection: it has `connect_timeout` to connect to a namespace."""
        if not self.manager_initialized:  # type: ignore[has-type]
            self.manager_initialized = True
            self.manager.initialize()
        if notes is not None:
            self.environ[socket.sid] = notes
        self.eio.expect_connect(socket, self._connect_timeout_s)

    def connect_timed_out(self, socket: ClientSocket) -> None:
        """A connection has not connected to any namespace in time."""
        socket.deadline = None
        if not socket.members and not socket.connecting:  # else `forget` gives it as long again
            socket.close(self.reason.SERVER_DISCONNECT)

    def text(self, socket: ClientSocket, data: str) -> None:
        """The text of a packet."""
        if socket.partial is not None:
            self._bad_packet(socket, BadPacket("text where an attachment was expected"))
        else:
            self._receive(socket, data)

    def binary(self, socket: ClientSocket, data: bytes) -> None:
        """An attachment; or, with a binary serializer, a whole packet."""
        partial = socket.partial
        if partial is None and self._foreign:
            self._receive(socket, data)
            return
        try:
            if partial is None:
                raise BadPacket("an attachment of nothing")
            packet = partial.add(data)
        except BadPacket as error:
            self._bad_packet(socket, error)
        except Unreadable as unreadable:
            socket.partial = None
            self._unreadable(socket, unreadable)
        else:
            if packet is not None:
                socket.partial = None
                self.dispatch(socket, packet)

    def _receive(self, socket: ClientSocket, data: str | bytes) -> None:
        try:
            packet = (
                decode(data, self._loads)
                if isinstance(data, str) and not self._foreign
                else decode_with(self.packet_class, data)
            )
            if isinstance(packet, Packet):
                if socket.connecting and self._waits(socket, packet, data):
                    return
            elif socket.connecting or not socket.let_in:
                raise BadPacket("binary before being let in")
            else:
                socket.partial = packet
                return
        except BadPacket as error:
            self._bad_packet(socket, error)
        except Unreadable as unreadable:
            self._unreadable(socket, unreadable)
        else:
            self.dispatch(socket, packet)

    def closed(self, socket: ClientSocket, reason: str) -> None:
        """A connection is gone: its members leave. Those still connecting do when their handler returns."""
        for member in socket.members:
            if socket.pending(member.namespace) is None:
                self.admission.transport_lost(member, reason)
        self.eio.leaving[socket.sid] = socket
        self.forget(socket)

    def forget(self, socket: ClientSocket) -> None:
        """Let go of a connection that has ended, once nobody is in a handler on its behalf.

        One that is open, and in no namespace any more, has `connect_timeout` again.
        """
        if socket.members or socket.connecting:
            return
        if socket.reason is not None:
            self.eio.leaving.pop(socket.sid, None)
            self.environ.pop(socket.sid, None)
        elif socket.deadline is None:
            self.eio.expect_connect(socket, self._connect_timeout_s)

    def _bad_packet(self, socket: ClientSocket, error: BadPacket) -> None:
        # Never with the packet: a CONNECT holds a token.
        self.logger.info("%s: closing after a bad packet: %s", socket.sid, error)
        socket.protocol_error()

    def _unreadable(self, socket: ClientSocket, unreadable: Unreadable) -> None:
        """It may be valid JSON, so the connection stays open; a client that waits for an answer gets one."""
        packet = unreadable.packet
        if packet.type == CONNECT:
            self.refuse_connect(socket, packet.namespace, _refusal("invalid", "Nested too deeply"))
        elif packet.type == EVENT and socket.member(packet.namespace) is not None:
            self._events.fail(socket, packet, unreadable)

    # -- packets --------------------------------------------------------------------------------------

    def _waits(self, socket: ClientSocket, packet: Packet, data: str | bytes) -> bool:
        """Keep a packet to a namespace that the client has not been let into yet. Raises BadPacket."""
        pending = socket.pending(packet.namespace)
        if pending is None or packet.type in (CONNECT, ACK):
            return False
        pending.size += len(data)
        if socket.pending_size > self._max_pending:
            raise BadPacket("too much before being let in")
        pending.packets.append(data)
        return True

    def dispatch(self, socket: ClientSocket, packet: Packet) -> None:
        """Act on a whole packet."""
        if packet.type == CONNECT:
            self._begin_connect(socket, packet)
            return
        if socket.backlog is not None and packet.type != ACK:
            socket.backlog.append(packet)
            return
        member = socket.member(packet.namespace)
        if member is None or member.state != Member.CONNECTED:
            # It may have crossed a disconnect of ours, unless there is nothing that we could have ended.
            if not socket.let_in and not socket.connecting:
                self._bad_packet(socket, BadPacket("not connected to any namespace"))
        elif packet.type == EVENT:
            self._events.run(socket, member, packet)
        elif packet.type == ACK:
            # 0 is where python-socketio keeps its counter.
            if packet.id and packet.id in self.manager.callbacks.get(member.sid, ()):
                self.handlers_in_flight.submit(self._acknowledged(member.sid, packet))
        else:
            self.admission.client_left(member)

    async def _acknowledged(self, sid: str, packet: Packet) -> None:
        await self.manager.trigger_callback(sid, packet.id, packet.data)

    # -- connecting -----------------------------------------------------------------------------------

    def _begin_connect(self, socket: ClientSocket, packet: Packet) -> None:
        namespace = packet.namespace
        if socket.pending(namespace) is not None or socket.member(namespace) is not None:
            self._bad_packet(socket, BadPacket("connected to this namespace already"))
            return
        if not self.admission.serves(namespace):
            self.refuse_connect(socket, namespace, {"message": "Invalid namespace"})
            return
        if len(socket.members) + len(socket.connecting) >= self._max_namespaces:
            self.refuse_connect(socket, namespace, _refusal("forbidden", "Too many namespaces"))
            return
        if socket.pending_size + packet.size > self._max_pending:
            self._bad_packet(socket, BadPacket("too much before being let in"))
            return
        pending = Connecting(namespace, packet.size)
        socket.connecting = (*socket.connecting, pending)
        self.handlers_in_flight.submit(self._connect(socket, pending, packet.data))

    def refuse_connect(self, socket: ClientSocket, namespace: str, error: Any) -> None:
        """Answer CONNECT with CONNECT_ERROR."""
        self.send_packet(socket, self.packet_class(sio_packet.CONNECT_ERROR, error, namespace=namespace))

    async def _connect(self, socket: ClientSocket, pending: Connecting, data: Any) -> None:
        namespace = pending.namespace
        try:
            await self.admission.connect(socket, namespace, data)
        except Exception:
            # The client gets no answer, so that it tries again.
            self.logger.exception("Connecting a client failed")
            socket.close_transport(self.reason.TRANSPORT_ERROR)
        finally:
            socket.connecting = tuple(other for other in socket.connecting if other is not pending)
            if socket.reason is not None:
                member = socket.member(namespace)
                if member is not None:
                    self.admission.transport_lost(member, socket.reason)
                self.forget(socket)
            elif socket.members:
                socket.let_in = True
                self.eio.connected_in_time(socket)
                if not self._keep_environ:
                    self.environ.pop(socket.sid, None)
            else:
                self.forget(socket)
        for waiting in pending.packets:
            if socket.reason is None:
                self._receive(socket, waiting)

    # -- disconnecting ----------------------------------------------------------------------------------

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
            await self.admission.sent_away(member)

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

    def submit(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as event handlers are run, in their order."""
        self.handlers_in_flight.submit(job)

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


def _refusal(code: str, detail: str) -> dict[str, Any]:
    """What CONNECT_ERROR says where trying again changes nothing, in the shape of all refusals."""
    return {"message": detail, "data": {"code": code, "detail": detail, "retryable": False}}
