"""Which nodes live: one that stops is gone at once, one that is killed when its heartbeat runs out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import structlog

from notify.backplane import registry as registry_module
from notify.backplane.registry import HEARTBEAT_S, Registry
from notify.domain.errors import Unavailable
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store import heartbeats as heartbeats_module
from notify.store.heartbeats import Heartbeats
from notify.store.keys import NODE_TTL_S, Keys
from tests.support.valkey import Valkey


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    redis = Redis(Connector(valkey.url), stats=RedisStats())
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


def node(redis: Redis, name: str) -> Registry:
    return Registry(node_id=name, nodes=Heartbeats(redis, Keys("t")))


def kill(registry: Registry) -> None:
    """Leave no word, as SIGKILL does."""
    assert registry._task is not None
    registry._task.cancel()


async def until_alive(registry: Registry, *names: str) -> None:
    async with asyncio.timeout(30):
        while sorted(await registry.alive()) != sorted(names):
            await asyncio.sleep(0.02)


def test_a_node_may_miss_some_heartbeats_before_it_counts_as_dead():
    assert NODE_TTL_S == 20
    assert HEARTBEAT_S * 3 < NODE_TTL_S


async def test_a_node_is_there_from_its_start_to_its_stop(redis: Redis):
    a, b = node(redis, "a"), node(redis, "b:with:colons")
    await a.start()
    assert await a.alive() == ["a"]
    await b.start()
    assert sorted(await a.alive()) == sorted(await b.alive()) == ["a", "b:with:colons"]
    await b.stop()
    assert await a.alive() == ["a"]
    await a.stop()
    assert await b.alive() == []


async def test_a_killed_node_is_gone_when_its_heartbeat_runs_out(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(heartbeats_module, "NODE_TTL_S", 1)
    monkeypatch.setattr(registry_module, "HEARTBEAT_S", 0.1)
    a, b = node(redis, "a"), node(redis, "b")
    await a.start()
    await b.start()
    kill(b)
    await until_alive(a, "a")
    await a.stop()


async def test_asking_alone_keeps_nobody_alive(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heartbeats_module, "NODE_TTL_S", 1)
    a = node(redis, "a")
    await a.start()
    kill(a)
    await until_alive(a)


async def test_the_list_itself_runs_out_when_every_node_is_dead(redis: Redis, valkey: Valkey):
    a = node(redis, "a")
    await a.start()
    with valkey.client() as client:
        assert 0 < client.ttl("t:nodes") <= NODE_TTL_S
    kill(a)


async def test_a_node_enters_again_when_redis_has_lost_everything(
    redis: Redis, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(registry_module, "HEARTBEAT_S", 0.05)
    a = node(redis, "a")
    await a.start()
    valkey.flush()
    await until_alive(a, "a")
    await a.stop()


class Failing:
    """Heartbeats that do not get through, but for the first."""

    def __init__(self) -> None:
        self.beats = 0

    async def claim(self, node_id: str, *, take_over: bool = False) -> int | None:
        return None

    async def listening(self, node_id: str) -> bool:
        return False

    async def beat(self, node_id: str) -> None:
        self.beats += 1
        if self.beats > 1:
            raise Unavailable("Redis is away")

    async def gone(self, node_id: str) -> None:
        raise Unavailable("Redis is away")

    async def alive(self) -> list[str]:
        return []


async def test_it_goes_on_beating_while_redis_is_away_and_stops_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry_module, "HEARTBEAT_S", 0.01)
    heartbeats = Failing()
    registry = Registry(node_id="a", nodes=heartbeats)
    with structlog.testing.capture_logs() as logs:
        await registry.start()
        async with asyncio.timeout(30):
            while heartbeats.beats < 4:
                await asyncio.sleep(0.01)
        await registry.stop()
    events = [line["event"] for line in logs]
    assert events.count("heartbeat_failed") >= 2
    assert events[-1] == "node_not_taken_out"


@pytest.fixture
def listens(valkey: Valkey) -> Callable[[str], AbstractContextManager[object]]:
    """`with listens("a"):` somebody stands behind the name."""

    @contextmanager
    def listen(name: str) -> Iterator[None]:
        with valkey.client() as client, client.pubsub() as pubsub:
            pubsub.subscribe(f"t:node:{name}")
            pubsub.get_message(timeout=5)
            yield

    return listen


async def test_a_name_that_nobody_has_is_the_nodes_own(redis: Redis):
    a = node(redis, "a")
    await a.claim()
    assert (a.node_id, await a.alive()) == ("a", ["a"])


async def test_what_a_killed_node_left_is_taken_over_at_once(redis: Redis, valkey: Valkey):
    a = node(redis, "a")
    await a.claim()
    with valkey.client() as client:
        client.zincrby("t:nodes", -5, "a")  # its last heartbeat was 5 s ago
    again = node(redis, "a")
    began = time.monotonic()
    await again.claim()
    assert time.monotonic() - began < registry_module.STARTING_WAIT_S
    assert (again.node_id, await again.alive()) == ("a", ["a"])


@pytest.mark.parametrize("silent_s", [0, 15])
async def test_beside_a_living_namesake_a_node_takes_another_name_and_says_so(
    redis: Redis, valkey: Valkey, listens, silent_s: int
):
    a = node(redis, "a")
    await a.claim()
    with valkey.client() as client:
        client.zincrby("t:nodes", -silent_s, "a")
    second, third = node(redis, "a"), node(redis, "a")
    with listens("a"), structlog.testing.capture_logs() as logs:
        await second.claim()
        await third.claim()
    names = {"a", second.node_id, third.node_id}
    assert len(names) == 3
    assert all(name == "a" or name.startswith("a-") for name in names)
    assert set(await a.alive()) == names
    told = [line for line in logs if line["event"] == "node_id_taken"]
    assert [line["taken_instead"] for line in told] == [second.node_id, third.node_id]
    assert {line["log_level"] for line in told} == {"warning"}


async def test_two_that_start_in_one_moment_get_a_name_each(
    redis: Redis, listens, monkeypatch: pytest.MonkeyPatch
):
    first, second = node(redis, "a"), node(redis, "a")
    await first.claim()
    asked = asyncio.Event()
    listening = second._nodes.listening

    async def ask(node_id: str) -> bool:
        heard = await listening(node_id)
        asked.set()
        return heard

    monkeypatch.setattr(second._nodes, "listening", ask)
    claiming = asyncio.ensure_future(second.claim())
    await asked.wait()  # the first one is on its way to its subscription
    with listens("a"):
        await claiming
    assert first.node_id == "a"
    assert second.node_id != "a"
