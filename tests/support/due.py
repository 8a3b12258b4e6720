"""The due list, as a test looks at it."""

from __future__ import annotations

from notify.redis.client import Redis
from notify.store.keys import Keys


async def ahead(redis: Redis, keys: Keys) -> tuple[int, int | None]:
    """How many items are on it, and when the next is due or a lease ends (unix ms); None when it is empty."""
    count = await redis.execute("ZCARD", keys.due)
    first = await redis.execute("ZRANGE", keys.due, 0, 0, "WITHSCORES")
    return count, int(float(first[1])) if first else None


async def next_ms(redis: Redis, keys: Keys) -> int | None:
    """The second of these."""
    return (await ahead(redis, keys))[1]
