"""What a peer is to the bench: nodes that can be started, and three ways to make one of them send."""

from __future__ import annotations

import abc
import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.bench.load import MARK
from tests.bench.processes import BenchError, Process, Processes

NOTIFICATION: dict[str, Any] = {
    "title": "Build failed",
    "body": "main 812: 3 of 412 tests failed after 4 min 12 s",
    "url": "https://ci.example/builds/812",
    "category": "ci",
    "priority": "normal",
    "data": {"build": 812, "mark": MARK.decode(), "t": "0000000000000000"},
}
"""What is posted. `mark` is what the load client counts, `t` has room for a time."""

SENT: dict[str, Any] = {
    "id": "ntf_01JD9Z8Q7W3N5T2K4M6P8R0V1X",
    "event": "notification",
    "created_at": "2026-11-23T09:00:00.000Z",
    **NOTIFICATION,
}
"""What the peers emit, who make nothing of their own around it: as many bytes as ours."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a message is for."""

    kind: Literal["room", "user"]
    name: str


@dataclass(frozen=True, slots=True)
class Client:
    """Who connects, and the room that its connection is in from the start."""

    user: str
    room: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A running server of a peer."""

    process: Process
    port: int
    """Of the websockets."""
    http_port: int
    """Of what makes it send."""


class Peer(abc.ABC):
    """A server that is measured."""

    name: str
    rounds = 1
    """Tens of thousands of deliveries in P2 and P3, so that a fast peer too is measured over some time.

    The depth of a backlog is the same for every peer: what it costs hangs on the depth where waiting
    messages leave in one write.
    """
    durable = False
    """Whether its HTTP endpoint answers only when the message is kept (P4)."""
    most_waiting = 1 << 30
    """Messages that may wait for a node that was stopped; what goes beyond it throws away."""
    inboxes = False
    """Whether it can put what is sent into an inbox."""
    dialect = "socket.io"
    """What is spoken on its websockets: a key of `load.DIALECTS`."""

    def __init__(self, processes: Processes, redis_url: str) -> None:
        self._processes = processes
        self._redis_url = redis_url

    @classmethod
    def missing(cls) -> str:
        """Why it cannot be measured on this machine; empty when it can."""
        return ""

    def install(self) -> None:  # noqa: B027 - most need nothing
        """Makes ready what the peer needs besides this package."""

    @abc.abstractmethod
    def start(self, *, core: int, ping_interval_s: int = 25) -> Node:
        """Starts one node on `core` and waits until it serves."""

    @abc.abstractmethod
    def connect_packets(self, clients: Sequence[Client]) -> list[str]:
        """The packet of each that says who connects."""

    @abc.abstractmethod
    def request(self, target: Target, *, stamp: bool = False, inbox: bool = True) -> str:
        """A whole HTTP request that sends one notification; with `stamp` it carries the time of sending.

        Without `inbox` it goes into none, where the peer has any.
        """

    def batch_request(self, targets: Sequence[Target]) -> str:
        """A whole HTTP request that sends one notification to each, and puts it into no inbox."""
        raise NotImplementedError

    @abc.abstractmethod
    def flood(self, node: Node, targets: Sequence[Target], n: int) -> None:
        """Makes `node` send `n` notifications to the targets in turn; returns when Redis has them all."""

    def collect(self, node: Node) -> None:  # noqa: B027 - ours has no way to ask
        """Has the node collect its garbage now, where there is a way to ask."""

    def _wait_until_ready(self, node: Node, path: str, status: int) -> Node:
        deadline = time.monotonic() + 20
        while True:
            try:
                if call(node.http_port, "GET", path)[0] == status:
                    return node
            except OSError:
                time.sleep(0.02)
            if time.monotonic() > deadline or not node.process.alive():
                raise BenchError(f"{self.name}: not ready\n{node.process.log()}")


def http_request(method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> str:
    """A request in bytes, as the publisher sends it round and round."""
    payload = "" if body is None else json.dumps(body, separators=(",", ":"))
    lines = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(len(payload)),
        **(headers or {}),
    }
    return (
        f"{method} {path} HTTP/1.1\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        + f"\r\n{payload}"
    )


def call(
    port: int, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """One request of the bench itself: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        payload = None if body is None else json.dumps(body, separators=(",", ":"))
        connection.request(method, path, payload, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
