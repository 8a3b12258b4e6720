"""The calls about people and rooms, seen from a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from notify.domain.errors import Unavailable
from notify.domain.presence import Connection, Presence
from tests.ingest.conftest import Api, Neighbours, Recorder, running


@pytest.fixture
def people() -> Neighbours:
    return Neighbours()


@pytest.fixture
async def asking(recorder: Recorder, people: Neighbours) -> AsyncIterator[Api]:
    async with running(recorder, users=people) as api:
        yield api


async def test_presence_is_shown_as_documented(asking: Api, people: Neighbours):
    people.found = Presence((Connection("s1", "/", "node-1", "websocket", 1_795_000_000),), None)
    answer = await asking.ask("GET", "/v1/users/42/presence")
    assert answer.status == 200
    assert answer.json == {
        "online": True,
        "connections": [
            {
                "sid": "s1",
                "namespace": "/",
                "node": "node-1",
                "transport": "websocket",
                "since": "2026-11-18T11:06:40.000Z",
            }
        ],
        "last_seen": None,
    }
    people.found = Presence((), 1_795_000_000)
    answer = await asking.ask("GET", "/v1/users/42/presence")
    assert (answer.json["online"], answer.json["last_seen"]) == (False, "2026-11-18T11:06:40.000Z")


async def test_names_are_decoded_once(asking: Api, people: Neighbours):
    await asking.ask("GET", "/v1/rooms/a%2Fb%20c")
    await asking.ask("GET", "/v1/rooms/a%252Fb?namespace=/chat")
    await asking.ask("PUT", "/v1/rooms/%C3%BC/users/%E6%97%A5")
    await asking.ask("DELETE", "/v1/rooms/r/users/u")
    assert people.asked == [
        ("room_size", "a/b c", "/"),
        ("room_size", "a%2Fb", "/chat"),
        ("room_add", "ü", "日", "/"),
        ("room_remove", "r", "u", "/"),
    ]


async def test_nodes_that_did_not_answer_are_named(asking: Api, people: Neighbours):
    assert "silent" not in (await asking.ask("PUT", "/v1/rooms/r/users/u")).json
    assert (await asking.ask("DELETE", "/v1/rooms/r/users/u")).json["silent"] == ["node-3"]


async def test_a_disconnect_may_have_a_body_and_need_not(asking: Api, people: Neighbours):
    answer = await asking.post(b"", "/v1/users/42/disconnect")
    assert answer.json == {"disconnected": 2, "revoked": False}
    answer = await asking.post({"revoke": True}, "/v1/users/42/disconnect")
    assert answer.json == {"disconnected": 2, "revoked": True}
    assert people.asked == [("disconnect", "42", False), ("disconnect", "42", True)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/users/%00/presence"),
        ("GET", "/v1/rooms/%40user%2F42"),
        ("GET", "/v1/rooms/r?namespace=chat"),
        ("GET", "/v1/rooms/r?nonsense=1"),
        ("PUT", "/v1/rooms/r*/users/u"),
    ],
)
async def test_what_is_no_name_is_named(asking: Api, people: Neighbours, method: str, path: str):
    answer = await asking.ask(method, path)
    assert (answer.status, answer.json["code"]) == (422, "invalid")
    assert answer.json["errors"][0]["pointer"].startswith(("/path/", "/query/"))
    assert people.asked == []


async def test_redis_away_is_a_503_that_says_when(asking: Api, people: Neighbours):
    people.error = Unavailable("Redis is away", retry_after_s=1)
    answer = await asking.ask("GET", "/v1/users/42/presence")
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
