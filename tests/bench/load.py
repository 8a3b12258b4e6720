"""The load client: thousands of websockets in one process, cheaper than any server at the other end.

Raw non-blocking sockets on epoll. After its handshake a connection is a file descriptor and a bound method:
what arrives is read into one shared buffer, and counted by a marker that every message carries once. No frame
is parsed, no JSON decoded, nothing allocated per message. Pings are found by their bytes.

    python -m tests.bench.load      commands as JSON lines on stdin, see `LoadClient.commands`
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.bench.lines import Lines
from tests.bench.machine import raise_file_limit

MARK = b"#!"
"""Stands once in every message that is counted, and nowhere else."""
STAMP = b'"t":"'
"""Stands before the 16 digits of the time (us, monotonic) at which a message was sent."""
STAMP_DIGITS = 16

_CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe9"  # 1001, going away: what a closed tab sends
_BUFFER_BYTES = 1 << 18
_SOURCE_PORTS = 20_000
"""Connections per source address, below the ephemeral range's size."""


def text_frame(payload: bytes) -> bytes:
    """A final text frame as clients send it, masked (with zeros: RFC 6455 asks for a mask, any will do)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((0x80 | size,)) + b"\x00\x00\x00\x00" + payload
    return b"\x81\xfe" + size.to_bytes(2, "big") + b"\x00\x00\x00\x00" + payload


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server says and wants to hear, in bytes."""

    path: str
    opened: bytes
    """Stands in what the server says before it can be told who connects; empty where it says nothing."""
    admitted: bytes
    refused: bytes
    ping: bytes
    pong: bytes

    @property
    def unfinished(self) -> frozenset[int]:
        """A read that ends in one of these may have cut a marker or a ping in two."""
        return frozenset((MARK[0], *self.ping[:-1]))


DIALECTS = {
    "socket.io": Dialect(
        "/socket.io/?EIO=4&transport=websocket",
        opened=b'0{"sid"',
        admitted=b'40{"sid"',
        refused=b"44{",
        ping=b"\x81\x012",
        pong=text_frame(b"3"),
    ),
    # A ping is an empty object, alone or on a line of a frame; nothing else that is sent holds an empty one.
    "centrifugo": Dialect(
        "/connection/websocket",
        opened=b"",
        admitted=b'"connect":{',
        refused=b'"error":{',
        ping=b"{}",
        pong=text_frame(b"{}"),
    ),
}


class _Dial:
    """A connection on its way: upgrade, what the server says first, who connects, and the answer to that."""

    __slots__ = ("connect_frame", "received", "sent_connect")

    def __init__(self, connect_packet: str) -> None:
        self.connect_frame = text_frame(connect_packet.encode())
        self.received = b""
        self.sent_connect = False


