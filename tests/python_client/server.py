"""A server that does to a client what networks and proxies do, step by step, and writes down what came."""

from __future__ import annotations

import json
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """This status, with this body."""

    status: int
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """The connection is reset instead of an answer; with `after`, the node has got the request."""

    after: bool = False


@dataclass(frozen=True)
class Hang:
    """Nothing is answered, until the test is over."""


@dataclass(frozen=True)
class Drip:
    """An answer that never ends: a byte at a time."""


@dataclass(frozen=True)
class Pass:
    """The request goes through to the node, and its answer comes back."""


Step = Answer | Reset | Hang | Drip | Pass


@dataclass(frozen=True)
class Came:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


class Server(ThreadingHTTPServer):
    """Does the steps in order; after the last one, `then` for ever."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, steps: Sequence[Step], *, then: Step, node: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.node = node
        self.came: list[Came] = []
        self.connections = 0
        self.over = threading.Event()
        self._steps = list(steps)
        self._then = then
        self._lock = threading.Lock()

    def step(self, came: Came) -> Step:
        with self._lock:
            self.came.append(came)
            return self._steps.pop(0) if self._steps else self._then

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what these tests are about."""


@contextmanager
def serving(*steps: Step, then: Step | None = None, node: str | None = None) -> Iterator[Server]:
    """The server, in a thread of its own."""
    server = Server(steps, then=then or (Pass() if node else Answer(202, SENT)), node=node)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


SENT = {
    "id": "ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8",
    "status": "accepted",
    "created_at": "2026-11-23T09:30:00.000Z",
    "expires_at": None,
}


def problem(status: int, code: str, detail: str = "no", **more: Any) -> dict[str, Any]:
    """A problem document."""
    return {"type": "", "title": "t", "status": status, "code": code, "detail": detail, "errors": [], **more}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        came = Came(self.command, self.path, headers, body)
        match self.server.step(came):
            case Answer(status, document, more):
                self._answer(status, more, document)
            case Pass():
                self._answer(*self._passed_on(came))
            case Reset(after):
                if after:
                    self._passed_on(came)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            case Drip():
                self.send_response(202)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                while not self.server.over.wait(0.02):
                    self.wfile.write(b" ")
            case Hang():
                self.server.over.wait()
                self.close_connection = True

    do_GET = do_PUT = do_DELETE = do_POST

    def _passed_on(self, came: Came) -> tuple[int, Mapping[str, str], Any]:
        headers = {
            name: value
            for name, value in came.headers.items()
            if name not in ("host", "connection", "content-length")
        }
        request = urllib.request.Request(
            f"{self.server.node}{came.path}", came.body or None, headers, method=came.method
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def _answer(self, status: int, headers: Mapping[str, str], document: Any) -> None:
        body = (
            document
            if isinstance(document, bytes)
            else b""
            if document is None
            else json.dumps(document).encode()
        )
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        if not any(name.lower() == "content-type" for name in headers):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
