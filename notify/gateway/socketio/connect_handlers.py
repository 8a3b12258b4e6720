"""Plain connect and disconnect handlers, as python-socketio has them: the admission of a bare server."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any, Protocol

from socketio import exceptions as sio_exceptions
from socketio import packet as sio_packet

from notify.backplane.membership import Member
from notify.gateway.socketio.client import ClientSocket
from notify.gateway.stats import GatewayStats
from notify.protocol.engineio import Wire


class HandlerServer(Protocol):
    """The server whose handlers these are: what they need of `socketio.AsyncServer`, and of ours."""

    manager: Any
    environ: dict[str, Any]
    handlers: dict[str, Any]
    namespace_handlers: dict[str, Any]
    namespaces: Any
    packet_class: Any
    not_handled: Any
    always_connect: bool
    logger: Any
    reason: Any
    stats: GatewayStats

    def _get_event_handler(self, event: str, namespace: str, args: tuple[Any, ...]) -> Any: ...

    def _get_namespace_handler(self, namespace: str, args: tuple[Any, ...]) -> Any: ...

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any: ...

    def refuse_connect(self, socket: ClientSocket, namespace: str, error: Any) -> None:
        """Answer CONNECT with CONNECT_ERROR."""

    def send_packet(self, socket: Any, packet: Any) -> None:
        """Send a Socket.IO packet."""

    def submit(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the order of the others."""

    def forget(self, socket: Any) -> None:
        """Let go of a connection that has ended, once nobody is in a handler on its behalf."""


class Antechamber:
    """Stands for the socket of a member whose connect handler runs: what is sent to it waits for CONNECT.

    So an `emit(to=sid)` from a connect handler arrives after the answer to CONNECT, as clients expect it.
    """

    __slots__ = ("_size", "_wires", "socket")

    def __init__(self, socket: ClientSocket) -> None:
        self.socket = socket
        self._wires: list[Wire] = []
        self._size = 0

    @property
    def sid(self) -> str:
        """The engine socket's."""
        return self.socket.sid

    @property
    def closed(self) -> bool:
        """The engine socket's."""
        return self.socket.closed

    @property
    def members(self) -> tuple[Member, ...]:
        """The engine socket's."""
        return self.socket.members

    @members.setter
    def members(self, members: tuple[Member, ...]) -> None:
        self.socket.members = members

    def send(self, wire: Wire) -> None:
        """Hold packets back, within the bound that applies to the socket itself."""
        self._wires.append(wire)
        self._size += wire.size
        if self._size > self.socket.host.send_buffer_limit:
            self.socket.too_slow()

    def close_transport(self, reason: str | None = None) -> None:
        """End the connection."""
        self.socket.close_transport(reason)

    def abort(self, reason: str) -> None:
        """Drop the connection."""
        self.socket.abort(reason)

    def too_slow(self) -> None:
        """Drop the connection of a slow consumer."""
        self.socket.too_slow()

    def release(self) -> None:
        """The client is let in: send what was held back."""
        for wire in self._wires:
            self.socket.send(wire)


