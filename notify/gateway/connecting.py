"""From a CONNECT packet to its answer: by an admission, or by python-socketio's connect handlers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

from socketio import exceptions as sio_exceptions
from socketio import packet as sio_packet

from notify.backplane.membership import Member
from notify.domain.packet import Wire

if TYPE_CHECKING:
    from notify.gateway.packets import Packet
    from notify.gateway.server import SocketServer
    from notify.gateway.socket import EngineSocket

MAX_BACKLOG = 256
"""Packets that a client may send to a namespace before it is let in."""


class Admission(Protocol):
    """Takes CONNECT out of the server's hands: authentication, recovery, channels."""

    async def connect(self, socket: EngineSocket, namespace: str, data: object) -> None:
        """Let a client in or refuse it, and answer it. It may find `socket.closed` after any await; a member
        that is in `socket.members` when this returns, on a closed socket, is reported by `lost`."""

    def lost(self, member: Member, reason: str) -> None:
        """The transport of a member is gone."""

    def left(self, member: Member) -> None:
        """A member has left by DISCONNECT, its own or one that `SocketServer.disconnect` has sent."""


class Connecting:
    """One CONNECT whose handler is running, and what the client has sent to that namespace meanwhile."""

    __slots__ = ("backlog", "namespace")

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.backlog: list[Packet] = []


class Antechamber:
    """Stands for the socket of a member whose connect handler runs: what is sent to it waits for CONNECT.

    So an `emit(to=sid)` from a connect handler arrives after the answer to CONNECT, as clients expect it.
    """

    __slots__ = ("_size", "_wires", "socket")

    def __init__(self, socket: EngineSocket) -> None:
        self.socket = socket
        self._wires: list[Wire] = []
        self._size = 0

    @property
    def sid(self) -> str:
        """The engine socket's."""
        return self.socket.sid

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
        if self._size > self.socket.engine.send_buffer_limit:
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


async def admit(server: SocketServer, socket: EngineSocket, namespace: str, data: Any) -> None:
    """Ask the connect handler, and answer the client.

    With `always_connect` the answer comes first, and a client that is then turned away gets DISCONNECT.
    """
    manager = server.manager
    sid = await manager.pre_connect(socket.sid, namespace)
    member: Member | None = manager.member(sid, namespace)
    if member is None:
        refuse(server, socket, namespace, {"message": "Unable to connect"})
        return
    antechamber = Antechamber(socket)
    if server.always_connect:
        _welcome(server, member)
        await manager.connect(sid, namespace)
    else:
        member.socket = antechamber  # type: ignore[assignment]  # its sid is not for setting
    try:
        refusal = await _ask(server, member, data)
    finally:
        member.socket = socket
    if refusal is None:
        server.stats.connects += 1
        if not server.always_connect:
            await manager.connect(sid, namespace)
            _welcome(server, member)
            antechamber.release()
        return
    server.stats.connect_errors["refused"] += 1
    if server.always_connect:
        manager.pre_disconnect(sid, namespace)
        server.send_packet(socket, server.packet_class(sio_packet.DISCONNECT, namespace=namespace))
    else:
        refuse(server, socket, namespace, refusal)
    await manager.disconnect(sid, namespace, ignore_queue=True)


def refuse(server: SocketServer, socket: EngineSocket, namespace: str, error: Any) -> None:
    """Answer CONNECT with CONNECT_ERROR."""
    server.send_packet(socket, server.packet_class(sio_packet.CONNECT_ERROR, error, namespace=namespace))


def _welcome(server: SocketServer, member: Member) -> None:
    packet = server.packet_class(sio_packet.CONNECT, {"sid": member.sid}, namespace=member.namespace)
    server.send_packet(member.socket, packet)


async def _ask(server: SocketServer, member: Member, data: Any) -> Any:
    """What the connect handler has against this client; None when it lets it in."""
    socket = member.socket
    environ = server.environ.get(socket.sid)
    if environ is None:  # not kept, and this is not the first namespace
        engine_socket = server.eio.sockets.get(socket.sid)
        environ = {"REMOTE_ADDR": engine_socket.address} if engine_socket is not None else {}
    try:
        if await _call(server, member.namespace, member.sid, environ, data) is not False:
            return None
    except sio_exceptions.ConnectionRefusedError as error:
        return error.error_args
    except ConnectionRefusedError:
        return {"message": "Connection refused by server"}
    except Exception:
        server.logger.exception("The connect handler failed")
    return sio_exceptions.ConnectionRefusedError().error_args


async def _call(server: SocketServer, namespace: str, sid: str, environ: Any, data: Any) -> Any:
    """The connect handler, with the client's `auth` or, when it takes no such argument, without."""
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
