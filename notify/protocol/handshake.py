"""The opening handshake of a websocket, the server's side of it (RFC 6455 section 4.2), and no I/O."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha1
from typing import NamedTuple

from notify.protocol.headers import END_OF_HEAD, LONGEST_HEAD, plain_headers

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_ONCE = frozenset(
    (b"host", b"origin", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version")
)
_NOT_PLAIN = frozenset((b"content-length", b"transfer-encoding", b"expect", b"sec-websocket-protocol"))


class PlainHandshake(NamedTuple):
    """What matters in a handshake that has nothing unusual in it."""

    query: str
    origin: str | None
    host: str
    accept: bytes
    """The value of Sec-WebSocket-Accept."""
    tail: bytes
    """What followed the request."""


def accept_for(key: bytes) -> bytes | None:
    """The Sec-WebSocket-Accept for a Sec-WebSocket-Key; None for a key that is not 16 bytes in base64."""
    try:
        if len(key) != 24 or len(b64decode(key, validate=True)) != 16:
            return None
    except ValueError:
        return None
    return b64encode(sha1(key + GUID, usedforsecurity=False).digest())


def switching_protocols(accept: bytes) -> bytes:
    """The answer to a good handshake (RFC 6455 section 4.2.2)."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def read_plain(data: bytes, query_at: int) -> PlainHandshake | None:
    """Read a plain handshake, whose query begins at `query_at`; None for anything else.

    Plain is what RFC 6455 section 4.2.1 asks for, HTTP/1.1, no body, each header that matters once.
    """
    end = data.find(END_OF_HEAD)
    if end < 0 or end > LONGEST_HEAD:
        return None
    first, *lines = data[:end].split(b"\r\n")
    if not first.endswith(b" HTTP/1.1"):
        return None
    query = first[query_at:-9]
    found = plain_headers(lines, once=_ONCE, not_plain=_NOT_PLAIN)
    if (
        found is None
        or found.get(b"upgrade", b"").lower() != b"websocket"
        or found.get(b"sec-websocket-version") != b"13"
        or b"upgrade" not in [option.strip() for option in found.get(b"connection", b"").lower().split(b",")]
        or b"host" not in found
    ):
        return None
    accept = accept_for(found.get(b"sec-websocket-key", b""))
    if accept is None:
        return None
    try:
        origin = found[b"origin"].decode("ascii") if b"origin" in found else None
        text, host = query.decode("ascii"), found[b"host"].decode("ascii")
    except ValueError:
        return None
    return PlainHandshake(text, origin, host, accept, data[end + 4 :])


def query_values(query: str) -> dict[str, str]:
    """A query's values, the first of each name, undecoded: Engine.IO's own need no decoding."""
    return {name: value for name, _, value in (pair.partition("=") for pair in reversed(query.split("&")))}
