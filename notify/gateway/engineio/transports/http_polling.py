"""The requests of long-polling as aiohttp brings them, and how a poll is answered."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from notify.gateway.engineio.transports.polling import BrokenBody, TooLarge
from notify.protocol.engineio import Wire

BODY_S = 15.0
"""How long the body of a POST may take."""


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


class HttpPoll:
    """A GET of a client that is connected to this node."""

    __slots__ = ("_request",)

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def gone(self) -> bool:
        """True when its connection is closed, or about to be."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def watch(self, answer: asyncio.Future[bytes | list[Wire]]) -> None:
        """Have the answer fail with a ConnectionError when the client goes, or be cancelled by a shutdown."""
        self._request._payload = _Watch(answer)  # type: ignore[assignment]


class HttpPost:
    """A POST of a client that is connected to this node."""

    __slots__ = ("_request",)

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def binary(self) -> bool:
        """True for a body that version 4 of the protocol does not have."""
        return self._request.headers.get("Content-Type") == "application/octet-stream"

    async def read(self, limit: int) -> bytes:
        """The body, of which no more than `limit` bytes are ever held, within `BODY_S`.

        Raises `TooLarge`, `BrokenBody`, ConnectionError when the client goes.
        """
        request = self._request
        if (request.content_length or 0) > limit:
            raise TooLarge
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                async for chunk in request.content.iter_any():
                    size += len(chunk)
                    if size > limit:
                        raise TooLarge
                    chunks.append(chunk)
        except (HttpProcessingError, web.RequestPayloadError, TimeoutError) as error:
            raise BrokenBody from error
        return b"".join(chunks)


def poll_response(
    request: web.Request, body: bytes, headers: dict[str, str], *, compress_from: int | None
) -> web.Response:
    """The answer to a GET; with `compress_from` bytes or more compressed, when that was asked for."""
    headers["Cache-Control"] = "no-store"
    headers["Content-Type"] = "text/plain; charset=UTF-8"
    if compress_from is not None and len(body) >= compress_from:
        accepted = request.headers.get("Accept-Encoding", "").lower()
        if "gzip" in accepted:
            # Fast rather than small: it happens on the event loop.
            compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
            body = compressor.compress(body) + compressor.flush()
            headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)
