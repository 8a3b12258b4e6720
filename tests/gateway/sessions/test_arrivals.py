"""Clients of one turn share their calls to Redis, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from notify.backplane.membership import Room
from notify.domain.channel import Channel
from notify.domain.errors import Unavailable
from notify.gateway.engineio.handlers import Handlers
from notify.gateway.sessions.arrivals import MOST_IN_ONE, Arrivals, Batch


class Answering:
    """Doubles numbers; refuses a batch with a number that it does not like."""

    def __init__(self, *, refuses: int | None = None, away: bool = False) -> None:
        self.calls: list[list[int]] = []
        self._refuses = refuses
        self._away = away

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        await asyncio.sleep(0)
        if self._away:
            raise Unavailable("Redis is away")
        if self._refuses in numbers:
            raise ValueError(self._refuses)
        return [number * 2 for number in numbers]


async def test_those_of_one_turn_are_answered_by_one_call_and_in_order():
    answering = Answering()
    batch = Batch(answering)
    first = [batch.ask(number) for number in range(5)]
    assert await asyncio.gather(*first) == [0, 2, 4, 6, 8]
    assert await batch.ask(7) == 14
    assert answering.calls == [[0, 1, 2, 3, 4], [7]]


async def test_a_crowd_is_answered_in_several_calls():
    answering = Answering()
    batch = Batch(answering)
    crowd = range(2 * MOST_IN_ONE + 1)
    assert await asyncio.gather(*map(batch.ask, crowd)) == [number * 2 for number in crowd]
    assert [len(call) for call in answering.calls] == [MOST_IN_ONE, MOST_IN_ONE, 1]


async def test_those_who_are_started_a_turn_later_are_waited_for():
    answering, handlers = Answering(), Handlers()
    batch = Batch(answering, more_come=lambda: not handlers.idle)
    answers: list[int] = []

    async def arrive(number: int) -> None:
        answers.append(await batch.ask(number))

    for number in range(5):
        handlers.submit(arrive(number))
    await handlers.close(grace_s=5)
    assert answers == [0, 2, 4, 6, 8]
    assert answering.calls == [[0, 1, 2, 3, 4]]


async def test_what_is_wrong_with_one_does_not_cost_the_others():
    batch = Batch(Answering(refuses=2))
    answers = await asyncio.gather(*map(batch.ask, range(4)), return_exceptions=True)
    assert [answers[0], answers[1], answers[3]] == [0, 2, 6]
    assert isinstance(answers[2], ValueError)


async def test_while_redis_is_away_nobody_is_asked_about_twice():
    answering = Answering(away=True)
    batch = Batch(answering)
    answers = await asyncio.gather(*map(batch.ask, range(4)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert len(answering.calls) == 1


async def test_one_who_gives_up_does_not_cost_the_others():
    batch = Batch(Answering())
    gone, there = batch.ask(1), batch.ask(2)
    gone.cancel()
    assert await there == 4


async def test_stopping_cancels_whoever_waits():
    never = asyncio.Event()

    async def wait(numbers: Sequence[int]) -> list[int]:
        await never.wait()
        return list(numbers)

    batch = Batch(wait)
    waiting = batch.ask(1)
    await asyncio.sleep(0)
    await batch.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting


class Confirming:
    """A subscriber whose Redis confirms when the test says so, and the sessions that begin meanwhile."""

    def __init__(self, *, timeout_s: float = 60) -> None:
        self.asked = asyncio.Event()
        self.confirmed = asyncio.Event()
        self.began: list[Any] = []
        """The sessions that have begun, each with whether all channels were heard by then."""
        stand_in: Any = self
        self.arrivals = Arrivals(
            subscriber=stand_in, sessions=stand_in, more_come=lambda: False, timeout_s=timeout_s
        )

    async def all_ready(self, rooms: Sequence[Room]) -> None:
        self.asked.set()
        await self.confirmed.wait()
        for room in rooms:
            room.ready = True

    async def read(self, wanted: Sequence[Any]) -> list[None]:
        return [None] * len(wanted)

    async def open(self, openings: Sequence[Any]) -> list[Any]:
        self.began += [(opening, self.confirmed.is_set()) for opening in openings]
        return list(openings)


def arrival(name: str) -> Any:
    """A member of one channel that nobody here has heard yet."""
    return SimpleNamespace(rooms=[Room(Channel("/", "user", name))])


async def turns(count: int = 20) -> None:
    """Let everything run that is not waiting for something."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_session_begins_only_after_its_channels_are_heard():
    confirming = Confirming()
    names: list[Any] = ["ada", "grace"]
    opened = [asyncio.ensure_future(confirming.arrivals.open(arrival(name), name)) for name in names]
    await confirming.asked.wait()
    await turns()
    assert confirming.began == []  # what is published now would be neither heard nor owed
    confirming.confirmed.set()
    assert await asyncio.gather(*opened) == names
    assert confirming.began == [("ada", True), ("grace", True)]


async def test_a_session_whose_channels_are_never_heard_does_not_begin():
    confirming = Confirming(timeout_s=0.01)
    opening: Any = "ada"
    with pytest.raises(Unavailable):
        await confirming.arrivals.open(arrival("ada"), opening)
    assert confirming.began == []
