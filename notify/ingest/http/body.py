"""Reading a request's body within bounds: of size, of memory over all requests, of time, of shape."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from notify.domain.errors import BadRequest, TooLarge, TooMany, UnsupportedMedia
from notify.ingest.stats import IngestStats

READ_TIMEOUT_S = 15.0
"""A body that takes longer than this to arrive is refused."""
MAX_IN_MEMORY = 64 * 1024 * 1024
"""Bytes of large bodies (those over `SMALL`) that one node holds at once, over all requests."""
SMALL = 64 * 1024
BOM = b"\xef\xbb\xbf"
MAX_CONTAINERS = 200_000
"""Objects and arrays in one body: an empty one is 2 bytes of JSON and 60 of memory."""
MAX_VALUES = 500_000
"""Values in one body, likewise: so a body of 16 MiB takes no more than some 100 MB when it is parsed."""


class Hold:
    """What one request holds of the memory for large bodies. Use it as a context manager."""

    __slots__ = ("_held", "_most", "_stats")

    def __init__(self, stats: IngestStats, most: int) -> None:
        self._stats = stats
        self._most = most
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stats.bodies_in_memory -= self._held
        self._held = 0

    def grow_to(self, size: int) -> None:
        """Hold `size` bytes from now on. Raises TooMany when others hold the memory."""
        more = size - self._held
        if size <= SMALL or more <= 0:
            return
        if self._stats.bodies_in_memory + more > self._most:
            raise TooMany("Too many large bodies at once; try again", retry_after_s=1)
        self._stats.bodies_in_memory += more
        self._held = size


class BodyReader:
    """Reads bodies of at most a given size."""

    def __init__(self, *, stats: IngestStats, max_in_memory: int, timeout_s: float) -> None:
        self._stats = stats
        self._max_in_memory = max_in_memory
        self._timeout_s = timeout_s

    def hold(self) -> Hold:
        """The memory that a request holds for as long as it uses its body, when that may be large."""
        return Hold(self._stats, self._max_in_memory)

    async def read(self, request: web.Request, *, limit: int, hold: Hold | None = None) -> bytes:
        """The whole body. A length announced over `limit` is refused before a byte of it is read.

        Raises UnsupportedMedia, TooLarge, TooMany (other large bodies hold the memory), BadRequest (it did
        not arrive in time, or its chunks are malformed).
        """
        check_media(request)
        announced = request.content_length
        if announced is not None:
            if announced > limit:
                raise too_large(limit)
            if hold is not None:
                hold.grow_to(announced)
        content = request.content
        if content.is_eof():  # all of it is here already: no waiting, no timer
            body = content.read_nowait(-1)
            if len(body) > limit:
                raise too_large(limit)
        else:
            body = await self._collect(request, limit, hold)
        self._stats.body_bytes += len(body)
        return body

    async def _collect(self, request: web.Request, limit: int, hold: Hold | None) -> bytes:
        content = request.content
        if "Expect" in request.headers:
            # RFC 9110 section 10.1.1: only now do we want the body. (`expect_later` held this back.)
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while chunk := await content.readany():
                    body += chunk
                    if len(body) > limit:
                        raise too_large(limit)
                    if hold is not None:
                        hold.grow_to(len(body))
        except TimeoutError as error:
            raise BadRequest(f"The body did not arrive within {self._timeout_s:g} s") from error
        except RequestPayloadError as error:
            raise BadRequest("The body's transfer encoding is malformed") from error
        return bytes(body)


def too_large(limit: int) -> TooLarge:
    """The error that names the limit."""
    return TooLarge(f"The body may be at most {limit} bytes long")


async def expect_later(request: web.Request) -> None:
    """An aiohttp expect handler: answers `Expect: 100-continue` not before the body is wanted (see `read`).

    So that a body that will be refused, for its size or for want of a key, is never sent. Other expectations
    are ignored, as RFC 9110 section 10.1.1 allows.
    """


def check_media(request: web.Request) -> None:
    """Raise UnsupportedMedia unless the body is plain `application/json` in UTF-8."""
    headers = request.headers
    if headers.get("Content-Type") != "application/json":
        if request.content_type != "application/json" or "Content-Type" not in headers:
            raise UnsupportedMedia("The body must be JSON: send Content-Type: application/json")
        if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
            raise UnsupportedMedia("The body must be JSON in UTF-8 (RFC 8259 section 8.1)")
    # Not decoding is what makes a compressed bomb harmless.
    encoding = headers.get("Content-Encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise UnsupportedMedia("The body must not be compressed: send no Content-Encoding")


def parse(body: bytes) -> Any:
    """The JSON value. Raises BadRequest where it is not JSON (RFC 8259), TooLarge where it would blow up.

    Refused as not JSON are also NaN, Infinity, numbers beyond a double, half surrogate pairs, invalid UTF-8
    and nesting deeper than 1024. Of a key that comes twice the last counts. Integers beyond 64 bits become
    doubles, as they would in every browser.
    """
    body = body.removeprefix(BOM)  # RFC 8259 section 8.1 lets a parser ignore it
    if not body:
        raise BadRequest("The body is empty; it must be JSON")
    # Counted before parsing, so brackets and commas inside strings count, too.
    if len(body) > MAX_CONTAINERS and (
        body.count(b"[") + body.count(b"{") > MAX_CONTAINERS or body.count(b",") > MAX_VALUES
    ):
        raise TooLarge(
            f"The body may hold at most {MAX_CONTAINERS} objects and arrays and {MAX_VALUES} values"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Its text gives the reason and the place, and nothing of the body.
        raise BadRequest(f"The body is not JSON: {error}") from error
