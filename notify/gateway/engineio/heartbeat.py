"""Pings and timeouts of all connections, on one timer."""

from __future__ import annotations

import asyncio
from math import ceil
from typing import NamedTuple, Protocol

from notify.gateway.engineio.timers import Bucket, Wheel

LONGEST_TICK_S = 0.25
TICKS_A_DELAY = 8
"""At least so many ticks go into the shortest delay, so that sub-second intervals are kept as well."""


class Beating(Protocol):
    """A connection with a pulse."""

    bucket: Bucket[Beating] | None
    awaiting_pong: bool

    def ping(self) -> None:
        """Send a PING, before anything that is still queued."""

    def ping_timed_out(self) -> None:
        """The peer did not answer in time."""


class Beat(NamedTuple):
    """Where in its rhythm a connection is, wherever it goes on."""

    awaiting_pong: bool
    left_s: float
    """Until its next PING is due, or its PONG."""


class Heartbeat:
    """Engine.IO protocol v4, "Heartbeat": PING every interval, PONG within the timeout, or the end.

    A silent peer is ended within `interval_s + timeout_s` of its last PONG: the PING goes out up to two ticks
    early, and the timeout counts from there.
    """

    __slots__ = ("_interval_s", "_timeout_ticks", "_wheel")

    def __init__(self, *, interval_s: float, timeout_s: float) -> None:
        if interval_s <= 0 or timeout_s <= 0:
            raise ValueError("ping_interval and ping_timeout must be greater than 0")
        longest = min(LONGEST_TICK_S, min(interval_s, timeout_s) / TICKS_A_DELAY)
        self._timeout_ticks = ceil(timeout_s / longest)
        tick_s = timeout_s / self._timeout_ticks
        self._interval_s = interval_s - tick_s
        self._wheel: Wheel[Beating] = Wheel(self._expire, tick_s=tick_s)

    def start(self, connection: Beating) -> None:
        """Begin an interval: after the handshake and after each PONG."""
        connection.awaiting_pong = False
        connection.bucket = self._wheel.add(connection, self._interval_s)

    def beat_of(self, connection: Beating) -> Beat:
        """Where a connection is, which goes on elsewhere."""
        if connection.bucket is None:
            return Beat(connection.awaiting_pong, 0.0)
        due = connection.bucket.tick * self._wheel.tick_s
        return Beat(connection.awaiting_pong, max(0.0, due - asyncio.get_running_loop().time()))

    def resume(self, connection: Beating, beat: Beat | None) -> None:
        """Go on with a connection that comes from elsewhere. None: nobody knows, so it is sent a PING."""
        timeout_s = self._timeout_ticks * self._wheel.tick_s
        connection.awaiting_pong = beat is None or beat.awaiting_pong
        delay_s = timeout_s
        if beat is not None:
            delay_s = min(beat.left_s, timeout_s if beat.awaiting_pong else self._interval_s)
        connection.bucket = self._wheel.add(connection, delay_s)
        if beat is None:
            connection.ping()

    def pong(self, connection: Beating) -> None:
        """The peer has answered. One that answers unasked changes nothing."""
        if connection.awaiting_pong and connection.bucket is not None:
            connection.bucket.discard(connection)
            self.start(connection)

    def remove(self, connection: Beating) -> None:
        """The connection has ended."""
        if connection.bucket is not None:
            connection.bucket.discard(connection)
            connection.bucket = None

    def stop(self) -> None:
        """Forget everyone."""
        self._wheel.stop()

    def _expire(self, connection: Beating) -> None:
        bucket = connection.bucket
        if bucket is None:
            return
        if connection.awaiting_pong:
            connection.ping_timed_out()
            return
        connection.awaiting_pong = True
        # From the tick the PING was due at, not from now: a busy loop does not lengthen the timeout.
        connection.bucket = self._wheel.add_at(connection, bucket.tick + self._timeout_ticks)
        connection.ping()
