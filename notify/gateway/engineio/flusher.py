"""What was sent to a socket in one turn of the loop leaves in one write."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Flushable(Protocol):
    """Something that holds packets until it is told to write them."""

    def flush(self) -> None:
        """Write what is held, if the transport takes it."""


class Flusher:
    """One callback a turn for all sockets that have something to write: no task and no timer of their own."""

    __slots__ = ("_dirty", "_loop", "_scheduled")

    def __init__(self) -> None:
        self._dirty: list[Flushable] = []
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, socket: Flushable) -> None:
        """Have `socket.flush()` called at the end of this turn, or in the next."""
        self._dirty.append(socket)
        if not self._scheduled:
            self._scheduled = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self.flush)

    def begin(self) -> None:
        """What is added from here on is written by a `flush()` of the caller's, in this turn of the loop."""
        self._scheduled = True

    def flush(self) -> None:
        """Write now what all sockets hold."""
        self._scheduled = False
        dirty, self._dirty = self._dirty, []
        for socket in dirty:
            try:
                socket.flush()
            except Exception:  # one socket's fault must not keep the others' packets back
                log.exception("Writing to a socket failed")
