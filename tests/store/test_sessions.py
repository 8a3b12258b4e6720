"""Sessions in Redis: only the connection that has one may change it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.keys import Keys
from notify.store.session import Session
from notify.store.sessions import Opening, Sessions

SESSION = Session(sid="sid", user="ada", namespace="/", node="node-1", socket="socket-1")


@asynccontextmanager
async def sessions_on(url: str) -> AsyncIterator[tuple[Sessions, Redis]]:
    redis = Redis(Connector(url), stats=RedisStats())
    await redis.start()
    try:
        yield Sessions(redis, Keys(), window_s=60, refresh_s=10), redis
    finally:
        await redis.stop()


async def opened(sessions: Sessions, pid: str) -> Session:
    (opened,) = await sessions.open([Opening(pid, SESSION, 0, with_inbox=False)])
    return replace(SESSION, start=opened.start)


async def test_the_connection_that_has_a_session_may_write_it(valkey):
    async with sessions_on(valkey.url) as (sessions, _):
        session = await opened(sessions, "pid")
        assert await sessions.save("pid", replace(session, rooms={"lobby": "5-1"}))
        (found,) = await sessions.read([("pid", "ada")])
        assert found is not None
        assert found.session.rooms == {"lobby": "5-1"}
        with valkey.client() as client:
            assert 60 < client.ttl("notify:session:pid") <= 70


async def test_a_connection_whose_session_has_moved_neither_writes_nor_ends_it(valkey):
    async with sessions_on(valkey.url) as (sessions, redis):
        session = await opened(sessions, "pid")
        moved = replace(session, node="node-2", socket="socket-2")
        await redis.execute("SET", "notify:session:pid", moved.line(), "EX", 60)
        assert not await sessions.save("pid", replace(session, rooms={"lobby": ""}))
        sessions.close("pid", session)
        await sessions.restore("pid", session)
        (found,) = await sessions.read([("pid", "ada")])
        assert found is not None
        assert found.session == moved
        sessions.close("pid", moved)
        assert await sessions.read([("pid", "ada")]) == [None]


async def test_a_session_that_redis_lost_is_written_again(valkey):
    async with sessions_on(valkey.url) as (sessions, _):
        session = await opened(sessions, "pid")
        valkey.flush()
        assert await sessions.keep(["pid"]) == ["pid"]
        await sessions.restore("pid", session)
        assert await sessions.keep(["pid"]) == []


async def test_tokens_from_before_a_revocation_are_known(valkey):
    async with sessions_on(valkey.url) as (sessions, _):
        assert not await sessions.revoked("ada", issued_at=100)
        await sessions.order_away("ada", revoke=True)
        with valkey.client() as client:
            now = client.time()[0]
        answers = await asyncio.gather(*(sessions.revoked("ada", issued_at=at) for at in (now - 5, now + 1)))
        assert answers == [True, False]
        assert not await sessions.revoked("bo", issued_at=100)


async def test_sessions_of_many_begin_in_one_call_each_by_its_own_token(valkey):
    async with sessions_on(valkey.url) as (sessions, _):
        grace = replace(SESSION, user="grace", sid="sid-2")
        await sessions.order_away("grace", revoke=True)
        ours, revoked, unkept = await sessions.open(
            [
                Opening("of-ada", SESSION, 0, with_inbox=True),
                Opening("of-grace", grace, 0, with_inbox=True),
                Opening(None, replace(SESSION, user="alan"), 0, with_inbox=False),
            ]
        )
        assert revoked.start is None
        assert ours.start == unkept.start
        assert ours.start is not None
        assert ours.inbox is not None
        assert unkept.inbox is None
        first, second = await sessions.read([("of-ada", "ada"), ("of-grace", "grace")])
        assert first is not None
        assert first.session == replace(SESSION, start=ours.start)
        assert second is None
