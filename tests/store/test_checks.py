"""A Redis that would break a promise is refused in a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from notify.domain.errors import Unavailable
from notify.redis.client import Redis, StoreError
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.checks import UnfitRedis, examine, judge
from tests.support.valkey import Valkey

FIT = {
    "redis_version": "7.2.4",
    "redis_mode": "standalone",
    "role": "master",
    "cluster_enabled": "0",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
}


@pytest.fixture
async def gate(valkey: Valkey) -> AsyncIterator[Redis]:
    gate = Redis(Connector(valkey.url), stats=RedisStats())
    await gate.start()
    yield gate
    await gate.stop()


async def test_our_own_embedded_server_is_fit(gate: Redis):
    assert await examine(gate.execute) == []


async def test_one_that_evicts_is_refused(gate: Redis):
    await gate.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(UnfitRedis, match="maxmemory-policy noeviction"):
            await examine(gate.execute)
    finally:
        await gate.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_one_without_an_append_only_file_is_warned_about(gate: Redis):
    await gate.execute("CONFIG", "SET", "appendonly", "no")
    try:
        (finding,) = await examine(gate.execute)
    finally:
        await gate.execute("CONFIG", "SET", "appendonly", "yes")
    assert (finding.severity, finding.code) == ("warned", "no_append_only")
    assert "appendonly yes" in finding.sentence


async def test_a_user_who_may_not_look_is_let_in_with_a_note(valkey: Valkey):
    with valkey.client() as client:
        client.acl_setuser(
            "fenced",
            enabled=True,
            passwords=["+pw"],
            keys=["*"],
            channels=["*"],
            commands=["+@all", "-@dangerous"],
        )
    url = valkey.tcp_url.replace("redis://", "redis://fenced:pw@")
    gate = Redis(Connector(url), stats=RedisStats())
    await gate.start()
    try:
        (finding,) = await examine(gate.execute)
    finally:
        await gate.stop()
        with valkey.client() as client:
            client.acl_deluser("fenced")
    assert (finding.severity, finding.code) == ("noted", "info_forbidden")


async def test_a_replica_is_refused(valkey: Valkey, own_valkey: Valkey, gate: Redis):
    with own_valkey.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", str(valkey.port))
    replica = Redis(Connector(own_valkey.url), stats=RedisStats())
    await replica.start()
    try:
        with pytest.raises(UnfitRedis, match="replica"):
            await examine(replica.execute)
    finally:
        await replica.stop()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"redis_version": "6.2.14"}, "version"),
        ({"redis_version": "5.0"}, "version"),
        ({"cluster_enabled": "1"}, "cluster"),
        ({"redis_mode": "cluster"}, "cluster"),
        ({"redis_mode": "sentinel"}, "sentinel"),
        ({"role": "slave"}, "replica"),
        ({"maxmemory_policy": "volatile-ttl"}, "evicts"),
    ],
)
def test_what_is_refused(fields: dict[str, str], code: str):
    assert [(finding.severity, finding.code) for finding in judge({**FIT, **fields})] == [("refused", code)]


@pytest.mark.parametrize("version", ["7.0.0", "7.4.11", "8.2.9", "10.0.1", "strange"])
def test_versions_that_pass(version: str):
    assert judge({**FIT, "redis_version": version}) == []


def test_several_reasons_are_told_together():
    assert len(judge({**FIT, "role": "slave", "maxmemory_policy": "allkeys-lfu", "aof_enabled": "0"})) == 3


def test_a_field_that_is_missing_is_not_judged():
    assert judge({}) == []


async def test_hello_stands_in_where_info_is_forbidden():
    async def execute(*command: Any) -> Any:
        if command[0] == "INFO":
            raise StoreError("NOPERM")
        return [
            b"server",
            b"redis",
            b"version",
            b"6.2.1",
            b"proto",
            2,
            b"mode",
            b"standalone",
            b"role",
            b"master",
        ]

    with pytest.raises(UnfitRedis, match=r"6\.2\.1"):
        await examine(execute)


async def test_a_redis_that_does_not_answer_is_unavailable_not_unfit():
    async def execute(*command: Any) -> Any:
        raise Unavailable("Redis is away")

    with pytest.raises(Unavailable):
        await examine(execute)


def test_the_fixture_finds_keys_that_would_stay(own_valkey: Valkey):
    with own_valkey.client() as client:
        client.set("notify:clock", 1)
        client.set("notify:sent:1", 1, ex=60)
        client.set("notify:forgotten", 1)
        assert isinstance(client, redis.Redis)
    assert own_valkey.eternal_keys() == ["notify:forgotten"]
