"""Does what is due. Every node has a scheduler, and the due list in Redis says which of them does it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from notify.domain.errors import NotifyError, Unavailable
from notify.service.stats import ServiceStats
from notify.store.notifications.due import Item

LEASE_MS = 600
"""How long an item is this node's alone. A node that dies with it is taken over from after that, within a
second; work that takes longer is begun a second time elsewhere, and must bear that."""
POLL_S = 0.4
"""How often a node looks for what others put on the list, and for leases that ended."""
AT_ONCE = 16
"""Items that are worked on at the same time. Redis gets their commands in one go, 100 us for each, and those
of several nodes one after the other: others must not wait for more than 3 ms.
"""
RETRY_S = 1.0
"""Pause after Redis was away, or would not take a write: all that is due would fail alike."""
POSTPONED_MS = 30_000
"""When an item is tried again that fails for a reason of its own."""
TOO_EARLY_S = 0.005
"""Pause when something seemed due and was not: another node was faster, or our clock is ahead."""
STOP_S = 2.0
"""What is being done when a node stops may take as long; others take over what is left."""

Handler = Callable[[str], Awaitable[None]]
"""Does one item of its kind, given the notification's id, and takes it off the list (`Due.done`).

It may be called again, here or elsewhere, and at the same time: whatever it does must come out once.
Raises Unavailable when it is to be called again.
"""

log = structlog.get_logger(__name__)


class Due(Protocol):
    """What is asked of `store.notifications.due.Due`. All raise Unavailable."""

    async def claim(self, limit: int, lease_ms: int) -> Sequence[Item]:
        """What is due, given to nobody else for the time of the lease."""

    async def postpone(self, item: Item, at_ms: int) -> None:
        """Have it tried again later."""

    async def ahead(self) -> tuple[int, int | None]:
        """How many items are on the list, and when the next is due (unix ms)."""


class Scheduler:
    """Wakes when the next item is due and has its handler do it."""

    def __init__(self, *, due: Due, stats: ServiceStats, now_ms: Callable[[], int]) -> None:
        """`now_ms` is the time by Redis' clock: it says when to look, and Redis what is due."""
        self._due = due
        self._stats = stats
        self._now_ms = now_ms
        self._handlers: dict[str, Handler] = {}
        self._added_ms: int | None = None
        self._added = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._tasks: dict[Item, asyncio.Task[None]] = {}
        self._refused = False

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
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self) -> None:
        away = False
        while True:
            try:
                self._added_ms = None
                self._stats.due, next_ms = await self._due.ahead()
                if await self._comes_due(next_ms):
                    await self._work_off()
                away = False
            except NotifyError as error:
                if not away:
                    log.warning("due_list_away", reason=error.detail)
                away = True
                await asyncio.sleep(RETRY_S)

    async def _comes_due(self, next_ms: int | None) -> bool:
        """Wait for the next item, or for a poll at most; True when one is due by now."""
        loop = asyncio.get_running_loop()
        poll_at = loop.time() + POLL_S
        while True:
            self._added.clear()
            if self._added_ms is not None and (next_ms is None or self._added_ms < next_ms):
                next_ms = self._added_ms
            left_s = poll_at - loop.time()
            if next_ms is not None:
                due_in_s = (next_ms - self._now_ms()) / 1000
                if due_in_s <= 0:
                    return True
                left_s = min(left_s, due_in_s)
            if left_s <= 0:
                return False
            try:
                async with asyncio.timeout(left_s):
                    await self._added.wait()
            except TimeoutError:
                pass  # it is time: the loop looks for what

    async def _work_off(self) -> None:
        while True:
            while len(self._tasks) > AT_ONCE // 2:
                await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            if self._refused:
                self._refused = False
                await asyncio.sleep(RETRY_S)
            room = AT_ONCE - len(self._tasks)
            items = await self._due.claim(room, LEASE_MS)
            for item in items:
                handler = self._handlers.get(item.kind)
                # A kind that only a newer version knows is left to the nodes that do.
                if handler is not None and item not in self._tasks:
                    task = asyncio.create_task(self._do(item, handler))
                    self._tasks[item] = task
                    task.add_done_callback(lambda _, item=item: self._tasks.pop(item))  # type: ignore[misc]
            if len(items) < room:
                if not items:
                    await asyncio.sleep(TOO_EARLY_S)
                return

    async def _do(self, item: Item, handler: Handler) -> None:
        try:
            await handler(item.id)
        except Unavailable as error:
            self._refused = True
            self._stats.due_failures[item.kind] += 1
            log.warning("due_not_done", kind=item.kind, id=item.id, reason=error.detail)
        except Exception:  # whatever is wrong with this one must not keep the others
            self._stats.due_failures[item.kind] += 1
            log.exception("due_failed", kind=item.kind, id=item.id)
            try:
                await self._due.postpone(item, self._now_ms() + POSTPONED_MS)
            except NotifyError as error:  # then its lease ends, and it is tried again all the sooner
                log.warning("due_not_postponed", kind=item.kind, id=item.id, reason=error.detail)