class ConnectHandlers:
    """An `Admission` that asks the connect handler, and tells the disconnect handler."""

    needs_environ = True

    def __init__(self, server: HandlerServer) -> None:
        self._server = server

    def serves(self, namespace: str) -> bool:
        """True for a namespace that has a handler, or is in the option `namespaces`."""
        server = self._server
        return (
            namespace in server.handlers
            or namespace in server.namespace_handlers
            or server.namespaces == "*"
            or namespace in server.namespaces
        )

    async def connect(self, socket: ClientSocket, namespace: str, data: object) -> None:
        """Ask the connect handler, and answer the client.

        With `always_connect` the answer comes first, and a client that is then turned away gets DISCONNECT.
        """
        if socket.closed:
            return
        server, manager = self._server, self._server.manager
        sid = await manager.pre_connect(socket.sid, namespace)
        member: Member | None = manager.member(sid, namespace)
        if member is None:
            server.refuse_connect(socket, namespace, {"message": "Unable to connect"})
            return
        antechamber = Antechamber(socket)
        if server.always_connect:
            self._welcome(member)
            await manager.connect(sid, namespace)
        else:
            member.socket = antechamber  # type: ignore[assignment]  # its sid is not for setting
        try:
            refusal = await self._ask(socket, member, data)
        finally:
            member.socket = socket
        if refusal is None:
            server.stats.connects += 1
            if not server.always_connect:
                await manager.connect(sid, namespace)
                self._welcome(member)
                antechamber.release()
            return
        server.stats.connect_errors["refused"] += 1
        if server.always_connect:
            manager.pre_disconnect(sid, namespace)
            server.send_packet(socket, server.packet_class(sio_packet.DISCONNECT, namespace=namespace))
        else:
            server.refuse_connect(socket, namespace, refusal)
        await manager.disconnect(sid, namespace, ignore_queue=True)

    def transport_lost(self, member: Member, reason: str) -> None:
        """Call the disconnect handler of a member that was let in; nothing of it is left then."""
        if member.state == Member.CONNECTED and self._hears_disconnect(member.namespace):
            self._say_goodbye(member, reason)
        elif member.state in (Member.CONNECTED, Member.PENDING):
            self._server.manager.basic_disconnect(member.sid, member.namespace)

    def client_left(self, member: Member) -> None:
        """Call the disconnect handler."""
        self._say_goodbye(member, self._server.reason.CLIENT_DISCONNECT)

    async def sent_away(self, member: Member) -> None:
        """Call the disconnect handler, and wait for it."""
        await self._leave(member, self._server.reason.SERVER_DISCONNECT)

    def _say_goodbye(self, member: Member, reason: str) -> None:
        member.state = Member.LEAVING
        self._server.submit(self._leave(member, reason))

    async def _leave(self, member: Member, reason: str) -> None:
        """Call the disconnect handler, then forget the member, whatever the handler did."""
        server = self._server
        member.state = Member.LEAVING
        try:
            await server._trigger_event("disconnect", member.namespace, member.sid, reason)
        except Exception:
            server.logger.exception("The disconnect handler failed")
        finally:
            await server.manager.disconnect(member.sid, member.namespace, ignore_queue=True)
            server.forget(member.socket)

    def _hears_disconnect(self, namespace: str) -> bool:
        handler, _ = self._server._get_event_handler("disconnect", namespace, ())
        return handler is not None or self._server._get_namespace_handler(namespace, ())[0] is not None

    def _welcome(self, member: Member) -> None:
        server = self._server
        packet = server.packet_class(sio_packet.CONNECT, {"sid": member.sid}, namespace=member.namespace)
        server.send_packet(member.socket, packet)

    async def _ask(self, socket: ClientSocket, member: Member, data: Any) -> Any:
        """Why the connect handler refuses this client; None when it lets it in."""
        environ = self._server.environ.get(socket.sid)
        if environ is None:  # not kept, and this is not the first namespace
            environ = {"REMOTE_ADDR": socket.address}
        try:
            if await self._call(member.namespace, member.sid, environ, data) is not False:
                return None
        except sio_exceptions.ConnectionRefusedError as error:
            return error.error_args
        except ConnectionRefusedError:
            return {"message": "Connection refused by server"}
        except Exception:
            self._server.logger.exception("The connect handler failed")
        return sio_exceptions.ConnectionRefusedError().error_args

    async def _call(self, namespace: str, sid: str, environ: Any, data: Any) -> Any:
        """The connect handler, with the client's `auth` or, when it takes no such argument, without."""
        server = self._server
        handler, args = server._get_event_handler("connect", namespace, (sid, environ, data))
        if handler is not None:
            result = handler(*_fitting(handler, args))
            return await result if inspect.isawaitable(result) else result
        target, args = server._get_namespace_handler(namespace, (sid, environ, data))
        if target is None:
            return server.not_handled
        return await target.trigger_event("connect", *_fitting(getattr(target, "on_connect", None), args))


def _fitting(handler: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        if handler is not None:
            inspect.signature(handler).bind(*args)
    except TypeError:
        return args[:-1]
    except ValueError:  # a callable that does not tell its signature
        pass
    return args
