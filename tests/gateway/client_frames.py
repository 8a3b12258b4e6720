"""What a websocket client sends, right or wrong, written out by hand."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\xa5\x00\xff\x3c"


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    width: int | None = None,
    length: int | None = None,
) -> bytes:
    """One frame. `width` forces the form of the length (0, 2 or 8 bytes more), `length` lies about it."""
    size = len(payload) if length is None else length
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    masked = 0 if mask is None else 0x80
    head = bytes((final << 7 | reserved << 4 | opcode, masked | {0: size & 0x7F, 2: 126, 8: 127}[width]))
    if width:
        head += size.to_bytes(width, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))


def text(words: str) -> bytes:
    return client_frame(TEXT, words.encode())


def fragments(opcode: int, *payloads: bytes) -> Iterator[bytes]:
    """A message in as many frames as there are payloads."""
    for i, payload in enumerate(payloads):
        yield client_frame(opcode if i == 0 else CONTINUATION, payload, final=i == len(payloads) - 1)


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    return client_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def chops(stream: bytes, size: int) -> Iterable[bytes]:
    return (stream[i : i + size] for i in range(0, len(stream), size))


def handshake(path: str = "/", *, without: str = "", **changed: str) -> bytes:
    """The request that opens a websocket; header names of `changed` are written with underscores."""
    headers = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    headers.pop(without, None)
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
