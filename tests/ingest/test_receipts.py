"""`GET /v1/notifications/{id}`: how far a notification has come."""

from __future__ import annotations

import time
from typing import Any

import pytest

from notify.domain.moments import timestamp
from notify.domain.notifications.receipts import MAX_RECIPIENTS_LISTED, cursor, parse_cursor
from tests.ingest.conftest import Api


async def sent(api: Api, to: dict[str, Any], **fields: Any) -> str:
    """Post a notification; the path that its Location says."""
    answer = await api.post({"to": to, "title": "Hello", **fields})
    assert answer.status == 202, answer.body
    location: str = answer.headers["Location"]
    return location


async def found(api: Api, path: str, query: str = "") -> Any:
    answer = await api.ask("GET", path + query)
    assert answer.status == 200, answer.body
    return answer.json


async def mark(api: Api, user: str, as_: str, path: str) -> None:
    body = {"as": as_, "ids": [path.rpartition("/")[2]]}
    assert (await api.post(body, f"/v1/users/{user}/inbox/mark")).status == 200


async def test_what_was_posted_is_told_with_how_far_it_has_come(real_api: Api) -> None:
    accepted = await real_api.post(
        {"to": {"users": ["ada", "bob", "cid"]}, "title": "Hello", "data": {"n": 1}, "category": "ci"}
    )
    path = accepted.headers["Location"]
    assert await found(real_api, path) == {
        "id": accepted.json["id"],
        "status": "accepted",
        "title": "Hello",
        "category": "ci",
        "priority": "normal",
        "data": {"n": 1},
        "created_at": accepted.json["created_at"],
        "expires_at": accepted.json["expires_at"],
        "deliver_at": None,
        "recipients": 3,
        "delivered": 0,
        "seen": 0,
        "read": 0,
        "archived": 0,
    }
    for user, as_ in (("ada", "delivered"), ("bob", "seen"), ("cid", "read"), ("cid", "archived")):
        await mark(real_api, user, as_, path)
    now = await found(real_api, path)
    assert (now["delivered"], now["seen"], now["read"], now["archived"]) == (3, 2, 1, 1)
    await mark(real_api, "cid", "deleted", path)
    now = await found(real_api, path)
    assert (now["recipients"], now["delivered"], now["read"], now["archived"]) == (3, 2, 0, 0)


async def test_recipients_are_listed_in_pages(real_api: Api) -> None:
    users = [f"u{number}" for number in range(7)] + ["ä/ö", "\N{PILE OF POO}"]
    path = await sent(real_api, {"users": users})
    await mark(real_api, "u3", "read", path)
    await mark(real_api, "u5", "deleted", path)
    listed: list[Any] = []
    query = "?recipients=true&limit=3"
    while True:
        page = await found(real_api, path, query)
        assert page["recipients"] == 9
        listed += page["users"]
        if page["next"] is None:
            break
        assert len(page["users"]) == 3
        query = f"?recipients=true&limit=3&after={page['next']}"
    assert [one["user"] for one in listed] == sorted(set(users) - {"u5"})
    for one in listed:
        assert one["delivered"] is (one["user"] == "u3")
        assert (one["read_at"] is not None) is (one["user"] == "u3")
        assert one["archived_at"] is None
    everyone = await found(real_api, path, "?recipients=true")
    assert (everyone["users"], everyone["next"]) == (listed, None)


async def test_nothing_is_skipped_or_repeated_when_recipients_let_go_between_pages(real_api: Api) -> None:
    path = await sent(real_api, {"users": ["a", "b", "c", "d", "e"]})
    first = await found(real_api, path, "?recipients=true&limit=2")
    for user in ("a", "b", "d"):
        await mark(real_api, user, "deleted", path)
    rest = await found(real_api, path, f"?recipients=true&limit=2&after={first['next']}")
    assert [one["user"] for one in rest["users"]] == ["c", "e"]


async def test_a_thousand_recipients_are_counted_in_one_call(real_api: Api) -> None:
    users = [f"user-{number:03}" for number in range(1000)]
    path = await sent(real_api, {"users": users})
    for number in range(0, 1000, 10):
        await mark(real_api, users[number], "read", path)
    now = await found(real_api, path)
    assert (now["recipients"], now["delivered"], now["seen"], now["read"]) == (1000, 100, 100, 100)
    page = await found(real_api, path, f"?recipients=true&limit={MAX_RECIPIENTS_LISTED}")
    assert [one["user"] for one in page["users"]] == users
    assert page["next"] is None


