"""Who is connected, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of a user: its sid, the node it is on, its transport, since when (unix seconds)."""

    sid: str
    namespace: str
    node: str
    transport: str
    since: int


@dataclass(frozen=True, slots=True)
class Presence:
    """A user's connections on all nodes. `last_seen` (unix seconds) is when the last one ended, if known."""

    connections: tuple[Connection, ...]
    last_seen: int | None

    @property
    def online(self) -> bool:
        """True with at least one connection."""
        return bool(self.connections)


@dataclass(frozen=True, slots=True)
class Reached:
    """The outcome of an order to all nodes: how many connections it reached, and which running nodes did not
    answer. Those carry it out once they hear the others again.
    """

    connections: int
    silent: tuple[str, ...] = ()
