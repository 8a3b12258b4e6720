"""Lets clients in a bounded number at a time, in the order in which they came; none waits for ever."""

from __future__ import annotations

import asyncio
from collections import deque

from notify.domain.errors import Unavailable
from notify.gateway.stats import GatewayStats


class Pacing:
    """Turns, in the order in which they were asked for. Whoever has one gives it back by `done`.

    So what is under way for clients that come is bounded, however many of them there are.
    """

    def __init__(self, *, at_once: int, longest_wait_s: float, stats: GatewayStats) -> None:
        self._free = at_once
        self._longest_wait_s = longest_wait_s
        self._stats = stats
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self) -> None:
        """Return when it is one's turn. Raises Unavailable when that takes too long."""
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((loop.time() + self._longest_wait_s, turn))
        if self._timer is None:
            self._timer = loop.call_later(self._longest_wait_s, self._look_at_the_first)
        self._stats.connects_waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.done()  # it had just come
            raise
        finally:
            self._stats.connects_waiting -= 1

    def done(self) -> None:
        """Give a turn back: the next one gets it."""
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _look_at_the_first(self) -> None:
        """End the waits that have become too long, and look again when the next one has."""
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            deadline, turn = self._waiting[0]
            if not turn.done():
                if deadline > loop.time():
                    self._timer = loop.call_at(deadline, self._look_at_the_first)
                    return
                turn.set_exception(Unavailable("Too many clients are coming at once", retry_after_s=1))
            self._waiting.popleft()
