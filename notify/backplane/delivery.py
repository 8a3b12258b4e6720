"""One published message on its way to the local members of its channel.

What `publish.lua` puts on a topic, and into a log, is one header line and the finished argument array:

    <epoch>-<ms>-<seq> <flags> <trace>[ <json: users left out>]\n["notification",{...},"<offset>"]

Flags: `o` when the message went to several channels under one offset, so that a member of two of them must
get it once; `-` when there is nothing to say. The trace is the id of the request that it came by. The array
is never decoded here: leaving the offset out for a client that does not want it is a cut at a known place.
"""

from __future__ import annotations

import json

from notify.domain.offset import Offset
from notify.domain.packet import Wire, event_head

Form = tuple[str, bool]
"""What makes the bytes of an event differ between members: namespace, and whether offsets are wanted."""


NOBODY: frozenset[str] = frozenset()


class Delivery:
    """A message as it came from a topic or a log. Raises ValueError when it is not one of ours."""

    __slots__ = ("_wires", "array", "except_users", "offset", "overlaps", "trace")

    def __init__(self, payload: bytes) -> None:
        head, separator, array = payload.partition(b"\n")
        raw_offset, flags, *rest = head.split(b" ", 3)
        if not separator or not rest or not array.endswith(b',"' + raw_offset + b'"]'):
            raise ValueError("not a published message")
        offset = Offset.parse(raw_offset.decode())
        if offset is None:
            raise ValueError("not an offset")
        self.offset = offset
        self.array = array
        self.overlaps = flags == b"o"
        self.trace = rest[0]
        self.except_users: frozenset[str] = frozenset(json.loads(rest[1])) if len(rest) > 1 else NOBODY
        self._wires: dict[Form, Wire] = {}

    def wire(self, form: Form) -> Wire:
        """The event as a packet for members of this form, encoded when first asked for."""
        found = self._wires.get(form)
        if found is None:
            namespace, offsets = form
            array = self.array if offsets else self.array[: self.array.rindex(b',"')] + b"]"
            found = self._wires[form] = Wire(event_head(namespace) + array)
        return found
