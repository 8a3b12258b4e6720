"""What is counted of commands to Redis: plain integers, which ops/metrics.py names for Prometheus."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from notify.domain.histogram import Histogram


@dataclass(slots=True)
class RedisStats:
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
    latency: Histogram = field(default_factory=Histogram)
    """Seconds between a write and the answer to its last command."""
    writes_refused: Counter[str] = field(default_factory=Counter)
    """Writes that Redis would not take for the moment, by its first word: OOM, MISCONF, READONLY."""
