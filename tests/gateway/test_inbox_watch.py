"""The timers of connected users' inboxes: never late, whatever comes first, and never busy for nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from notify.domain.errors import Unavailable
from notify.domain.inbox import Counts, Snapshot
from notify.gateway.sessions import inbox_watch
from notify.gateway.sessions.inbox_watch import AT_ONCE, InboxWatch
from tests.support.waiting import until


def now_ms() -> int:
    """The time by this test's Redis."""
    return int(time.time() * 1000)


class Inboxes:
    """Knows when something is due for whom, as Redis does, and counts who looked."""

    def __init__(self) -> None:
        self.due: dict[str, int] = {}
        self.looks: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = 0

    def at(self, user: str) -> Snapshot:
        due_ms = self.due.get(user)
        return Snapshot(1, Counts(), due_ms)

    async def snapshot(self, user: str) -> Snapshot:
        """Does what is due, when it is."""
        self.looks[user] += 1
        if self.due.get(user, now_ms() + 1) <= now_ms():
            del self.due[user]
        at = self.at(user)
        await self.gate.wait()
        return at

    async def reset(self, user: str) -> Snapshot:
        """Tells it."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.failures:
                self.failures -= 1
                raise Unavailable("Redis is away")
            self.resets[user] += 1
            return self.at(user)
        finally:
            self.at_once -= 1


@pytest.fixture
def inboxes() -> Inboxes:
    return Inboxes()


@pytest.fixture
async def watch(inboxes: Inboxes) -> AsyncIterator[InboxWatch]:
    made = InboxWatch(inbox=inboxes, now_ms=now_ms, here=lambda user: not user.startswith("away"))
    yield made
    await made.stop()


async def test_what_is_due_is_done_then(inboxes: Inboxes, watch: InboxWatch):
    due_ms = inboxes.due["ada"] = now_ms() + 50
    watch.expect("ada", due_ms)
    await until(lambda: "ada" not in inboxes.due)
    assert now_ms() >= due_ms
    assert inboxes.looks["ada"] <= 2


async def test_an_answer_that_is_older_than_a_message_makes_nobody_late(inboxes: Inboxes, watch: InboxWatch):
    """The answer says "in an hour"; what came meanwhile, and was heard first, is due much sooner."""
    old = Snapshot(1, Counts(), now_ms() + 3_600_000)
    inboxes.due["ada"] = now_ms() + 50
    watch.expect("ada", inboxes.due["ada"])
    watch.learn("ada", old)
    await until(lambda: "ada" not in inboxes.due)


async def test_the_same_while_a_look_is_under_way(inboxes: Inboxes, watch: InboxWatch):
    watch.expect("ada", now_ms())
    inboxes.due["ada"] = now_ms() + 3_600_000
    inboxes.gate.clear()
    await until(lambda: inboxes.looks["ada"] == 1)
    inboxes.due["ada"] = now_ms() + 30
    watch.expect("ada", inboxes.due["ada"])
    inboxes.gate.set()
    await until(lambda: "ada" not in inboxes.due)


async def test_a_clock_that_is_ahead_asks_no_more_than_now_and_then(inboxes: Inboxes):
    ahead = InboxWatch(inbox=inboxes, now_ms=lambda: now_ms() + 500, here=lambda user: True)
    try:
        inboxes.due["ada"] = now_ms() + 500
        ahead.expect("ada", inboxes.due["ada"])
        await until(lambda: "ada" not in inboxes.due)
        assert 2 <= inboxes.looks["ada"] <= 2 + 500 / inbox_watch.SOONEST_MS
    finally:
        await ahead.stop()


async def test_who_heals_again_and_again_is_told_by_one_task_a_few_at_a_time(
    inboxes: Inboxes, watch: InboxWatch
):
    users = [f"user-{number}" for number in range(4 * AT_ONCE)]
    inboxes.gate.clear()
    for _ in range(20):
        watch.healed([*users, "away"])
        await asyncio.sleep(0)
    inboxes.gate.set()
    await until(lambda: all(inboxes.resets[user] for user in users) and not inboxes.at_once)
    assert inboxes.most_at_once <= AT_ONCE
    assert not inboxes.resets["away"]
    assert inboxes.resets.total() <= len(users) + AT_ONCE, "those who were being told are told again"


async def test_who_heals_while_being_told_is_told_again(inboxes: Inboxes, watch: InboxWatch):
    inboxes.gate.clear()
    watch.healed(["ada"])
    await until(lambda: inboxes.at_once == 1)
    watch.healed(["ada"])
    inboxes.gate.set()
    await until(lambda: inboxes.resets["ada"] == 2)


async def test_a_reset_that_fails_is_tried_again(
    inboxes: Inboxes, watch: InboxWatch, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inbox_watch, "RETRY_MS", 10)
    inboxes.failures = 3
    watch.healed(["ada", "bob"])
    await until(lambda: inboxes.resets == {"ada": 1, "bob": 1})
    watch.healed(["ada"])
    await until(lambda: inboxes.resets["ada"] == 2)
