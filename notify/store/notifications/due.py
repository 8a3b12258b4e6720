"""The due list: what is to be done at a time of its own, by whichever node lives then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from notify.domain.notifications.notification_id import PREFIX
from notify.redis import scripts
from notify.redis.client import Redis
from notify.store.keys import Keys

ADD = scripts.load("notify.store", "due_add")
CLAIM = scripts.load("notify.store", "due_claim")


@dataclass(frozen=True, slots=True)
class Item:
    """Something on the list: `deliver` this notification, or finish to `retract` it."""

    kind: str
    id: str
    """The notification's, with its `ntf_`."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What is this node's to do now, and how the list stands."""

    items: Sequence[Item]
    count: int
    """How many items are on the list, these among them."""
    next_in_ms: int | None
    """Until the next item is due or a lease ends, by Redis' clock; None when the list is empty."""


class Due:
    """Only few things need it: what is due in inboxes waits there, for somebody to look.

    An item stays on the list until it is `done`, so that nothing is forgotten with the node that was at it.
    All calls raise Unavailable. They work while Redis is at its maxmemory, but for `postpone`.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._key = keys.due
        self.on_added: Callable[[int], None] = _nobody
        """Told the unix ms of whatever this node puts on the list."""

    async def add(self, kind: str, notification_id: str, at_ms: int) -> None:
        """Have it done at `at_ms` (unix ms by Redis), or at once when that has passed."""
        await self._redis.run(ADD, [self._key], [member(kind, notification_id), at_ms])
        self.on_added(at_ms)

    async def claim(self, limit: int, lease_ms: int) -> Claimed:
        """At most `limit` items that are due, the earliest first; nobody else gets them for `lease_ms`."""
        count, next_in_ms, *found = await self._redis.run(CLAIM, [self._key], [limit, lease_ms])
        items = []
        for one in found:
            kind, _, short = one.decode().partition(":")
            items.append(Item(kind, PREFIX + short))
        return Claimed(items, count, None if next_in_ms < 0 else next_in_ms)

    async def postpone(self, item: Item, at_ms: int) -> None:
        """Try it again at `at_ms`, if it is still on the list."""
        await self._redis.execute("ZADD", self._key, "XX", at_ms, member(item.kind, item.id))

    async def done(self, kind: str, *notification_ids: str) -> None:
        """They need not be done any more."""
        await self._redis.execute("ZREM", self._key, *(member(kind, id_) for id_ in notification_ids))


def member(kind: str, notification_id: str) -> str:
    """An item as it stands in the list."""
    return f"{kind}:{notification_id.removeprefix(PREFIX)}"


def _nobody(at_ms: int) -> None:
    """Nobody wants to know."""
