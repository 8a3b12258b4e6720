"""API keys: made, recognised, revoked; the ones from the settings; what is remembered and for how long."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from notify.domain.api_key import SCOPES, ApiKey
from notify.domain.errors import Invalid, NotFound, Unauthorized, Unavailable
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service.keys import CACHE_S, ApiKeys, parse_configured
from notify.store.api_keys import ApiKeyStore
from notify.store.keys import Keys
from tests.support.valkey import Valkey


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    redis = Redis(Connector(valkey.url), stats=RedisStats())
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


@pytest.fixture
def keys(redis: Redis, clock: Clock) -> ApiKeys:
    return ApiKeys(ApiKeyStore(redis, Keys("t")), clock=clock)


@pytest.fixture
def elsewhere(redis: Redis, clock: Clock) -> ApiKeys:
    """The same keys on another node."""
    return ApiKeys(ApiKeyStore(redis, Keys("t")), clock=clock)


async def test_a_made_key_is_recognised_on_every_node(keys: ApiKeys, elsewhere: ApiKeys):
    key, text = await keys.create("backend", ["publish", "read"])
    assert re.fullmatch(rf"nk_{key.id}_[0-9a-f]{{48}}", text)
    assert (key.name, key.scopes) == ("backend", frozenset({"publish", "read"}))
    assert await keys.verify(text) == key
    assert await elsewhere.verify(text) == key
    assert key.shown == f"nk_{key.id}_...{text[-4:]}"


async def test_redis_holds_no_secret(keys: ApiKeys, valkey: Valkey):
    key, text = await keys.create("backend", ["publish"])
    with valkey.client() as client:
        stored = client.hgetall("t:apikeys")
    assert list(stored) == [key.id.encode()]
    assert text.rpartition("_")[2].encode() not in stored[key.id.encode()]


async def test_several_keys_are_active_at_once_and_listed_oldest_first(keys: ApiKeys):
    made = [await keys.create(name, ["publish"]) for name in ("a", "b", "a")]
    assert [key.id for key in await keys.list()] == [key.id for key, _ in made]
    assert [await keys.verify(text) for _, text in made] == [key for key, _ in made]


@pytest.mark.parametrize(
    ("name", "scopes", "pointers"),
    [
        ("", ["publish"], ["/name"]),
        ("a b", ["publish"], ["/name"]),
        ("a:b", ["publish"], ["/name"]),
        ("x" * 65, ["publish"], ["/name"]),
        ("a", [], ["/scopes"]),
        ("a", ["publish", "everything"], ["/scopes"]),
        ("", ["x"], ["/name", "/scopes"]),
    ],
)
async def test_keys_need_a_name_and_scopes(keys: ApiKeys, name: str, scopes: list[str], pointers: list[str]):
    with pytest.raises(Invalid) as caught:
        await keys.create(name, scopes)
    assert [fault.pointer for fault in caught.value.errors] == pointers
    assert await keys.list() == []


@pytest.mark.parametrize("change", ["secret", "id", "short", "long", "upper", "prefix", "empty", "odd"])
async def test_anything_else_is_not_recognised(keys: ApiKeys, change: str):
    key, text = await keys.create("backend", ["publish"])
    wrong = {
        "secret": text[:-1] + ("0" if text[-1] != "0" else "1"),
        "id": text.replace(key.id, "0" * 12),
        "short": text[:-1],
        "long": text + "0",
        "upper": text.upper(),
        "prefix": "x" + text,
        "empty": "",
        "odd": "nk__\udcff",
    }[change]
    with pytest.raises(Unauthorized) as caught:
        await keys.verify(wrong)
    assert text not in str(caught.value)


async def test_a_revoked_key_is_refused_at_once_here_and_soon_elsewhere(
    keys: ApiKeys, elsewhere: ApiKeys, clock: Clock
):
    key, text = await keys.create("backend", ["publish"])
    await keys.verify(text)
    await elsewhere.verify(text)
    await keys.revoke(key.id)
    with pytest.raises(Unauthorized):
        await keys.verify(text)
    clock.now += CACHE_S
    with pytest.raises(Unauthorized):
        await elsewhere.verify(text)
    assert await keys.list() == []


async def test_revoking_what_is_not_there_is_told(keys: ApiKeys):
    with pytest.raises(NotFound):
        await keys.revoke("0" * 12)


class Counting:
    """A store that counts how often it is asked, and may be away."""

    def __init__(self, inner: ApiKeyStore) -> None:
        self.inner = inner
        self.asked = 0
        self.away = False

    async def get(self, key_id: str) -> Any:
        self.asked += 1
        if self.away:
            raise Unavailable("Redis is away")
        return await self.inner.get(key_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_a_recognised_key_is_remembered_for_some_seconds(redis: Redis, clock: Clock):
    store = Counting(ApiKeyStore(redis, Keys("t")))
    keys = ApiKeys(store, clock=clock)
    _, text = await keys.create("backend", ["publish"])
    for _ in range(100):
        await keys.verify(text)
    assert store.asked == 1
    clock.now += CACHE_S - 0.1
    await keys.verify(text)
    assert store.asked == 1
    clock.now += 0.1
    await keys.verify(text)
    assert store.asked == 2
    store.away = True
    await keys.verify(text)
    clock.now += CACHE_S
    with pytest.raises(Unavailable):
        await keys.verify(text)


async def test_what_cannot_be_a_key_costs_no_round_trip_and_no_memory(redis: Redis):
    store = Counting(ApiKeyStore(redis, Keys("t")))
    keys = ApiKeys(store)
    for number in range(100):
        with pytest.raises(Unauthorized):
            await keys.verify(f"guess-{number}")
    assert store.asked == 0
    assert keys._cache == {}


async def test_keys_from_the_settings_need_no_redis(redis: Redis):
    store = Counting(ApiKeyStore(redis, Keys("t")))
    store.away = True
    keys = ApiKeys(store, configured=["a" * 16, "ci:" + "b" * 16, "ci:" + "c" * 16])
    first = await keys.verify("a" * 16)
    assert first.scopes == SCOPES.keys()
    assert re.fullmatch(r"env-[0-9a-f]{12}", first.id)
    assert first.id not in "a" * 16
    old, new = await keys.verify("b" * 16), await keys.verify("c" * 16)
    assert (old.id, old.name) == (new.id, new.name) == ("env-ci", "ci")
    assert store.asked == 0
    assert [key.id for key in await keys.list()] == [first.id, "env-ci", "env-ci"]
    with pytest.raises(NotFound, match="NOTIFY_API_KEYS"):
        await keys.revoke("env-ci")


@pytest.mark.parametrize(
    "entries",
    [
        ["a" * 15],
        ["name:" + "a" * 15],
        ["a b:" + "a" * 16],
        ["a" * 10 + " " + "a" * 10],
        ["ü" * 20],
        ["a" * 16] * 2,
    ],
)
def test_bad_keys_in_the_settings_are_told_without_their_secret(entries: list[str]):
    with pytest.raises(ValueError, match=r"API key [12]") as caught:
        parse_configured(entries)
    assert entries[0][-10:] not in str(caught.value)


def test_a_key_shows_no_more_of_itself_than_its_end():
    assert "a" * 16 not in repr(parse_configured(["a" * 16]))
    assert ApiKey("env-ci", "ci", frozenset()).shown == "env-ci"
