"""What stands in Redis for an Idempotency-Key: a retry finds its request, whichever version took it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.idempotency import IdempotencyKeys
from notify.store.keys import Keys
from tests.support.valkey import Valkey

BODY, SPACED, MEANING = b"b" * 32, b"s" * 32, b"m" * 32
OTHER_BODY, OTHER_MEANING = b"B" * 32, b"M" * 32


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    made = Redis(Connector(valkey.tcp_url), stats=RedisStats())
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def keys(redis: Redis) -> IdempotencyKeys:
    return IdempotencyKeys(redis, Keys())


@pytest.mark.parametrize(
    ("lease", "verdict", "answer"),
    [("0", "done", b"answer"), ("1", "resume", b"answer"), ("9e15", "busy", b"")],
)
async def test_what_the_version_before_took_is_found(
    redis: Redis, keys: IdempotencyKeys, lease: str, verdict: str, answer: bytes
):
    """It kept a fingerprint of the body as it came, and nothing else that could tell it."""
    name = Keys().idempotency("scope", "key")
    await redis.execute("HSET", name, "fingerprint", BODY, "answer", b"answer", "lease", lease)
    await redis.execute("EXPIRE", name, 60)
    again = await keys.claim("scope", "key", body=OTHER_BODY, meaning=MEANING, answer=b"new")
    assert (again.verdict, again.answer) == ("reused", b"")
    found = await keys.claim("scope", "key", body=BODY, meaning=MEANING, answer=b"new")
    assert (found.verdict, found.answer) == (verdict, answer)


async def test_what_is_taken_the_version_before_finds(redis: Redis, keys: IdempotencyKeys):
    """It compares this one field with the fingerprint of the body as it came."""
    await keys.claim("scope", "key", body=BODY, meaning=MEANING, answer=b"answer")
    name = Keys().idempotency("scope", "key")
    assert await redis.execute("HMGET", name, "fingerprint", "answer") == [BODY, b"answer"]


async def test_a_body_that_means_the_same_is_the_same_request(keys: IdempotencyKeys):
    assert (await keys.claim("scope", "key", body=BODY, meaning=MEANING, answer=b"answer")).verdict == "new"
    await keys.finish("scope", "key")
    again = await keys.claim("scope", "key", body=SPACED, meaning=MEANING, answer=b"new")
    assert (again.verdict, again.answer) == ("done", b"answer")
    other = await keys.claim("scope", "key", body=OTHER_BODY, meaning=OTHER_MEANING, answer=b"new")
    assert other.verdict == "reused"
