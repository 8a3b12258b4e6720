"""What a node missed while it was not subscribed, read from the logs of its channels."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from notify.backplane.delivery import Delivery
from notify.backplane.membership import Room
from notify.backplane.position import Position, Start
from notify.backplane.stats import BackplaneStats
from notify.domain.channel import Channel
from notify.domain.offset import Offset

CHANNELS = 200
"""Logs that one call asks for, so that Redis is never busy for long."""

log = structlog.get_logger(__name__)


class CaughtUp(Protocol):
    """An answer of the store; see `notify.store.log.CaughtUp`."""

    @property
    def verdict(self) -> str: ...
    @property
    def clock(self) -> Offset | None: ...
    @property
    def missed(self) -> Sequence[tuple[Channel, bytes]]: ...
    @property
    def gaps(self) -> Sequence[Channel]: ...
    @property
    def done(self) -> int: ...
    @property
    def come_to(self) -> Offset | None: ...


class Logs(Protocol):
    """What catching up asks of the store."""

    def catch_up(
        self,
        starts: Sequence[tuple[Channel, Offset, bool]],
        *,
        reached: Offset,
        heard_ms: int,
        window_ms: int,
    ) -> Awaitable[CaughtUp]:
        """What the channels' logs hold from those starts on. Raises Unavailable."""

    def retracted(self, notification_ids: Sequence[str]) -> Awaitable[frozenset[str]]:
        """Those of these notifications that were retracted. Raises Unavailable."""


@dataclass(slots=True)
class Missed:
    """What was found: messages in no order, and the rooms that have a gap."""

    messages: list[tuple[Room, Delivery]] = field(default_factory=list)
    gaps: list[Room] = field(default_factory=list)
    restart: Offset | None = None
    """Where to begin anew when the position cannot be used any more."""


async def read_missed(
    rooms: Sequence[Room], position: Position, *, logs: Logs, stats: BackplaneStats, window_s: float
) -> Missed:
    """Read all that was published to the rooms and has not been handed on. Raises Unavailable."""
    result = Missed()
    reached = position.latest
    if reached is None:
        return result
    left = list(zip(rooms, position.starts(rooms), strict=True))
    while left:
        batch = {room.channel: room for room, _ in left[:CHANNELS]}
        starts = [(room.channel, *start) for room, start in left[:CHANNELS]]
        answer = await logs.catch_up(
            starts, reached=reached, heard_ms=position.heard_ms, window_ms=int(window_s * 1000)
        )
        if answer.verdict != "ok":
            log.error("position_lost", reason=answer.verdict, reached=str(reached))
            return Missed([], list(rooms), answer.clock)
        owed: list[tuple[Room, Delivery]] = []
        for channel, message in answer.missed:
            try:
                owed.append((batch[channel], Delivery(message)))
            except (ValueError, TypeError, RecursionError):
                stats.malformed["log"] += 1
        result.messages += await _standing(owed, logs)
        result.gaps += [batch[channel] for channel in answer.gaps]
        left = left[answer.done :]
        if answer.come_to is not None:
            left[0] = (left[0][0], Start(answer.come_to, inclusive=False))
    if result.gaps:
        # Of a room that turned out to have a gap only after some of it was read nothing is handed on.
        cut = set(result.gaps)
        result.messages = [(room, delivery) for room, delivery in result.messages if room not in cut]
    return result


async def _standing(owed: list[tuple[Room, Delivery]], logs: Logs) -> list[tuple[Room, Delivery]]:
    """What was not retracted since it was published: changes are in no log, so nothing would take it away."""
    ids = dict.fromkeys(delivery.notification_id for _, delivery in owed)
    gone = await logs.retracted([id_ for id_ in ids if id_ is not None])
    return (
        [(room, delivery) for room, delivery in owed if delivery.notification_id not in gone]
        if gone
        else owed
    )
