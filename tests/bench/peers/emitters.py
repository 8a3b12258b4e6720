"""The two peers that we are compared with. Both have the same bare HTTP endpoint that emits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.machine import free_port
from tests.bench.peers.peer import SENT, Client, Node, Peer, Target, call, http_request
from tests.bench.processes import BenchError, python_module

_NODE = Path(__file__).parent / "node"


def _room(target: Target) -> str:
    return target.name if target.kind == "room" else f"user:{target.name}"


class _Emitter(Peer):
    """POST /emit {room, notification}, /flood {rooms, n, notification}, /collect."""

    def _command(self, port: int, ping_interval_s: int) -> tuple[str | Path, ...]:
        raise NotImplementedError

    def start(self, *, core: int, ping_interval_s: int = 25) -> Node:
        port = free_port()
        process = self._processes.start(self.name, *self._command(port, ping_interval_s), core=core)
        # A plain GET of the Socket.IO path is a bad request to both: it answers, so it serves.
        return self._wait_until_ready(Node(process, port, port), "/socket.io/", 400)

    def connect_packets(self, clients: Sequence[Client]) -> list[str]:
        return ["40" + json.dumps({"rooms": [c.room or f"user:{c.user}"]}) for c in clients]

    def request(self, target: Target, *, stamp: bool = False, inbox: bool = True) -> str:
        return http_request("POST", "/emit", {"room": _room(target), "notification": SENT})

    def flood(self, node: Node, targets: Sequence[Target], n: int) -> None:
        rooms = [_room(target) for target in targets]
        status, _ = call(node.http_port, "POST", "/flood", {"rooms": rooms, "n": n, "notification": SENT})
        if status != 200:
            raise BenchError(f"{self.name}: /flood answered {status}")

    def collect(self, node: Node) -> None:
        call(node.http_port, "POST", "/collect", {})


class Stock(_Emitter):
    """python-socketio and AsyncRedisManager on aiohttp, nothing changed."""

    name = "stock"

    def _command(self, port: int, ping_interval_s: int) -> tuple[str | Path, ...]:
        return (
            *python_module("tests.bench.peers.stock_server"),
            f"--port={port}",
            f"--redis={self._redis_url}",
            f"--ping-interval={ping_interval_s}",
        )


class SocketIoOnNode(_Emitter):
    """socket.io 4.8 and @socket.io/redis-adapter."""

    name = "node"
    rounds = 8

    def install(self) -> None:
        if not (_NODE / "node_modules" / "socket.io").exists():
            subprocess.run(["npm", "ci", "--silent"], cwd=_NODE, check=True)

    def _command(self, port: int, ping_interval_s: int) -> tuple[str | Path, ...]:
        return (
            "node",
            "--expose-gc",
            _NODE / "server.js",
            f"--port={port}",
            f"--redis={self._redis_url}",
            f"--ping-interval={ping_interval_s}",
        )
