"""One loop for all connections to Redis."""

from __future__ import annotations

import asyncio

import pytest

from notify.domain.errors import Unavailable
from notify.redis import reconnecting
from notify.redis.reconnecting import Reconnecting
from tests.support.waiting import until


class Line:
    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()


class Story:
    """A connection that is made, or not, as `outcomes` say, and what was told of it."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.told: list[str] = []
        self.kept = Reconnecting(
            self.connect,
            name="story",
            on_lost=lambda: self.told.append("lost"),
            on_failed=lambda: self.told.append("failed"),
            on_back=lambda: self.told.append("back"),
        )

    @property
    def line(self) -> Line:
        """The connection that stands."""
        assert self.kept.current is not None
        return self.kept.current

    async def connect(self) -> Line:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        return Line()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(reconnecting, "RECONNECT_MIN_S", 0.001)
    monkeypatch.setattr(reconnecting, "RECONNECT_MAX_S", 0.004)


async def test_a_lost_connection_is_made_again_until_that_works():
    story = Story(None, Unavailable("away"), Unavailable("away"), None)
    await story.kept.start()
    first = story.line
    first.lost.set_result(None)
    await until(lambda: "back" in story.told)
    assert story.told == ["lost", "failed", "failed", "back"]
    assert story.kept.current is not first
    story.line.lost.set_result(None)
    await until(lambda: story.told.count("back") == 2)
    await story.kept.stop()


async def test_a_fault_of_ours_does_not_end_the_loop():
    story = Story(None, RuntimeError("a fault"), None)
    await story.kept.start()
    story.line.lost.set_result(None)
    await until(lambda: "back" in story.told)
    assert story.told == ["lost", "failed", "back"]
    await story.kept.stop()


async def test_the_first_failure_is_the_callers():
    story = Story(Unavailable("away"))
    with pytest.raises(Unavailable):
        await story.kept.start()
    assert story.told == []
    await story.kept.stop()


async def test_nothing_is_made_after_the_stop():
    story = Story(None)
    await story.kept.start()
    await story.kept.stop()
    story.line.lost.set_result(None)
    await asyncio.sleep(0)
    assert story.told == []
