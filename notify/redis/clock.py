"""The clock that all nodes share: Redis' own."""

from __future__ import annotations

import time
from collections.abc import Callable


class RedisClock:
    """Redis' TIME, as this node can tell it without asking.

    The machines' own clocks differ by seconds to hours, and a deadline that one makes and another judges
    would be off by as much. So whatever is stamped or judged here goes by Redis: each canary's answer brings
    its TIME, and this machine's monotonic clock, which nobody sets, tells what has passed since.

    It is right to within the round trip of a canary. Until the first answer, before a node is ready, it is
    this machine's own clock.
    """

    __slots__ = ("_monotonic", "_offset_s", "_wall")

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._offset_s: float | None = None

    @property
    def known(self) -> bool:
        """True once Redis has told its time."""
        return self._offset_s is not None

    def now(self) -> float:
        """Unix time in seconds."""
        return self._wall() if self._offset_s is None else self._monotonic() + self._offset_s

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return int(self.now() * 1000)

    @property
    def ahead_s(self) -> float:
        """By how much this machine's clock is ahead of Redis', in seconds; negative when it is behind."""
        return self._wall() - self.now()

    def observe(self, redis_s: float, *, sent_at: float, received_at: float | None = None) -> None:
        """Redis answered `redis_s` (unix seconds) to a command sent at `sent_at`, on the monotonic clock.

        It said so at some moment in between. What is known already is kept as far as that allows, so that the
        time does not jitter with the round trips, yet follows at once when Redis' clock is set.
        """
        latest = redis_s - sent_at
        earliest = redis_s - (self._monotonic() if received_at is None else received_at)
        if self._offset_s is None:
            self._offset_s = (earliest + latest) / 2
        else:
            self._offset_s = min(max(self._offset_s, earliest), latest)
