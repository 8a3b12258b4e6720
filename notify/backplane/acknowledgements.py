"""Acknowledgements of events that were emitted here, and who waits for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

NOBODYS_ACK = 2**31 - 1
"""An ack id that is never given out, and that every client can count to."""


class Members(Protocol):
    """Callbacks of one namespace by ack id, by sid."""

    members: dict[str, Any]


class Acknowledgements:
    """Mixin over `socketio.base_manager.BaseManager`, which keeps callbacks by sid and ack id."""

    callbacks: dict[str, Any]
    books: Mapping[str, Members]

    async def trigger_callback(self, sid: str, id: int, data: Any) -> None:
        """An acknowledgement came. One that nobody waits for is ignored."""
        # Under 0 python-socketio keeps the counter of ack ids.
        if id != 0 and id in self.callbacks.get(sid, ()):
            await super().trigger_callback(sid, id, data)  # type: ignore[misc]

    def forget_callback(self, sid: str, callback: Callable[..., Any]) -> None:
        """Stop waiting for the acknowledgement that `callback` would get."""
        waiting = self.callbacks.get(sid, {})
        for ack_id in [number for number, found in waiting.items() if found is callback]:
            del waiting[ack_id]
        if len(waiting) == 1 and not any(sid in book.members for book in self.books.values()):
            del self.callbacks[sid]  # only the counter of ack ids is left, and the client is gone
