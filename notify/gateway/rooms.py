"""Rooms that a member enters or leaves while it is connected."""

from __future__ import annotations

from collections.abc import Callable

from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.channel import Channel, owner_of
from notify.domain.errors import Forbidden, TooMany, Unavailable
from notify.store.log import Log
from notify.store.sessions import Session, Sessions


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

    async def join(self, member: Member, name: str, *, granted: bool = False) -> None:
        """Put a member into a room; returns when everything posted to it from now on reaches it.

        `granted` rooms are given back at a recovery whatever the token says then.

        Raises Forbidden in a user's own namespace, TooMany, Unavailable (it is not in the room then).
        """
        if owner_of(member.namespace) is not None:
            raise Forbidden("A user's own namespace has no rooms")
        channel = Channel(member.namespace, "room", name)
        inside = next((room for room in member.rooms if room.channel == channel), None)
        if inside is not None:
            await self._manager.subscriber.ready(inside)  # it may be on its way in by another call
            if granted:
                self._grant(member, name)
                await self._save(member)
            return
        if sum(room.channel.kind == "room" for room in member.rooms) >= self._max_rooms:
            raise TooMany(f"A connection may be in {self._max_rooms} rooms")
        place = await self._log.clock()
        if member.state != Member.CONNECTED:
            return
        room = self._manager.enter(member, channel)
        if granted:
            self._grant(member, name)
        try:
            await self._manager.subscriber.ready(room)
            if room.since is None:
                room.since = place
            if place is not None:
                member.places = {**(member.places or {}), name: place.entry}
            await self._save(member)
        except BaseException:
            self._manager.leave(member, channel)
            self._ungrant(member, name)
            raise

    async def leave(self, member: Member, name: str) -> bool:
        """Take a member out of a room. False when it was not in it. Raises Unavailable: it is out all the
        same, but would find itself in it after a recovery.
        """
        if not self._manager.leave(member, Channel(member.namespace, "room", name)):
            return False
        self._ungrant(member, name)
        if member.places is not None:
            member.places = {room: place for room, place in member.places.items() if room != name} or None
        await self._save(member)
        return True

    def _grant(self, member: Member, name: str) -> None:
        if name not in member.granted:
            member.granted = (*member.granted, name)

    def _ungrant(self, member: Member, name: str) -> None:
        member.granted = tuple(room for room in member.granted if room != name)

    async def _save(self, member: Member) -> None:
        if member.pid is None or member.state != Member.CONNECTED:
            return
        if not await self._sessions.save(member.pid, self._session_of(member)):
            raise Unavailable("The client has come back on another connection, which has its rooms now")
