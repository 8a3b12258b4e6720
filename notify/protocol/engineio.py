"""What travels to a client, encoded once for everyone who gets it.

Engine.IO protocol v4: a message packet is `4` and its data; on long-polling packets are joined by the
record separator and binary is `b` and base64. Socket.IO protocol v5: `<type>[<namespace>,][<id>]<json>`.
RFC 6455 section 5.2: an unmasked frame is two, four or ten bytes and the payload.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence

RECORD_SEPARATOR = b"\x1e"
TEXT, BINARY = 0x1, 0x2


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One final, unmasked websocket frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


class Wire:
    """One or more Engine.IO packets in a row, in the form each transport wants, made when first asked for.

    A part is either the bytes of a whole text packet (`b'42["a"]'`, its type digit included) or, as a
    `memoryview`, the raw data of a binary message. A wire is shared by all its recipients: never change one.
    """

    __slots__ = ("_frames", "_payload", "parts", "size")

    def __init__(self, *parts: bytes | memoryview) -> None:
        self.parts: Sequence[bytes | memoryview] = parts
        self.size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        """Bytes of all packets: what a bounded queue counts."""
        self._frames: bytes | None = None
        self._payload: bytes | None = None

    @property
    def frames(self) -> bytes:
        """The packets as websocket frames, ready for the transport."""
        if self._frames is None:
            first = self.parts[0] if len(self.parts) == 1 else None
            if isinstance(first, bytes):  # by far the most frequent case
                self._frames = frame(first)
                return self._frames
            self._frames = b"".join(
                frame(bytes(part), BINARY) if isinstance(part, memoryview) else frame(part)
                for part in self.parts
            )
        return self._frames

    @property
    def payload(self) -> bytes:
        """The packets as (a piece of) a long-polling body."""
        if self._payload is None:
            self._payload = RECORD_SEPARATOR.join(
                b"b" + b64encode(part) if isinstance(part, memoryview) else part for part in self.parts
            )
        return self._payload

    @classmethod
    def joined(cls, wires: Iterable[Wire]) -> Wire:
        """The wires one after the other, as one."""
        return cls(*(part for wire in wires for part in wire.parts))


def joined(wires: Sequence[Wire]) -> bytes:
    """The packets of several wires as one long-polling body."""
    return wires[0].payload if len(wires) == 1 else RECORD_SEPARATOR.join([wire.payload for wire in wires])


def event_head(namespace: str) -> bytes:
    """What stands before the JSON array of an event: Engine.IO message, Socket.IO event, namespace."""
    return b"42" if namespace == "/" else b"42" + namespace.encode() + b","
