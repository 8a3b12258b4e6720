"""The rules for names that people give."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain import names
from notify.domain.notifications.notification import RESERVED_EVENTS

RULES: list[Callable[[object], str | None]] = [
    names.user_id_fault,
    names.room_name_fault,
    names.room_pattern_fault,
    names.send_pattern_fault,
    names.event_name_fault,
    names.category_fault,
    names.namespace_fault,
]

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(),
    st.lists(st.text()),
    st.text(st.characters()),
    st.text(st.sampled_from("@*/,? \n\x00aé\U0001f600\ud800:%"), max_size=8),
)


@pytest.mark.parametrize("rule", RULES)
@given(value=ANYTHING)
def test_every_rule_answers_for_anything_and_what_it_passes_is_clean(
    rule: Callable[[object], str | None], value
):
    fault = rule(value)
    if fault is None:
        assert isinstance(value, str)
        assert value
        value.encode()
        assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in value)
    else:
        assert fault.startswith(("must ", "is "))


@given(st.text())
def test_a_fault_never_repeats_the_value(value: str):
    secret = f"S3CRET{value}\n"
    assert all("S3CRET" not in (rule(secret) or "") for rule in RULES)


@pytest.mark.parametrize("value", ["42", "a", "x" * 256, "Zoë 😀", "a,b", "@42", "a*", "user:1", " "])
def test_user_ids(value: str):
    assert names.user_id_fault(value) is None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (42, "must be a string"),
        (None, "must be a string"),
        (True, "must be a string"),
        (b"42", "must be a string"),
        ("", "must be 1 to 256 characters long"),
        ("x" * 257, "must be 1 to 256 characters long"),
        ("a\nb", "must not contain control characters"),
        ("a\n", "must not contain control characters"),
        ("a\x00", "must not contain control characters"),
        ("a\x7f", "must not contain control characters"),
        ("a\x85", "must not contain control characters"),
        (json.loads('"\\ud83d"'), "must not contain half a surrogate pair"),
    ],
)
def test_wrong_user_ids(value: object, fault: str):
    assert names.user_id_fault(value) == fault


@pytest.mark.parametrize("value", ["project:7", "a*b", "a@b", "/", "日本"])
def test_rooms(value: str):
    assert names.room_name_fault(value) is None
    assert names.room_pattern_fault(value) is None
    assert names.send_pattern_fault(value) is None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("@user/42", "must not begin with `@`"),
        ("@", "must not begin with `@`"),
        ("project:*", "must not end with `*`: it names one room, not a pattern"),
        ("*", "must not end with `*`: it names one room, not a pattern"),
        ("", "must be 1 to 256 characters long"),
        ("a\n", "must not contain control characters"),
        (7, "must be a string"),
    ],
)
def test_wrong_rooms(value: object, fault: str):
    assert names.room_name_fault(value) == fault


@pytest.mark.parametrize("value", ["*", "project:*", "project:7"])
def test_patterns(value: str):
    assert names.room_pattern_fault(value) is None
    assert names.send_pattern_fault(value) is None


def test_send_patterns_say_whether_they_mean_a_user_or_a_room():
    assert names.send_pattern_fault("user:42") is None
    assert names.send_pattern_fault("user:*") is None
    assert names.send_pattern_fault("room:project:*") is None
    assert names.send_pattern_fault("project:*") is None
    assert names.send_pattern_fault("user:") == "must be 1 to 256 characters long"
    assert names.send_pattern_fault("@team") == "must not begin with `@`"
    assert names.send_pattern_fault("room:@team") == "must not begin with `@`"


@pytest.mark.parametrize("value", ["notification", "a b", "order:paid", "x" * 128, "Connect"])
def test_events(value: str):
    assert names.event_name_fault(value) is None


@pytest.mark.parametrize("value", sorted(RESERVED_EVENTS))
def test_reserved_events(value: str):
    assert names.event_name_fault(value) == "is reserved"


def test_events_are_shorter_than_other_names():
    assert names.event_name_fault("x" * 129) == "must be 1 to 128 characters long"


@pytest.mark.parametrize("value", ["/", "/chat", "/users/42", "/a/b:c%2F", "/日本", "/" + "x" * 262, "//"])
def test_namespaces(value: str):
    assert names.namespace_fault(value) is None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("chat", "must begin with `/`"),
        ("", "must be 1 to 263 characters long"),
        ("/" + "x" * 263, "must be 1 to 263 characters long"),
        ("/a,b", "must not contain a comma, `?` or whitespace"),
        ("/a?b", "must not contain a comma, `?` or whitespace"),
        ("/a b", "must not contain a comma, `?` or whitespace"),
        ("/a\u2028b", "must not contain a comma, `?` or whitespace"),
        ("/a\n", "must not contain control characters"),
        ("/users/", "must continue with a user's id"),
        (None, "must be a string"),
    ],
)
def test_wrong_namespaces(value: object, fault: str):
    assert names.namespace_fault(value) == fault
