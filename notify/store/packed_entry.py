"""An entry of an inbox as it stands in Redis: ENTRY in `lua/inbox.lua`."""

from __future__ import annotations

import struct
from typing import NamedTuple

from notify.domain.inbox import State

_FORM = struct.Struct(">6s6s6s6s6sBH")
DELIVERED = 1


class PackedEntry(NamedTuple):
    """When an entry expires, what was done with it, what it is of; the last two empty where there is none."""

    expires_ms: int
    state: State
    category: str
    collapse_key: str

    @classmethod
    def parse(cls, packed: bytes) -> PackedEntry:
        """Take an entry apart. Raises ValueError or struct.error when it is none."""
        expires, seen, read, archived, snoozed, flags, length = _FORM.unpack_from(packed)
        rest = packed[_FORM.size :]
        return cls(
            int.from_bytes(expires, "big"),
            State(bool(flags & DELIVERED), _moment(seen), _moment(read), _moment(archived), _moment(snoozed)),
            rest[:length].decode(),
            rest[length:].decode(),
        )

    @staticmethod
    def ending(category: str | None, collapse_key: str | None) -> bytes:
        """The end of a packed entry, from the length of the category on."""
        name = (category or "").encode()
        return len(name).to_bytes(2, "big") + name + (collapse_key or "").encode()


def _moment(packed: bytes) -> int | None:
    return int.from_bytes(packed, "big") or None
