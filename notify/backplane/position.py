"""How far a node has heard the one order of everything published.

One offset may be on many topics, each of which gets a copy of the message. So "everything up to this offset
has come" and "something at this offset has come" are two statements, and a connection may be lost between
them. A later offset proves the first of all offsets before it, since a message's copies leave Redis in one
piece; a canary, which carries the clock, proves it of the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from notify.backplane.delivery import Delivery
from notify.backplane.membership import Room
from notify.domain.offset import Offset

AHEAD_MS = 600_000
"""How far beyond the clock, as the last canary brought it, a message's offset is believed. The next canary
tells a Redis whose time was set forward from somebody else who writes on our topics."""


class Start(NamedTuple):
    """From where a log is to be read: after `offset`, or at it when what stands there is owed too."""

    offset: Offset
    inclusive: bool


class Position:
    """What has been handed on of everything published, for the topics that this node is subscribed to."""

    __slots__ = ("_at_latest", "_believed_ms", "complete", "heard_ms", "latest")

    def __init__(self) -> None:
        self.complete: Offset | None = None
        """Everything up to this offset, and at it, has been handed on. None before the first canary."""
        self.latest: Offset | None = None
        """The latest offset of which anything was handed on."""
        self.heard_ms = 0
        """When the last canary left Redis, in unix ms by Redis' own time."""
        self._at_latest: list[bytes] = []
        """The topics that have handed on what they have at `latest`."""
        self._believed_ms = 0

    def canary(self, clock: Offset, redis_ms: int) -> bool:
        """A canary came: everything up to `clock` has been handed on, and nothing beyond it exists.

        False when the clock is of another epoch, that is, when Redis has lost its data.
        """
        same = self.latest is None or clock.epoch == self.latest.epoch
        # The canary is right even where it is behind: whatever is ahead of it was not published by us.
        self.complete = self.latest = clock
        self._at_latest = []
        self.heard_ms = redis_ms
        self._believed_ms = max(clock.ms, redis_ms) + AHEAD_MS
        return same

    def restart(self, clock: Offset) -> None:
        """Begin anew at `clock`, whatever was heard before."""
        self.complete = self.latest = clock
        self._at_latest = []
        self._believed_ms = max(clock.ms + AHEAD_MS, self._believed_ms)

    def heard(self, pairs: Sequence[tuple[Room, Delivery]]) -> bool:
        """Messages were handed on, in order. False when one of them is of another epoch.

        Only a canary moves the position into another epoch, or far ahead: whoever may publish on our topics
        could otherwise send it anywhere.
        """
        latest = self.latest
        if latest is None:
            return True
        if len(pairs) == 1:  # by far the most frequent case
            room, delivery = pairs[0]
            offset = delivery.offset
            if latest < offset and offset[0] == latest[0] and offset[1] <= self._believed_ms:
                self.complete, self.latest, self._at_latest = latest, offset, [room.topic]
                return True
        familiar, before = True, latest
        newest: Offset | None = None
        for room, delivery in reversed(pairs):
            offset = delivery.offset
            if offset.epoch != latest.epoch:
                familiar = False
            elif offset.ms > self._believed_ms:
                pass
            elif newest is None:
                if offset < latest:
                    break
                if offset > latest:
                    self._at_latest = []
                newest = offset
                self._at_latest.append(room.topic)
            elif offset == newest:
                self._at_latest.append(room.topic)
            else:
                before = offset
                break
        if newest is not None and newest > latest:
            self.latest = newest
            self.complete = max(before, latest)
        return familiar

    def reached(self, offset: Offset) -> bool:
        """True when everything up to `offset`, and at it, has been handed on."""
        return self.complete is not None and not offset.follows(self.complete)

    def starts(self, rooms: Sequence[Room]) -> list[Start]:
        """From where each channel's log holds what was not handed on. Nothing before the first canary."""
        latest = self.latest
        if latest is None:
            return []
        had = set(self._at_latest)
        whole = latest == self.complete
        return [
            Start(room.since, inclusive=False)
            if room.since is not None and room.since.epoch == latest.epoch and room.since >= latest
            else Start(latest, inclusive=not whole and room.topic not in had)
            for room in rooms
        ]
