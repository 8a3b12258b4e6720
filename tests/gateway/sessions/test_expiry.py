"""Tokens run out: the warning, the end, and what it costs to wait for them."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from notify.gateway.sessions.expiry import COARSE_S, Bucket, Expiry


class Socket:
    """A member."""

    __slots__ = ("expiry", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.expiry: Bucket | None = None


class Clock:
    """Unix time that stands until it is moved."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """An Expiry with a clock of ours, and what it told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, Socket, int]] = []
        self.expiry = Expiry(
            expiring=self._expiring,
            expired=self._expired,
            clock=self.clock,
        )

    def _expiring(self, member: Socket, left: int) -> None:
        self.told.append(("expiring", member, left))

    def _expired(self, member: Socket) -> None:
        self.told.append(("expired", member, 0))

    def schedule(self, in_s: int, name: str = "") -> Socket:
        member = Socket(name)
        self.expiry.schedule(member, int(self.clock.now) + in_s)
        return member

    def after(self, seconds: float) -> list[tuple[str, Socket, int]]:
        """Let time pass; what was told meanwhile."""
        self.clock.now += seconds
        self.told.clear()
        self.expiry.tick()
        return list(self.told)


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    watch = Watch()
    yield watch
    watch.expiry.stop()


async def test_a_minute_before_and_at_the_end(watch: Watch):
    member = watch.schedule(3600)
    assert watch.after(3539) == []
    assert watch.after(1) == [("expiring", member, 60)]
    assert watch.after(59) == []
    assert watch.after(1) == [("expired", member, 0)]
    assert watch.after(10_000) == []
    assert member.expiry is None


@pytest.mark.parametrize(("in_s", "warning_s"), [(600, 60), (300, 30), (100, 10), (50, 5), (20, 5), (6, 5)])
async def test_short_tokens_are_warned_about_later(watch: Watch, in_s: int, warning_s: int):
    member = watch.schedule(in_s)
    assert watch.after(in_s - warning_s - 1) == []
    assert watch.after(1) == [("expiring", member, warning_s)]
    assert watch.after(warning_s - 1) == []
    assert watch.after(1) == [("expired", member, 0)]


async def test_a_token_that_is_nearly_over_is_warned_about_at_once(watch: Watch):
    member = watch.schedule(3)
    assert watch.after(0) == [("expiring", member, 3)]
    assert watch.after(3) == [("expired", member, 0)]


async def test_a_token_that_is_over_is_over(watch: Watch):
    member = watch.schedule(-10)
    assert watch.after(0) == [("expired", member, 0)]


async def test_after_a_sleep_past_the_end_there_is_no_warning(watch: Watch):
    member = watch.schedule(3600)
    assert watch.after(5000) == [("expired", member, 0)]


async def test_far_deadlines_are_late_by_a_few_seconds_at_most(watch: Watch):
    for in_s in range(1000, 1009):
        member = watch.schedule(in_s)
        assert watch.after(in_s - 61)[:1] == []
        seconds = 0
        while ("expired", member, 0) not in watch.after(1):
            seconds += 1
        assert 60 <= seconds <= 60 + COARSE_S


async def test_a_refreshed_token_starts_anew(watch: Watch):
    member = watch.schedule(3600)
    assert watch.after(3540) == [("expiring", member, 60)]
    watch.expiry.schedule(member, int(watch.clock.now) + 3600)
    assert watch.after(3539) == []
    assert watch.after(1) == [("expiring", member, 60)]
    assert watch.after(60) == [("expired", member, 0)]


async def test_a_member_that_is_gone_is_forgotten(watch: Watch):
    gone, stays = watch.schedule(3600), watch.schedule(3600)
    watch.expiry.discard(gone)
    watch.expiry.discard(gone)
    assert gone.expiry is None
    assert watch.after(3540) == [("expiring", stays, 60)]
    watch.expiry.discard(stays)
    assert watch.after(60) == []
    assert not watch.expiry._buckets


async def test_callbacks_may_schedule_and_discard(watch: Watch):
    one, two = watch.schedule(3600, "one"), watch.schedule(3600, "two")
    seen: list[str] = []

    def expiring(member: Socket, _: int) -> None:
        seen.append(member.name)
        other = two if member is one else one
        watch.expiry.discard(other)
        watch.expiry.schedule(member, int(watch.clock.now) + 60)  # the time it had before
        watch.expiry.schedule(Socket("new"), int(watch.clock.now))

    watch.expiry._expiring = expiring
    watch.after(3540)
    assert len(seen) == 1
    told = watch.after(0)
    assert [(what, member.name) for what, member, _ in told] in ([], [("expired", "new")])
    watch.after(60)
    assert [(what, member.name) for what, member, _ in watch.told] == [("expired", seen[0])]


