"""What the backplane counts: plain integers, added to on hot paths; ops/metrics.py names them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class BackplaneStats:
    """Since the start of this node."""

    subscribed: bool = False
    """The subscriber connection is up and its canary comes back (a level)."""
    topics: int = 0
    """Channels this node is subscribed to (a level)."""
    messages: int = 0
    """Messages received from the topics."""
    deliveries: int = 0
    """Messages handed to local members: one for each member and message."""
    duplicates: int = 0
    """Messages dropped because their offset had been delivered already."""
    malformed: Counter[str] = field(default_factory=Counter)
    """Messages that were dropped: not understood (by the kind of their channel), too large, or failed on."""
    resubscriptions: int = 0
    """Times the subscriber connection was lost and made again."""
    gap_messages: int = 0
    """Messages read from the logs after a lost connection: gaps that were healed."""
    gaps_lost: int = 0
    """Channels whose log did not hold all that was missed: their sockets were told."""
    epochs: int = 0
    """Times another epoch was met: Redis had lost its data."""
    canary_lag_s: float = 0.0
    """How long the last message to oneself took through Redis (a level)."""
    canaries_lost: int = 0
    """Times no message to oneself came back in time."""
    commands: Counter[str] = field(default_factory=Counter)
    """Messages between nodes, by what they ask for (join, leave, disconnect, ...)."""
