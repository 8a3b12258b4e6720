"""The scheduler: wakes in time, does each thing once, and bears whatever fails."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from notify.domain.errors import Unavailable
from notify.redis.client import Redis, StoreError
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service import scheduler as timing
from notify.service.scheduler import Scheduler
from notify.service.stats import ServiceStats
from notify.store.keys import Keys
from notify.store.notifications.due import Claimed, Due, Item
from tests.support.due import ahead, next_ms
from tests.support.valkey import Valkey


class Node:
    """A scheduler with a connection of its own, and what it did, in order."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.stats = ServiceStats()
        self.due = Due(redis, Keys())
        self.scheduler = Scheduler(due=self.due, stats=self.stats, now_ms=now_ms)
        self.due.on_added = self.scheduler.expect
        self.scheduler.register("deliver", self._deliver)
        self.did: list[str] = []
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def _deliver(self, ids: Sequence[str]) -> Mapping[str, Exception]:
        for id_ in ids:
            if self.before is not None:
                await self.before(id_)
            self.did.append(id_)
            await self.due.done("deliver", id_)
        return {}


def now_ms() -> int:
    return int(time.time() * 1000)


@asynccontextmanager
async def node(valkey: Valkey, *, started: bool = True) -> AsyncIterator[Node]:
    redis = Redis(Connector(valkey.tcp_url), stats=RedisStats())
    await redis.start()
    found = Node(redis)
    if started:
        found.scheduler.start()
    try:
        yield found
    finally:
        await found.scheduler.stop()
        await redis.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def valkey(valkey: Valkey) -> Valkey:
    valkey.flush()
    return valkey


async def test_a_node_hears_at_once_of_what_it_adds_itself(valkey: Valkey, monkeypatch):
    monkeypatch.setattr(timing, "POLL_S", 3600.0)
    async with node(valkey) as here:
        await until(lambda: here.redis.connected)
        await here.due.add("deliver", "ntf_later", now_ms() + 3_600_000)
        await here.due.add("deliver", "ntf_soon", now_ms() + 100)
        await until(lambda: here.did == ["ntf_soon"])


async def test_nothing_is_done_before_its_time(valkey: Valkey):
    at: list[int] = []

    async def note(_: str) -> None:
        at.append(now_ms())

    async with node(valkey) as here:
        here.before = note
        due_ms = now_ms() + 300
        await here.due.add("deliver", "ntf_1", due_ms)
        await until(lambda: bool(at))
        assert at[0] >= due_ms


async def test_others_do_what_one_node_added(valkey: Valkey):
    async with node(valkey, started=False) as adds, node(valkey) as works:
        await adds.due.add("deliver", "ntf_1", 0)
        await until(lambda: works.did == ["ntf_1"])


async def test_many_are_shared_and_each_is_done_once(valkey: Valkey):
    names = [f"ntf_{n:04}" for n in range(1000)]
    async with node(valkey) as one, node(valkey) as two:
        at_ms = now_ms() + 200
        await asyncio.gather(*(one.due.add("deliver", name, at_ms) for name in names))
        await until(lambda: len(one.did) + len(two.did) >= len(names))
        assert Counter(one.did + two.did) == Counter(names)
        assert await next_ms(one.redis, Keys()) is None
        await until(lambda: one.stats.due == 0)


async def test_what_a_dead_node_had_claimed_is_taken_over(valkey: Valkey):
    async with node(valkey, started=False) as dies, node(valkey) as lives:
        await dies.due.add("deliver", "ntf_1", now_ms() + 10)
        while not (await dies.due.claim(1, timing.LEASE_MS)).items:
            if lives.did:  # it was faster: try again
                lives.did.clear()
                await dies.due.add("deliver", "ntf_1", now_ms() + 10)
        assert lives.did == []
        await until(lambda: lives.did == ["ntf_1"])


async def test_work_beyond_its_lease_is_begun_by_another_but_not_twice_by_one(valkey: Valkey, monkeypatch):
    monkeypatch.setattr(timing, "LEASE_MS", 20)
    go_on = asyncio.Event()
    began: Counter[str] = Counter()

    def waiting(name: str) -> Callable[[str], Awaitable[None]]:
        async def before(_: str) -> None:
            began[name] += 1
            await go_on.wait()

        return before

    async with node(valkey) as one:
        one.before = waiting("one")
        await one.due.add("deliver", "ntf_1", 0)
        await until(lambda: began["one"] == 1)
        async with node(valkey) as two:
            two.before = waiting("two")
            await until(lambda: began["two"] == 1)
            polls = one.redis._stats.commands
            await until(lambda: one.redis._stats.commands > polls + 20)
            assert began == {"one": 1, "two": 1}
            go_on.set()
            await until(lambda: one.did == two.did == ["ntf_1"])


