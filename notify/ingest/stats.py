"""What ingest counts: plain integers, added to on hot paths, which ops/metrics.py shows to Prometheus."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from notify.domain.histogram import Histogram


@dataclass(slots=True)
class IngestStats:
    """Since the start of this node."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Answers given, by route (a fixed set of names, never a path someone made up) and status."""
    errors: Counter[str] = field(default_factory=Counter)
    """Requests refused, by error code."""
    seconds: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    """Time from the head of a request (of a plain POST: from its last byte) to its answer, by route."""
    refused: Counter[str] = field(default_factory=Counter)
    """Notifications not accepted, those in batches each, by error code."""
    body_bytes: int = 0
    """Bytes of request bodies read."""
    bodies_in_memory: int = 0
    """Bytes of large bodies that are held at this moment (a level)."""
