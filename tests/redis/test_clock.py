"""Redis' clock as a node tells it."""

from __future__ import annotations

import pytest

from notify.redis.clock import RedisClock


class Clocks:
    """This machine's clocks, which a test sets."""

    def __init__(self) -> None:
        self.monotonic_s = 100.0
        self.wall_s = 5_000_000.0
        self.redis = RedisClock(monotonic=lambda: self.monotonic_s, wall=lambda: self.wall_s)

    def answer(self, redis_s: float, *, took_s: float = 0.0) -> None:
        """Redis says its time after so long."""
        sent_at = self.monotonic_s
        self.monotonic_s += took_s
        self.wall_s += took_s
        self.redis.observe(redis_s, sent_at=sent_at)


def test_until_redis_has_said_it_is_this_machines():
    clocks = Clocks()
    assert not clocks.redis.known
    assert clocks.redis.now() == 5_000_000.0


def test_it_goes_by_redis_whatever_this_machine_says():
    clocks = Clocks()
    clocks.answer(1_000_000.0)
    clocks.monotonic_s += 7.5
    clocks.wall_s -= 3600  # somebody sets the clock
    assert clocks.redis.now_ms() == 1_000_007_500
    assert clocks.redis.ahead_s == pytest.approx(5_000_000 - 3600 - 1_000_007.5)


def test_it_is_right_to_within_the_round_trip_and_does_not_jitter():
    clocks = Clocks()
    clocks.answer(1_000_000.5, took_s=1.0)
    assert clocks.redis.now() == pytest.approx(1_000_001.0)
    clocks.answer(1_000_001.2, took_s=2.0)  # consistent with what is known
    assert clocks.redis.now() == pytest.approx(1_000_003.0)
    clocks.answer(1_000_003.4, took_s=0.2)  # a better answer: it was said no earlier than it was asked
    assert clocks.redis.now() == pytest.approx(1_000_003.4, abs=0.21)


def test_it_follows_when_redis_clock_is_set_or_another_server_takes_over():
    clocks = Clocks()
    clocks.answer(1_000_000.0)
    clocks.answer(900_000.0)
    assert clocks.redis.now() == 900_000.0
