"""Acknowledgements of events that were emitted here, and who waits for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

NOBODYS_ACK = 2**31 - 1
"""An ack id that is never given out, and that every client can count to."""


MOVED_ACKS_FROM = 1 << 20
"""Ack ids of a member that has come from another node, which has given out those below."""


class AckUnderWay(NamedTuple):
    """An event that a client has yet to acknowledge, and where the acknowledgement is to go."""

    id: int
    host: str
    """The `host_id` of the manager whose application waits."""
    room: str
    namespace: str
    number: int


class Members(Protocol):
    """Callbacks of one namespace by ack id, by sid."""

    members: dict[str, Any]


class Acknowledgements:
    """Mixin over `socketio.base_manager.BaseManager`, which keeps callbacks by sid and ack id."""

    callbacks: dict[str, Any]
    _return_callback: Callable[..., Any]
    books: Mapping[str, Members]

    async def trigger_callback(self, sid: str, id: int, data: Any) -> None:
        """An acknowledgement came. One that nobody waits for is ignored."""
        # Under 0 python-socketio keeps the counter of ack ids.
        if id != 0 and id in self.callbacks.get(sid, ()):
            await super().trigger_callback(sid, id, data)  # type: ignore[misc]

    def acks_under_way(self, sid: str) -> list[AckUnderWay]:
        """What a member's client has yet to acknowledge, and what came by `emit`, on whichever node."""
        return [
            AckUnderWay(number, *found.args)
            for number, found in self.callbacks.get(sid, {}).items()
            if self._goes_back(found)
        ]

    def begin_moved_acks(self, sid: str) -> None:
        """A member has come from another node: give out ids that its client has not had from there."""
        self.callbacks.setdefault(sid, {})[0] = itertools.count(MOVED_ACKS_FROM)

    def take_acks(self, sid: str, acks: list[AckUnderWay]) -> None:
        """Wait for what another node has waited for."""
        for number, *args in acks:
            self.callbacks[sid].setdefault(number, partial(self._return_callback, *args))

    def own_callbacks(self, sid: str) -> dict[Any, Any]:
        """What this node's application waits for, wherever the member is; empty when there is nothing."""
        found = {
            number: callback
            for number, callback in self.callbacks.get(sid, {}).items()
            if not self._goes_back(callback)
        }
        return found if len(found) > 1 else {}  # under 0 is the counter

    def _goes_back(self, callback: Any) -> bool:
        """Whether it sends an acknowledgement to whoever has emitted the event."""
        return isinstance(callback, partial) and callback.func == self._return_callback

    def forget_callback(self, sid: str, callback: Callable[..., Any]) -> None:
        """Stop waiting for the acknowledgement that `callback` would get."""
        waiting = self.callbacks.get(sid, {})
        for ack_id in [number for number, found in waiting.items() if found is callback]:
            del waiting[ack_id]
        if len(waiting) == 1 and not any(sid in book.members for book in self.books.values()):
            del self.callbacks[sid]  # only the counter of ack ids is left, and the client is gone
