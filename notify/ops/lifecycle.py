"""The states of a node: starting, ready, draining, stopped; and the signals that move it along."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class State(StrEnum):
    """Where a node is in its life. It only ever moves forward."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


_ORDER = list(State)


class Lifecycle:
    """The one place that knows whether this node takes work. Make it inside a running loop.

    The first SIGTERM or SIGINT begins the drain (`drain_wanted`), a second one, of either kind, ends it at
    once (`hurry`). Whoever drains waits for work with `sleep`, which a second signal cuts short.
    """

    def __init__(self) -> None:
        self.state = State.STARTING
        self.drain_wanted = asyncio.Event()
        self.hurry = asyncio.Event()
        self.interrupted = False
        """The first signal was SIGINT: from a person at a terminal, so no load balancer has to notice."""
        self._callbacks: list[Callable[[State], None]] = []

    def on_change(self, callback: Callable[[State], None]) -> None:
        """Have `callback` told of each new state, in the order of registration."""
        self._callbacks.append(callback)

    def move(self, state: State) -> bool:
        """Go on to `state`. False, and nothing happens, when it would be a step back or none."""
        if _ORDER.index(state) <= _ORDER.index(self.state):
            return False
        self.state = state
        for callback in self._callbacks:
            callback(state)
        return True

    def signalled(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """What a signal does."""
        if self.drain_wanted.is_set():
            self.hurry.set()
        else:
            self.interrupted = sign is signal.SIGINT
        self.drain_wanted.set()

    async def unless_signalled(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work. False when a signal came first: the work was cancelled then."""
        working = asyncio.create_task(work)
        waiting = asyncio.create_task(self.drain_wanted.wait())
        try:
            await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
            return working.done()
        finally:
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let SIGTERM and SIGINT arrive here. `uninstall` gives them back."""
        for each in SIGNALS:
            loop.add_signal_handler(each, self.signalled, each)

    def uninstall(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the signals back to Python."""
        for each in SIGNALS:
            loop.remove_signal_handler(each)

    async def sleep(self, seconds: float) -> bool:
        """Wait so long, or until somebody is in a hurry. True when the time was waited out."""
        if seconds <= 0:
            return not self.hurry.is_set()
        try:
            async with asyncio.timeout(seconds):
                await self.hurry.wait()
        except TimeoutError:
            return True
        return False
