"""Inboxes of users who are connected here: what is due happens on time, and after a cut they are told.

Users who are away cost nothing: what is due in their inboxes happens when somebody next looks. For a
connected user their node keeps the time, so that their screens follow within a second. Several nodes may have
the same user; what is due still happens only once, because it happens in a script.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine, Iterable
from typing import Protocol

import structlog

from notify.backplane.membership import Member
from notify.domain.channel import owner_of
from notify.domain.errors import NotifyError
from notify.domain.inbox import Snapshot

RETRY_MS = 2_000
"""After a failure, such as Redis being away."""
SOONEST_MS = 50
"""Between two looks at one inbox: what is due by this node's clock need not be so by Redis'."""
AT_ONCE = 64
"""Inboxes that are asked about at the same time."""
LONGEST_SLEEP_S = 60.0
"""The clock may be set meanwhile."""

log = structlog.get_logger(__name__)


def has_inbox(member: Member) -> bool:
    """True in the namespaces whose members hear the changes of their user's inbox."""
    return member.namespace == "/" or owner_of(member.namespace) is not None


class Inboxes(Protocol):
    """What is asked of `store.inbox.Inbox`. Both raise Unavailable."""

    async def snapshot(self, user: str) -> Snapshot:
        """Do what is due, and say how the inbox stands."""

    async def reset(self, user: str) -> Snapshot:
        """The same, and tell the user's connections."""


class InboxWatch:
    """Knows when something is next due for each user it was told of."""

    def __init__(self, *, inbox: Inboxes, now_ms: Callable[[], int], here: Callable[[str], bool]) -> None:
        """`now_ms` is the time by Redis' clock; `here` says whether a user is connected to this node."""
        self._inbox = inbox
        self._now_ms = now_ms
        self._here = here
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._untold: dict[str, None] = {}
        self._telling = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, user: str, due_ms: int) -> None:
        """Something is due in a connected user's inbox at `due_ms`.

        The earliest of what is known holds: an answer may be older than a message that came before it, and to
        look once for nothing costs less than to be late.
        """
        known = self._due.get(user)
        if known is not None and known <= due_ms:
            return
        self._due[user] = due_ms
        heapq.heappush(self._heap, (due_ms, user))
        if len(self._heap) > 2 * len(self._due) + 64:  # most of it is out of date
            self._heap = [(due, one) for one, due in self._due.items()]
            heapq.heapify(self._heap)
        self._arm()

    def learn(self, user: str, at: Snapshot) -> None:
        """How a user's inbox stands, should they be connected here."""
        if at.due_ms is not None and self._here(user):
            self.expect(user, at.due_ms)

    def forget(self, user: str) -> None:
        """The user's last connection here is gone."""
        self._due.pop(user, None)

    def healed(self, users: Iterable[str]) -> None:
        """This node cannot know what happened to these inboxes while it heard nothing: tell their users."""
        self._untold.update(dict.fromkeys(users))
        if self._untold and not self._telling:
            self._telling = True
            self._run(self._tell_all())

    async def stop(self) -> None:
        """Forget every user."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _arm(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap:
            return
        due_ms = self._heap[0][0]
        if self._timer is not None:
            if self._armed_for <= due_ms:
                return
            self._timer.cancel()
        self._armed_for = due_ms
        sleep_s = min(max(0.0, (due_ms - self._now_ms()) / 1000), LONGEST_SLEEP_S)
        self._timer = asyncio.get_running_loop().call_later(sleep_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now_ms = self._now_ms()
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now_ms and len(due) < AT_ONCE:
            due_ms, user = heapq.heappop(self._heap)
            if self._due.get(user) == due_ms:
                del self._due[user]
                if self._here(user):
                    due.append(user)
        if due:
            self._run(self._sweep(due))
        else:
            self._arm()

    async def _sweep(self, users: list[str]) -> None:
        await asyncio.gather(*(self._look(user) for user in users))
        self._arm()

    async def _look(self, user: str) -> None:
        try:
            at = await self._inbox.snapshot(user)
        except NotifyError as error:
            log.warning("inbox_not_swept", reason=error.detail)
            self.expect(user, self._now_ms() + RETRY_MS)
            return
        if at.due_ms is not None and self._here(user):
            self.expect(user, max(at.due_ms, self._now_ms() + SOONEST_MS))

    async def _tell_all(self) -> None:
        try:
            while self._untold:
                users = list(itertools.islice(self._untold, AT_ONCE))
                for user in users:  # one that heals again while it is being told is told again
                    del self._untold[user]
                told = await asyncio.gather(*(self._tell(user) for user in users if self._here(user)))
                if not all(told):
                    await asyncio.sleep(RETRY_MS / 1000)
        finally:
            self._telling = False

    async def _tell(self, user: str) -> bool:
        try:
            at = await self._inbox.reset(user)
        except NotifyError as error:
            log.warning("inbox_not_reset", reason=error.detail)
            self._untold[user] = None
            return False
        self.learn(user, at)
        return True

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
