"""The publisher: HTTP/1.1 requests on kept-alive connections, at a pace or as fast as they are answered.

    python -m tests.bench.publisher     commands as JSON lines on stdin, see `Publisher.commands`

Requests are finished bytes; only the time is written into those that have a place for it.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any, ClassVar

from tests.bench.lines import Lines

STAMP_PLACE = b"TTTTTTTTTTTTTTTT"
"""Replaced by the time of sending: 16 digits, us, monotonic."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Connection:
    """One kept-alive connection with at most one request in flight."""

    __slots__ = ("buffer", "need", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.need = 0

    def fileno(self) -> int:
        return self.sock.fileno()

    def answered(self) -> bytes | None:
        """Reads once. The beginning of the answer (status line) when it is complete, or None."""
        piece = self.sock.recv(1 << 18)
        if not piece:
            raise ConnectionError("the server closed a kept-alive connection")
        self.buffer += piece
        if not self.need:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            length = _LENGTH.search(self.buffer, 0, end)
            self.need = end + 4 + (int(length[1]) if length else 0)
        if len(self.buffer) < self.need:
            return None
        head, self.buffer, self.need = self.buffer[:600], b"", 0
        return head


class Publisher:
    """Connections to one server, and the requests that go round on them."""

    def __init__(self) -> None:
        self._connections: list[_Connection] = []
        self._requests: list[bytes] = []
        self._refused = 0
        self._refusal = ""

    def prepare(self, *, port: int, connections: int, requests: list[str]) -> dict[str, Any]:
        """Opens the connections; `requests` are sent in turn from now on, round and round."""
        self._connections = [_Connection(port) for _ in range(connections)]
        self._requests = [request.encode("latin-1") for request in requests]
        return {}

    def paced(self, *, rate_hz: float, seconds: float) -> dict[str, Any]:
        """Open loop: each request leaves when it is due, or as soon after as a connection is free.

        A request that had to wait for a connection is stamped with the time at which it was due.
        """
        self._refused, accepted, sent, late = 0, 0, 0, 0
        requests = cycle(self._requests)
        idle = list(self._connections)
        busy: list[_Connection] = []
        total = round(rate_hz * seconds)
        started = time.monotonic()
        while sent < total or busy:
            now = time.monotonic()
            had_to_wait = not idle
            while sent < total and (due := started + sent / rate_hz) <= now and idle:
                connection = idle.pop()
                stamp = due if had_to_wait else time.monotonic()
                request = next(requests).replace(STAMP_PLACE, b"%016d" % int(stamp * 1e6))
                connection.sock.sendall(request)
                busy.append(connection)
                sent += 1
            if had_to_wait:
                late += 1
            wait_s = started + sent / rate_hz - time.monotonic() if sent < total and idle else 1.0
            readable, _, _ = select.select(busy, [], [], max(0.0, wait_s))
            for connection in readable:
                head = connection.answered()
                if head is not None:
                    accepted += self._judge(head)
                    busy.remove(connection)
                    idle.append(connection)
        return self._summary(sent, accepted, started, late=late)

    def flat_out(self, *, seconds: float = 0, total: int = 0) -> dict[str, Any]:
        """Closed loop: every connection sends its next request when the last one was answered."""
        self._refused, accepted, sent = 0, 0, 0
        requests = cycle(self._requests)
        epoll = select.epoll()
        by_descriptor = {connection.fileno(): connection for connection in self._connections}
        started = time.monotonic()
        limit = total or 1 << 60
        end = started + seconds if seconds else started + 600
        in_flight = 0
        for descriptor, connection in by_descriptor.items():
            epoll.register(descriptor, select.EPOLLIN)
            if sent < limit:
                connection.sock.sendall(next(requests))
                sent += 1
                in_flight += 1
        while in_flight:
            for descriptor, _ in epoll.poll(10):
                connection = by_descriptor[descriptor]
                head = connection.answered()
                if head is None:
                    continue
                accepted += self._judge(head)
                in_flight -= 1
                if sent < limit and time.monotonic() < end:
                    connection.sock.sendall(next(requests))
                    sent += 1
                    in_flight += 1
        epoll.close()
        return self._summary(sent, accepted, started)

    def _judge(self, head: bytes) -> int:
        if head.startswith(b"HTTP/1.1 2"):
            return 1
        self._refused += 1
        self._refusal = head.decode(errors="replace")
        return 0

    def _summary(self, sent: int, accepted: int, started: float, *, late: int = 0) -> dict[str, Any]:
        return {
            "sent": sent,
            "accepted": accepted,
            "refused": self._refused,
            "refusal": self._refusal if self._refused else "",
            "late": late,
            "seconds": time.monotonic() - started,
        }

    commands: ClassVar[dict[str, Callable[..., dict[str, Any]]]] = {
        "prepare": prepare,
        "paced": paced,
        "flat_out": flat_out,
    }


def main() -> None:
    """Serves commands until stdin ends."""
    publisher, lines = Publisher(), Lines()
    while (commands := lines.read()) is not None:
        for command in commands:
            verb = command.pop("do")
            lines.answer(Publisher.commands[verb](publisher, **command))


if __name__ == "__main__":
    main()
