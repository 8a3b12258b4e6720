"""The nodes that live, in Redis."""

from __future__ import annotations

from notify.redis import scripts
from notify.redis.client import Redis
from notify.store.keys import NODE_TTL_S, Keys

HEARTBEAT = scripts.load(__package__, "node_heartbeat")
CLAIM = scripts.load(__package__, "node_claim")


class Heartbeats:
    """One sorted set: node to the second it last said that it lives. All raise Unavailable."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def claim(self, node_id: str, *, take_over: bool = False) -> int | None:
        """Enter a node under a name that nobody has. None when that is done, else for how many seconds
        nothing was heard of the node that has it; `take_over` takes it all the same.
        """
        silent_s = await self._redis.run(
            CLAIM, [self._keys.nodes], [node_id, NODE_TTL_S, 1 if take_over else 0]
        )
        return None if silent_s < 0 else int(silent_s)

    async def listening(self, node_id: str) -> bool:
        """True while somebody listens on the topic of a node of that name."""
        _, count = await self._redis.execute("PUBSUB", "NUMSUB", self._keys.node(node_id))
        return int(count) > 0

    async def beat(self, node_id: str) -> None:
        """Say that a node lives."""
        await self._redis.run(HEARTBEAT, [self._keys.nodes], [node_id, NODE_TTL_S, 0])

    async def gone(self, node_id: str) -> None:
        """Say that a node has stopped."""
        await self._redis.run(HEARTBEAT, [self._keys.nodes], [node_id, NODE_TTL_S, 1])

    async def alive(self) -> list[str]:
        """The ids of the nodes that have said so in the last 20 s."""
        return [
            node.decode()
            for node in await self._redis.run(HEARTBEAT, [self._keys.nodes], ["", NODE_TTL_S, 0])
        ]
