"""What patterns cover."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.names import room_name_fault
from notify.domain.permissions import allows, may_send


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        ([], "a", False),
        (["a"], "a", True),
        (["a"], "A", False),
        (["a"], "ab", False),
        (["a*"], "a", True),
        (["a*"], "abc", True),
        (["a*"], "ba", False),
        (["*"], "anything", True),
        (["project:*"], "project:7", True),
        (["project:*"], "project", False),
        (["x", "project:*"], "project:7", True),
        (["a.c"], "abc", False),
        (["a?"], "ab", False),
        (["[ab]"], "a", False),
        (["*a"], "ba", False),
        (["*a"], "*a", True),
        (["a*c*"], "abc", False),
        (["a*c*"], "a*cd", True),
        (["a**"], "a*b", True),
        (["a**"], "ab", False),
    ],
)
def test_rooms(patterns: list[str], name: str, allowed: bool):
    assert allows(patterns, name) is allowed


@given(st.text(min_size=1).filter(lambda name: room_name_fault(name) is None), st.text())
def test_a_name_grants_itself_and_nothing_else(name: str, other: str):
    assert allows([name], name)
    assert allows([name], other) == (name == other)


@pytest.mark.parametrize(
    ("patterns", "kind", "name", "allowed"),
    [
        ([], "user", "42", False),
        (["*"], "user", "42", True),
        (["*"], "room", "a", True),
        (["user:42"], "user", "42", True),
        (["user:42"], "user", "421", False),
        (["user:42"], "room", "42", False),
        (["user:42"], "room", "user:42", False),
        (["user:*"], "user", "42", True),
        (["user:*"], "room", "a", False),
        (["room:a"], "room", "a", True),
        (["room:a"], "user", "a", False),
        (["room:*"], "room", "a", True),
        (["room:user:42"], "room", "user:42", True),
        (["room:user:42"], "user", "42", False),
        (["a:*"], "room", "a:b", True),
        (["a:*"], "user", "a:b", False),
        (["42"], "user", "42", False),
        # patterns of rooms whose names begin like "user:" or "room:" do
        (["user*"], "user", "42", False),
        (["user*"], "room", "users-of-a", True),
        (["u*"], "user", "42", False),
        (["room*"], "room", "a", False),
        (["room*"], "room", "rooms", True),
        (["r*"], "room", "a", False),
        (["user"], "room", "user", True),
    ],
)
def test_whom_a_client_may_send_to(patterns: list[str], kind: str, name: str, allowed: bool):
    assert may_send(patterns, kind, name) is allowed
