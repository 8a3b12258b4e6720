"""Which nodes live: one that stops is gone at once, one that is killed when its heartbeat runs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog

from notify.backplane import registry as registry_module
from notify.backplane.registry import HEARTBEAT_S, Registry
from notify.domain.errors import Unavailable
from notify.store import heartbeats as heartbeats_module
from notify.store.connection import Redis
from notify.store.heartbeats import Heartbeats
from notify.store.keys import NODE_TTL_S, Keys
from notify.store.opener import Opener
from notify.store.stats import StoreStats
from tests.valkey import Valkey


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    redis = Redis(Opener(valkey.url), stats=StoreStats())
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


def node(redis: Redis, name: str) -> Registry:
    return Registry(node_id=name, heartbeats=Heartbeats(redis, Keys("t")))


def kill(registry: Registry) -> None:
    """Leave no word, as SIGKILL does."""
    assert registry._task is not None
    registry._task.cancel()


async def until_alive(registry: Registry, *names: str) -> None:
    async with asyncio.timeout(10):
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
    registry = Registry(node_id="a", heartbeats=heartbeats)
    with structlog.testing.capture_logs() as logs:
        await registry.start()
        async with asyncio.timeout(5):
            while heartbeats.beats < 4:
                await asyncio.sleep(0.01)
        await registry.stop()
    events = [line["event"] for line in logs]
    assert events.count("heartbeat_failed") >= 2
    assert events[-1] == "node_not_taken_out"
