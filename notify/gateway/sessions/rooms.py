"""Rooms that a member enters or leaves while it is connected."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member, Room
from notify.domain.channel import Channel, owner_of
from notify.domain.errors import Forbidden, TooMany, Unavailable
from notify.domain.offset import Offset
from notify.store.log import Log
from notify.store.session import Session
from notify.store.sessions import Sessions


class Rooms:
    """Membership that holds over a reconnect: the session is written before anyone is told of it."""

    def __init__(
        self,
        *,
        manager: RedisManager,
        sessions: Sessions,
        store_log: Log,
        session_of: Callable[[Member], Session],
        max_rooms: int,
    ) -> None:
        self._manager = manager
        self._sessions = sessions
        self._log = store_log
        self._session_of = session_of
        self._max_rooms = max_rooms
        self._under_way: Counter[Member] = Counter()
        self.arrived: Callable[[Member], Awaitable[None]] | None = None
        """Waits for a member that is coming from another node to be here."""

    def busy(self, member: Member) -> bool:
        """True while a member is being put into a room, or taken out of one."""
        return member in self._under_way

    @asynccontextmanager
    async def _counted(self, member: Member) -> AsyncIterator[None]:
        if self.arrived is not None:
            await self.arrived(member)
        self._under_way[member] += 1
        try:
            yield
        finally:
            self._under_way[member] -= 1
            if not self._under_way[member]:
                del self._under_way[member]

    async def join(self, member: Member, name: str, *, granted: bool = False) -> None:
        """Put a member into a room; returns when everything posted to it from now on reaches it.

        `granted` rooms are given back at a recovery whatever the token says then.

        Raises Forbidden in a user's own namespace and for a member that has left meanwhile, TooMany,
        Unavailable (it is not in the room then).
        """
        if owner_of(member.namespace) is not None:
            raise Forbidden("A user's own namespace has no rooms")
        async with self._counted(member):
            await self._join(member, name, granted=granted)

    async def _join(self, member: Member, name: str, *, granted: bool) -> None:
        channel = Channel(member.namespace, "room", name)
        if self._inside(member, channel) is None:
            self.check_room_for(member)
            place = await self._log.clock()
            _still(member)
            if self._inside(member, channel) is None:
                self.check_room_for(member)  # others were joined while the clock was asked
                await self._enter(member, channel, place, granted=granted)
                return
        # It is on its way in by another call, or in.
        room = self._inside(member, channel)
        if room is not None:
            await self._manager.subscriber.ready(room)
        _still(member)
        if self._inside(member, channel) is None:
            raise Unavailable("The room could not be joined", retry_after_s=1)
        if granted:
            self._grant(member, name)
        await self.save(member)

    async def _enter(self, member: Member, channel: Channel, place: Offset | None, *, granted: bool) -> None:
        name = channel.name
        room = self._manager.enter(member, channel)
        if granted:
            self._grant(member, name)
        try:
            await self._manager.subscriber.ready(room)
            _still(member)
            if room.since is None:
                room.since = place
            if place is not None:
                member.join_positions = {**(member.join_positions or {}), name: place.entry}
            await self.save(member)
            _still(member)
        except BaseException:
            if self._manager.leave(member, channel):
                self._forget(member, name)
            raise

    async def leave(self, member: Member, name: str) -> bool:
        """Take a member out of a room. False when it was not in it. Raises Unavailable: it is out all the
        same, but would find itself in it after a recovery.
        """
        async with self._counted(member):
            if not self._manager.leave(member, Channel(member.namespace, "room", name)):
                return False
            self._forget(member, name)
            await self.save(member)
            return True

    def _inside(self, member: Member, channel: Channel) -> Room | None:
        return next((room for room in member.rooms if room.channel == channel), None)

    def check_room_for(self, member: Member, more: int = 1) -> None:
        """Raises TooMany when a member cannot join this many more rooms."""
        if sum(room.channel.kind == "room" for room in member.rooms) + more > self._max_rooms:
            raise TooMany(f"A connection may be in at most {self._max_rooms} rooms")

    def _grant(self, member: Member, name: str) -> None:
        if name not in member.granted:
            member.granted = (*member.granted, name)

    def _forget(self, member: Member, name: str) -> None:
        member.granted = tuple(room for room in member.granted if room != name)
        if member.join_positions is not None:
            member.join_positions = {
                room: place for room, place in member.join_positions.items() if room != name
            } or None

    async def save(self, member: Member) -> None:
        """Write a member's session as it is now. Raises Unavailable."""
        if member.pid is None or member.state != Member.CONNECTED:
            return
        if not await self._sessions.save(member.pid, self._session_of(member)):
            raise Unavailable("The client has reconnected on another connection, which has its rooms now")


def _still(member: Member) -> None:
    """What was awaited may have taken longer than the member stayed."""
    if member.state != Member.CONNECTED:
        raise Forbidden("Not connected")
