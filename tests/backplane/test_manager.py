"""What one read from Redis brings: who is told when something is due, and when it is written."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from notify.backplane.delivery import Delivery, EventVariant
from notify.backplane.manager import AT_ONCE, RedisManager
from notify.backplane.membership import Member, Room
from notify.backplane.stats import BackplaneStats
from notify.domain.channel import Channel
from notify.gateway.engineio.flusher import Flusher
from notify.protocol.engineio import Wire


class Held:
    """A socket that holds what it is sent until it is flushed."""

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher
        self.sent: list[Wire] = []
        self.written: list[bytes] = []

    def send(self, wire: Wire) -> None:
        self.sent.append(wire)
        self._flusher.add(self)

    def flush(self) -> None:
        self.written += [wire.payload for wire in self.sent]
        self.sent = []


class Scene:
    """A manager without Redis, with rooms of one member each."""

    def __init__(self) -> None:
        self.due: list[tuple[str, int]] = []
        self.flusher = Flusher()
        nothing: Any = None
        self.manager = RedisManager(
            subscriber=SimpleNamespace(),  # type: ignore[arg-type]
            publish=nothing,
            socketio_topic="socketio",
            stats=BackplaneStats(),
            on_gap=nothing,
            on_command=nothing,
            on_due=lambda user, due_ms: self.due.append((user, due_ms)),
        )
        self.manager.writer = self.flusher

    def room(self, user: str) -> tuple[Room, Held]:
        room, socket = Room(Channel("/", "user", user)), Held(self.flusher)
        member = Member(user, "/", socket)  # type: ignore[arg-type]
        member.variant = EventVariant("/", with_offset=True)
        room.add(member)
        return room, socket


def delivery(seq: int, *, due_ms: int = 0, flags: str = "-") -> Delivery:
    offset = f"abc-1795650953811-{seq}"
    return Delivery(f'{offset} {flags} 2;{due_ms};ntf_{seq};-\n["notification",{{}},"{offset}"]'.encode())


@pytest.mark.parametrize("flags", ["-", "o"])
async def test_each_message_of_a_read_tells_when_something_is_due(flags: str):
    scene = Scene()
    ada, _ = scene.room("ada")
    bo, _ = scene.room("bo")
    scene.manager.deliver(
        [
            (ada, delivery(1, due_ms=900, flags=flags)),
            (ada, delivery(2, due_ms=500, flags=flags)),
            (ada, delivery(3, flags=flags)),
            (bo, delivery(4, flags=flags)),
            (bo, delivery(5, due_ms=700, flags=flags)),
        ]
    )
    assert scene.due == [("ada", 900), ("ada", 500), ("bo", 700)]


async def test_few_messages_are_written_in_the_turn_in_which_they_came():
    scene = Scene()
    pairs = [scene.room(f"user-{number}") for number in range(AT_ONCE)]
    scene.manager.deliver([(room, delivery(number)) for number, (room, _) in enumerate(pairs)])
    assert [len(socket.written) for _, socket in pairs] == [1] * AT_ONCE


async def test_many_messages_wait_for_what_the_next_read_brings():
    scene = Scene()
    room, socket = scene.room("ada")
    scene.manager.deliver([(room, delivery(number)) for number in range(AT_ONCE + 1)])
    assert (len(socket.written), len(socket.sent)) == (0, 1)
    scene.flusher.flush()
    assert len(socket.written) == 1


async def test_what_is_sent_after_a_read_is_written_by_the_next_turn():
    scene = Scene()
    room, socket = scene.room("ada")
    scene.manager.deliver([(room, delivery(1))])
    socket.send(Wire(b"2"))
    assert len(socket.written) == 1
    await _turns()
    assert socket.written[1:] == [b"2"]


async def test_what_was_sent_before_a_read_is_written_before_it():
    scene = Scene()
    room, socket = scene.room("ada")
    socket.send(Wire(b"2"))
    scene.manager.deliver([(room, delivery(1))])
    assert socket.written[0] == b"2"
    assert len(socket.written) == 2
    await _turns()
    assert len(socket.written) == 2


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)
