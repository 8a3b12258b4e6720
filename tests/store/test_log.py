"""Reading the logs: what is not there is not taken for nothing; what is of no use is not read for long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from notify.domain.channel import Channel
from notify.domain.errors import NotifyError
from notify.domain.message import tail
from notify.domain.offset import Offset
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import EXPIRED_READ, READ_BYTES, Claim, Entry, Log, MissedMessages

LOBBY = Channel("/", "room", "lobby")
LOG, LAST = "notify:log:room:/:lobby", "notify:last:room:/:lobby"
ARRAY = b'["notification",{}'


@asynccontextmanager
async def logs_on(url: str, *, ttl_s: int = 100, max_messages: int = 10_000) -> AsyncIterator[Log]:
    redis = Redis(Connector(url), stats=RedisStats())
    await redis.start()
    try:
        inbox = Inbox(redis, Keys(), max_entries=100)
        yield Log(redis, Keys(), ttl_s=ttl_s, max_messages=max_messages, inbox=inbox)
    finally:
        await redis.stop()


async def publish(log: Log, count: int = 1, **entry: Any) -> list[Offset]:
    made = await log.append(*(Entry((LOBBY,), tail(None, "-"), ARRAY, **entry) for _ in range(count)))
    assert all(isinstance(offset, Offset) for offset in made), made
    return made  # type: ignore[return-value]


REVOKED = ("notify:revoked:u", "notify:revoked:old")
CLAIM = Claim(
    "notify:session:p",
    ("notify:revoked:u", "notify:revoked:old"),
    "notify:orders:u",
    0,
    b"was",
    b"",
    b"to be",
    60,
)


async def since(log: Log, place: Offset, *, most: int = 1_000) -> MissedMessages:
    """What a client that stands there has missed."""
    await log._redis.execute("SET", CLAIM.session_key, CLAIM.was, "EX", 60)
    return await log.replay([(LOBBY, place)], reached=place, most=most, claim=CLAIM)


async def test_a_log_that_is_gone_is_not_empty(valkey):
    async with logs_on(valkey.url) as log:
        first, second = await publish(log, 2)
        with valkey.client() as client:
            client.delete(LOG)
        assert (await since(log, first)).verdict == "trimmed"
        assert (await since(log, second)).verdict == "ok"  # nothing has come since


async def test_a_log_that_was_begun_anew_does_not_hide_what_was_in_it(valkey):
    async with logs_on(valkey.url) as log:
        first, second = await publish(log, 2)
        with valkey.client() as client:
            client.delete(LOG)
        third, fourth = await publish(log, 2)
        assert (await since(log, first)).verdict == "trimmed"
        assert [(found.ms, found.seq) for found in (await since(log, second)).missed] == [
            third[1:],
            fourth[1:],
        ]


async def test_a_log_is_not_trimmed_for_who_has_what_was_trimmed(valkey):
    async with logs_on(valkey.url, max_messages=10) as log:
        offsets = await publish(log, 300)
        with valkey.client() as client:
            kept = client.xlen(LOG)
        assert kept < 290
        cut = len(offsets) - kept
        assert (await since(log, offsets[cut - 2])).verdict == "trimmed"
        # The last one that is gone was seen: nothing is missing.
        with valkey.client() as client:
            client.xtrim(LOG, maxlen=5, approximate=False)
        assert len((await since(log, offsets[-6])).missed) == 5
        assert (await since(log, offsets[-7])).verdict == "trimmed"


async def test_a_log_of_the_version_before_is_read_as_it_was(valkey):
    async with logs_on(valkey.url) as log:
        (first,) = await publish(log)
        epoch, ms = first.epoch, first.ms
        with valkey.client() as client:
            client.delete(LOG, LAST)
            for seq in range(1, 4):
                client.xadd(LOG, {"m": f"{epoch}-{ms}-{seq} - -\n[]", "x": 0}, id=f"{ms}-{seq}")
            client.set("notify:clock", f"{epoch}-{ms}-3")
            client.expire(LOG, 60)
        assert len((await since(log, first)).missed) == 3
        await publish(log)  # by a node of this version
        assert len((await since(log, first)).missed) == 4
        with valkey.client() as client:
            client.xtrim(LOG, maxlen=2, approximate=False)
        assert (await since(log, first)).verdict == "trimmed"
        with valkey.client() as client:
            client.xtrim(LOG, maxlen=1, approximate=False)
        assert (await since(log, first)).verdict == "trimmed"


async def test_logs_are_kept_for_the_longest_window_that_was_promised(valkey):
    async with logs_on(valkey.url, ttl_s=1000) as long, logs_on(valkey.url, ttl_s=100) as short:
        await long.promise()
        await short.promise()
        await publish(short)
        with valkey.client() as client:
            assert 900 < client.ttl(LOG) <= 1000
            assert client.ttl(LAST) >= 1000
            client.delete("notify:retention")
        await short.promise()
        await publish(short)
        with valkey.client() as client:
            assert client.ttl(LOG) <= 100


async def test_what_has_expired_is_skipped_and_bounded(valkey):
    async with logs_on(valkey.url) as log:
        (first,) = await publish(log)
        await publish(log, 50, expires_ms=1)
        await publish(log, 2)
        assert len((await since(log, first)).missed) == 2
        await publish(log, 3_000, expires_ms=1)
        assert (await since(log, first, most=300)).verdict == "too_many"
        assert 300 + EXPIRED_READ < 3_000
        assert len((await since(log, first, most=3_000)).missed) == 2


@pytest.mark.parametrize(
    ("key", "value", "verdict"),
    [
        ("notify:session:p", "other", "changed"),
        ("notify:orders:u", '{"v":1}', "changed"),
        ("notify:session:p", None, "gone"),
        ("notify:revoked:u", "1", "revoked"),
        ("notify:revoked:old", "1", "revoked"),
    ],
)
async def test_a_claim_holds_only_for_what_was_read(valkey, key, value, verdict):
    async with logs_on(valkey.url) as log:
        (first,) = await publish(log)
        with valkey.client() as client:
            client.set(CLAIM.session_key, CLAIM.was, ex=60)
            if value is None:
                client.delete(key)
            else:
                client.set(key, value, ex=60)
            before = client.get(CLAIM.session_key)
            found = await log.replay([(LOBBY, first)], reached=first, most=10, claim=CLAIM)
            assert found.verdict == verdict
            assert client.get(CLAIM.session_key) == before


@pytest.mark.parametrize(("size", "count"), [(40_000, 30), (100, 700)])
async def test_a_long_replay_is_read_in_bounded_pieces(valkey, monkeypatch, size, count):
    ops = Channel("/", "room", "ops")
    array = b'["notification","' + b"x" * size + b'"'
    async with logs_on(valkey.url) as log:
        (first,) = await publish(log)
        made = await log.append(
            *(Entry(((LOBBY, ops)[number % 2],), tail(None, "-"), array) for number in range(count))
        )
        run = log._redis.run
        in_between: list[Offset | NotifyError] = []

        async def spying(script: Any, names: Any, args: Any) -> Any:
            reply = await run(script, names, args)
            held = sum(map(len, reply[2][2::3]))
            assert held < READ_BYTES + 5 * (size + 1500)
            if reply[0] == b"more" and not in_between:  # comes to a log whose end was not read yet, or was
                in_between.extend(await log.append(Entry((LOBBY,), tail(None, "-"), ARRAY)))
            return reply

        await log._redis.execute("SET", CLAIM.session_key, CLAIM.was, "EX", 60)
        monkeypatch.setattr(log._redis, "run", spying)
        found = await log.replay([(LOBBY, first), (ops, first)], reached=first, most=1_000, claim=CLAIM)
        monkeypatch.undo()
        assert found.verdict == "ok"
        assert in_between
        wanted = [(offset.ms, offset.seq) for offset in (*made, *in_between) if isinstance(offset, Offset)]
        assert [(one.ms, one.seq) for one in found.missed] == wanted
        assert await log._redis.execute("GET", CLAIM.session_key) == CLAIM.becomes


async def test_the_pieces_of_a_replay_together_are_bounded(valkey):
    array = b'["notification","' + b"x" * 40_000 + b'"'
    async with logs_on(valkey.url) as log:
        (first,) = await publish(log)
        await log.append(*(Entry((LOBBY,), tail(None, "-"), array) for _ in range(30)))
        found = await since(log, first, most=29)
        assert (found.verdict, found.missed) == ("too_many", ())
        assert await log._redis.execute("GET", CLAIM.session_key) == CLAIM.was
        assert len((await since(log, first, most=30)).missed) == 30


async def test_a_log_that_is_cut_between_two_pieces_is_not_replayed(valkey, monkeypatch):
    array = b'["notification","' + b"x" * 40_000 + b'"'
    async with logs_on(valkey.url) as log:
        (first,) = await publish(log)
        await log.append(*(Entry((LOBBY,), tail(None, "-"), array) for _ in range(30)))
        run = log._redis.run

        async def cutting(script: Any, names: Any, args: Any) -> Any:
            reply = await run(script, names, args)
            await log._redis.execute("XTRIM", LOG, "MAXLEN", "2")
            return reply

        await log._redis.execute("SET", CLAIM.session_key, CLAIM.was, "EX", 60)
        monkeypatch.setattr(log._redis, "run", cutting)
        found = await log.replay([(LOBBY, first)], reached=first, most=1_000, claim=CLAIM)
        assert (found.verdict, found.missed) == ("trimmed", ())


@pytest.mark.parametrize(("size", "count"), [(40_000, 30), (100, 700)])
async def test_a_node_catches_up_in_bounded_pieces(valkey, size, count):
    ops = Channel("/", "room", "ops")
    array = b'["notification","' + b"x" * size + b'"'
    async with logs_on(valkey.url) as log:
        (first,) = await publish(log)
        made = await log.append(
            *(Entry(((LOBBY, ops)[number % 2],), tail(None, "-"), array) for number in range(count))
        )
        left = [(LOBBY, first, False), (ops, first, False)]
        messages: list[tuple[Channel, bytes]] = []
        pieces = 0
        while left:
            answer = await log.catch_up(left, reached=first, heard_ms=first.ms, window_ms=60_000)
            assert (answer.verdict, answer.gaps) == ("ok", [])
            assert sum(len(message) for _, message in answer.missed) < READ_BYTES + 5 * (size + 1500)
            messages += answer.missed
            left = left[answer.done :]
            if answer.come_to is not None:
                left[0] = (left[0][0], answer.come_to, False)
            pieces += 1
        assert pieces > 2
        found = [message.split(b" ", 1)[0].decode() for _, message in messages]
        assert sorted(found) == sorted(str(offset) for offset in made)
        assert len(set(found)) == count
