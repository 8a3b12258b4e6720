"""One client of the Socket.IO server: its connection, and where it stands in each namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from notify.backplane.membership import Member
from notify.gateway.engineio.host import SocketHost
from notify.gateway.engineio.socket import EngineSocket
from notify.gateway.engineio.transports.polling import Polling
from notify.gateway.socketio.backlog import Backlog
from notify.protocol.socketio import Packet, Partial


class Connecting:
    """One CONNECT that is being answered, and what the client has sent to that namespace meanwhile.

    It is kept unparsed: parsed it would take twenty times the memory, on behalf of a client that may be
    anyone.
    """

    __slots__ = ("namespace", "packets", "size")

    def __init__(self, namespace: str, size: int) -> None:
        self.namespace = namespace
        self.size = size
        """Characters, or bytes, of CONNECT and of what waits."""
        self.packets: list[str | bytes] = []


class ClientSocket(EngineSocket):
    """An Engine.IO connection with what Socket.IO keeps for it; one object, since there are many."""

    __slots__ = ("backlog", "connecting", "let_in", "members", "partial", "running", "running_size")

    def __init__(
        self, host: SocketHost[Any], sid: str, *, polling: Polling | None, address: str | None
    ) -> None:
        super().__init__(host, sid, polling=polling, address=address)
        self.members: tuple[Member, ...] = ()
        self.let_in = False
        """It has been in a namespace: a packet for one that it is not in may have crossed our disconnect."""
        self.connecting: tuple[Connecting, ...] = ()
        """Namespaces whose CONNECT has not been answered yet."""
        self.partial: Partial | None = None
        """An event whose binary attachments are still coming in."""
        self.running = 0
        """Event handlers of this client that have not returned."""
        self.running_size = 0
        """What the packets that they handle have cost to receive, in bytes."""
        self.backlog: Backlog | None = None
        """Packets that wait for those handlers; None while they need not."""

    def member(self, namespace: str) -> Member | None:
        """The member that this client is in a namespace."""
        for member in self.members:
            if member.namespace == namespace:
                return member
        return None

    def pending(self, namespace: str) -> Connecting | None:
        """The CONNECT to a namespace that is being answered."""
        for pending in self.connecting:
            if pending.namespace == namespace:
                return pending
        return None

    @property
    def at_rest(self) -> bool:
        """True while nothing that the client has sent is still being taken, or handled."""
        return (
            not self.connecting
            and not self.running
            and self.partial is None
            and self.backlog is None
            and not (self.polling is not None and self.polling.posting)
        )

    @property
    def pending_size(self) -> int:
        """Bytes that are kept for namespaces which the client has not been let into yet."""
        return sum(pending.size for pending in self.connecting)

    def hold_back(self) -> None:
        """Read nothing more from this client: packets that are in already go to the backlog."""
        if self.backlog is None:
            self.backlog = Backlog()
            if self.websocket is not None:
                self.websocket.pause_reading()

    def catch_up(self) -> Iterable[Packet]:
        """Read again. The backlog, to be dispatched in order."""
        backlog, self.backlog = self.backlog, None
        if backlog is None:
            return ()
        if self.websocket is not None:
            self.websocket.resume_reading()
        if backlog.eased is not None and not backlog.eased.done():
            backlog.eased.set_result(None)
        return backlog

    async def caught_up(self) -> None:
        """Wait until packets are taken again: how a long-polling client is slowed down."""
        while self.backlog is not None:
            if self.backlog.eased is None:
                self.backlog.eased = asyncio.get_running_loop().create_future()
            await self.backlog.eased

    def let_go(self) -> None:
        """The connection has ended: whatever is left in its backlog is dropped."""
        self.partial = None
        self.catch_up()
