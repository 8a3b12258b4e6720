"""Connections to the public port on which no whole request has come yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar


class Droppable(Protocol):
    """A connection that nobody waits for."""

    def drop(self) -> None:
        """End it at once."""


Connection = TypeVar("Connection", bound=Droppable)


class SilentConnections(dict[Connection, None]):
    """They have a descriptor each and nothing else to show: with `most()` of them the oldest makes room."""

    def __init__(self, *, most: Callable[[], int], evicted: Callable[[], None]) -> None:
        """`evicted` is called for each that makes room."""
        super().__init__()
        self._most = most
        self._evicted = evicted

    def add(self, connection: Connection) -> None:
        """One more has been made."""
        self[connection] = None
        while len(self) > max(1, self._most()):
            oldest = next(iter(self))
            del self[oldest]
            self._evicted()
            oldest.drop()

    def discard(self, connection: Connection) -> None:
        """It has sent a request, or is gone."""
        self.pop(connection, None)
