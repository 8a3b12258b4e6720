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

    __slots__ = ("_wires",)

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self._wires: dict[EventVariant, Wire] = {}

    def wire(self, variant: EventVariant) -> Wire:
        """The event as a packet for members of this variant, encoded when first asked for."""
        found = self._wires.get(variant)
        if found is None:
            namespace, with_offset = variant
            array = self.array if with_offset else self.array[: self.array.rindex(b',"')] + b"]"
            found = self._wires[variant] = Wire(event_head(namespace) + array)
        return found


def wire_of(encoded: Any) -> Wire:
    """What a Socket.IO packet class returned from `encode()`, as Engine.IO message packets."""
    parts = encoded if isinstance(encoded, list) else [encoded]
    return Wire(
        *(b"4" + part.encode() if isinstance(part, str) else memoryview(bytes(part)) for part in parts),
    )
