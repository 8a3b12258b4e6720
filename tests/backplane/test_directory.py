"""Nodes know where the others are: from their start to their stop, or 20 s after they were killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog

from notify.backplane import directory as directory_module
from notify.backplane.directory import SAY_EVERY_S, Directory
from notify.domain.addresses import AddressBook
from notify.domain.errors import Unavailable
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.addresses import Addresses
from notify.store.keys import ADDRESS_TTL_S, FORMER_SECRET_S, Keys
from tests.support.valkey import Valkey
from tests.support.waiting import until

A, B = "http://10.0.0.1:8081", "http://[fd00::2]:8081"


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[Addresses]:
    redis = Redis(Connector(valkey.url), stats=RedisStats())
    await redis.start()
    try:
        yield Addresses(redis, Keys("t"))
    finally:
        await redis.stop()


def node(store: object, url: str = A, redis_host: str | None = None) -> Directory:
    return Directory(addresses=store, url=lambda: url, redis_host=lambda: redis_host)  # type: ignore[arg-type]


def kill(directory: Directory) -> None:
    """Leave no word, as SIGKILL does."""
    assert directory._task is not None
    directory._task.cancel()


def test_a_node_may_miss_some_turns_and_learns_of_a_new_secret_in_time():
    assert SAY_EVERY_S * 3 < ADDRESS_TTL_S
    assert SAY_EVERY_S * 3 < FORMER_SECRET_S


async def test_nodes_find_each_other_from_start_to_stop(store: Addresses):
    a, b = node(store), node(store, B)
    await a.start()
    await b.start()
    assert a.find(b.mark) is None
    await a.look_again()
    assert (a.find(b.mark), b.find(a.mark)) == (B, A)
    assert (a.find(a.mark), a.others, b.others) == (A, 1, 1)
    assert len(a.mark) == 4
    await b.stop()
    await a.look_again()
    assert (a.find(b.mark), a.others) == (None, 0)
    await a.stop()


async def test_what_a_node_says_reaches_the_others_unasked(store: Addresses, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(directory_module, "SAY_EVERY_S", 0.02)
    a, b = node(store), node(store, B)
    await a.start()
    await b.start()
    await until(lambda: a.find(b.mark) == B)
    await a.stop()
    await b.stop()


async def test_a_killed_node_is_forgotten_by_the_clock_of_redis(store: Addresses, valkey: Valkey):
    a, b = node(store), node(store, B)
    await a.start()
    await b.start()
    kill(b)
    with valkey.client() as client:
        kept = client.hget("t:addresses", b.mark)
        assert isinstance(kept, bytes)
        end = int(kept.split()[0]) - ADDRESS_TTL_S * 1000
        client.hset("t:addresses", b.mark, f"{end + 10_000} {B}")
        await a.look_again()
        assert a.find(b.mark) == B
        client.hset("t:addresses", b.mark, f"{end} {B}")
        await a.look_again()
        assert a.find(b.mark) is None
        assert not client.hexists("t:addresses", b.mark)
        assert 0 < client.ttl("t:addresses") <= ADDRESS_TTL_S
    await a.stop()


async def test_a_mark_of_another_living_node_is_not_taken(store: Addresses):
    a, b = node(store), node(store, B)
    b.mark = a.mark
    await a.start()
    await b.start()
    assert b.mark != a.mark
    assert (b.find(a.mark), b.find(b.mark)) == (A, B)
    await a.stop()
    await b.stop()


async def test_a_secret_is_made_once_and_the_former_one_holds_for_a_while(store: Addresses, valkey: Valkey):
    a, b = node(store), node(store, B)
    await a.start()
    await b.start()
    first = a.secret
    assert len(first) >= 43
    assert b.secret == first
    changes: list[str] = []
    a.on_secrets.append(lambda: changes.append(a.secret))
    await store.rotate_secret()
    await store.rotate_secret()
    await a.look_again()
    assert a.secret != first
    assert changes == [a.secret]
    assert b.secret == first
    assert a.accepts(first)
    assert a.accepts(first.encode())
    assert a.accepts(a.secret)
    assert not a.accepts("")
    assert not a.accepts("\udc80ä")
    assert not a.accepts(first[:-1])
    with valkey.client() as client:
        client.hset("t:cluster_secret", first, 1)  # its time is over
    await a.look_again()
    assert not a.accepts(first)
    await store.rotate_secret()  # forgets what has ended
    with valkey.client() as client:
        assert not client.hexists("t:cluster_secret", first)
    await a.stop()
    await b.stop()


async def test_before_the_start_nobody_is_believed(store: Addresses):
    a = node(store)
    assert (a.secret, a.accepts(""), a.accepts(b""), a.find(a.mark)) == ("", False, False, None)


async def test_a_callback_that_fails_stops_nothing(store: Addresses, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(directory_module, "SAY_EVERY_S", 0.02)
    a = node(store)
    told: list[str] = []

    def fail() -> None:
        raise RuntimeError("a fault of whoever is told")

    a.on_secrets += [fail, lambda: told.append(a.secret)]
    with structlog.testing.capture_logs() as logs:
        await a.start()
        await store.rotate_secret()
        await until(lambda: len(told) == 2)
        await a.stop()
    assert [line["event"] for line in logs] == ["secrets_not_taken"] * 2


async def test_it_works_at_maxmemory_and_writes_again_what_redis_has_lost(
    store: Addresses, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(directory_module, "SAY_EVERY_S", 0.02)
    a = node(store)
    await a.start()
    first = a.secret
    with valkey.client() as client:
        client.config_set("maxmemory", 1)
        try:
            valkey.flush()
            await until(lambda: a.secret != first)
            await store.rotate_secret()
            assert (await store.look()).addresses == {a.mark: A}
        finally:
            client.config_set("maxmemory", 0)
    await a.stop()


class Counted:
    """A store that answers when it is let, or not at all."""

    def __init__(self) -> None:
        self.looks = self.says = 0
        self.away = False
        self.book = AddressBook(addresses={"abcd": B}, secrets=("s",))

    async def say(self, mark: str, url: str, *, first: bool = False) -> AddressBook:
        self.says += 1
        return self._answer()

    async def look(self) -> AddressBook:
        self.looks += 1
        await asyncio.sleep(0)
        return self._answer()

    async def forget(self, mark: str) -> None:
        self._answer()

    def _answer(self) -> AddressBook:
        if self.away:
            raise Unavailable("Redis is away")
        return self.book


async def test_those_who_look_at_a_time_share_one_look(monkeypatch: pytest.MonkeyPatch):
    store = Counted()
    a = node(store)
    await a.start()
    await asyncio.gather(*(a.look_again() for _ in range(50)))
    assert store.looks == 1
    loop = asyncio.get_running_loop()
    began = a._looked_at
    store.book = AddressBook(addresses={"efgh": B}, secrets=("s",))
    given_up = asyncio.create_task(a.look_again())
    await asyncio.sleep(0)
    given_up.cancel()  # takes the look from nobody else
    await asyncio.gather(*(a.look_again() for _ in range(50)))
    assert (store.looks, a.find("efgh")) == (2, B)
    assert loop.time() - began >= directory_module.LOOK_EVERY_S
    await a.stop()


async def test_while_redis_is_away_what_was_known_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(directory_module, "SAY_EVERY_S", 0.01)
    store = Counted()
    a = node(store)
    await a.start()
    store.away, said = True, store.says
    with structlog.testing.capture_logs() as logs:
        await until(lambda: store.says >= said + 3)
        await a.look_again()
        assert (a.find("abcd"), a.secret) == (B, "s")
        await a.stop()
    events = [line["event"] for line in logs]
    assert events.count("address_not_said") >= 2
    assert "addresses_not_read" in events
    assert events[-1] == "address_not_taken_out"


@pytest.mark.parametrize(
    ("url", "redis_host", "warns"),
    [
        ("http://127.0.0.1:8081", "10.0.0.9", True),
        ("http://[::1]:8081", "10.0.0.9", True),
        ("http://localhost:8081", "10.0.0.9", True),
        ("http://127.0.0.1:8081", "127.0.0.1", False),
        ("http://127.0.0.1:8081", None, False),
        ("http://10.0.0.1:8081", "10.0.0.9", False),
    ],
)
async def test_an_address_that_others_cannot_reach_is_told_once(
    monkeypatch: pytest.MonkeyPatch, url: str, redis_host: str | None, warns: bool
):
    monkeypatch.setattr(directory_module, "SAY_EVERY_S", 0.01)
    monkeypatch.setattr(directory_module, "SETTLED_S", 0.0)
    store = Counted()
    a = node(store, url, redis_host)
    with structlog.testing.capture_logs() as logs:
        await a.start()
        await until(lambda: store.says >= 5)
        await a.stop()
    assert [line["event"] for line in logs] == ["address_is_loopback"] * warns


async def test_whoever_never_started_takes_nothing_out():
    forgotten: list[str] = []

    class Watched(Counted):
        async def forget(self, mark: str) -> None:
            forgotten.append(mark)

    await node(Watched()).stop()
    assert forgotten == []
