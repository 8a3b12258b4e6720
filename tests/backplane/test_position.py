"""Everything up to an offset, and everything at it: two statements."""

from __future__ import annotations

import pytest

from notify.backplane.delivery import Delivery
from notify.backplane.membership import Room
from notify.backplane.position import AHEAD_MS, Position, Start
from notify.domain.channel import Channel
from notify.domain.offset import Offset


def at(ms: int, epoch: str = "e") -> Offset:
    return Offset(epoch, ms, 0)


def room(name: str) -> Room:
    made = Room(Channel("/", "user", name))
    made.topic = name.encode()
    return made


A, B = room("a"), room("b")


def heard(position: Position, *pairs: tuple[Room, Offset]) -> bool:
    return position.heard(
        [(where, Delivery(f'{offset} - -\n["x","{offset}"]'.encode())) for where, offset in pairs]
    )


def start(position: Position, where: Room) -> Start:
    (found,) = position.starts([where])
    return found


@pytest.fixture
def position() -> Position:
    made = Position()
    made.canary(at(10), 10)
    return made


def test_nothing_is_known_before_the_first_canary():
    position = Position()
    assert heard(position, (A, at(5)))
    assert (position.latest, position.complete, position.starts([A])) == (None, None, [])
    assert not position.reached(at(1))


def test_a_message_proves_what_came_before_it_and_not_its_own_offset(position):
    heard(position, (A, at(12)))
    assert (position.complete, position.latest) == (at(10), at(12))
    assert position.reached(at(10))
    assert not position.reached(at(12))
    heard(position, (A, at(13)))
    assert position.complete == at(12)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_topic_that_had_the_last_offset_is_read_after_it_and_others_at_it(position, pieces):
    copies = [(A, at(12)), (room("c"), at(12))]
    for begin in range(0, 2, 2 // pieces):
        heard(position, *copies[begin : begin + 2 // pieces])
    assert start(position, A) == Start(at(12), inclusive=False)
    assert start(position, copies[1][0]) == Start(at(12), inclusive=False)
    assert start(position, B) == Start(at(12), inclusive=True)


def test_within_one_piece_the_offset_before_the_last_is_proven(position):
    heard(position, (A, at(11)), (A, at(12)), (B, at(13)), (A, at(13)))
    assert (position.complete, position.latest) == (at(12), at(13))


def test_a_canary_proves_its_clock_on_all_topics(position):
    heard(position, (A, at(12)))
    assert position.canary(at(12), 12)
    assert position.reached(at(12))
    assert start(position, B) == Start(at(12), inclusive=False)


def test_a_room_that_was_opened_later_is_read_from_there(position):
    late = room("late")
    late.since = at(20)
    heard(position, (A, at(12)))
    assert start(position, late) == Start(at(20), inclusive=False)
    heard(position, (A, at(21)))
    assert start(position, late) == Start(at(21), inclusive=True)
    late.since = at(99, "another")
    assert start(position, late) == Start(at(21), inclusive=True)


def test_offsets_far_ahead_do_not_move_it_until_a_canary_says_so(position):
    far = at(10 + AHEAD_MS + 1)
    assert heard(position, (A, at(11)), (A, far))
    assert position.latest == at(11)
    position.canary(far, far.ms)
    assert position.complete == far


def test_a_canary_takes_back_what_was_never_published(position):
    heard(position, (A, at(5_000)))
    position.canary(at(12), 12)
    assert (position.complete, position.latest) == (at(12), at(12))


def test_only_a_canary_changes_the_epoch(position):
    assert not heard(position, (A, at(11)), (A, at(99, "other")))
    assert position.latest == at(11)
    assert not position.canary(at(1, "other"), 12)
    assert (position.complete, position.latest) == (at(1, "other"), at(1, "other"))


def test_what_is_old_moves_nothing(position):
    heard(position, (A, at(12)))
    heard(position, (B, at(3)))
    assert (position.complete, position.latest) == (at(10), at(12))
    assert start(position, B).inclusive
