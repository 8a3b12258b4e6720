"""What the verbs count: plain integers, added to on hot paths; ops/metrics.py shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServiceStats:
    """Since the start of this node."""

    published: Counter[str] = field(default_factory=Counter)
    """Notifications accepted, by the kind of their target: user, users, room, rooms, all, mixed."""
    channels: int = 0
    """Channels that accepted notifications were written to."""
    refused: Counter[str] = field(default_factory=Counter)
    """Notifications not accepted, by error code."""
    idempotent_replays: int = 0
    """Requests answered with the answer of an earlier one with the same key."""
    client_messages: int = 0
    """Messages sent by clients to other clients."""
