"""A client that has asked to connect to a namespace and has not been answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notify.domain.packet import Wire

if TYPE_CHECKING:
    from notify.backplane.membership import Member
    from notify.gateway.packets import Packet
    from notify.gateway.socket import EngineSocket

MAX_BACKLOG = 256
"""Packets that a client may send to a namespace before it is let in."""


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

    def release(self) -> None:
        """The client is let in: send what was held back."""
        for wire in self._wires:
            self.socket.send(wire)
