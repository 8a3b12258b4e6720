"""Ending many connections so that stock clients come back by themselves, and not all at once."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

BATCHES_PER_S = 10
"""Small batches, often: a client notices only how long its own batch takes."""


class Closable(Protocol):
    """A connection that can be ended in the way after which a client reconnects."""

    def close_transport(self, reason: str | None = None) -> None:
        """End the transport: `transport close`, where a Socket.IO disconnect would make it stay away."""


async def close_in_batches(
    sockets: Iterable[Closable], *, over_s: float, sleep: Callable[[float], Awaitable[object]]
) -> int:
    """Close connections in jittered batches spread over a time; the number closed.

    `sleep` waits between batches; when it returns sooner because somebody is in a hurry, the rest is closed
    as fast as that.
    """
    waiting = list(sockets)
    random.shuffle(waiting)
    batches = max(1, min(len(waiting), int(over_s * BATCHES_PER_S)))
    pause_s = over_s / batches
    for number in range(batches):
        for socket in waiting[number * len(waiting) // batches : (number + 1) * len(waiting) // batches]:
            socket.close_transport()
        if number + 1 < batches:
            await sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
    return len(waiting)
