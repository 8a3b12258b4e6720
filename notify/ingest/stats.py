"""What ingest counts: plain integers, added to on hot paths, which ops/metrics.py shows to Prometheus."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class IngestStats:
    """Since the start of this node."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Answers given, by route (a fixed set of names, never a path someone made up) and status."""
    errors: Counter[str] = field(default_factory=Counter)
    """Requests refused, by error code."""
    seconds: Counter[str] = field(default_factory=Counter)
    """Time from the head of a request to its answer, summed by route: with `requests`, the mean."""
    body_bytes: int = 0
    """Bytes of request bodies read."""
    bodies_in_memory: int = 0
    """Bytes of large bodies that are held at this moment (a level)."""
