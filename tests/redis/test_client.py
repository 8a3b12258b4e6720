"""The gate to Redis: pipelined, bounded in time, honest about what Redis has."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from notify.domain.channel import Channel
from notify.domain.errors import Unavailable
from notify.domain.message import tail
from notify.redis.client import Redis, StoreError
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import Entry, Log

pytestmark = pytest.mark.timeout(60)


class Gate:
    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self.stats = RedisStats()
        self.redis = Redis(Connector(url, timeout_s=timeout_s), stats=self.stats)
        inbox = Inbox(self.redis, Keys(), max_entries=100)
        self.log = Log(self.redis, Keys(), ttl_s=60, max_messages=100, inbox=inbox)

    async def __aenter__(self) -> Gate:
        await self.redis.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.redis.stop()

    async def publish(self, text: bytes = b"x"):
        entry = Entry((Channel("/", "user", "ada"),), tail(None, "-"), b'["e",{"t":"' + text + b'"}')
        (outcome,) = await self.log.append(entry)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def eventually(call, *, within_s: float = 30.0):
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("address", ["url", "tcp_url"])
async def test_the_commands_of_one_turn_leave_in_one_write(valkey, address):
    async with Gate(getattr(valkey, address)) as gate:
        before = gate.stats.pipelines
        replies = await asyncio.gather(*(gate.redis.execute("ECHO", str(number)) for number in range(100)))
        assert replies == [str(number).encode() for number in range(100)]
        assert gate.stats.pipelines == before + 1


async def test_an_error_answer_harms_only_its_own_command(valkey):
    async with Gate(valkey.url) as gate:
        replies: tuple[Any, Any, Any] = await asyncio.gather(
            gate.redis.execute("ECHO", "a"),
            gate.redis.execute("NOSUCHCOMMAND"),
            gate.redis.execute("ECHO", "b"),
            return_exceptions=True,
        )
        good, bad, better = replies
        assert (good, better) == (b"a", b"b")
        assert isinstance(bad, StoreError)


async def test_scripts_that_redis_forgot_are_told_again(valkey):
    async with Gate(valkey.url) as gate:
        first = await gate.publish()
        with valkey.client() as client:
            client.script_flush()
        assert (await gate.publish()).follows(first)


async def test_a_hung_redis_is_an_error_within_a_second(own_valkey):
    async with Gate(own_valkey.url) as gate:
        with own_valkey.client() as client:
            client.client_pause(4000, all=True)
        began = time.monotonic()
        outcomes: list[Any] = await asyncio.gather(
            *(gate.publish() for _ in range(50)), return_exceptions=True
        )
        took_s = time.monotonic() - began
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert outcomes[0].retry_after_s
        assert took_s < 1.5
        began = time.monotonic()
        with pytest.raises(Unavailable):  # and at once while it is away
            await gate.publish()
        assert time.monotonic() - began < 0.2
        await eventually(gate.publish)


async def test_a_busy_redis_is_not_taken_for_a_hung_one(valkey):
    async with Gate(valkey.url, timeout_s=0.5) as gate:
        busy = "local n = 0 for i = 1, 20000 do n = n + i end return n"
        began = time.monotonic()
        while time.monotonic() - began < 1.0:  # longer than the timeout
            await asyncio.gather(*(gate.redis.execute("EVAL", busy, 0) for _ in range(1000)))


async def test_a_restarted_redis_is_found_again(own_valkey):
    async with Gate(own_valkey.url) as gate:
        first = await gate.publish()
        own_valkey.kill()
        with pytest.raises(Unavailable):
            for _ in range(100):
                await gate.publish()
        own_valkey.start()
        again = await eventually(gate.publish)
        assert again.follows(first)
        assert gate.stats.reconnects == 1


async def test_a_full_redis_takes_nothing_and_half_of_nothing(own_valkey):
    async with Gate(own_valkey.url) as gate:
        await gate.publish()
        with own_valkey.client() as client:
            client.config_set("maxmemory", 1)
            before = client.xlen("notify:log:user:/:ada")
            with pytest.raises(Unavailable, match="does not accept writes"):
                await gate.publish()
            assert client.xlen("notify:log:user:/:ada") == before
            client.config_set("maxmemory", 0)
        await gate.publish()


async def test_a_master_that_became_a_replica_is_left(own_valkey):
    async with Gate(own_valkey.url) as gate:
        with own_valkey.client() as client:
            client.replicaof("127.0.0.1", "1")
            with pytest.raises(Unavailable):
                await gate.publish()
            client.replicaof("NO", "ONE")
        await eventually(gate.publish)
        assert gate.stats.reconnects >= 1


async def test_offsets_rise_over_all_channels_and_survive_a_clock_that_steps_back(valkey):
    async with Gate(valkey.url) as gate:
        offsets = [await gate.publish() for _ in range(200)]
        assert all(later.follows(earlier) for earlier, later in itertools.pairwise(offsets))
        with valkey.client() as client:
            epoch, ms, _ = client.get("notify:clock").decode().split("-")
            client.set("notify:clock", f"{epoch}-{int(ms) + 10**9}-5")
        assert (await gate.publish()).entry == f"{int(ms) + 10**9}-6"


async def test_a_cancelled_caller_leaves_the_order_of_replies_alone(valkey):
    async with Gate(valkey.url) as gate:
        calls = [asyncio.ensure_future(gate.redis.execute("ECHO", str(number))) for number in range(10)]
        await asyncio.sleep(0)
        calls[3].cancel()
        calls[7].cancel()
        replies = await asyncio.gather(*calls, return_exceptions=True)
        assert [r for r in replies if isinstance(r, bytes)] == [
            str(number).encode() for number in range(10) if number not in (3, 7)
        ]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://127.0.0.1", "scheme"),
        ("redis+sentinel://127.0.0.1/main", "host:port"),
        ("redis+sentinel://127.0.0.1:1", "service"),
        ("redis+sentinel://127.0.0.1:1/main?nonsense=1", "nonsense"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url, word):
    with pytest.raises(ValueError, match=word):
        Connector(url)


async def test_nobody_there_is_unavailable(tmp_path):
    gate = Gate(f"unix://{tmp_path}/nothing")
    with pytest.raises(Unavailable):
        await gate.redis.start()
