"""Does what is due. Every node has a scheduler, and the due list in Redis says which of them does it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from notify.domain.errors import NotifyError, Unavailable
from notify.service.stats import ServiceStats
from notify.store.notifications.due import Claimed, Item

LEASE_MS = 600
"""How long an item is this node's alone. A node that dies with it is taken over from after that, within a
second; work that takes longer is begun a second time elsewhere, and must bear that."""
POLL_S = 0.4
"""How often a node looks for what others put on the list, and for leases that ended."""
BATCH = 16
"""Items that are claimed and worked on together. Redis gets their commands in one go, 100 us for each, and
those of several nodes one after the other: others must not wait for more than 3 ms.
"""
BATCHES = 2
"""Batches under way at once: while Redis does the one, this node prepares the other."""
WORK_S = 10.0
"""What a batch may take. Then it is given up, and its items are claimed again: work that hangs must not keep
this node from all that comes due.
"""
RETRY_MIN_S, RETRY_MAX_S = 0.1, 1.0
"""Pause after Redis was away, or would not take a write: all that is due would fail alike. It doubles."""
POSTPONED_MIN_MS, POSTPONED_MAX_MS = 1_000, 30_000
"""When an item is tried again that fails for a reason of its own: later each time."""
FAILURES = 1_000
"""Items whose failures are counted."""
STOP_S = 2.0
"""What is being done when a node stops may take as long; others take over what is left."""

Handler = Callable[[Sequence[str]], Awaitable[Mapping[str, Exception]]]
"""Does items of its kind, given the notifications' ids, and takes them off the list (`Due.done`); what
failed, by id.

It may be called again, here or elsewhere, and at the same time: whatever it does must come out once. For what
is to be called again Unavailable stands, or is raised. Whatever else it raises, each is tried alone.
"""

log = structlog.get_logger(__name__)


class Due(Protocol):
    """What is asked of `store.notifications.due.Due`. All raise Unavailable."""

    async def claim(self, limit: int, lease_ms: int) -> Claimed:
        """What is due, given to nobody else for the time of the lease."""

    async def postpone(self, item: Item, at_ms: int) -> None:
        """Have it tried again later."""


class Scheduler:
    """Wakes when the next item is due and has its handler do it.

    Redis says what is due, and in how long the next will be: no clock of this node makes anything late.
    """

    def __init__(self, *, due: Due, stats: ServiceStats, now_ms: Callable[[], int]) -> None:
        """`now_ms` is the time by Redis' clock, for what this node puts on the list itself."""
        self._due = due
        self._stats = stats
        self._now_ms = now_ms
        self._handlers: dict[str, Handler] = {}
        self._added_ms: int | None = None
        self._added = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[Item] = set()
        self._failures: dict[Item, int] = {}
        self._refused = False
        self._pause_s = RETRY_MIN_S

    def register(self, kind: str, handler: Handler) -> None:
        """Have items of this kind done by `handler`. To be called before `start`."""
        self._handlers[kind] = handler

    def expect(self, at_ms: int) -> None:
        """This node has put something on the list that is due at `at_ms` (unix ms)."""
        if self._added_ms is None or at_ms < self._added_ms:
            self._added_ms = at_ms
            self._added.set()

    def start(self) -> None:
        """Begin; Redis may be away now and again."""
        self._loop = asyncio.create_task(self._run(), name="scheduler")

    async def stop(self) -> None:
        """Begin nothing more, and let what has begun come to its end."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self) -> None:
        away = False
        while True:
            try:
                while len(self._tasks) >= BATCHES:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                if self._refused:
                    self._refused = False
                    pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, RETRY_MAX_S)
                    await asyncio.sleep(pause_s)
                self._added_ms = None
                claimed = await self._due.claim(BATCH, LEASE_MS)
                self._stats.due = claimed.count
                self._begin(claimed.items)
                if len(claimed.items) < BATCH:
                    await self._comes_due(claimed.next_in_ms)
                away = False
            except NotifyError as error:
                if not away:
                    log.warning("due_list_away", reason=error.detail)
                away = self._refused = True
            except Exception:  # nothing would be delivered any more
                log.exception("scheduler_failed")
                self._refused = True

    async def _comes_due(self, next_in_ms: int | None) -> None:
        """Wait for the next item, or for a poll at most."""
        loop = asyncio.get_running_loop()
        wake_at = loop.time() + POLL_S
        if next_in_ms is not None:
            wake_at = min(wake_at, loop.time() + next_in_ms / 1000)
        while True:
            self._added.clear()
            if self._added_ms is not None:
                wake_at = min(wake_at, loop.time() + (self._added_ms - self._now_ms()) / 1000)
            left_s = wake_at - loop.time()
            if left_s <= 0:
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._added.wait()
            except TimeoutError:
                return

    def _begin(self, items: Sequence[Item]) -> None:
        kinds: defaultdict[str, list[Item]] = defaultdict(list)
        for item in items:
            # A kind that only a newer version knows is left to the nodes that do.
            if item.kind in self._handlers and item not in self._under_way:
                kinds[item.kind].append(item)
        for kind, batch in kinds.items():
            task = asyncio.create_task(self._do(kind, batch))
            self._tasks.add(task)
            self._under_way.update(batch)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, kind: str, batch: Sequence[Item]) -> None:
        try:
            failed = await self._attempt(self._handlers[kind], [item.id for item in batch])
            for item in batch:
                error = failed.get(item.id)
                if error is None:
                    self._pause_s = RETRY_MIN_S
                    self._failures.pop(item, None)
                else:
                    await self._failed(item, error)
        finally:
            self._under_way.difference_update(batch)

    async def _attempt(self, handler: Handler, ids: Sequence[str]) -> Mapping[str, Exception]:
        try:
            async with asyncio.timeout(WORK_S):
                return await handler(ids)
        except TimeoutError:
            return dict.fromkeys(ids, Unavailable(f"It was not done within {WORK_S:g} s"))
        except Unavailable as error:
            return dict.fromkeys(ids, error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one must not keep the others
            if len(ids) == 1:
                return {ids[0]: error}
            failed: dict[str, Exception] = {}
            for id_ in ids:
                failed.update(await self._attempt(handler, [id_]))
            return failed

    async def _failed(self, item: Item, error: Exception) -> None:
        self._stats.due_failures[item.kind] += 1
        if isinstance(error, Unavailable):  # its lease ends, and it is tried again
            self._refused = True
            log.warning("due_not_done", kind=item.kind, id=item.id, reason=error.detail)
            return
        failures = self._failures.pop(item, 0)
        if len(self._failures) < FAILURES:
            self._failures[item] = failures + 1
        pause_ms = min(POSTPONED_MIN_MS * 2**failures, POSTPONED_MAX_MS)
        log.error("due_failed", kind=item.kind, id=item.id, again_in_ms=pause_ms, exc_info=error)
        try:
            await self._due.postpone(item, self._now_ms() + pause_ms)
        except NotifyError as failure:  # then its lease ends, and it is tried again all the sooner
            log.warning("due_not_postponed", kind=item.kind, id=item.id, reason=failure.detail)
