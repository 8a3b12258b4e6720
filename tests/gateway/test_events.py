"""What clients ask for by events."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.support.clients.raw import RawClient
from tests.support.tokens import mint

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


# Whatever a client sends, if only it is JSON

HALF = '"\\ud83d"'
DEEP = "[" * 300 + "]" * 300
TOO_DEEP = "[" * 5_000 + "]" * 5_000


@pytest.mark.parametrize(
    "asked",
    [
        f'["send",{{"to":{{"user":"x"}},"data":{HALF}}}]',
        f'["send",{{"to":{{"user":"x"}},"data":{{{HALF}:1}}}}]',
        f'["send",{{"to":{{"user":{HALF}}},"data":1}}]',
        f'["send",{{"to":{{{HALF}:"x"}},"data":1}}]',
        f'["send",{{"to":{{"user":"x"}},"event":{HALF},"data":1}}]',
        f'["send",{{"to":{{"user":"x"}},"data":{DEEP}}}]',
        f'["send",{{"to":{{"user":"x"}},"data":{TOO_DEEP}}}]',
        f'["send",{{{HALF}:1}}]',
        f'["room:join",{{"room":{HALF}}}]',
        f'["room:leave",{{"room":{HALF}}}]',
        f'["session:refresh",{{"token":{HALF}}}]',
        f'["session:refresh",{{"token":{DEEP}}}]',
        f"[{HALF},1]",
        '["no:such:event"]',
        '["connect"]',
        '["disconnect","x"]',
        '["__disconnect_final"]',
        '["no:such:event",1,2,3]',
        "[17]",
        '["send"]',
        '["send",null]',
        '["send",1e999]',
    ],
    ids=lambda asked: asked[:60],
)
async def test_every_event_is_answered_and_costs_no_connection(cluster, user, asked):
    client = await RawClient.connect(cluster.nodes[0].url, {"token": mint(user, send=["*"], rooms=["*"])})
    await client.answer()
    await client.send(f"421{asked}")
    answer = await client.acknowledged(1)
    assert answer["ok"] is False
    assert answer["error"]["code"] in ("invalid", "token_invalid", "forbidden")
    assert (await client.call("room:join", {"room": "fine"}))["ok"] is True
    await client.close()


async def test_binary_where_json_is_wanted_is_answered(cluster, user):
    client = await RawClient.connect(cluster.nodes[0].url, {"token": mint(user, send=["*"])})
    await client.answer()
    for number, event in enumerate(
        (
            '["send",{"to":{"user":"x"},"data":{"_placeholder":true,"num":0}}]',
            '["room:join",{"_placeholder":true,"num":0}]',
            '["room:join",{"room":{"_placeholder":true,"num":0}}]',
            '["disconnect",{"_placeholder":true,"num":0}]',
            f'["room:join",{{"_placeholder":true,"num":0}},{TOO_DEEP}]',
        )
    ):
        await client.send(f"451-{number}{event}")
        await client.send(b"bytes")
        assert (await client.acknowledged(number))["error"]["code"] == "invalid"
    await client.close()


async def test_odd_json_in_fields_of_auth_that_nobody_reads_is_ignored(cluster, user):
    auth = f'{{"token":"{mint(user)}","odd":[{HALF},1e999,{DEEP}]}}'
    client = await RawClient.connect(cluster.nodes[0].url, literally=auth)
    assert (await client.answer())["refused"] is False
    await client.close()
    auth = f'{{"token":"{mint(user)}","odd":{TOO_DEEP}}}'
    client = await RawClient.connect(cluster.nodes[0].url, literally=auth)
    answer = await client.answer()
    assert answer["refused"] is True
    assert answer["data"] == {"code": "invalid", "detail": "Nested too deeply", "retryable": False}
    await client.close()
