"""What one client got, and when it was connected: all that the checker needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Arrival:
    """One notification: the stream it belongs to, its number in it, its offset, when it came."""

    stream: str
    number: int
    offset: tuple[str, int, int]
    at: float


@dataclass
class Record:
    """One user with one connection.

    `told` are the times, lost and back, between which the server said that it could not recover; `resumes`
    are the seconds from each loss to the next CONNECT.
    """

    user: str
    rooms: Sequence[str]
    groups: Sequence[str] = ()
    """Lists of users that it is on: what is posted to all of a list is one notification to many."""
    arrivals: list[Arrival] = field(default_factory=list)
    told: list[tuple[float, float]] = field(default_factory=list)
    resumes: list[float] = field(default_factory=list)
    connects: int = 0
    connected_at: float | None = None
    first_connected_at: float | None = None
    _lost_at: float | None = None

    @property
    def streams(self) -> set[str]:
        """The streams it is to receive."""
        lists = (f"g:{group}" for group in self.groups)
        return {f"u:{self.user}", *(f"r:{room}" for room in self.rooms), *lists, "all"}

    def took(self, title: str, offset: str, at: float) -> None:
        """A notification came. Its title is `<stream>#<number>`."""
        epoch, ms, seq = offset.split("-")
        stream, _, number = title.rpartition("#")
        self.arrivals.append(Arrival(stream, int(number), (epoch, int(ms), int(seq)), at))

    def admitted(self, at: float, *, recovered: bool) -> None:
        """It was let in: for the first time, with its session back, or told that its place is lost."""
        if self._lost_at is not None:
            self.resumes.append(at - self._lost_at)
        if self.first_connected_at is None:
            self.first_connected_at = at
        elif not recovered:
            self.told.append((self._lost_at if self._lost_at is not None else at, at))
        self.connected_at = at
        self.connects += 1
        self._lost_at = None

    def lost(self, at: float) -> None:
        """Its connection is gone."""
        if self.connected_at is not None:
            self.connected_at = None
            self._lost_at = at
