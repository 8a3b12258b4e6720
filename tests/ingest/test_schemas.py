"""Every field, what it takes and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from notify.domain.errors import Invalid
from notify.domain.notifications.notification import DEFAULT_TTL_S, RESERVED_EVENTS, Notification, Target
from notify.ingest import fast_path
from notify.ingest.schemas import BATCH, NOTIFICATION, load

TO = {"user": "42"}


def faults(body: Any, *path: str | int) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        load(NOTIFICATION, body, *path)
    assert fast_path.plainly(body) is None
    return {fault.pointer: fault.detail for fault in caught.value.errors}


def test_the_least_that_can_be_posted_has_the_defaults():
    assert load(NOTIFICATION, {"to": TO}) == Notification(Target(users=("42",)))
    made = load(NOTIFICATION, {"to": TO})
    assert (made.event, made.namespace, made.priority, made.ttl_s) == (
        "notification",
        "/",
        "normal",
        DEFAULT_TTL_S,
    )


def test_all_fields_together():
    body = {
        "to": {
            "user": "1",
            "users": ["2", "1", "3", "2"],
            "room": "a",
            "rooms": ["b", "a"],
            "all": True,
            "except_users": ["9", "9"],
        },
        "event": "build:finished",
        "title": "t",
        "body": "b",
        "url": "/x",
        "category": "ci",
        "priority": "urgent",
        "data": {"deep": [{"er": None}], "n": 1.5},
        "ttl": 0,
        "namespace": "/chat",
    }
    assert load(NOTIFICATION, body) == Notification(
        Target(users=("1", "2", "3"), rooms=("a", "b"), all=True, except_users=frozenset({"9"})),
        event="build:finished",
        namespace="/chat",
        title="t",
        body="b",
        url="/x",
        category="ci",
        priority="urgent",
        data={"deep": [{"er": None}], "n": 1.5},
        ttl_s=0,
    )


@pytest.mark.parametrize("body", [[], None, "to", 1, True, [{"to": TO}]])
def test_anything_but_an_object_is_refused_as_a_whole(body):
    assert faults(body) == {"": "must be an object"}


def test_a_target_is_required_and_must_be_somebody():
    assert faults({}) == {"/to": "is required"}
    assert faults({"to": None}) == {"/to": "must not be null"}
    assert faults({"to": "42"}) == {"/to": "must be an object"}
    nobody = {"/to": "must have at least one of user, users, room, rooms, all"}
    assert faults({"to": {}}) == nobody
    assert faults({"to": {"except_users": ["1"]}}) == nobody


@pytest.mark.parametrize("field", ["deliver_at_ms", "id", "ttl_s", "target", "_schema", "To"])
def test_unknown_fields_are_named(field):
    assert faults({"to": TO, field: "x"}) == {f"/{field}": "is not a known field"}
    assert faults({"to": {**TO, field: "x"}}) == {f"/to/{field}": "is not a known field"}


def test_pointers_are_escaped_and_begin_with_the_path_of_the_item():
    found = faults({"to": TO, "a/b~c": 1, "": 2}, "notifications", 3)
    assert found.keys() == {"/notifications/3/a~1b~0c", "/notifications/3/"}


@pytest.mark.parametrize("field", ["event", "title", "body", "url", "category", "priority", "namespace"])
@pytest.mark.parametrize("value", [1, True, [], {}, 1.5])
def test_texts_must_be_strings(field, value):
    assert faults({"to": TO, field: value}) == {f"/{field}": "must be a string"}


@pytest.mark.parametrize(
    "field", ["event", "title", "body", "url", "category", "priority", "namespace", "data", "ttl"]
)
def test_null_is_not_the_same_as_left_out(field):
    assert faults({"to": TO, field: None}) == {f"/{field}": "must not be null"}


@pytest.mark.parametrize("field", ["user", "users", "room", "rooms", "all", "except_users"])
def test_null_is_no_target(field):
    assert faults({"to": {**TO, field: None}}) == {f"/to/{field}": "must not be null"}


@pytest.mark.parametrize("value", [False, 1, "true", "yes", [], {}])
def test_all_must_be_true_literally(value):
    assert faults({"to": {"all": value}}) == {"/to/all": "must be true, or left out"}


@pytest.mark.parametrize(("field", "most"), [("users", 1000), ("rooms", 100), ("except_users", 1000)])
def test_lists_are_bounded(field, most):
    names = [f"n{number}" for number in range(most + 1)]
    assert load(NOTIFICATION, {"to": {**TO, field: names[:-1]}}) is not None
    assert fast_path.plainly({"to": {**TO, field: names[:-1]}}) is not None
    found = faults({"to": {**TO, field: names}})
    assert list(found) == [f"/to/{field}"]
    assert f"to {most} {field.removeprefix('except_')}" in found[f"/to/{field}"]


def test_a_list_that_is_too_long_is_not_looked_at_item_by_item():
    assert faults({"to": {"users": [1] * 5000}}).keys() == {"/to/users"}


def test_lists_of_targets_must_not_be_empty():
    assert faults({"to": {"users": []}}) == {"/to/users": "must hold 1 to 1000 users"}
    assert faults({"to": {"rooms": []}}) == {"/to/rooms": "must hold 1 to 100 rooms"}
    assert load(NOTIFICATION, {"to": {**TO, "except_users": []}}).target == Target(users=("42",))


@pytest.mark.parametrize("value", ["a", {"a": "b"}, 1, True])
def test_lists_must_be_arrays(value):
    assert faults({"to": {"users": value}}) == {"/to/users": "must be an array"}


def test_faults_inside_lists_are_found_at_their_place():
    assert faults({"to": {"users": ["a", 7, "", "x" * 257, "b\n"], "rooms": ["@me", "all*"]}}) == {
        "/to/users/1": "must be a string",
        "/to/users/2": "must be 1 to 256 characters long",
        "/to/users/3": "must be 1 to 256 characters long",
        "/to/users/4": "must not contain control characters",
        "/to/rooms/0": "must not begin with `@`",
        "/to/rooms/1": "must not end with `*`: it names one room, not a pattern",
    }


@pytest.mark.parametrize("event", sorted(RESERVED_EVENTS))
def test_reserved_events_are_refused(event):
    assert faults({"to": TO, "event": event}) == {"/event": "is reserved"}


@pytest.mark.parametrize(
    "url",
    [
        "https://ci.example.com/812?a=b#c",
        "http://localhost:8080",
        "HTTPS://example.com",
        "https://user@example.com/",
        "https://[::1]/x",
        "https://münchen.example/straße",
        "/builds/812",
        "/",
        "builds/812:3",
        "./a:b",
        "?page=2",
        "#top",
        "/a?next=javascript:void",
    ],
)
def test_urls_that_are_let_through(url):
    assert load(NOTIFICATION, {"to": TO, "url": url}).url == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "\x01javascript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.com",
        "mailto:a@example.com",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:",
        "https://",
        "https:///path",
        "https:evil.example",
        "https://a b",
        "https://a\\b",
        "/a b",
        "/a\n",
        "/a\u00a0b",
        ":x",
    ],
)
def test_urls_that_are_refused(url):
    assert faults({"to": TO, "url": url}) == {
        "/url": "must be an http:// or https:// URL or a relative path, without spaces or backslashes"
    }


def test_texts_are_bounded():
    assert faults({"to": TO, "url": "/" * 2049}) == {"/url": "must be 1 to 2048 characters long"}
    assert faults({"to": TO, "url": ""}) == {"/url": "must be 1 to 2048 characters long"}
    assert faults({"to": TO, "title": "x" * 1025}) == {"/title": "must be at most 1024 characters long"}
    assert faults({"to": TO, "category": "x" * 129}) == {"/category": "must be 1 to 128 characters long"}
    assert faults({"to": TO, "category": ""}) == {"/category": "must be 1 to 128 characters long"}
    assert load(NOTIFICATION, {"to": TO, "title": "", "body": "x" * 5000}).title == ""


def test_priorities():
    assert faults({"to": TO, "priority": "High"}) == {"/priority": "must be one of low, normal, high, urgent"}


@pytest.mark.parametrize("value", [True, False, "5", 5.0, [], {}])
def test_a_ttl_is_a_whole_number(value):
    assert faults({"to": TO, "ttl": value}) == {"/ttl": "must be a whole number"}


@pytest.mark.parametrize("value", [-1, DEFAULT_TTL_S + 1, 10**30])
def test_a_ttl_is_bounded(value):
    assert faults({"to": TO, "ttl": value}) == {"/ttl": "must be from 0 to 2592000"}


@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_data_is_an_object(value):
    assert faults({"to": TO, "data": value}) == {"/data": "must be an object"}


def test_data_is_not_nested_without_end():
    def nested(levels: int) -> Any:
        value: Any = 1
        for level in range(levels):
            value = [value] if level % 2 else {"x": value}
        return {"data": value} if not isinstance(value, dict) else value

    good: Any = {}
    for _ in range(63):
        good = {"a": good}
    assert load(NOTIFICATION, {"to": TO, "data": good}).data == good
    assert fast_path.plainly({"to": TO, "data": good}) is not None
    for too_deep in ({"a": good}, {"a": [good]}, nested(1000)):
        assert faults({"to": TO, "data": too_deep}) == {"/data": "must not be nested deeper than 64 levels"}


def test_namespaces():
    for good in ("/", "/chat", "/a/b:c", "/ü"):
        assert load(NOTIFICATION, {"to": TO, "namespace": good}).namespace == good
    for bad in ("", "chat", "/a,b", "/a?b", "/a b", "/users/", "/" * 264):
        assert faults({"to": TO, "namespace": bad}).keys() == {"/namespace"}


@pytest.mark.parametrize(
    "to", [{"user": "42"}, {"users": ["42"]}, {"all": True}, {"all": True, "user": "42"}]
)
def test_in_a_users_own_namespace_the_target_may_be_the_user_or_all(to):
    assert load(NOTIFICATION, {"to": to, "namespace": "/users/42"}).namespace == "/users/42"


@pytest.mark.parametrize(
    "to", [{"user": "43"}, {"users": ["42", "43"]}, {"room": "a"}, {"all": True, "rooms": ["a"]}]
)
def test_in_a_users_own_namespace_nobody_else_can_be_meant(to):
    found = faults({"to": to, "namespace": "/users/42"}, "notifications", 0)
    assert found == {"/notifications/0/to": "must be all or the user 42 in the namespace /users/42"}


def test_a_heap_of_unknown_fields_is_refused_in_one_sentence():
    assert faults({"to": TO, **{f"f{number}": 1 for number in range(200_000)}}) == {
        "": "must have at most 100 fields"
    }
    assert faults({"to": {f"f{number}": 1 for number in range(101)}}) == {
        "/to": "must have at most 100 fields"
    }


def test_no_more_faults_are_named_than_help():
    with pytest.raises(Invalid) as caught:
        load(NOTIFICATION, {"to": {"users": [1] * 1000}})
    assert len(caught.value.errors) == 20
    assert caught.value.detail.startswith("1000 faults, at /to/users/0, ")
    assert len(caught.value.detail) <= 500


def test_a_batch_is_an_object_with_1_to_1000_notifications():
    assert load(BATCH, {"notifications": [None] * 1000}) == {"notifications": [None] * 1000}
    for body, pointer, detail in (
        ([], "", "must be an object"),
        ({}, "/notifications", "is required"),
        ({"notifications": None}, "/notifications", "must not be null"),
        ({"notifications": {}}, "/notifications", "must be an array"),
        ({"notifications": []}, "/notifications", "must hold 1 to 1000 notifications"),
        ({"notifications": [1] * 1001}, "/notifications", "must hold 1 to 1000 notifications"),
        ({"notifications": [1], "atomic": True}, "/atomic", "is not a known field"),
    ):
        with pytest.raises(Invalid) as caught:
            load(BATCH, body)
        assert [(fault.pointer, fault.detail) for fault in caught.value.errors] == [(pointer, detail)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to": {"room": "r"}}, "needs a user in the target: rooms and all have no inbox"),
        ({"to": {"all": True}}, "needs a user in the target: rooms and all have no inbox"),
        ({"namespace": "/chat"}, "needs the namespace /: no other has inboxes"),
        ({"title": ""}, "needs a title"),
        ({"ttl": 0}, "needs a ttl above 0: an ephemeral notification is not stored"),
        (
            {"to": {"user": "42", "except_users": ["42"]}},
            "needs a user in the target who is not in except_users",
        ),
    ],
)
def test_what_can_be_in_no_inbox_is_refused_where_one_is_asked_for(changes, reason):
    asked = {"to": {"user": "42"}, "title": "Hello", **changes}
    assert faults({**asked, "inbox": True}) == {"/inbox": reason}
    assert not load(NOTIFICATION, asked).enters_inboxes
    assert not fast_path.notification(asked).enters_inboxes


def test_a_notification_with_a_title_for_a_user_enters_their_inbox_unless_it_says_no():
    asked = {"to": {"user": "42", "rooms": ["r"]}, "title": "Hello"}
    assert load(NOTIFICATION, asked).enters_inboxes
    assert load(NOTIFICATION, {**asked, "inbox": True}).enters_inboxes
    assert not load(NOTIFICATION, {**asked, "inbox": False}).enters_inboxes
    assert not load(NOTIFICATION, {"to": {"user": "42"}, "data": {}}).enters_inboxes, "no title, no entry"


def test_collapse_keys_are_bounded():
    asked = {"to": {"user": "42"}, "title": "Hello"}
    assert load(NOTIFICATION, {**asked, "collapse_key": "k" * 128}).collapse_key == "k" * 128
    for wrong in ("", "k" * 129):
        assert faults({**asked, "collapse_key": wrong}) == {
            "/collapse_key": "must be 1 to 128 characters long"
        }
    assert "/collapse_key" in faults({**asked, "collapse_key": 5})
