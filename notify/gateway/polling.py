"""HTTP long-polling: the GET that waits and the POST that brings (Engine.IO protocol v4, "Transports")."""

from __future__ import annotations

import asyncio
import binascii
import zlib
from base64 import b64decode
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from notify.domain.packet import RECORD_SEPARATOR, Wire, joined

if TYPE_CHECKING:
    from notify.gateway.engine import Engine
    from notify.gateway.socket import EngineSocket

CLOSE, NOOP = b"1", b"6"
UPGRADE_POLL_S = 0.1
"""While a websocket is taking over, a poll without packets is held for so long: no busy loop."""
_SEPARATOR = RECORD_SEPARATOR.decode()


class TooLarge(Exception):
    """A POST past `max_http_buffer_size`."""


class _Watch:
    """Stands in for the body of a waiting GET, which is where aiohttp reports that the client has gone."""

    __slots__ = ("_answer",)

    def __init__(self, answer: asyncio.Future[bytes | list[Wire]]) -> None:
        self._answer = answer

    def set_exception(self, exc: BaseException, exc_cause: object = None) -> None:
        if not self._answer.done():
            if isinstance(exc, asyncio.CancelledError):  # aiohttp is shutting down
                self._answer.cancel()
            else:
                self._answer.set_exception(exc)


class Polling:
    """The long-polling side of one connection."""

    __slots__ = ("_answer", "_noops", "_posting", "socket")

    def __init__(self) -> None:
        self.socket: EngineSocket
        self._answer: asyncio.Future[bytes | list[Wire]] | None = None
        """The GET that waits."""
        self._posting = False
        self._noops = 0

    @property
    def waits(self) -> bool:
        """True while a GET waits for packets."""
        return self._answer is not None and not self._answer.done()

    def answer(self, body: bytes | list[Wire]) -> None:
        """Answer the GET that waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(body)

    def end(self, body: bytes) -> None:
        """The session is over: answer the GET if one waits. The next one finds no session."""
        self.answer(body)

    def part(self, *bodies: bytes) -> None:
        """The session is over in good order: the GET that waits and the next ones get one body each."""
        if self.waits:
            self.answer(bodies[0])
            bodies = bodies[1:]
        if bodies:
            self.socket.engine.part(self.socket.sid, bodies)

    def abort(self) -> None:
        """The session is over, and nobody is thought to listen."""
        self.answer(CLOSE)

    def release(self) -> None:
        """A websocket is taking over: end the GET that waits, with the packets there are or with a NOOP."""
        if self.waits:
            self._noops += 1
            self.answer(self.socket.take() or NOOP)

    async def get(self, request: web.Request) -> bytes | None:
        """The body of the answer to a GET; None when it must not be answered with one.

        A second GET while one waits closes the session, and so does one that the client gives up: packets may
        have been lost with it. Packets are taken from the queue only when the client is still there.
        """
        socket = self.socket
        if self._answer is not None:
            socket.abort(socket.engine.reason.TRANSPORT_ERROR)
            return None
        if socket.queue is not None:
            return self._body(request, socket.take())
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        if socket.probe is not None and socket.probe.answered:
            self._noops += 1
            if self._noops == 1:
                return NOOP
            timer = loop.call_later(UPGRADE_POLL_S, self.release)
        if request.transport is None:
            return self._body(request, NOOP)
        answer = self._answer = loop.create_future()
        request._payload = _Watch(answer)  # type: ignore[assignment]
        try:
            return self._body(request, await answer)
        except (ConnectionError, asyncio.CancelledError) as error:
            socket.abort(socket.engine.reason.TRANSPORT_ERROR)
            if isinstance(error, asyncio.CancelledError):
                raise
            return None
        finally:
            self._answer = None
            if timer is not None:
                timer.cancel()

    def _body(self, request: web.Request, packets: bytes | list[Wire]) -> bytes | None:
        if request.transport is None or request.transport.is_closing():
            self.socket.abort(self.socket.engine.reason.TRANSPORT_ERROR)
            return None
        return packets if isinstance(packets, bytes) else joined(packets)

    async def post(self, request: web.Request) -> bool:
        """Take the packets of a POST, in order. False when the session did not survive them.

        Raises `TooLarge`, which the session survives.
        """
        socket = self.socket
        if self._posting or request.headers.get("Content-Type") == "application/octet-stream":
            # Two bodies at once have no order; version 4 has no binary bodies.
            socket.protocol_error()
            return False
        self._posting = True
        try:
            body = await _read(request, socket.engine.max_http_buffer_size)
            packets = body.decode().split(_SEPARATOR)
        except (UnicodeDecodeError, HttpProcessingError, web.RequestPayloadError):
            socket.protocol_error()
            return False
        except (ConnectionError, asyncio.CancelledError) as error:
            socket.abort(socket.engine.reason.TRANSPORT_ERROR)
            if isinstance(error, asyncio.CancelledError):
                raise
            return False
        finally:
            self._posting = False
        for packet in packets:
            if socket.reason is not None:
                return False
            if packet[:1] == "b":
                try:
                    data = b64decode(packet[1:], validate=True)
                except (binascii.Error, ValueError):
                    socket.protocol_error()
                    return False
                socket.binary_received(data)
            else:
                socket.text_received(packet)
        await socket.caught_up()
        return socket.reason in (None, socket.engine.reason.CLIENT_DISCONNECT)


async def _read(request: web.Request, limit: int) -> bytes:
    """The body, of which no more than `limit` bytes are ever held."""
    if (request.content_length or 0) > limit:
        raise TooLarge
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def response(engine: Engine, request: web.Request, body: bytes, headers: dict[str, str]) -> web.Response:
    """The answer to a GET, compressed when that was asked for and pays."""
    headers["Cache-Control"] = "no-store"
    headers["Content-Type"] = "text/plain; charset=UTF-8"
    if engine.http_compression and len(body) >= engine.compression_threshold:
        accepted = request.headers.get("Accept-Encoding", "").lower()
        if "gzip" in accepted:
            # Fast rather than small: it happens on the event loop.
            compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
            body = compressor.compress(body) + compressor.flush()
            headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)
