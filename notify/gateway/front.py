"""The public port's front: a plain websocket handshake is answered here, everything else goes to aiohttp.

A third of what a connect costs is HTTP: a parser, a request, a task, a router, a response. The handshake that
nearly every client sends needs none of it. What is not exactly that handshake, in one piece and without
anything unusual, is handed to aiohttp untouched, so there is one place only that refuses and explains.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any

from notify.gateway.engine import Engine
from notify.gateway.heartbeat import Bucket
from notify.gateway.websocket import GUID

LONGEST_HEAD = 8190
"""Bytes of request line and headers, as aiohttp allows for one line."""
PATIENCE_S = 30.0
"""How long a connection may be open without a word."""

_HEADER = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*))?"
)
_ONCE = frozenset(
    (b"host", b"origin", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version")
)
_NOT_PLAIN = frozenset((b"content-length", b"transfer-encoding", b"expect", b"sec-websocket-protocol"))


class Front(asyncio.Protocol):
    """One connection until its first bytes have come. `other` makes the protocol for all that is not ours."""

    __slots__ = ("_deadline", "_engine", "_other", "_prefix", "_transport")

    def __init__(self, engine: Engine, other: Callable[[], asyncio.Protocol], *, path: str) -> None:
        self._engine = engine
        self._other = other
        self._prefix = f"GET {path}?".encode()
        self._transport: asyncio.Transport | None = None
        self._deadline: Bucket[Any] | None = engine.patience.add(self, PATIENCE_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._settle()
        if data.startswith(self._prefix):
            handshake = read(data, len(self._prefix))
            if handshake is not None and self._engine.accept(transport, *handshake):
                return
        other = self._other()
        transport.set_protocol(other)
        other.connection_made(transport)
        other.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()

    def give_up(self) -> None:
        """The deadline has passed and nothing has come."""
        self._deadline = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _settle(self) -> None:
        self._transport = None
        if self._deadline is not None:
            self._deadline.discard(self)
            self._deadline = None


def read(data: bytes, query_at: int) -> tuple[str, str | None, str, bytes, bytes] | None:
    """(query, origin, host, Sec-WebSocket-Accept, what followed) of a plain handshake; None for all else.

    Plain is what RFC 6455 section 4.2.1 asks for, HTTP/1.1, no body, each header that matters once.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > LONGEST_HEAD:
        return None
    first, *lines = data[:end].split(b"\r\n")
    if not first.endswith(b" HTTP/1.1"):
        return None
    query = first[query_at:-9]
    found: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        name = header[1].lower()
        if name in _NOT_PLAIN:
            return None
        if name in _ONCE:
            if name in found:
                return None
            found[name] = (header[2] or b"").rstrip()
    key = found.get(b"sec-websocket-key", b"")
    if (
        found.get(b"upgrade", b"").lower() != b"websocket"
        or found.get(b"sec-websocket-version") != b"13"
        or b"upgrade" not in [option.strip() for option in found.get(b"connection", b"").lower().split(b",")]
        or b"host" not in found
        or len(key) != 24
    ):
        return None
    try:
        if len(b64decode(key, validate=True)) != 16:
            return None
        origin = found[b"origin"].decode("ascii") if b"origin" in found else None
        text, host = query.decode("ascii"), found[b"host"].decode("ascii")
    except ValueError:
        return None
    accept = b64encode(sha1(key + GUID, usedforsecurity=False).digest())
    return text, origin, host, accept, data[end + 4 :]
