"""Targets and the channels they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.channel import Channel, owner_of
from notify.domain.notifications.notification import Target

NAMES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(tuple)
TARGETS = st.builds(Target, users=NAMES, rooms=NAMES, all=st.booleans())


def channels_of_socket(user: str, rooms: set[str], namespace: str) -> set[Channel]:
    """What a socket of this user is in (see DESIGN.md section 7)."""
    if owner_of(namespace) is not None:
        return {Channel("/", "user", user), Channel(namespace, "all")}
    return {
        Channel(namespace, "user", user),
        Channel(namespace, "all"),
        *(Channel(namespace, "room", room) for room in rooms),
    }


def test_each_channel_once_and_in_order():
    target = Target(users=("2", "1", "2"), rooms=("r", "r"), all=True)
    assert target.channels("/x") == (
        Channel("/x", "user", "2"),
        Channel("/x", "user", "1"),
        Channel("/x", "room", "r"),
        Channel("/x", "all"),
    )
    assert Target().channels("/") == ()


@given(TARGETS)
def test_a_users_own_namespace_has_one_channel(target: Target):
    namespace = "/users/a"
    mine = target.all or "a" in target.users
    assert target.channels(namespace) == ((Channel(namespace, "all"),) if mine else ())


@given(
    target=TARGETS,
    user=st.sampled_from(["a", "b", "z"]),
    rooms=st.sets(st.sampled_from(["a", "b", "c", "z"])),
    namespace=st.sampled_from(["/", "/x", "/users/a"]),
)
def test_a_socket_is_in_two_of_the_channels_only_if_they_overlap(
    target: Target, user: str, rooms: set[str], namespace: str
):
    shared = channels_of_socket(user, rooms, namespace) & set(target.channels(namespace))
    assert len(shared) <= 1 or target.overlaps


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (Target(users=("1",)), "user"),
        (Target(users=("1", "2")), "users"),
        (Target(rooms=("a",)), "room"),
        (Target(rooms=("a", "b")), "rooms"),
        (Target(all=True), "all"),
        (Target(users=("1",), rooms=("a",)), "mixed"),
        (Target(rooms=("a",), all=True), "mixed"),
        (Target(users=("1",), all=True), "mixed"),
    ],
)
def test_kinds_for_counting(target: Target, kind: str):
    assert target.kind == kind