async def test_a_failure_is_tried_again(valkey: Valkey):
    failures = iter([True, True])

    async def fail(_: str) -> None:
        if next(failures, False):
            raise Unavailable("Redis does not accept writes now")

    async with node(valkey) as here:
        here.before = fail
        await here.due.add("deliver", "ntf_1", 0)
        await until(lambda: here.did == ["ntf_1"])
        assert here.stats.due_failures == {"deliver": 2}


async def test_one_that_always_fails_keeps_no_others_back_and_is_tried_ever_later(
    valkey: Valkey, monkeypatch
):
    monkeypatch.setattr(timing, "POSTPONED_MIN_MS", 50)
    tried_ms: list[int] = []

    async def fail(id_: str) -> None:
        if id_ == "ntf_bad":
            tried_ms.append(now_ms())
            raise ValueError("not a plan")

    async with node(valkey, started=False) as here:
        here.before = fail
        await here.due.add("deliver", "ntf_bad", 0)
        await here.due.add("deliver", "ntf_good", 1)
        here.scheduler.start()
        await until(lambda: here.did == ["ntf_good"])
        await until(lambda: here.stats.due_failures["deliver"] >= 4)
        # the first time among others, and then alone
        pauses = [later - earlier for earlier, later in pairwise(tried_ms[1:])]
        assert [pause >= least for pause, least in zip(pauses, (50, 100, 200), strict=False)] == [True] * 3


async def test_work_that_hangs_is_given_up_and_begun_again(valkey: Valkey, monkeypatch):
    """As many as a node works on at a time: nothing else would ever come to its turn."""
    monkeypatch.setattr(timing, "WORK_S", 0.2)
    names = [f"ntf_{n:04}" for n in range(timing.BATCH * timing.BATCHES)]
    hangs = True

    async def hang(_: str) -> None:
        if hangs:
            await asyncio.Event().wait()

    async with node(valkey, started=False) as here:
        here.before = hang
        for name in names:
            await here.due.add("deliver", name, 0)
        await here.due.add("deliver", "ntf_later", now_ms())
        here.scheduler.start()
        await until(lambda: here.stats.due_failures["deliver"] >= timing.BATCH)
        hangs = False
        await until(lambda: len(here.did) == len(names) + 1)
        assert Counter(here.did) == Counter([*names, "ntf_later"])


async def test_a_node_whose_clock_is_behind_is_not_late(valkey: Valkey):
    """Redis alone says what is due: of a node that was frozen its own clock may be far behind for a while."""
    async with node(valkey, started=False) as here, node(valkey, started=False) as elsewhere:
        here.scheduler = Scheduler(due=here.due, stats=here.stats, now_ms=lambda: now_ms() - 3_600_000)
        here.scheduler.register("deliver", here._deliver)
        await elsewhere.due.add("deliver", "ntf_1", now_ms() + 20)
        here.scheduler.start()
        await until(lambda: here.did == ["ntf_1"])


async def test_kinds_that_only_others_know_are_left_to_them(valkey: Valkey, monkeypatch):
    monkeypatch.setattr(timing, "LEASE_MS", 20)
    async with node(valkey) as old:
        await old.due.add("folding", "ntf_1", 0)
        await old.due.add("deliver", "ntf_2", 0)
        await until(lambda: old.did == ["ntf_2"])
        assert (await ahead(old.redis, Keys()))[0] == 1
        async with node(valkey, started=False) as new:
            new.scheduler.register("folding", new._deliver)
            new.scheduler.start()
            await until(lambda: new.did == ["ntf_1"])


@pytest.mark.parametrize("failing", [Unavailable("Redis is away"), StoreError("no"), RuntimeError("a fault")])
async def test_it_outlives_an_outage_of_redis_and_any_fault(valkey: Valkey, failing: Exception):

    class Away:
        """Fails first, like a Redis that is away."""

        def __init__(self, due: Due) -> None:
            self.due = due
            self.failures = 3

        async def claim(self, limit: int, lease_ms: int) -> Claimed:
            if self.failures:
                self.failures -= 1
                raise failing
            return await self.due.claim(limit, lease_ms)

        async def postpone(self, item: Item, at_ms: int) -> None:
            await self.due.postpone(item, at_ms)

    async with node(valkey, started=False) as here:
        away = Away(here.due)
        here.scheduler = Scheduler(due=away, stats=here.stats, now_ms=now_ms)
        here.scheduler.register("deliver", here._deliver)
        here.scheduler.start()
        await here.due.add("deliver", "ntf_1", 0)
        await until(lambda: here.did == ["ntf_1"])
        assert away.failures == 0


async def test_stopping_lets_what_has_begun_come_to_its_end(valkey: Valkey):
    began = asyncio.Event()

    async def slowly(_: str) -> None:
        began.set()
        await asyncio.sleep(0.05)

    async with node(valkey) as here:
        here.before = slowly
        await here.due.add("deliver", "ntf_1", 0)
        await began.wait()
        await here.scheduler.stop()
        assert here.did == ["ntf_1"]
        assert await next_ms(here.redis, Keys()) is None
