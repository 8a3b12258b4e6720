"""Reading what a websocket client sends: RFC 6455 section 5, the server's side of it, and no I/O.

No extension is ever negotiated, so the reserved bits must be zero and a payload is what it seems.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Unmask = Callable[[bytes, bytearray], None]
"""XORs a payload in place with the four bytes of a mask (RFC 6455 section 5.3)."""

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _RESERVED, _OPCODE, _MASKED = 0x80, 0x70, 0x0F, 0x80
_KNOWN = frozenset((_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG))
_WHOLE_TEXT = _FINAL | _TEXT
_SHORT = 125
"""The longest payload whose length fits the second byte; also the longest of a control frame."""
FRAMES_A_FEED = 128
"""Frames that one call of `feed` reads: a peer can put tens of thousands into one packet."""

PROTOCOL_ERROR, NO_STATUS, ABNORMAL, INVALID_DATA, POLICY_VIOLATION, TOO_BIG, INTERNAL_ERROR = (
    1002,
    1005,
    1006,
    1007,
    1008,
    1009,
    1011,
)


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with a pong of the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The peer's close frame: `code` is 1005 when it carried none. Nothing follows."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The peer broke the protocol or a limit: the connection is to be failed with `code`. Nothing follows."""

    code: int
    reason: str


Event = str | bytes | Ping | Close | Failure
"""A text message, a binary message, or one of the above."""


class _Breach(Exception):
    """A rule was broken: becomes the Failure."""


class _Message:
    """A message of which a part has come: some of its fragments, or some of the payload of its frame.

    Payload is unmasked, and text validated, as it comes: a bad byte is found with the packet that brings it.
    """

    __slots__ = ("data", "final", "left", "mask", "tail", "text")

    def __init__(self, *, text: bool) -> None:
        self.text = text
        self.data = bytearray()
        self.tail = b""
        """Bytes at the end of `data` that begin a character and do not end it: at most three."""
        self.final = False
        """The frame being read is the last one."""
        self.left = 0
        """Bytes still to come of the frame being read."""
        self.mask = b""
        """The mask of the frame being read, turned to where the next byte is."""

    def extend(self, masked: bytes, unmask: Unmask) -> None:
        """Take the next bytes of the current frame, not more than `left`."""
        piece = bytearray(masked)
        unmask(self.mask, piece)
        self.data += piece
        turn = len(piece) & 3
        if turn:
            self.mask = self.mask[turn:] + self.mask[:turn]
        self.left -= len(piece)
        # Of the last piece the whole message is decoded anyway.
        if self.text and not (self.final and not self.left):
            begun = self.tail + piece
            try:
                _, used = utf_8_decode(begun, "strict", False)
            except UnicodeDecodeError as error:
                raise _Breach(INVALID_DATA, "text is not UTF-8") from error
            self.tail = begun[used:]

    def finish(self) -> str | bytes:
        return _decoded(self.data) if self.text else bytes(self.data)


def _decoded(text: bytearray) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise _Breach(INVALID_DATA, "text is not UTF-8") from error


