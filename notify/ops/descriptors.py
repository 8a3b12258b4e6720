"""How many files and sockets this process may have open, and what of that is for connections."""

from __future__ import annotations

import resource
from typing import NamedTuple

import structlog

log = structlog.get_logger(__name__)

RESERVED = 64
"""Descriptors that are not for clients: Redis, listeners, files, and some to be safe."""


class Descriptors(NamedTuple):
    """What may be open. `limit` is what the system gives this process."""

    limit: int
    internal: int
    """Connections of the internal port."""
    public: int
    """Clients' connections."""
    spare: int
    """Connections of the public port beyond those, to be told that there is no room."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one, which takes no privilege; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # macOS says "infinity", and takes less
            return soft
    return hard


def share_out(limit: int, *, internal: int) -> Descriptors:
    """Who gets how many of `limit`: the internal port what it asks for, but a quarter at most."""
    left = max(8, limit - RESERVED)
    internal = min(internal, left // 4)
    spare = max(1, (left - internal) // 16)
    return Descriptors(limit, internal, left - internal - spare, spare)


def warn_of_few(descriptors: Descriptors, *, wanted: int) -> None:
    """Say so when `wanted` connections (0: any number) are more than there may be."""
    if not wanted or wanted > descriptors.public:
        log.warning(
            "few_descriptors",
            limit=descriptors.limit,
            connections=descriptors.public,
            advice="NOTIFY_MAX_CONNECTIONS is more than the descriptors of this process allow: raise their "
            "hard limit (LimitNOFILE=, ulimit -Hn), or lower the setting.",
        )
