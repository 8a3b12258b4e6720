"""A websocket once the handshake is done: a transport, a protocol of ours, and nothing else.

aiohttp reads the request and routes it; `hand_over` answers 101, puts a `WebSocketProtocol` on the transport
and makes aiohttp forget the connection. What remains of an idle one is the transport and three small objects.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Protocol

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from notify.domain.packet import frame
from notify.gateway.frames import (
    ABNORMAL,
    INTERNAL_ERROR,
    Close,
    Failure,
    FrameReader,
    Ping,
    close_payload,
)

log = logging.getLogger(__name__)

_OPEN, _CLOSING, _CLOSED = range(3)
_CLOSE_OPCODE, _PONG_OPCODE = 0x8, 0xA
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


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
        "_owner",
        "_paused",
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
        close_timeout_s: float = 1.0,
    ) -> None:
        self._transport = transport
        self._owner: WebSocketOwner | None = owner
        """None once it has been told that the connection is closed; so no cycle outlives the connection."""
        self._reader = FrameReader(max_message_bytes=max_message_bytes)
        self._close_timeout_s = close_timeout_s
        self._state = _OPEN
        self._code = ABNORMAL
        self._paused = False
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
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._state != _CLOSED and not self._transport.is_closing():
            self._transport.resume_reading()

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

    def abort(self) -> None:
        """Drop the connection and what has not been sent yet. `connection_closed` follows in a later turn."""
        self._state = _CLOSED
        self._transport.abort()

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
            return
        for event in self._reader.feed(data):
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

    def _start_timer(self) -> None:
        """A transport first sends what it holds: a peer that does not read would keep it from closing."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._close_timeout_s, self.abort)

    def _tell_closed(self, *, clean: bool) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            try:
                owner.connection_closed(self._code, clean)
            except Exception:
                log.exception("The owner of a websocket raised")


class HandedOver(web.StreamResponse):
    """What a handler returns after `hand_over`: the answer already sent. aiohttp writes nothing for it."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the transport is not aiohttp's any more."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the transport is not aiohttp's any more."""


def hand_over(
    request: web.Request,
    owner: WebSocketOwner,
    *,
    max_message_bytes: int,
    close_timeout_s: float = 1.0,
    greeting: bytes = b"",
) -> WebSocketProtocol:
    """Accept the websocket that the request asks for and take its connection away from aiohttp.

    `greeting`, finished frames, leaves in the same write as the acceptance.

    The handler returns `HandedOver()` next. No extension and no subprotocol is agreed to. What the client
    sent right behind its request is read in a later turn of the loop, so the owner first gets its protocol.

    Raises web.HTTPException, with nothing sent, for a request that is not a websocket handshake of version 13
    (RFC 6455 section 4.2.1), or when the client has gone.
    """
    accept = _accept(request)
    former, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise web.HTTPBadRequest(text="The client has gone")
    protocol = WebSocketProtocol(
        transport, owner, max_message_bytes=max_message_bytes, close_timeout_s=close_timeout_s
    )
    received, paused = former._message_tail, former.writing_paused
    # This is what aiohttp does with a connection that is lost: off the server's list, no parser, no timer.
    # It would also close the transport and, with `handler_cancellation`, cancel this handler: take both away.
    former.transport = None
    former._task_handler = None
    former.connection_lost(None)
    transport.set_protocol(protocol)
    if paused:
        protocol.pause_writing()
    transport.write(switching_protocols(accept) + greeting)
    if received:
        protocol.push(received)
    # aiohttp stops reading when a client sends much behind its request.
    transport.resume_reading()
    return protocol


def switching_protocols(accept: bytes) -> bytes:
    """The answer to a good handshake (RFC 6455 section 4.2.2)."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _accept(request: web.Request) -> bytes:
    """The value of Sec-WebSocket-Accept for a good handshake."""
    headers = request.headers
    if request.method != hdrs.METH_GET:
        raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_GET])
    options = {option.strip().lower() for option in ",".join(headers.getall(hdrs.CONNECTION, [])).split(",")}
    if (
        request.version < HttpVersion11
        or "upgrade" not in options
        # One protocol exactly: aiohttp goes on reading HTTP when more are offered.
        or [name.strip().lower() for name in headers.getall(hdrs.UPGRADE, [])] != ["websocket"]
    ):
        raise _refused(web.HTTPUpgradeRequired, "A websocket is served here")
    if request.body_exists:
        raise _refused(web.HTTPBadRequest, "A websocket handshake has no body")
    versions = headers.getall(hdrs.SEC_WEBSOCKET_VERSION, [])
    if not versions:
        raise _refused(web.HTTPBadRequest, "Sec-WebSocket-Version is missing")
    if versions != ["13"]:
        raise _refused(web.HTTPUpgradeRequired, "Sec-WebSocket-Version must be 13")
    keys = headers.getall(hdrs.SEC_WEBSOCKET_KEY, [])
    try:
        good = len(keys) == 1 and len(keys[0]) == 24 and len(b64decode(keys[0], validate=True)) == 16
    except ValueError:
        good = False
    if not good:
        raise _refused(web.HTTPBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
    return b64encode(sha1(keys[0].encode() + GUID, usedforsecurity=False).digest())


def _refused(error: type[web.HTTPError], text: str) -> web.HTTPError:
    """What a wrong handshake is answered with (RFC 6455 section 4.2.2, RFC 9110 section 15.5.22)."""
    headers = {hdrs.SEC_WEBSOCKET_VERSION: "13"}
    if error is web.HTTPUpgradeRequired:
        headers |= {hdrs.UPGRADE: "websocket", hdrs.CONNECTION: "Upgrade, close"}
    refusal = error(text=text, headers=headers)
    # Frames may follow: they must not be read as the next request.
    refusal.force_close()
    return refusal
