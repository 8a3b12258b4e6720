"""How a notification is cut into calls of the script: each of bounded work, and nobody sees it twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from notify.domain.message import Message
from notify.domain.notifications.notification import Accepted, Notification, Target
from notify.domain.notifications.notification_id import new_id
from notify.service.pieces import PIECE, Once, pieces
from notify.store.log import Entry


def cut(target: Target, *, title: str | None = "Hello") -> Sequence[Entry]:
    now_ms = 1_795_650_000_000
    accepted = Accepted(new_id(now_ms), now_ms, now_ms + 60_000)
    return pieces(accepted, Notification(target, title=title), once=Once("x"), trace="-")


def left_out(entry: Entry) -> frozenset[str]:
    return Message(b"e-1-0 - 2;0;" + entry.tail + entry.array + b',"e-1-0"]').except_users


def names(count: int, kind: str) -> tuple[str, ...]:
    return tuple(f"{kind}-{number}" for number in range(count))


def test_a_few_overlapping_channels_share_one_offset():
    (entry,) = cut(Target(users=("ada",), rooms=("lobby",), all=True))
    assert [channel.kind for channel in entry.channels] == ["user", "room", "all"]
    assert entry.overlaps
    assert left_out(entry) == frozenset()


@pytest.mark.parametrize("title", ["Hello", None])
def test_of_many_the_users_come_first_and_are_left_out_of_what_goes_to_rooms(title):
    users, rooms = names(70, "user"), names(40, "room")
    target = Target(users=users, rooms=rooms, all=True, except_users=frozenset({"user-3", "eve"}))
    *to_users, to_rooms = cut(target, title=title)
    assert all(len(entry.channels) <= PIECE and not entry.overlaps for entry in to_users)
    named = [channel.name for entry in to_users for channel in entry.channels]
    assert set(users) - {"user-3"} <= set(named)
    assert len(set(named)) == len(named)
    assert {channel.kind for channel in to_rooms.channels} == {"room", "all"}
    assert len(to_rooms.channels) == 41
    assert to_rooms.overlaps
    assert to_rooms.inbox is None
    assert left_out(to_rooms) == {*users, "eve"}
    assert len({entry.once for entry in (*to_users, to_rooms)}) == len(to_users) + 1


def test_many_users_and_one_room_overlap_nowhere():
    *_, to_room = cut(Target(users=names(40, "user"), rooms=("lobby",)))
    assert not to_room.overlaps
    assert left_out(to_room) == set(names(40, "user"))


def test_rooms_alone_stay_together():
    (entry,) = cut(Target(rooms=names(100, "room")))
    assert entry.overlaps
    assert left_out(entry) == frozenset()
