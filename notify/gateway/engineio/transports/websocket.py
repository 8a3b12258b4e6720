"""A websocket once the handshake is done: a transport, a protocol of ours, and nothing else.

What remains of an idle connection is the transport and three small objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

# Private to aiohttp, which is pinned: its compiled loop takes 0.2 us for a short payload and 4 us for 64 KiB
# (XOR of big integers twice and thirty times that). tests/gateway/engineio/test_hand_over.py watches it.
from aiohttp._websocket.helpers import websocket_mask

from notify.protocol.engineio import frame
from notify.protocol.websocket import (
    ABNORMAL,
    INTERNAL_ERROR,
    POLICY_VIOLATION,
    Close,
    Failure,
    FrameReader,
    Ping,
    close_payload,
)

log = logging.getLogger(__name__)

_OPEN, _CLOSING, _CLOSED = range(3)
_CLOSE_OPCODE, _PONG_OPCODE = 0x8, 0xA
_BY_OWNER, _BY_TURN = 1, 2
"""Who has paused reading: both must have resumed it."""
BYTES_A_TURN = 1 << 16
"""After a read of so much the connection waits for the next turn of the loop: uvloop would go on reading."""
LINGER_S = 5.0
LINGER_BYTES = 1 << 20
"""What a peer may take, and go on sending, until it has seen the end of our stream."""


class WebSocketOwner(Protocol):
    """Who a WebSocketProtocol reports to. Every call is synchronous, on the event loop.

    An exception raised by one of these is logged and closes the connection with 1011.
    """

    def text_received(self, text: str, /) -> None:
        """A whole text message. Not called any more once either side has begun to close."""

    def binary_received(self, data: bytes, /) -> None:
        """A whole binary message. Not called any more once either side has begun to close."""

    def writing_paused(self) -> None:
        """The peer reads slower than we write: the transport's buffer is past its high-water mark."""

    def writing_resumed(self) -> None:
        """The transport's buffer has drained."""

    def connection_closed(self, code: int, clean: bool, /) -> None:
        """The connection is over: exactly once, and the last call there is.

        `code` is that of whoever closed first: the peer's (1005 when its close frame had none), the one given
        to `close`, or the one the connection was failed with; 1006 when it was lost without a close frame.
        `clean` says that both close frames have passed.
        """


