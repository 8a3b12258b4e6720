"""Turns: so many at a time, in order, none lost, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from notify.domain.errors import Unavailable
from notify.gateway.sessions.pacing import Pacing
from notify.gateway.stats import GatewayStats


class Queue:
    """Tasks that ask for a turn, in order; `inside` are those that have had one."""

    def __init__(self, *, at_once: int, longest_wait_s: float = 30.0) -> None:
        self.stats = GatewayStats()
        self.pacing = Pacing(at_once=at_once, longest_wait_s=longest_wait_s, stats=self.stats)
        self.inside: list[int] = []

    def ask(self, *numbers: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._ask(number)) for number in numbers]

    async def _ask(self, number: int) -> None:
        await self.pacing.turn()
        self.inside.append(number)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_are_inside_and_the_others_follow_in_the_order_in_which_they_came():
    queue = Queue(at_once=2)
    tasks = queue.ask(1, 2, 3, 4, 5)
    await turns()
    assert queue.inside == [1, 2]
    assert queue.stats.connects_waiting == 3
    queue.pacing.done()
    await turns()
    assert queue.inside == [1, 2, 3]
    queue.pacing.done()
    queue.pacing.done()
    await asyncio.gather(*tasks)
    assert queue.inside == [1, 2, 3, 4, 5]
    assert queue.stats.connects_waiting == 0


async def test_who_goes_away_while_waiting_costs_nobody_a_turn():
    queue = Queue(at_once=1)
    first, second, third = queue.ask(1, 2, 3)
    await turns()
    second.cancel()
    await turns()
    queue.pacing.done()
    await asyncio.gather(first, third)
    assert queue.inside == [1, 3]
    assert queue.stats.connects_waiting == 0


async def test_who_goes_away_when_its_turn_has_just_come_passes_it_on():
    queue = Queue(at_once=1)
    first, second, third = queue.ask(1, 2, 3)
    await turns()
    queue.pacing.done()
    second.cancel()
    await asyncio.gather(first, third)
    assert queue.inside == [1, 3]


@pytest.fixture
async def pass_time(monkeypatch) -> Callable[[float], None]:
    """Move the clock of the loop on by so many seconds; otherwise it stands still."""
    loop = asyncio.get_running_loop()
    now = [loop.time()]
    monkeypatch.setattr(loop, "time", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


async def test_who_has_waited_too_long_is_told_and_those_behind_it_are_not(pass_time):
    queue = Queue(at_once=1, longest_wait_s=10.0)
    first, late = queue.ask(1, 2)
    await turns()
    pass_time(5.0)
    (in_time,) = queue.ask(3)
    await turns()
    pass_time(5.1)
    with pytest.raises(Unavailable) as raised:
        await late
    assert raised.value.retryable
    assert queue.stats.connects_waiting == 1
    queue.pacing.done()
    await asyncio.gather(first, in_time)
    assert queue.inside == [1, 3]
    assert queue.stats.connects_waiting == 0


async def test_the_next_one_is_told_in_its_time(pass_time):
    queue = Queue(at_once=1, longest_wait_s=10.0)
    first, second = queue.ask(1, 2)
    await turns()
    pass_time(9.0)
    (third,) = queue.ask(3)
    await turns()
    for late in (second, third):
        pass_time(9.5)
        with pytest.raises(Unavailable):
            await late
    await first


async def test_those_who_went_leave_all_turns_free(pass_time):
    queue = Queue(at_once=2, longest_wait_s=10.0)
    tasks = queue.ask(1, 2, 3, 4)
    await turns()
    tasks[2].cancel()
    pass_time(10.1)
    with pytest.raises(Unavailable):
        await tasks[3]
    queue.pacing.done()
    queue.pacing.done()
    more = queue.ask(5, 6, 7)
    await turns()
    assert queue.inside == [1, 2, 5, 6]
    queue.pacing.done()
    await asyncio.gather(*more)
