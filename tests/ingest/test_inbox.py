"""Inboxes over HTTP, on a real Valkey: what is answered, and how each wrong question is refused."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest

from notify.domain.inbox import MARKS, STATUSES
from notify.domain.moments import parsed, timestamp
from tests.ingest.conftest import Api


async def posted(api: Api, user: str, count: int = 1, **fields: Any) -> list[str]:
    """Ids of notifications posted to a user, oldest first."""
    found = []
    for number in range(count):
        answer = await api.post({"to": {"user": user}, "title": f"No. {number}", **fields})
        assert answer.status == 202, answer.body
        found.append(answer.json["id"])
    return found


async def page(api: Api, user: str, query: str = "") -> Any:
    answer = await api.ask("GET", f"/v1/users/{quote(user, safe='')}/inbox{query}")
    assert answer.status == 200, answer.body
    return answer.json


async def marked(api: Api, user: str, **mark: Any) -> Any:
    if "as_" in mark:
        mark["as"] = mark.pop("as_")
    answer = await api.post(mark, f"/v1/users/{user}/inbox/mark")
    assert answer.status == 200, answer.body
    return answer.json


async def test_what_was_posted_is_found_newest_first(real_api: Api) -> None:
    first, second = await posted(real_api, "ada", 2, body="b", url="/x", category="ci", data={"n": 1})
    found = await page(real_api, "ada")
    assert [entry["id"] for entry in found["data"]] == [second, first]
    newest = found["data"][0]
    assert newest["place"] == found["rev"]
    assert newest["data"] == {"n": 1}
    assert {newest[name] for name in ("seen_at", "read_at", "archived_at", "snoozed_until")} == {None}
    assert found["counts"] == {"unseen": 2, "unread": 2, "total": 2}
    assert found["next"] is None
    assert "categories" not in found


async def test_the_answer_and_the_entry_say_the_same_times(real_api: Api) -> None:
    answer = await real_api.post({"to": {"user": "ada"}, "title": "t", "ttl": 60})
    (entry,) = (await page(real_api, "ada"))["data"]
    assert entry["created_at"] == answer.json["created_at"]
    assert entry["expires_at"] == answer.json["expires_at"]


@pytest.mark.parametrize(
    "body",
    [
        {"to": {"room": "r"}, "title": "t"},
        {"to": {"all": True}, "title": "t"},
        {"to": {"user": "ada"}},
        {"to": {"user": "ada"}, "title": "t", "ttl": 0},
        {"to": {"user": "ada"}, "title": "t", "inbox": False},
        {"to": {"user": "ada"}, "title": "t", "namespace": "/chat"},
        {"to": {"users": ["ada", "bob"], "except_users": ["ada"]}, "title": "t"},
    ],
)
async def test_what_goes_into_no_inbox(real_api: Api, body: dict[str, Any]) -> None:
    assert (await real_api.post(body)).status == 202
    assert (await page(real_api, "ada"))["data"] == []


async def test_of_a_mixed_target_the_users_find_it(real_api: Api) -> None:
    to = {"users": ["ada", "bob", "eve"], "rooms": ["r"], "all": True, "except_users": ["bob"]}
    answer = await real_api.post({"to": to, "title": "t", "inbox": True})
    for user, expected in (("ada", [answer.json["id"]]), ("bob", []), ("eve", [answer.json["id"]])):
        assert [entry["id"] for entry in (await page(real_api, user))["data"]] == expected


async def test_a_thousand_users_of_one_post_each_find_it_once(real_api: Api) -> None:
    users = [f"u{number}" for number in range(1000)]
    answer = await real_api.post({"to": {"users": users}, "title": "t"}, headers={"Idempotency-Key": "k"})
    again = await real_api.post({"to": {"users": users}, "title": "t"}, headers={"Idempotency-Key": "k"})
    assert again.headers["Idempotent-Replayed"] == "true"
    for user in users:
        found = await page(real_api, user)
        assert [entry["id"] for entry in found["data"]] == [answer.json["id"]]
        assert found["counts"] == {"unseen": 1, "unread": 1, "total": 1}


async def test_pages_follow_each_other_while_new_ones_arrive(real_api: Api) -> None:
    ids = await posted(real_api, "ada", 7)
    seen, after = [], None
    while True:
        found = await page(real_api, "ada", "?limit=3" + (f"&after={after}" if after else ""))
        seen += [entry["id"] for entry in found["data"]]
        after = found["next"]
        if after is None:
            break
        await posted(real_api, "ada")
    assert seen == ids[::-1]


async def test_a_page_of_no_entries_has_the_counts(real_api: Api) -> None:
    await posted(real_api, "ada", 2)
    found = await page(real_api, "ada", "?limit=0")
    assert (found["data"], found["next"], found["counts"]["unseen"]) == ([], None, 2)


async def test_lists_are_narrowed_and_counted_by_category(real_api: Api) -> None:
    (ci,) = await posted(real_api, "ada", category="ci")
    (chat,) = await posted(real_api, "ada", category="chat")
    (none,) = await posted(real_api, "ada")
    found = await page(real_api, "ada", "?category=ci&category=chat&by=category")
    assert [entry["id"] for entry in found["data"]] == [chat, ci]
    assert found["counts"]["total"] == 3, "counts are of everything, whatever was asked for"
    one = {"unseen": 1, "unread": 1, "total": 1}
    assert found["categories"] == {"ci": one, "chat": one}, "what has no category is in the total alone"
    assert none not in [entry["id"] for entry in found["data"]]


async def test_marks_change_what_lists_show(real_api: Api) -> None:
    old, new = await posted(real_api, "ada", 2)
    done = await marked(real_api, "ada", as_="read", ids=[new, "ntf_unknown"])
    assert (done["changed"], done["missing"]) == (1, ["ntf_unknown"])
    assert done["counts"] == {"unseen": 1, "unread": 1, "total": 2}
    found = await page(real_api, "ada", "?status=unread")
    assert [entry["id"] for entry in found["data"]] == [old]
    assert found["rev"] == done["rev"]
    (read,) = (await page(real_api, "ada", "?status=read"))["data"]
    assert read["id"] == new
    assert read["read_at"] == read["seen_at"] != None  # noqa: E711 - both, and neither null
    again = await marked(real_api, "ada", as_="read", ids=[new])
    assert (again["changed"], again["rev"]) == (0, done["rev"])


async def test_a_mark_up_to_an_entry_leaves_what_came_later(real_api: Api) -> None:
    first, second, third = await posted(real_api, "ada", 3)
    assert (await marked(real_api, "ada", as_="seen", up_to=second))["counts"]["unseen"] == 1
    place = (await page(real_api, "ada"))["data"][0]["place"]
    done = await marked(real_api, "ada", as_="read", up_to=place)
    assert done["changed"] == 3
    assert (await marked(real_api, "ada", as_="archived", up_to=str(place)))["counts"]["total"] == 0
    archived = await page(real_api, "ada", "?status=archived")
    assert [entry["id"] for entry in archived["data"]] == [third, second, first]


async def test_a_mark_may_be_of_one_category(real_api: Api) -> None:
    await posted(real_api, "ada", category="ci")
    (last,) = await posted(real_api, "ada", category="chat")
    done = await marked(real_api, "ada", as_="read", up_to=last, category="ci")
    assert (done["changed"], done["counts"]["unread"]) == (1, 1)


async def test_a_snooze_goes_away_and_is_listed_apart(real_api: Api) -> None:
    (id_,) = await posted(real_api, "ada")
    until = timestamp((int(time.time()) + 3600) * 1000)
    assert (await marked(real_api, "ada", as_="snoozed", ids=[id_], until=until))["counts"]["total"] == 0
    (entry,) = (await page(real_api, "ada", "?status=snoozed"))["data"]
    assert parsed(entry["snoozed_until"]) == parsed(until)
    assert (await marked(real_api, "ada", as_="unsnoozed", ids=[id_]))["counts"]["total"] == 1


async def test_a_newer_one_takes_the_place_of_the_one_with_its_collapse_key(real_api: Api) -> None:
    await posted(real_api, "ada", 3, collapse_key="build:main")
    (last,) = await posted(real_api, "ada", collapse_key="build:main")
    found = await page(real_api, "ada")
    assert [entry["id"] for entry in found["data"]] == [last]
    assert found["counts"] == {"unseen": 1, "unread": 1, "total": 1}
    assert found["data"][0]["collapse_key"] == "build:main"


async def test_what_has_not_changed_is_not_sent_again(real_api: Api) -> None:
    await posted(real_api, "ada")
    path = "/v1/users/ada/inbox"
    first = await real_api.ask("GET", f"{path}?category=b&category=a")
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    same = await real_api.ask("GET", f"{path}?limit=20&category=a&category=b", headers={"If-None-Match": tag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag), "asked otherwise, but the same"
    other = await real_api.ask("GET", path, headers={"If-None-Match": tag})
    assert other.status == 200, "another question"
    for good in (f"W/{other.headers['ETag']}", f'"x", {other.headers["ETag"]}', "*"):
        held = await real_api.ask("GET", path, headers={"If-None-Match": good})
        assert (held.status, held.body, held.headers["ETag"]) == (304, b"", other.headers["ETag"])
    for malformed in (f"{other.headers['ETag']}x", f"{other.headers['ETag']} {tag}", f"* {tag}"):
        assert (await real_api.ask("GET", path, headers={"If-None-Match": malformed})).status == 200
    await posted(real_api, "ada")
    assert (await real_api.ask("GET", path, headers={"If-None-Match": other.headers["ETag"]})).status == 200


@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ("limit=101", "/query/limit", "must be from 0 to 100"),
        ("limit=-1", "/query/limit", "must be a whole number"),
        ("limit=ten", "/query/limit", "must be a whole number"),
        ("after=x", "/query/after", "must be the `next` of the previous page"),
        ("after=0", "/query/after", "must be the `next` of the previous page"),
        ("status=new", "/query/status", f"must be one of {', '.join(sorted(STATUSES))}"),
        ("by=day", "/query/by", "must be category"),
        ("category=", "/query/category/0", "must be 1 to 128 characters long"),
        (f"category={'x' * 129}", "/query/category/0", "must be 1 to 128 characters long"),
        ("colour=red", "/query/colour", "is not a known field"),
        ("limit=1&limit=2", "/query/limit", "must be given once"),
    ],
)
async def test_wrong_questions_are_named(real_api: Api, query: str, pointer: str, detail: str) -> None:
    answer = await real_api.ask("GET", f"/v1/users/ada/inbox?{query}")
    assert (answer.status, answer.pointers) == (422, {pointer: detail})


PAST = "2020-01-01T00:00:00Z"
LATER = "2100-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("mark", "pointer", "detail"),
    [
        ({"ids": ["ntf_x"]}, "/as", f"must be one of {', '.join(sorted(MARKS))}"),
        ({"as": "gone", "ids": ["ntf_x"]}, "/as", f"must be one of {', '.join(sorted(MARKS))}"),
        ({"as": "read"}, "/ids", "give either ids or up_to"),
        ({"as": "read", "ids": ["ntf_x"], "up_to": 5}, "/ids", "give either ids or up_to"),
        ({"as": "read", "ids": []}, "/ids", "must hold 1 to 1000 ids"),
        ({"as": "read", "ids": ["ntf_x"] * 1001}, "/ids", "must hold 1 to 1000 ids"),
        ({"as": "read", "ids": "ntf_x"}, "/ids", "must be an array"),
        ({"as": "read", "ids": ["a", 5]}, "/ids/1", "must be the id of a notification"),
        ({"as": "read", "up_to": True}, "/up_to", "must be the id of a notification, or a place"),
        ({"as": "read", "up_to": 0}, "/up_to", "must be the id of a notification, or a place"),
        ({"as": "read", "up_to": 1.5}, "/up_to", "must be the id of a notification, or a place"),
        ({"as": "read", "up_to": 5, "category": "x" * 129}, "/category", "must be 1 to 128 characters long"),
        ({"as": "read", "ids": ["a"], "category": "ci"}, "/category", "is only allowed with up_to"),
        ({"as": "read", "ids": ["a"], "until": LATER}, "/until", "is only allowed with snoozed"),
        ({"as": "snoozed", "ids": ["a"]}, "/until", "is required: the time at which it comes back"),
        ({"as": "snoozed", "ids": ["a"], "until": PAST}, "/until", "must be in the future"),
        (
            {"as": "snoozed", "ids": ["a"], "until": "tomorrow"},
            "/until",
            "must be an RFC 3339 time, such as 2026-12-01T09:00:00Z",
        ),
        ({"as": "read", "ids": ["a"], "colour/x": 1}, "/colour~1x", "is not a known field"),
    ],
)
async def test_wrong_marks_are_named(real_api: Api, mark: Any, pointer: str, detail: str) -> None:
    answer = await real_api.post(mark, "/v1/users/ada/inbox/mark")
    assert (answer.status, answer.json["code"], answer.pointers) == (422, "invalid", {pointer: detail})


async def test_a_mark_must_be_an_object(real_api: Api) -> None:
    answer = await real_api.post([], "/v1/users/ada/inbox/mark")
    assert (answer.status, answer.pointers) == (422, {"": "must be an object"})


async def test_users_with_odd_names_have_inboxes_of_their_own(real_api: Api) -> None:
    for user in ("{ada}", "a}b", "ad{a", "a/b", "%7D", "ü#?"):
        (id_,) = await posted(real_api, user)
        assert [entry["id"] for entry in (await page(real_api, user))["data"]] == [id_], user


async def test_scopes_are_asked_for(api: Api) -> None:
    for method, path in (("GET", "/v1/users/ada/inbox"), ("POST", "/v1/users/ada/inbox/mark")):
        assert (await api.ask(method, path, key=None)).status == 401
