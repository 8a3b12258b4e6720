r"""The form of a published message: one header line, and the finished Socket.IO argument array.

    <epoch>-<ms>-<seq> <flags> 2;<due>;<id>;<trace>[ <users left out>]\n["notification",{...},"<offset>"]

Flags: `o` when the message went to several channels under one offset, so that a member of two of them must
get it once; `-` when there is nothing to say. `due` (unix ms, 0 for never) is when the inbox that it tells of
next changes by itself. `id` is the notification's, `-` for what is none: a change of an inbox, or what one
client sends another. `trace` is the id of the request that it came by.

Users left out are a JSON array. The scripts in `store/lua` write offset, flags, version and due; `tail` here
writes what follows. Version 1 had the trace alone in the place of the third word. Each version is read by the
one after it, and by the one before: version 1 takes the third word of a version 2 for an odd trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from notify.domain.offset import Offset

NO_ID = "-"
NO_TRACE = "-"

NOBODY: frozenset[str] = frozenset()

_PLACE = re.compile(rb'"inbox":\{"rev":\d+,"place":(\d+),"unseen":\d+,"unread":\d+\}\},"[^"]+"\]\Z')


class Message:
    """A published message of this version or the one before, taken apart. `array` ends with the offset.

    Raises ValueError when it is not one of ours.
    """

    # Every message that a node hears comes through here: what few ask for is decoded when they do.
    __slots__ = ("_parts", "array", "due_ms", "except_users", "for_all", "offset", "overlaps")

    def __init__(self, payload: bytes) -> None:
        head, _, array = payload.partition(b"\n")
        try:
            raw_offset, flags, words = head.split(b" ", 2)
        except ValueError:
            raise ValueError("not a published message") from None
        if not array.endswith(b',"' + raw_offset + b'"]'):
            raise ValueError("not a published message")
        self.offset = _offset(raw_offset)
        self.array = array
        self.overlaps = flags == b"o"
        # Whoever is in the channel gets it, whatever else came: it can be written with what follows it.
        self.for_all = not self.overlaps
        self.except_users = NOBODY
        if b" " in words:
            words, _, left_out = words.partition(b" ")
            self.except_users = frozenset(json.loads(left_out))
            self.for_all = False
        self._parts = parts = words.split(b";", 3)
        if len(parts) == 4 and parts[0] == b"2" and parts[1].isdigit():
            self.due_ms = int(parts[1])
        else:  # a trace of version 1
            self._parts = [words]
            self.due_ms = 0

    @property
    def notification_id(self) -> str | None:
        """The notification's id, None for what is none."""
        parts = self._parts
        return None if len(parts) == 1 or parts[2] == b"-" else parts[2].decode(errors="replace")

    @property
    def trace(self) -> bytes:
        """The id of the request that it came by."""
        return self._parts[-1]

    @property
    def place(self) -> int:
        """The place in an inbox that the array tells, 0 when it went into none."""
        found = _PLACE.search(self.array, max(0, len(self.array) - 160))
        return int(found[1]) if found else 0


def _offset(raw: bytes) -> Offset:
    try:
        return Offset.read(raw)
    except ValueError:
        raise ValueError("not an offset") from None


def tail(notification_id: str | None, trace: str, except_users: Collection[str] = ()) -> bytes:
    """The header from the id on, newline included."""
    head = f"{notification_id or NO_ID};{trace or NO_TRACE}"
    if except_users:
        head += " " + json.dumps(sorted(except_users), ensure_ascii=False, separators=(",", ":"))
    return head.encode() + b"\n"