class WebSocketProtocol(asyncio.Protocol):
    """The server's end of one websocket, on a transport whose handshake is done."""

    __slots__ = (
        "_close_timeout_s",
        "_code",
        "_discarded",
        "_max_frames",
        "_owner",
        "_paused",
        "_pauses",
        "_pong",
        "_reader",
        "_state",
        "_timer",
        "_transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        owner: WebSocketOwner,
        *,
        max_message_bytes: int,
        max_frames: int | None = None,
        close_timeout_s: float = 1.0,
    ) -> None:
        """`max_frames`: what the peer may send between two calls of `begin_interval`; None for no limit."""
        self._transport = transport
        self._owner: WebSocketOwner | None = owner
        """None once it has been told that the connection is closed; so no cycle outlives the connection."""
        self._reader = FrameReader(max_message_bytes=max_message_bytes, unmask=websocket_mask)
        self._close_timeout_s = close_timeout_s
        self._state = _OPEN
        self._code = ABNORMAL
        self._paused = False
        self._pauses = 0
        self._max_frames = max_frames
        self._discarded = 0
        self._pong: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None

    # What the owner does

    def hand_to(self, owner: WebSocketOwner) -> None:
        """Report to another owner from the next event on, be it of the same packet. Nothing after the end."""
        if self._owner is not None:
            self._owner = owner

    def pause_reading(self) -> None:
        """Leave what the peer sends with the kernel, so that it notices and slows down."""
        if self._state == _OPEN:
            self._pauses |= _BY_OWNER
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._pauses & _BY_OWNER:
            self._pauses &= ~_BY_OWNER
            if self._reader.pending:
                self._wait_for_next_turn()
            self._resume_transport()

    def begin_interval(self) -> None:
        """Count the peer's frames from here on: a bound on their rate, without a clock."""
        self._reader.frames = 0

    def write(self, frames: bytes) -> None:
        """Send finished frames. Does nothing once closing has begun."""
        if self._state == _OPEN:
            self._transport.write(frames)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame after what has been written, and end the connection when the peer has answered.

        A peer that does not answer, or does not read, is cut off after `close_timeout_s`. Does nothing when
        closing has begun. Raises ValueError for a code that must not be sent.
        """
        if self._state == _OPEN:
            self._send_close(code, reason)
            self._state = _CLOSING

    def leave(self) -> None:
        """End the connection so that the peer comes back: the end of our stream, without a close frame.

        Clients in several languages wait for a close frame of theirs to be answered, or take ours for a wish
        that they stay away; all of them reconnect when the stream just ends. What was written goes before it.
        What the peer still sends is read and dropped, since a transport that is closed with input unread is
        reset, and what was written with it. A peer that does not end its side is cut off after `LINGER_S`.
        """
        if self._state != _OPEN:
            return
        self._state = _CLOSED
        self._pauses = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()
        end_stream(self._transport)
        self._start_timer(LINGER_S)

    def abort(self) -> None:
        """Drop the connection and what has not been sent yet. `connection_closed` follows in a later turn."""
        self._state = _CLOSED
        self._transport.abort()

    @property
    def gone(self) -> bool:
        """True once the owner has been told of the end."""
        return self._owner is None

    @property
    def buffered(self) -> int:
        """Bytes written and not yet taken by the kernel."""
        return self._transport.get_write_buffer_size()

    @property
    def peer(self) -> str:
        """The peer's IP address; empty on a unix socket."""
        name = self._transport.get_extra_info("peername")
        return name[0] if isinstance(name, tuple) else ""

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Read, and report or answer what is complete."""
        if self._state == _CLOSED:
            self._discard(data)
        elif self._pauses:
            self._reader.hold(data)  # of the read in which it was paused
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        reader = self._reader
        for event in reader.feed(data):
            owner = self._owner
            # The owner may have closed or aborted while it was told of the event before.
            if owner is None or self._state == _CLOSED:
                return
            try:
                if isinstance(event, str):
                    if self._state == _OPEN:
                        owner.text_received(event)
                elif isinstance(event, bytes):
                    if self._state == _OPEN:
                        owner.binary_received(event)
                elif isinstance(event, Ping):
                    self._answer(event)
                elif isinstance(event, Close):
                    self._peer_closed(event)
                else:
                    self._fail(event)
            except Exception:
                log.exception("The owner of a websocket raised")
                self.close(INTERNAL_ERROR)
        if self._max_frames is not None and reader.frames > self._max_frames:
            if self._state != _CLOSED:
                self._fail(Failure(POLICY_VIOLATION, "too many frames"))
        elif reader.pending or len(data) >= BYTES_A_TURN:
            self._wait_for_next_turn()

    def _wait_for_next_turn(self) -> None:
        """Let others have their turn: whatever is in the kernel, and in the reader, waits."""
        if self._state != _CLOSED and not self._pauses & _BY_TURN:
            self._pauses |= _BY_TURN
            if not self._transport.is_closing():
                self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._pauses &= ~_BY_TURN
        if not self._pauses and self._state != _CLOSED:
            self._read(b"")
        self._resume_transport()

    def _resume_transport(self) -> None:
        if not self._pauses and self._state != _CLOSED and not self._transport.is_closing():
            self._transport.resume_reading()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self._transport.abort()

    def push(self, data: bytes) -> None:
        """Read this before anything else, in a later turn of the loop: another protocol received it."""
        # Not data_received(data) in a later turn: uvloop may deliver the next packet before that turn.
        self._reader.hold(data)
        asyncio.get_running_loop().call_soon(self.data_received, b"")

    def eof_received(self) -> bool:
        """The peer will send no more; without a close frame that is a loss."""
        self.data_received(b"")
        self._state = _CLOSED
        self._tell_closed(clean=False)
        # The transport closes when this returns False: once it has sent what it holds, hence the timer.
        self._start_timer()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of the transport, whoever caused it."""
        self._state = _CLOSED
        self._pong = None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._tell_closed(clean=False)

    def pause_writing(self) -> None:
        """The transport's buffer has passed its high-water mark."""
        self._paused = True
        if self._owner is not None and self._state == _OPEN:
            self._tell(self._owner.writing_paused)

    def resume_writing(self) -> None:
        """The transport's buffer has fallen to its low-water mark."""
        self._paused = False
        if self._pong is not None:
            pong, self._pong = self._pong, None
            self.write(pong)
        if self._owner is not None and self._state == _OPEN:
            self._tell(self._owner.writing_resumed)

    # Inside

    def _answer(self, ping: Ping) -> None:
        pong = frame(ping.payload, _PONG_OPCODE)
        if self._paused:
            # A peer that pings and does not read must not fill our memory: RFC 6455 section 5.5.3 lets us
            # answer the latest ping only.
            self._pong = pong
        else:
            self.write(pong)

    def _peer_closed(self, closing: Close) -> None:
        """Answer, unless this is the answer, and close the TCP side: the server's to do (section 7.1.1)."""
        if self._state == _OPEN:
            self._send_close(closing.code)
        self._end()
        self._tell_closed(clean=True)

    def _fail(self, failure: Failure) -> None:
        """Tell the peer why, then be deaf until it leaves.

        Closing at once, with bytes of the peer's unread, would reset the connection, and the reason could get
        lost on its way. The end of our stream tells a peer that has read the reason that it can leave.
        """
        if self._state == _OPEN:
            self._send_close(failure.code, failure.reason)
            self._state = _CLOSED
            self._pauses = 0
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()
        else:
            self._end()
        self._tell_closed(clean=False)

    def _tell(self, news: Callable[[], None]) -> None:
        try:
            news()
        except Exception:
            log.exception("The owner of a websocket raised")
            self.close(INTERNAL_ERROR)

    def _send_close(self, code: int, reason: str = "") -> None:
        self._transport.write(frame(close_payload(code, reason), _CLOSE_OPCODE))
        self._code = code
        self._start_timer()
        # An owner that had paused reading would keep us from seeing the peer's answer.
        self.resume_reading()

    def _end(self) -> None:
        self._state = _CLOSED
        self._start_timer()
        self._transport.close()

    def _start_timer(self, within_s: float | None = None) -> None:
        """A transport first sends what it holds: a peer that does not read would keep it from closing."""
        if self._timer is None:
            delay_s = self._close_timeout_s if within_s is None else within_s
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.abort)

    def _tell_closed(self, *, clean: bool) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            try:
                owner.connection_closed(self._code, clean)
            except Exception:
                log.exception("The owner of a websocket raised")


def end_stream(transport: asyncio.Transport) -> None:
    """Tell the peer, after what has been written, that nothing more will come."""
    if transport.can_write_eof():
        transport.write_eof()
    else:
        # TLS has no half-closed connections: this sends close_notify and waits for the peer's.
        transport.close()
