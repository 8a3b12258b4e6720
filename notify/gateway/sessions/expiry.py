"""Reports when tokens expire: once some time before, and once when they do.

One timer for all connections. Members wait in buckets of those that are due together, so a member costs its
place in a set (some 50 to 100 bytes) and is taken out in one step when it goes.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import structlog

log = structlog.get_logger(__name__)

LONGEST_WARNING_S, SHORTEST_WARNING_S = 60, 5
RETRY_S: Final = 5
"""When `expired` raised, it is called again after this."""
COARSE_S: Final = 4
"""Far deadlines are rounded up to this, for fuller buckets: a session outlives its token by less."""
_COARSE_BEYOND_S: Final = 120
_MOST_PER_TURN: Final = 500
"""Members told in one turn of the loop: when thousands expire in the same second, others must not wait."""
_LONGEST_SLEEP_S: Final = 60.0
"""The clock of the machine may be set while the timer sleeps."""
_DEAD_KEPT: Final = 64


class Bucket:
    """The members with the same deadline. `expires_at` is later than `due` while they are to be warned."""

    __slots__ = ("due", "expires_at", "members")

    def __init__(self, due: int, expires_at: int) -> None:
        self.due = due
        self.expires_at = expires_at
        self.members: set[Expiring] = set()

    def __lt__(self, other: Bucket) -> bool:
        return self.due < other.due


class Expiring(Protocol):
    """What can expire. `expiry` belongs to `Expiry`; it is None to begin with."""

    expiry: Bucket | None


M = TypeVar("M", bound=Expiring)


class Expiry:
    """Calls `expiring(member, seconds_left)` before a member expires, and `expired(member)` when it does.

    The warning comes 60 s before, or a tenth of the time that was left when the member was scheduled, if that
    is less, but not under 5 s. Callbacks are plain functions, run on the event loop, and may schedule and
    discard. `clock` is in unix seconds.
    """

    def __init__(
        self,
        *,
        expiring: Callable[[M, int], None],
        expired: Callable[[M], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._expiring: Callable[..., None] = expiring
        self._expired: Callable[..., None] = expired
        self._clock = clock
        self._buckets: dict[tuple[int, int], Bucket] = {}
        self._heap: list[Bucket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0
        """The bucket's time that the timer is set to, or to a shorter sleep on the way there."""

    @staticmethod
    def warned(member: Expiring) -> bool:
        """Whether a member that is watched has been told that it expires soon."""
        return member.expiry is not None and member.expiry.due == member.expiry.expires_at

    def schedule(self, member: Expiring, expires_at: int, *, warned: bool = False) -> None:
        """Watch a member, from now on until this time: also after its token was refreshed.

        `warned`: it has been told already that it expires soon.
        """
        self.discard(member)
        left = expires_at - self._clock()
        if left > _COARSE_BEYOND_S:
            expires_at = -(-expires_at // COARSE_S) * COARSE_S
        warning = 0 if warned else min(max(int(left / 10), SHORTEST_WARNING_S), LONGEST_WARNING_S)
        self._file(member, expires_at - warning, expires_at)
        self._arm()

    def discard(self, member: Expiring) -> None:
        """Forget a member that is gone. One that is not watched is no error."""
        bucket = member.expiry
        if bucket is None:
            return
        member.expiry = None
        bucket.members.discard(member)
        if not bucket.members and self._buckets.get((bucket.due, bucket.expires_at)) is bucket:
            del self._buckets[bucket.due, bucket.expires_at]
            if len(self._heap) > 2 * len(self._buckets) + _DEAD_KEPT:
                self._heap = [kept for kept in self._heap if kept.members]
                heapq.heapify(self._heap)

    def tick(self) -> None:
        """Tell everyone who is due. The timer calls this; tests may, with a clock of theirs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        allowed = _MOST_PER_TURN
        while self._heap and self._heap[0].due <= now and allowed:
            bucket = heapq.heappop(self._heap)
            # Whoever is filed under the same time by a callback gets a bucket of its own: this one is closed.
            self._buckets.pop((bucket.due, bucket.expires_at), None)
            while bucket.members and allowed:
                allowed -= 1
                self._tell(bucket.members.pop(), bucket.expires_at, now)
            if bucket.members:
                heapq.heappush(self._heap, bucket)
        self._arm()

    def stop(self) -> None:
        """Forget every member."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for bucket in self._heap:
            for member in bucket.members:
                member.expiry = None
        self._heap.clear()
        self._buckets.clear()

    def _tell(self, member: Expiring, expires_at: int, now: float) -> None:
        member.expiry = None
        try:
            if now >= expires_at:
                self._expired(member)
            else:
                self._file(member, expires_at, expires_at)
                self._expiring(member, max(1, int(expires_at - now)))
        except Exception:  # one member's fault must not keep the others' sessions alive
            log.exception("expiry_callback_failed")
            if now >= expires_at and member.expiry is None:  # nor its own
                self._file(member, int(now) + RETRY_S, expires_at)

    def _file(self, member: Expiring, due: int, expires_at: int) -> None:
        bucket = self._buckets.get((due, expires_at))
        if bucket is None:
            bucket = self._buckets[due, expires_at] = Bucket(due, expires_at)
            heapq.heappush(self._heap, bucket)
        bucket.members.add(member)
        member.expiry = bucket

    def _arm(self) -> None:
        """Set the timer to the next bucket, when that is sooner than what it is set to."""
        if not self._heap:
            return
        due = self._heap[0].due
        if self._timer is not None:
            if self._armed_for <= due:
                return
            self._timer.cancel()
        self._armed_for = due
        sleep_s = min(max(0.0, due - self._clock()), _LONGEST_SLEEP_S)
        self._timer = asyncio.get_running_loop().call_later(sleep_s, self.tick)