async def test_a_callback_that_fails_keeps_nobody_else(watch: Watch):
    members = [watch.schedule(3600) for _ in range(10)]
    expired = watch.expiry._expired
    faults = [RuntimeError("a fault of the handler")] * 2

    def failing(member: Socket) -> None:
        if member is members[3] and faults:
            raise faults.pop()
        expired(member)

    watch.expiry._expired = failing
    assert {member for _, member, _ in watch.after(3600)} == set(members) - {members[3]}
    assert watch.after(4) == []
    assert watch.after(1) == []
    assert watch.after(5) == [("expired", members[3], 0)]


async def test_thousands_at_once_leave_turns_to_others(watch: Watch):
    members = {watch.schedule(3600) for _ in range(2000)}
    first = watch.after(3600)
    assert len(first) == 500
    turns = 0
    while len(watch.told) < 2000:
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 3
    assert {member for _, member, _ in watch.told} == members


async def test_one_leaves_while_thousands_are_told(watch: Watch):
    members = [watch.schedule(3600) for _ in range(600)]
    told = {member for _, member, _ in watch.after(3600)}
    left = next(member for member in members if member not in told)
    watch.expiry.discard(left)
    while len(watch.told) < 599:
        await asyncio.sleep(0)
    assert left not in {member for _, member, _ in watch.told}


async def test_one_timer_by_the_real_clock():
    ended = asyncio.Event()
    told: list[str] = []

    def expiring(member: Socket, left: int) -> None:
        told.append(f"{left} left")

    def expired(member: Socket) -> None:
        told.append("over")
        ended.set()

    expiry = Expiry(expiring=expiring, expired=expired)
    try:
        far = Socket()
        expiry.schedule(far, 2**40)
        timer = expiry._timer
        expiry.schedule(Socket(), int(asyncio.get_running_loop().time()))  # long ago
        assert expiry._timer is not timer
        await asyncio.wait_for(ended.wait(), 5)
        assert told == ["over"]
    finally:
        expiry.stop()
    assert far.expiry is None


async def test_any_order_of_events_tells_each_once(watch: Watch):
    chance = random.Random(7)
    due: dict[Socket, int] = {}
    for _ in range(300):
        now = int(watch.clock.now)
        for _ in range(chance.randrange(5)):
            member = Socket()
            due[member] = now + chance.randrange(1, 1500)
            watch.expiry.schedule(member, due[member])
        for member in chance.sample(list(due), min(len(due), chance.randrange(3))):
            if chance.random() < 0.5:
                watch.expiry.discard(member)
                del due[member]
            else:
                due[member] = now + chance.randrange(1, 1500)
                watch.expiry.schedule(member, due[member])
        for what, member, left in watch.after(chance.randrange(20)):
            if what == "expired":
                assert watch.clock.now >= due.pop(member)
            else:
                assert 1 <= left <= due[member] + COARSE_S - watch.clock.now
        assert all(watch.clock.now < at + COARSE_S for at in due.values())
        assert {member for bucket in watch.expiry._heap for member in bucket.members} == set(due)


async def test_a_member_costs_little_and_what_is_gone_costs_nothing(watch: Watch):
    chance = random.Random(7)
    members = [Socket() for _ in range(5000)]
    times = [int(watch.clock.now) + chance.randrange(120, 3600) for _ in members]
    tracemalloc.start()
    try:
        for member, at in zip(members, times, strict=True):
            watch.expiry.schedule(member, at)
        each = tracemalloc.get_traced_memory()[0] / len(members)
        assert each < 250
        for at in range(60_000):  # reconnects, each with a later token
            member = members[at % 5000]
            watch.expiry.schedule(member, times[0] + 86_400 + at * 4)
            watch.expiry.discard(member)
        assert len(watch.expiry._heap) <= 2 * len(watch.expiry._buckets) + 64 + 1
    finally:
        tracemalloc.stop()
    print(f"{each:.0f} bytes a member")


async def test_who_has_been_warned_is_not_warned_again_where_it_goes_on(watch: Watch):
    member = watch.schedule(600)
    assert not watch.expiry.warned(member)
    assert watch.after(541)
    assert watch.expiry.warned(member)
    watch.expiry.discard(member)
    assert not watch.expiry.warned(member)
    watch.expiry.schedule(member, int(watch.clock.now) + 59, warned=True)
    assert watch.after(50) == []
    assert watch.after(10) == [("expired", member, 0)]
