"""The verbs about people and rooms: who is connected, sending them away, putting them into rooms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from notify.backplane.cluster import Answers, Cluster
from notify.domain.presence import Connection, Presence, Reached
from notify.service.stats import ServiceStats
from notify.store.notifications.erasure import Erasure
from notify.store.sessions import Sessions

log = structlog.get_logger(__name__)


class Users:
    """Asks all nodes, since only they know their sockets. All verbs raise Unavailable."""

    def __init__(
        self, *, cluster: Cluster, sessions: Sessions, erasure: Erasure, stats: ServiceStats
    ) -> None:
        self._cluster = cluster
        self._sessions = sessions
        self._erasure = erasure
        self._stats = stats

    async def presence(self, user: str) -> Presence:
        """A user's connections on all nodes."""
        answers = await self._cluster.ask("presence", user=user)
        connections = [
            connection for node, answer in answers.items() for connection in _connections(node, answer)
        ]
        connections.sort(key=lambda connection: (connection.since, connection.sid))
        last_seen = None if connections else await self._sessions.last_seen(user)
        return Presence(tuple(connections), last_seen)

    async def disconnect(self, user: str, *, revoke: bool) -> Reached:
        """End all of a user's connections on every node. Nothing is recovered, even for clients now away.

        With `revoke`, tokens issued before now are worth nothing any more, so that only a new one lets the
        user in again.
        """
        # Written before anyone is asked: a client that comes back meanwhile, and a node that is deaf, find it
        # there.
        await self._sessions.order_away(user, revoke=revoke)
        return _reached(await self._cluster.ask("disconnect", user=user))

    async def erase(self, user: str) -> None:
        """Disconnect a user everywhere, with all tokens issued up to now, and leave nothing of them in Redis.

        What does stay says `store.notifications.erasure`. Once more is no error; after Unavailable it is to
        be done again.
        """
        await self._sessions.order_away(user, revoke=True)
        reached = _reached(await self._cluster.ask("disconnect", user=user, erased=True))
        if reached.silent:  # they send the user away, and write nothing down, as soon as they hear the others
            log.warning("erased_with_silent_nodes", nodes=list(reached.silent))
        await self._erasure.erase(user)
        self._stats.erased += 1
        log.info("erased", connections=reached.connections)

    async def room_size(self, room: str, namespace: str) -> int:
        """Connections in a room, on all nodes."""
        return _reached(await self._cluster.ask("room_size", room=room, namespace=namespace)).connections

    async def room_add(self, room: str, user: str, namespace: str) -> Reached:
        """Put all of a user's connections into a room, whatever their tokens say."""
        return _reached(await self._cluster.ask("room_add", room=room, user=user, namespace=namespace))

    async def room_remove(self, room: str, user: str, namespace: str) -> Reached:
        """Take all of a user's connections out of a room, and sessions of those who are just away."""
        await self._sessions.order_out(user, namespace, room)
        return _reached(await self._cluster.ask("room_remove", room=room, user=user, namespace=namespace))


def _connections(node: str, answer: Mapping[str, Any]) -> Iterator[Connection]:
    """Connections as a node reports them. Another version may report more; incomplete ones are left out."""
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


def _reached(answers: Answers) -> Reached:
    counts = [answer.get("count") for answer in answers.values()]
    return Reached(sum(count for count in counts if isinstance(count, int)), answers.silent)
