"""What this node answers when another one asks about people and rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notify.backplane.cluster import Cluster
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.channel import Channel
from notify.domain.errors import NotifyError
from notify.gateway.admission import Admission
from notify.gateway.rooms import Rooms


class Answers:
    """Speaks for the sockets of this node."""

    def __init__(self, *, manager: RedisManager, admission: Admission, rooms: Rooms) -> None:
        self._manager = manager
        self._admission = admission
        self._rooms = rooms

    def attach(self, cluster: Cluster) -> None:
        """Answer the questions of `service.people`."""
        cluster.answer("presence", self.presence)
        cluster.answer("disconnect", self.disconnect)
        cluster.answer("room_size", self.room_size)
        cluster.answer("room_add", self.room_add)
        cluster.answer("room_remove", self.room_remove)

    def _members(self, user: str, namespace: str | None = None) -> list[Member]:
        """The connected members of a user: in one namespace, or in all of them."""
        found: dict[Member, None] = {}
        for name in [namespace] if namespace is not None else list(self._manager.books):
            room = self._manager.room(name, Channel(name, "user", user).room)
            if room is not None:
                found.update(dict.fromkeys(room.members))
        return [member for member in found if member.state == Member.CONNECTED]

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
            ]
        }

    async def disconnect(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Disconnect a user's members: the clients stay away until they are asked to come back."""
        members = self._members(asked["user"])
        for member in members:
            self._admission.send_away(member)
        return {"count": len(members)}

    async def room_size(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Members of a room here."""
        room = self._manager.room(asked["namespace"], asked["room"])
        return {"count": len(room.members) if room is not None else 0}

    async def room_add(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Put a user's members into a room."""
        count = 0
        for member in self._members(asked["user"], asked["namespace"]):
            if member.namespace != asked["namespace"]:
                continue
            try:
                await self._rooms.join(member, asked["room"], granted=True)
            except NotifyError:
                continue  # full, or gone: it is not counted
            count += 1
        return {"count": count}

    async def room_remove(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Take a user's members out of a room."""
        count = 0
        for member in self._members(asked["user"], asked["namespace"]):
            count += await self._rooms.leave(member, asked["room"])
        return {"count": count}
