"""What the verbs count: plain integers, added to on hot paths; ops/metrics.py shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from notify.domain.histogram import Histogram

LATE = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
"""Upper bounds in seconds: from a round trip to Redis to a day on which no node lived."""


@dataclass(slots=True)
class ServiceStats:
    """Since the start of this node."""

    published: Counter[str] = field(default_factory=Counter)
    """Notifications accepted, by the kind of their target: user, users, room, rooms, all, mixed."""
    channels: int = 0
    """Channels that accepted notifications were written to."""
    idempotent_replays: int = 0
    """Requests answered with the answer of an earlier one with the same key."""
    client_messages: int = 0
    """Messages sent by clients to other clients."""
    scheduled: Counter[str] = field(default_factory=Counter)
    """What became of notifications with a time of their own: accepted, delivered, expired before that."""
    late: Histogram = field(default_factory=lambda: Histogram(LATE))
    """Seconds from their time until they were delivered."""
    due: int = 0
    """What is on the due list, as this node saw it last (a level)."""
    due_failures: Counter[str] = field(default_factory=Counter)
    """Times that something due could not be done, by its kind; it is tried again."""
    retracted: Counter[str] = field(default_factory=Counter)
    """Retractions: of what was `sent`, `cancelled` before that, and `taken_over` from a node that died."""
    erased: int = 0
    """Users of whom nothing was left."""
    notification_lookups: Counter[str] = field(default_factory=Counter)
    """Notifications that were asked about, by how they stood."""
    inbox_lists: int = 0
    """Lists of inboxes that were answered, over HTTP and Socket.IO."""
    inbox_marks: Counter[str] = field(default_factory=Counter)
    """Marks of inboxes that were carried out, by what entries were marked as."""
    inbox_drifts: int = 0
    """Differences that counting an inbox again has found: there should be none."""
