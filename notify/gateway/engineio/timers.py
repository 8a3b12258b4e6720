"""Deadlines of many connections on one timer.

Every deadline of one kind has one of few delays, so deadlines are kept in buckets, one bucket a tick, and one
timer is set for the first bucket. An idle connection costs a place in a set: no timer, no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import floor
from typing import Generic, TypeVar

Item = TypeVar("Item")

BATCH = 256
"""Deadlines handled before the loop gets its turn: after a mass reconnect many fall on one tick."""


class Bucket(set[Item], Generic[Item]):
    """What is due at one tick."""

    __slots__ = ("tick",)

    def __init__(self, tick: int) -> None:
        super().__init__()
        self.tick = tick


class Wheel(Generic[Item]):
    """Calls `expire(item)` for each item added, once its time has come, unless it was discarded before.

    An item is discarded by `bucket.discard(item)`, on the bucket that `add` returned.
    """

    __slots__ = ("_buckets", "_expire", "_handle", "_loop", "_next", "tick_s")

    def __init__(self, expire: Callable[[Item], None], *, tick_s: float) -> None:
        self.tick_s = tick_s
        self._expire = expire
        self._buckets: dict[int, Bucket[Item]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = 0

    def add(self, item: Item, delay_s: float) -> Bucket[Item]:
        """Have `item` expire after `delay_s`, at most one tick early and never late."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self.add_at(item, floor((self._loop.time() + delay_s) / self.tick_s))

    def add_at(self, item: Item, tick: int) -> Bucket[Item]:
        """Have `item` expire at a tick. One that is over counts as the next turn of the loop."""
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = Bucket(tick)
            if self._handle is None or tick < self._next:
                self._set_timer(tick)
        bucket.add(item)
        return bucket

    def stop(self) -> None:
        """Forget everything."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._buckets.clear()

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def _set_timer(self, tick: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._next = tick
        self._handle = asyncio.get_running_loop().call_at(tick * self.tick_s, self._turn)

    def _turn(self) -> None:
        self._handle = None
        bucket = self._buckets.get(self._next)
        if bucket is not None:
            for _ in range(BATCH):
                if not bucket:
                    break
                self._expire(bucket.pop())
            if not bucket:
                self._buckets.pop(bucket.tick, None)
        if self._buckets:
            self._set_timer(min(self._buckets))
