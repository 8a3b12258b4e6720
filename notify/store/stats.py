"""What the store counts. Plain integers, added to on hot paths; ops/metrics.py names them for Prometheus."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class StoreStats:
    """Since the start of this node."""

    connected: bool = False
    """The command connection is up (a level)."""
    commands: int = 0
    """Commands sent."""
    pipelines: int = 0
    """Writes to the connection: each carries the commands of one turn of the loop."""
    errors: Counter[str] = field(default_factory=Counter)
    """Commands that failed, by kind: unavailable, timeout, refused."""
    reconnects: int = 0
    """Times the command connection was lost and made again."""
    latency_s: float = 0.0
    """Sum of the time between a command's write and its answer; with `answered`, the mean."""
    answered: int = 0
    """Commands that were answered."""
