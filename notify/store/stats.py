"""What the store counts: plain integers, added to on hot paths; ops/metrics.py shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StoreStats:
    """Since the start of this node."""

    connected: bool = False
    """The command connection is up (a level)."""
    commands: int = 0
    """Commands sent."""
    pipelines: int = 0
    """Writes to the connection: each carries the commands of one turn of the loop."""
    errors: int = 0
    """Commands that failed: no connection, no answer in time, or an error for an answer."""
    reconnects: int = 0
    """Times the command connection was lost and made again."""
    connect_failures: int = 0
    """Attempts to connect that failed."""
    latency_s: float = 0.0
    """Sum of the time between a command's write and its answer; with `answered`, the mean."""
    answered: int = 0
    """Commands that were answered."""