class FrameReader:
    """Turns a client's byte stream into messages.

    `feed` takes the stream in pieces of any size, and reads a bounded number of frames each time. Between
    messages a reader holds a few references and no buffer; amid one it holds what came of that message, never
    more than `max_message_bytes`.
    """

    __slots__ = ("_at", "_done", "_limit", "_message", "_rest", "_unmask", "frames")

    def __init__(self, *, max_message_bytes: int, unmask: Unmask) -> None:
        self._limit = max_message_bytes
        self._unmask = unmask
        self._message: _Message | None = None
        self._rest = b""
        """A header or a control frame that has not come whole, at most 130 bytes; or what was put aside."""
        self._at = 0
        """How much of that has been read: above 0 when `feed` had enough."""
        self._done = False
        self.frames = 0
        """Frames read so far; for whoever bounds their rate, and sets it back to 0."""

    @property
    def idle(self) -> bool:
        """Whether the stream stands between two messages, with nothing held."""
        return self._message is None and not self._rest

    @property
    def pending(self) -> bool:
        """Whether frames are left for the next `feed`, which may be one without new bytes."""
        return self._at > 0

    def hold(self, data: bytes) -> None:
        """Put the next bytes of the stream aside: the next `feed` reads them first."""
        self._rest += data

    def feed(self, data: bytes) -> Sequence[Event]:
        """What the next bytes of the stream complete, in order.

        A Close or a Failure is the last event there is: whatever follows is ignored.
        """
        # What nearly all of an ordinary client's traffic is: one short text frame, alone in its packet.
        if self._message is None and not self._rest and not self._done:
            size = len(data) - 6
            if (
                0 <= size <= _SHORT
                and data[0] == _WHOLE_TEXT
                and data[1] == _MASKED | size
                and size <= self._limit
            ):
                self.frames += 1
                payload = bytearray(data[6:])
                self._unmask(data[2:6], payload)
                try:
                    return (payload.decode(),)
                except UnicodeDecodeError:
                    self._done = True
                    return (Failure(INVALID_DATA, "text is not UTF-8"),)
        return () if self._done else self._feed(data)

    def _feed(self, data: bytes) -> Sequence[Event]:
        at = self._at
        if self._rest:
            data = self._rest + data
            self._rest = b""
        self._at = 0
        events: list[Event] = []
        frames = 0
        try:
            while at < len(data) and not self._done:
                message = self._message
                if message is not None and message.left:
                    piece = data[at : at + message.left]
                    at += len(piece)
                    message.extend(piece, self._unmask)
                else:
                    if frames == FRAMES_A_FEED:
                        self._rest, self._at = data, at
                        break
                    after = self._frame(data, at, events)
                    if after is None:
                        self._rest = data[at:]
                        break
                    frames += 1
                    at = after
                    message = self._message
                if message is not None and message.final and not message.left:
                    self._message = None
                    events.append(message.finish())
        except _Breach as breach:
            self._done = True
            events.append(Failure(*breach.args))
        self.frames += frames
        if self._done:
            self._message = None
        return events

    def _frame(self, data: bytes, at: int, events: list[Event]) -> int | None:
        """Read a header, and the payload too when it is a control frame's.

        Returns where the next read begins, or None when the bytes do not reach. Every rule is checked as soon
        as the bytes it concerns are there, above all the size: before anything of the payload is kept.
        """
        have = len(data) - at
        if have < 2:
            return None
        first, second = data[at], data[at + 1]
        opcode, size = first & _OPCODE, second & ~_MASKED
        if first & _RESERVED:
            raise _Breach(PROTOCOL_ERROR, "reserved bits are set")
        if opcode not in _KNOWN:
            raise _Breach(PROTOCOL_ERROR, "unknown opcode")
        if not second & _MASKED:
            raise _Breach(PROTOCOL_ERROR, "the frame is not masked")
        if opcode >= _CLOSE:
            if not first & _FINAL:
                raise _Breach(PROTOCOL_ERROR, "a control frame is fragmented")
            if size > _SHORT:
                raise _Breach(PROTOCOL_ERROR, "a control frame is too long")
            if have < 6 + size:
                return None
            payload = bytearray(data[at + 6 : at + 6 + size])
            self._unmask(data[at + 2 : at + 6], payload)
            self._control(opcode, bytes(payload), events)
            return at + 6 + size
        message = self._message
        if opcode == _CONTINUATION:
            if message is None:
                raise _Breach(PROTOCOL_ERROR, "there is nothing to continue")
        elif message is not None:
            raise _Breach(PROTOCOL_ERROR, "a message begins inside another")
        body = at + 6
        if size > _SHORT:
            width, least = (2, _SHORT + 1) if size == _SHORT + 1 else (8, 0x10000)
            if have < 2 + width:
                return None
            size = int.from_bytes(data[at + 2 : at + 2 + width], "big")
            if size < least:
                raise _Breach(PROTOCOL_ERROR, "the length is not in its shortest form")
            if size >> 63:
                raise _Breach(PROTOCOL_ERROR, "the length is out of range")
            body += width
        if size + (len(message.data) if message is not None else 0) > self._limit:
            raise _Breach(TOO_BIG, f"a message may have {self._limit} bytes")
        if have < body - at:
            return None
        if message is None and first & _FINAL and have >= body - at + size:
            payload = bytearray(data[body : body + size])
            self._unmask(data[body - 4 : body], payload)
            events.append(_decoded(payload) if opcode == _TEXT else bytes(payload))
            return body + size
        if message is None:
            message = self._message = _Message(text=opcode == _TEXT)
        message.final = bool(first & _FINAL)
        message.left = size
        message.mask = data[body - 4 : body]
        return body

    def _control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == _PING:
            events.append(Ping(payload))
        elif opcode == _CLOSE:
            if not payload:
                events.append(Close(NO_STATUS, ""))
            else:
                code = int.from_bytes(payload[:2], "big")
                if len(payload) == 1 or not is_close_code(code):
                    raise _Breach(PROTOCOL_ERROR, "the close code is not valid")
                try:
                    events.append(Close(code, payload[2:].decode()))
                except UnicodeDecodeError as error:
                    raise _Breach(INVALID_DATA, "the close reason is not UTF-8") from error
            self._done = True


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry the code (RFC 6455 section 7.4 and the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_payload(code: int, reason: str = "") -> bytes:
    """The body of a close frame. A reason too long is cut at a character; 1005 makes it empty."""
    if code == NO_STATUS:
        return b""
    if not is_close_code(code):
        raise ValueError(f"{code} cannot be sent as a close code")
    text = reason.encode(errors="replace")[: _SHORT - 2].decode(errors="ignore")
    return code.to_bytes(2, "big") + text.encode()
