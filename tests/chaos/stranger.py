"""One stranger with one machine: `python -m tests.chaos.stranger PUBLIC INTERNAL TOKEN`, until it is killed.

It is a process of its own, so that what it costs to attack is not what the others wait for.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable

PINGS_AT_ONCE = 10_000
HOST = b"Host: x\r\n"
WEBSOCKET = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HANDSHAKE = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKS = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def masked(opcode: int, payload: bytes = b"") -> bytes:
    """A final frame of up to 64 KiB, with a mask that changes nothing."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes((0x80 | opcode,)) + length + b"\0\0\0\0" + payload


class Stranger:
    """Attacks two ports in every way it knows, all at once."""

    def __init__(self, public: int, internal: int, token: str) -> None:
        self._public, self._internal = public, internal
        self._connect = masked(1, b"40" + json.dumps({"token": token}).encode())

    def run(self) -> None:
        """Begin, and go on for ever."""
        ways: list[tuple[int, Callable[[], None]]] = [
            (10, lambda: self._flood(masked(0x9) * PINGS_AT_ONCE)),
            (3, lambda: self._flood(masked(0x1, b"6") * PINGS_AT_ONCE)),
            (3, lambda: self._flood(masked(0x1, b"431[]") * PINGS_AT_ONCE, first=self._connect)),
            (3, lambda: self._flood(masked(0x1, b'42["x",' + b"[" * 30_000) * 4, first=masked(1, b"40{}"))),
            (50, lambda: self._endless_head(self._public)),
            (20, lambda: self._endless_head(self._internal)),
            (2, lambda: self._pipeline(HANDSHAKE * 500)),
            (1, lambda: self._send(self._public, CHUNKS + b"z" * 240_000)),
            (1, lambda: self._send(self._internal, CHUNKS + b"z" * 240_000)),
        ]
        for count, way in ways:
            for _ in range(count):
                threading.Thread(target=_for_ever, args=(way,), daemon=True).start()
        while True:
            time.sleep(1)

    def _flood(self, frames: bytes, first: bytes = b"") -> None:
        with socket.create_connection(("127.0.0.1", self._public), timeout=20) as stream:
            stream.sendall(WEBSOCKET + first)
            while True:
                stream.sendall(frames)

    def _endless_head(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\n")
            while True:
                stream.sendall(b"X: " + b"x" * 60 + b"\r\n")
                time.sleep(0.05)

    def _pipeline(self, requests: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._public), timeout=20) as stream:
            stream.sendall(requests)
            while stream.recv(1 << 16):
                stream.sendall(HANDSHAKE)

    def _send(self, port: int, data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
            stream.sendall(data)
            while stream.recv(1 << 16):
                pass


def _for_ever(way: Callable[[], None]) -> None:
    while True:
        try:
            way()
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    Stranger(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]).run()
