"""The verbs about people and rooms: who is connected, sending them away, putting them into rooms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog

from notify.backplane.cluster import Cluster
from notify.domain.presence import Connection, Presence
from notify.store.sessions import Sessions

REVOCATION_TTL_S = 400 * 24 * 3600
"""How long a revocation stands: tokens that live longer than this are nobody's idea."""

log = structlog.get_logger(__name__)


class People:
    """Asks all nodes, since only they know their sockets. All verbs raise Unavailable."""

    def __init__(self, *, cluster: Cluster, sessions: Sessions, now: Callable[[], float] = time.time) -> None:
        self._cluster = cluster
        self._sessions = sessions
        self._now = now

    async def presence(self, user: str) -> Presence:
        """A user's connections on all nodes."""
        answers = await self._cluster.ask("presence", user=user)
        connections = [
            connection for node, answer in answers.items() for connection in _connections(node, answer)
        ]
        connections.sort(key=lambda connection: (connection.since, connection.sid))
        last_seen = None if connections else await self._sessions.last_seen(user)
        return Presence(tuple(connections), last_seen)

    async def disconnect(self, user: str, *, revoke: bool) -> int:
        """End all of a user's connections on every node; how many. They are not recovered.

        With `revoke`, tokens issued before now are worth nothing any more, so that only a new one lets the
        user in again.
        """
        if revoke:
            # `iat` counts in whole seconds: a token of this very second is refused too.
            await self._sessions.revoke(user, before=int(self._now()) + 1, ttl_s=REVOCATION_TTL_S)
        return _sum(await self._cluster.ask("disconnect", user=user))

    async def room_size(self, room: str, namespace: str) -> int:
        """Connections in a room, on all nodes."""
        return _sum(await self._cluster.ask("room_size", room=room, namespace=namespace))

    async def room_add(self, room: str, user: str, namespace: str) -> int:
        """Put all of a user's connections into a room, whatever their tokens say; how many there are."""
        return _sum(await self._cluster.ask("room_add", room=room, user=user, namespace=namespace))

    async def room_remove(self, room: str, user: str, namespace: str) -> int:
        """Take all of a user's connections out of a room; how many were in it."""
        return _sum(await self._cluster.ask("room_remove", room=room, user=user, namespace=namespace))


def _connections(node: str, answer: Mapping[str, Any]) -> Iterator[Connection]:
    """What a node says that it has. One of another version may say more; too little is left out."""
    for found in _list(answer.get("connections")):
        try:
            yield Connection(
                sid=str(found["sid"]),
                namespace=str(found["namespace"]),
                node=node,
                transport=str(found["transport"]),
                since=int(found["since"]),
            )
        except (KeyError, TypeError, ValueError):
            log.warning("answer_not_understood", node=node)


def _list(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def _sum(answers: Mapping[str, Mapping[str, Any]]) -> int:
    counts = [answer.get("count") for answer in answers.values()]
    return sum(count for count in counts if isinstance(count, int))
