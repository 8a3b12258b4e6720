"""Channels and their addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.channel import Channel, owner_of
from notify.domain.names import namespace_fault, room_name_fault

NAMESPACES = st.text(st.sampled_from("ab:%/3A25@é"), max_size=8).map(lambda text: "/" + text)
NAMED = st.text(st.sampled_from("ab:%/3A25@*é "), min_size=1, max_size=8)
CHANNELS = st.one_of(
    st.builds(Channel, NAMESPACES, st.just("all"), st.just("")),
    st.builds(Channel, NAMESPACES, st.sampled_from(["user", "room"]), NAMED),
)


@given(CHANNELS)
def test_an_address_stands_for_one_channel(channel: Channel):
    assert Channel.parse(channel.address) == channel


@given(st.lists(CHANNELS, max_size=30))
def test_no_two_channels_share_an_address(channels: list[Channel]):
    assert len({channel.address for channel in channels}) == len(set(channels))


@given(CHANNELS.filter(lambda channel: channel.kind != "room" or room_name_fault(channel.name) is None))
def test_the_room_of_python_socketio_stands_for_one_channel(channel: Channel):
    assert Channel.of_room(channel.namespace, channel.room) == channel


@pytest.mark.parametrize(
    ("channel", "address", "room"),
    [
        (Channel("/", "user", "42"), "user:/:42", "@user/42"),
        (Channel("/", "user", "a:b"), "user:/:a:b", "@user/a:b"),
        (Channel("/", "room", "project:7"), "room:/:project:7", "project:7"),
        (Channel("/chat", "all"), "all:/chat:", None),
        (Channel("/a:b%", "room", "c"), "room:/a%3Ab%25:c", "c"),
    ],
)
def test_addresses(channel: Channel, address: str, room: str | None):
    assert channel.address == address
    assert channel.room == room


@pytest.mark.parametrize(
    "address", ["", "user", "user:/", "team:/:x", "room:x:y", "all:/:x", "user:/:", "room:/:", ":/:x", "::"]
)
def test_what_is_not_an_address(address: str):
    with pytest.raises(ValueError, match=r"\w"):
        Channel.parse(address)


def test_own_namespaces():
    assert owner_of("/users/42") == "42"
    assert owner_of("/users/a/b") == "a/b"
    assert owner_of("/users") is None
    assert owner_of("/usersx/42") is None
    assert owner_of("/") is None
    assert namespace_fault("/users/") is not None  # nobody's
