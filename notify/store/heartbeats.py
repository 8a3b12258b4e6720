"""The nodes that live, in Redis."""

from __future__ import annotations

from notify.store import scripts
from notify.store.connection import Redis
from notify.store.keys import NODE_TTL_S, Keys

BEAT = scripts.load("beat")


class Heartbeats:
    """One sorted set: node to the second it last said that it lives. All raise Unavailable."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def beat(self, node_id: str) -> None:
        """Say that a node lives."""
        await self._redis.run(BEAT, [self._keys.nodes], [node_id, NODE_TTL_S, 0])

    async def gone(self, node_id: str) -> None:
        """Say that a node has stopped."""
        await self._redis.run(BEAT, [self._keys.nodes], [node_id, NODE_TTL_S, 1])

    async def alive(self) -> list[str]:
        """The ids of the nodes that have said so in the last 20 s."""
        return [
            node.decode() for node in await self._redis.run(BEAT, [self._keys.nodes], ["", NODE_TTL_S, 0])
        ]
