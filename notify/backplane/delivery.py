"""One published message on its way to the local members of its channel.

The array is never decoded here: leaving the offset out for a client that does not want it is a cut at a known
place. What a message looks like stands in `domain.message`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from notify.domain.message import Message
from notify.protocol.engineio import Wire, event_head


class EventVariant(NamedTuple):
    """What makes the bytes of an event differ between members."""

    namespace: str
    with_offset: bool


class Delivery(Message):
    """A message as it came from a topic or a log. Raises ValueError when it is not one of ours."""

    __slots__ = ("_others", "_variant", "_wire")

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self._variant: EventVariant | None = None
        self._wire: Wire | None = None
        self._others: dict[EventVariant, Wire] | None = None

    def wire(self, variant: EventVariant) -> Wire:
        """The event as a packet for members of this variant, encoded when first asked for."""
        first = self._wire
        if first is None:
            self._variant, self._wire = variant, self._encoded(variant)
            return self._wire
        if variant == self._variant:  # nearly always: the members of a channel have one client library
            return first
        if self._others is None:
            self._others = {}
        found = self._others.get(variant)
        if found is None:
            found = self._others[variant] = self._encoded(variant)
        return found

    def _encoded(self, variant: EventVariant) -> Wire:
        namespace, with_offset = variant
        array = self.array if with_offset else self.array[: self.array.rindex(b',"')] + b"]"
        return Wire(event_head(namespace) + array)


def wire_of(encoded: Any) -> Wire:
    """What a Socket.IO packet class returned from `encode()`, as Engine.IO message packets."""
    parts = encoded if isinstance(encoded, list) else [encoded]
    return Wire(
        *(b"4" + part.encode() if isinstance(part, str) else memoryview(bytes(part)) for part in parts),
    )
