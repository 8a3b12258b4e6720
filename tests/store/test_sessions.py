"""Sessions in Redis: only the connection that has one may change it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from notify.store.connection import Redis
from notify.store.keys import Keys
from notify.store.opener import Opener
from notify.store.sessions import Session, Sessions
from notify.store.stats import StoreStats

SESSION = Session(sid="sid", user="ada", namespace="/", node="node-1", socket="socket-1")


@asynccontextmanager
async def sessions_on(url: str) -> AsyncIterator[tuple[Sessions, Redis]]:
    redis = Redis(Opener(url), stats=StoreStats())
    await redis.start()
    try:
        yield Sessions(redis, Keys(), window_s=60, refresh_s=10), redis
    finally:
        await redis.stop()


async def opened(sessions: Sessions, pid: str) -> Session:
    return replace(SESSION, start=await sessions.open(pid, SESSION, issued_at=0))


async def test_the_connection_that_has_a_session_may_write_it(valkey):
    async with sessions_on(valkey.url) as (sessions, _):
        session = await opened(sessions, "pid")
        assert await sessions.save("pid", replace(session, rooms={"lobby": "5-1"}))
        found = await sessions.read("pid")
        assert found is not None
        assert found[0].rooms == {"lobby": "5-1"}
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
        found = await sessions.read("pid")
        assert found is not None
        assert found[0] == moved
        sessions.close("pid", moved)
        assert await sessions.read("pid") is None


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
        await sessions.revoke("ada", before=101, ttl_s=60)
        answers = await asyncio.gather(*(sessions.revoked("ada", issued_at=at) for at in (100, 101)))
        assert answers == [True, False]
        assert not await sessions.revoked("bo", issued_at=100)