class LoadClient:
    """One thread, one epoll, all connections."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lines = Lines()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._read_into: dict[int, Callable[[bytearray], int]] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._dials: dict[int, _Dial] = {}
        self._tails: dict[int, bytes] = {}
        self._latencies_us: list[int] = []
        self._stamped = False
        self._count = 0
        self._pings = 0
        self._lost = 0
        self._failure = ""
        self._commands: deque[dict[str, Any]] = deque()
        self._ended = False
        self._dialect = DIALECTS["socket.io"]
        self._unfinished = self._dialect.unfinished

    def run(self) -> None:
        """Serves commands, and connections all the while, until stdin ends."""
        self._epoll.register(self._lines.fileno(), select.EPOLLIN)
        while not self._ended:
            if self._commands:
                command = self._commands.popleft()
                verb = command.pop("do")
                self._lines.answer(self.commands[verb](self, **command))
            else:
                self._turn(1.0)

    def _turn(self, timeout_s: float) -> None:
        """One poll and everything that was ready."""
        buffer, read_into, stamped = self._buffer, self._read_into, self._stamped
        ping, unfinished = self._dialect.ping, self._unfinished
        for descriptor, _ in self._epoll.poll(timeout_s, 4096):
            read = read_into.get(descriptor)
            if read is None:
                self._other(descriptor)
                continue
            try:
                size = read(buffer)
            except OSError:
                size = 0
            if size == 0:
                self._lost += 1
                self._forget(descriptor)
                continue
            if descriptor in self._tails or buffer[size - 1] in unfinished or stamped:
                self._read_with_care(descriptor, bytes(memoryview(buffer)[:size]))
                continue
            self._count += buffer.count(MARK, 0, size)
            if buffer.find(ping, 0, size) >= 0:
                self._pong(descriptor)

    def _read_with_care(self, descriptor: int, piece: bytes) -> None:
        """The same for a read whose end or beginning is half a marker, and for messages whose time counts."""
        data, ping = self._tails.pop(descriptor, b"") + piece, self._dialect.ping
        self._count += data.count(MARK)
        if ping in data:
            self._pong(descriptor)
        if self._stamped:
            now_us = time.monotonic_ns() // 1000
            at = data.find(STAMP)
            while at >= 0:
                digits = data[at + len(STAMP) : at + len(STAMP) + STAMP_DIGITS]
                if len(digits) == STAMP_DIGITS:
                    self._latencies_us.append(now_us - int(digits))
                at = data.find(STAMP, at + 1)
        if data.endswith(ping[:-1]):
            self._tails[descriptor] = ping[:-1]
        elif data.endswith((MARK[:1], ping[:1])):
            self._tails[descriptor] = data[-1:]

    def _pong(self, descriptor: int) -> None:
        self._pings += 1
        with suppress(OSError):  # the next read says that it is gone
            self._sockets[descriptor].send(self._dialect.pong)

    def _other(self, descriptor: int) -> None:
        """A command, or a connection on its way."""
        if descriptor == self._lines.fileno():
            commands = self._lines.read()
            if commands is None:
                self._ended = True
            else:
                self._commands.extend(commands)
        elif descriptor in self._dials:
            self._dial_on(descriptor)

    def _dial_on(self, descriptor: int) -> None:
        dial, sock = self._dials[descriptor], self._sockets[descriptor]
        try:
            piece = sock.recv(65536)
        except OSError:
            piece = b""
        dial.received += piece
        if not piece or (len(dial.received) >= 12 and not dial.received.startswith(b"HTTP/1.1 101")):
            self._failure = dial.received[:300].decode(errors="replace") or "closed"
            self._lost += 1
            self._forget(descriptor)
            return
        dialect = self._dialect
        if not dial.sent_connect and b"\r\n\r\n" in dial.received and dialect.opened in dial.received:
            dial.sent_connect = True
            dial.received = b"HTTP/1.1 101"  # nothing follows before it is told who connects
            sock.send(dial.connect_frame)
        elif dial.sent_connect and dialect.refused in dial.received:
            self._failure = dial.received[-200:].decode(errors="replace")
            self._lost += 1
            self._forget(descriptor)
        elif dial.sent_connect and dialect.admitted in dial.received:
            del self._dials[descriptor]
            self._read_into[descriptor] = sock.recv_into

    def _forget(self, descriptor: int) -> None:
        for table in (self._read_into, self._dials, self._tails):
            table.pop(descriptor, None)
        self._sockets.pop(descriptor).close()

    def connect(
        self,
        *,
        port: int,
        packets: list[str],
        at_once: int = 64,
        within_s: float = 100,
        dialect: str = "socket.io",
    ) -> dict[str, Any]:
        """Opens one websocket for each packet that says who connects, `at_once` in the making at a time."""
        self._dialect = DIALECTS[dialect]
        self._unfinished = self._dialect.unfinished
        waiting = deque(packets)
        lost, started = self._lost, time.monotonic()
        self._failure = ""
        while (waiting or self._dials) and time.monotonic() - started < within_s and not self._ended:
            while waiting and len(self._dials) < at_once:
                self._dial(port, waiting.popleft())
            self._turn(0.1)
        return {
            "open": len(self._read_into),
            "failed": self._lost - lost + len(waiting) + len(self._dials),
            "failure": self._failure,
            "seconds": time.monotonic() - started,
        }

    def _dial(self, port: int, packet: str) -> None:
        sock = socket.socket()
        source = f"127.0.0.{2 + len(self._sockets) // _SOURCE_PORTS}"
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen by connect()
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))  # loopback: done at once when the backlog is not full
        sock.setblocking(False)
        sock.send(
            b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % (self._dialect.path.encode(), port)
        )
        descriptor = sock.fileno()
        self._sockets[descriptor] = sock
        self._dials[descriptor] = _Dial(packet)
        self._epoll.register(descriptor, select.EPOLLIN)

    def reset(self, *, stamped: bool = False) -> dict[str, Any]:
        """Begins to count at 0; with `stamped` every message's age is noted too."""
        self._count = self._pings = self._lost = 0
        self._stamped = stamped
        self._latencies_us.clear()
        return {}

    def wait(self, *, count: int, within_s: float = 60) -> dict[str, Any]:
        """Until so many messages have come since `reset`, or the time is over."""
        started = time.monotonic()
        while self._count < count and time.monotonic() - started < within_s and not self._ended:
            self._turn(0.05)
        return {"count": self._count, "lost": self._lost, "pings": self._pings}

    def latencies(self) -> dict[str, Any]:
        """The distribution of the ages since `reset`, in us."""
        ages = sorted(self._latencies_us)
        if not ages:
            return {"n": 0, "p50": 0, "p99": 0, "max": 0}
        return {
            "n": len(ages),
            "p50": ages[len(ages) // 2],
            "p99": ages[min(len(ages) - 1, len(ages) * 99 // 100)],
            "max": ages[-1],
        }

    def close(self, *, n: int) -> dict[str, Any]:
        """Closes `n` connections as a browser does when a tab is closed, the oldest first."""
        for descriptor in list(self._read_into)[:n]:
            with suppress(OSError):  # gone already
                self._sockets[descriptor].send(_CLOSE)
            self._forget(descriptor)
        return {"open": len(self._read_into)}

    commands: ClassVar[dict[str, Callable[..., dict[str, Any]]]] = {
        "connect": connect,
        "reset": reset,
        "wait": wait,
        "latencies": latencies,
        "close": close,
    }


if __name__ == "__main__":
    raise_file_limit()
    LoadClient().run()
