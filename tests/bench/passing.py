"""P13: what it costs that a balancer without affinity sends requests to nodes without the session."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from tests.bench.load import text_frame
from tests.bench.machine import cpu_s
from tests.bench.peers.peer import Client, Node, Peer, Target
from tests.bench.processes import BenchError

POLLERS = 200
"""Sessions of P13's polls. Each is polled once a round."""
ROUNDS = 10
AT_ONCE = 16
"""Connections over which they are polled."""
ARRIVALS = 150
"""Clients that connect in each round, beginning on long-polling and going over to websocket."""
_PATH = "/socket.io/?EIO=4&transport=polling"
_TEXT = {"Content-Type": "text/plain;charset=UTF-8"}
_UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket&sid={sid} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def polls_us(peer: Peer, home: Node, other: Node) -> tuple[float, float]:
    """CPU of both nodes per poll that is answered at once: at the session's node, and passed on."""
    users = [f"user-{number}" for number in range(POLLERS)]
    packets = peer.connect_packets([Client(user) for user in users])
    sids = [_Arrival(itertools.repeat(home), packet).enter() for packet in packets]
    targets = [Target("user", user) for user in users]
    used = {home.port: 0.0, other.port: 0.0}
    for number in range(2 * ROUNDS + 2):
        asked = (home, other)[number % 2]
        peer.flood(other, targets, len(targets))
        before = _cpu_s(home, other)
        _poll_all(asked, sids)
        if number >= 2:  # the first ones warm both ways up
            used[asked.port] += _cpu_s(home, other) - before
    polls = ROUNDS * len(sids)
    return used[home.port] / polls * 1e6, used[other.port] / polls * 1e6


def connects_per_cpu_s(peer: Peer, nodes: Sequence[Node], *, rounds: int) -> tuple[float, float]:
    """Clients that connect and go over to websocket, per CPU second of all nodes: with affinity, without."""
    turns = itertools.cycle(nodes)
    used = [0.0, 0.0]
    for number in range(2 * rounds + 2):
        sticky = number % 2 == 0
        packets = peer.connect_packets([Client(f"arrival-{number}-{n}") for n in range(ARRIVALS)])
        before = _cpu_s(*nodes)
        with ExitStack() as stack:
            for packet in packets:
                way = itertools.repeat(next(turns)) if sticky else turns
                stack.enter_context(closing(_Arrival(way, packet).go_over()))
            if number >= 2:
                used[not sticky] += _cpu_s(*nodes) - before
    return rounds * ARRIVALS / used[False], rounds * ARRIVALS / used[True]


class _Arrival:
    """A client as it comes by default, each of whose requests goes to the next node of its way."""

    def __init__(self, way: itertools.repeat[Node] | itertools.cycle[Node], packet: str) -> None:
        self._way = way
        self._packet = packet

    def enter(self) -> str:
        """Open a session on long-polling, and CONNECT; the session's id."""
        sid: str = json.loads(self._ask("GET", _PATH)[1:])["sid"]
        self._path = f"{_PATH}&sid={sid}"
        self._ask("POST", self._path, self._packet)
        self._poll_until(lambda body: "session:ready" in body)
        return sid

    def go_over(self) -> socket.socket:
        """The same, and go over to websocket, as stock clients do; answers the connection."""
        sid = self.enter()
        node = next(self._way)
        websocket = socket.create_connection(("127.0.0.1", node.port), 20)
        websocket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        websocket.sendall(_UPGRADE.format(sid=sid, port=node.port).encode())
        websocket.sendall(text_frame(b"2probe"))
        self._read_until(websocket, b"3probe")
        self._ask("GET", self._path)  # the last poll is answered with a NOOP
        websocket.sendall(text_frame(b"5"))
        websocket.sendall(text_frame(b'420["P13"]'))
        self._read_until(websocket, b"430[")
        return websocket

    def _poll_until(self, done: Callable[[str], bool]) -> None:
        for _ in range(10):
            if done(self._ask("GET", self._path)):
                return
        raise BenchError("P13: the client is not let in")

    @staticmethod
    def _read_until(websocket: socket.socket, sign: bytes) -> None:
        received = b""
        while sign not in received:
            piece = websocket.recv(65536)
            received += piece
            if not piece or b"HTTP/1.1 4" in received:
                raise BenchError(f"P13: no {sign!r} but {received[:300]!r}")

    def _ask(self, method: str, path: str, body: str | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", next(self._way).port, timeout=20)
        with closing(connection):
            connection.request(method, path, body, _TEXT if body else {})
            return _answer(connection)


def _poll_all(node: Node, sids: Sequence[str]) -> None:
    """Poll each session once, `AT_ONCE` at a time; each has a message waiting."""
    connections = [http.client.HTTPConnection("127.0.0.1", node.port, timeout=20) for _ in range(AT_ONCE)]
    for begin in range(0, len(sids), AT_ONCE):
        pairs = list(zip(connections, sids[begin : begin + AT_ONCE], strict=False))
        for connection, sid in pairs:
            connection.request("GET", f"{_PATH}&sid={sid}")
        for connection, _ in pairs:
            if "notification" not in (body := _answer(connection)):
                raise BenchError(f"P13: a poll was answered {body[:200]!r}")
    for connection in connections:
        connection.close()


def _answer(connection: http.client.HTTPConnection) -> str:
    response = connection.getresponse()
    body = response.read().decode()
    if response.status != 200:
        raise BenchError(f"P13: {response.status} {body[:200]}")
    return body


def _cpu_s(*nodes: Node) -> float:
    return sum(cpu_s(node.process.pid) for node in nodes)
