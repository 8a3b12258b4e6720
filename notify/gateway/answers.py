"""What this node answers when another one asks about people and rooms."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from notify.backplane.cluster import Cluster
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.channel import Channel
from notify.domain.errors import NotifyError
from notify.gateway.sessions.admission import SessionAdmission
from notify.gateway.sessions.rooms import Rooms


class Answers:
    """Speaks for the sockets of this node."""

    def __init__(self, *, manager: RedisManager, admission: SessionAdmission, rooms: Rooms) -> None:
        self._manager = manager
        self._admission = admission
        self._rooms = rooms

    def attach(self, cluster: Cluster) -> None:
        """Answer the questions of `service.users`."""
        cluster.answer("presence", self.presence)
        cluster.answer("disconnect", self.disconnect)
        cluster.answer("room_size", self.room_size)
        cluster.answer("room_add", self.room_add)
        cluster.answer("room_remove", self.room_remove)

    def _members(self, user: str, namespace: str | None = None) -> list[Member]:
        """The members of a user, those being let in among them: in one namespace, or in all of them."""
        found: dict[Member, None] = {}
        for name in [namespace] if namespace is not None else list(self._manager.books):
            room = self._manager.room(name, Channel(name, "user", user).room)
            if room is not None:
                found.update(dict.fromkeys(room.members))
        return [member for member in found if member.state != Member.GONE and not member.deaf]

    async def presence(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The connections of a user here."""
        return {
            "connections": [
                {
                    "sid": member.sid,
                    "namespace": member.namespace,
                    "transport": getattr(member.socket, "transport", ""),
                    "since": member.since,
                }
                for member in self._members(asked["user"])
                if member.state == Member.CONNECTED
            ]
        }

    async def disconnect(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Disconnect a user's members: the clients stay away until they are asked to come back.

        Those being let in, too: their tokens may have been looked at before a revocation. Of one who is being
        erased nothing is written down, however late this is heard.
        """
        members = self._members(asked["user"])
        for member in members:
            self._admission.send_away(member, seen=not asked.get("erased"))
        return {"count": len(members)}

    async def room_size(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Members of a room here."""
        room = self._manager.room(asked["namespace"], asked["room"])
        members = room.members if room is not None else ()
        return {"count": sum(member.state == Member.CONNECTED for member in members)}

    async def room_add(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Put a user's members into a room."""
        room, namespace = asked["room"], asked["namespace"]
        # Side by side: one after the other they would try the deadlines of the node that asks.
        joined = await asyncio.gather(
            *(self._join(member, room) for member in self._inside(asked["user"], namespace))
        )
        return {"count": sum(joined)}

    async def room_remove(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Take a user's members out of a room."""
        room, namespace = asked["room"], asked["namespace"]
        # Those being let in, too: what was ordered may have been looked at just before.
        left = await asyncio.gather(
            *(
                self._leave(member, room)
                for member in self._members(asked["user"], namespace)
                if member.namespace == namespace
            )
        )
        return {"count": sum(left)}

    def _inside(self, user: str, namespace: str) -> list[Member]:
        """A user's connected members in this very namespace: their own ones hear the channel of `/`, too."""
        return [
            member
            for member in self._members(user, namespace)
            if member.namespace == namespace and member.state == Member.CONNECTED
        ]

    async def _join(self, member: Member, room: str) -> bool:
        try:
            await self._rooms.join(member, room, granted=True)
        except NotifyError:
            return False  # full, or gone, or Redis is away: then the answer does not get out either
        return member.state == Member.CONNECTED

    async def _leave(self, member: Member, room: str) -> bool:
        try:
            return await self._rooms.leave(member, room)
        except NotifyError:
            return True  # it was in it, and is out
