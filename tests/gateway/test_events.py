"""What clients ask for by events."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.clients.raw import RawClient
from tests.tokens import mint

_users = (f"asker-{number}" for number in itertools.count())


@pytest.fixture
def user() -> str:
    return next(_users)


async def test_a_revoked_token_does_not_refresh_a_session(cluster, user):
    client = await RawClient.connect(cluster.nodes[0].url, {"token": mint(user)})
    await client.answer()
    revoked_at = int(time.time()) + 1
    with cluster.valkey.client() as redis:
        redis.set(f"notify:revoked:{user}", revoked_at, ex=60)
    answer = await client.call("session:refresh", {"token": mint(user, expires_in_s=7200)})
    assert answer["error"]["code"] == "token_revoked"
    answer = await client.call("session:refresh", {"token": mint(user, iat=revoked_at, nbf=None)})
    assert answer["ok"] is True
    await client.close()


async def test_a_join_by_a_connection_that_was_left_behind_is_undone(cluster, user):
    """A frozen node wakes and finds a `room:join` in its buffers, from a client that has gone elsewhere."""
    a, b, _ = cluster.nodes
    token = mint(user, rooms=["*"])
    old = await RawClient.connect(a.url, {"token": token})
    first = await old.answer()
    with cluster.valkey.client() as redis:
        key = f"notify:session:{first['pid']}"
        stored = redis.get(key)
        moved = stored.replace(a.name.encode(), b.name.encode())
        redis.set(key, moved, ex=60)
        refused = await old.call("room:join", {"room": "late"})
        assert refused["ok"] is False
        assert redis.get(key) == moved
    await old.close()