@pytest.mark.parametrize(
    ("to", "fields", "recipients"),
    [
        ({"room": "lobby"}, {}, 0),
        ({"all": True}, {}, 0),
        ({"user": "ada"}, {"inbox": False}, 1),
        ({"user": "ada"}, {"title": None}, 1),
        ({"users": ["ada", "bob"]}, {"namespace": "/chat"}, 2),
        ({"user": "ada"}, {"namespace": "/users/ada"}, 1),
        ({"users": [f"u{number}" for number in range(100)]}, {"inbox": False}, 100),
        ({"users": ["ada", "bob"], "rooms": ["a", "b"], "except_users": ["bob"]}, {}, 1),
    ],
)
async def test_every_location_is_answered(
    real_api: Api, to: dict[str, Any], fields: dict[str, Any], recipients: int
) -> None:
    body = {"to": to, "title": "Hello", **fields}
    accepted = await real_api.post({name: value for name, value in body.items() if value is not None})
    now = await found(real_api, accepted.headers["Location"])
    assert (now["id"], now["status"], now["recipients"]) == (accepted.json["id"], "accepted", recipients)
    assert now["expires_at"] == accepted.json["expires_at"]
    assert now.get("title") == body["title"]


async def test_an_ephemeral_one_has_no_location_and_is_not_found(real_api: Api) -> None:
    accepted = await real_api.post({"to": {"user": "ada"}, "title": "Hello", "ttl": 0})
    assert "Location" not in accepted.headers
    answer = await real_api.ask("GET", f"/v1/notifications/{accepted.json['id']}")
    assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_an_ephemeral_one_that_is_scheduled_is_found_and_once_cancelled_has_no_time(
    real_api: Api,
) -> None:
    deliver_at = timestamp(int(time.time() + 3600) * 1000)
    path = await sent(real_api, {"user": "ada"}, ttl=0, deliver_at=deliver_at)
    now = await found(real_api, path)
    assert (now["status"], now["deliver_at"], now["expires_at"]) == ("scheduled", deliver_at, None)
    assert (await real_api.ask("DELETE", path)).status == 204
    now = await found(real_api, path)
    assert (now["status"], now["deliver_at"]) == ("retracted", None)


async def test_a_replayed_answer_has_the_same_location(real_api: Api) -> None:
    body = {"to": {"user": "ada"}, "title": "Hello"}
    first, again = [await real_api.post(body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert again.headers["Location"] == first.headers["Location"]
    assert (await found(real_api, first.headers["Location"]))["recipients"] == 1


@pytest.mark.parametrize("id_", ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E", "ntf_%2A", "x", "%00", "ntf_" + "0" * 900])
async def test_unknown_ids_are_404(real_api: Api, id_: str) -> None:
    answer = await real_api.ask("GET", f"/v1/notifications/{id_}")
    assert (answer.status, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ("recipients=yes", "/query/recipients", "must be one of true, false"),
        ("recipients=true&limit=0", "/query/limit", "must be from 1 to 1000"),
        ("recipients=true&limit=1001", "/query/limit", "must be from 1 to 1000"),
        ("recipients=true&after=*", "/query/after", "must be the `next` of the page before"),
        ("recipients=true&after=YQ==", "/query/after", "must be the `next` of the page before"),
        ("limit=5", "/query/limit", "belongs to recipients=true"),
        ("recipients=false&after=YQ", "/query/after", "belongs to recipients=true"),
        ("colour=red", "/query/colour", "is not a known field"),
    ],
)
async def test_wrong_questions_are_named(real_api: Api, query: str, pointer: str, detail: str) -> None:
    answer = await real_api.ask("GET", f"/v1/notifications/ntf_x?{query}")
    assert (answer.status, answer.pointers) == (422, {pointer: detail})


@pytest.mark.parametrize("name", ["a", "ada", "ä/ö", "\N{PILE OF POO}", "x" * 256, "-_~"])
def test_a_cursor_stands_for_its_name(name: str) -> None:
    assert parse_cursor(str(cursor(name))) == name


async def test_it_needs_a_key(api: Api) -> None:
    assert (await api.ask("GET", "/v1/notifications/ntf_x", key=None)).status == 401
