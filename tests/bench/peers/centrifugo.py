"""Centrifugo, as a Go program built from source: tokens, history in Redis, recovery, as ours has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import jwt

from tests.bench.machine import free_port
from tests.bench.peers.peer import SENT, Client, Node, Peer, Target, call, http_request
from tests.bench.processes import BenchError
from tests.bench.publisher import STAMP_PLACE

MODULE, VERSION = "github.com/centrifugal/centrifugo/v6", "v6.9.1"
_BIN = Path(__file__).parents[1] / ".bin"
_BINARY = _BIN / f"centrifugo-{VERSION}"
_BUILD_S = 1_800
_SECRET = "bench-secret-of-more-than-32-bytes-length"
_API_KEY = "bench-api-key-of-more-than-32-characters"
_KEYED = {"X-API-Key": _API_KEY}
_BATCH = 1_000
_ALL = "all"
"""The room of a client that has no other: every client holds two channels at least, here as with ours."""
_KEPT: dict[str, Any] = {
    "history_size": 300,
    "history_ttl": "900s",
    "force_positioning": True,
    "force_recovery": True,
}


def _channel(target: Target) -> str:
    return f"{target.kind}:{target.name}"


class Centrifugo(Peer):
    """Two recoverable channels a client, named in its token; what is published is kept in Redis."""

    name = "centrifugo"
    rounds = 8
    durable = True
    most_waiting = 4_000
    dialect = "centrifugo"

    @classmethod
    def missing(cls) -> str:
        if _BINARY.exists():
            return ""
        go = shutil.which("go")
        if go is None:
            return f"there is no Go to build {MODULE} with"
        _BIN.mkdir(exist_ok=True)
        environment = os.environ | {"GOBIN": str(_BIN)}
        command = [go, "install", "-ldflags", "-s -w", f"{MODULE}@{VERSION}"]
        try:
            subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True, timeout=_BUILD_S
            )
        except subprocess.CalledProcessError as error:
            return f"{MODULE} {VERSION} could not be built: {error.stderr.strip()[-300:]}"
        except subprocess.TimeoutExpired:
            return f"{MODULE} {VERSION} was not built within {_BUILD_S} s"
        (_BIN / "centrifugo").replace(_BINARY)
        return ""

    def start(self, *, core: int, ping_interval_s: int = 25) -> Node:
        port = free_port()
        process = self._processes.start(
            self.name,
            _BINARY,
            core=core,
            env={
                "CENTRIFUGO_HTTP_SERVER_ADDRESS": "127.0.0.1",
                "CENTRIFUGO_HTTP_SERVER_PORT": str(port),
                "CENTRIFUGO_HTTP_API_KEY": _API_KEY,
                "CENTRIFUGO_HEALTH_ENABLED": "true",
                "CENTRIFUGO_ENGINE_TYPE": "redis",
                "CENTRIFUGO_ENGINE_REDIS_ADDRESS": self._redis_url,
                "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY": _SECRET,
                "CENTRIFUGO_CLIENT_PING_INTERVAL": f"{ping_interval_s}s",
                "CENTRIFUGO_CHANNEL_NAMESPACES": json.dumps(
                    [{"name": kind, **_KEPT} for kind in ("user", "room")]
                ),
                "CENTRIFUGO_DEBUG_ENABLED": "true",
                "CENTRIFUGO_LOG_LEVEL": "warn",
                "CENTRIFUGO_USAGE_STATS_DISABLED": "true",
            },
        )
        return self._wait_until_ready(Node(process, port, port), "/health", 200)

    def connect_packets(self, clients: Sequence[Client]) -> list[str]:
        expires_at = int(time.time()) + 3600
        packets = []
        for client in clients:
            claims: dict[str, Any] = {
                "sub": client.user,
                "exp": expires_at,
                "iat": int(time.time()),
                "channels": [f"user:{client.user}", f"room:{client.room or _ALL}"],
            }
            packets.append(json.dumps({"id": 1, "connect": {"token": jwt.encode(claims, _SECRET, "HS256")}}))
        return packets

    def request(self, target: Target, *, stamp: bool = False, inbox: bool = True) -> str:
        return http_request("POST", "/api/publish", self._publication(target, stamp=stamp), _KEYED)

    def batch_request(self, targets: Sequence[Target]) -> str:
        return http_request("POST", "/api/batch", self._batch(targets), _KEYED)

    def flood(self, node: Node, targets: Sequence[Target], n: int) -> None:
        endless = cycle(targets)
        while n > 0:
            batch = self._batch(list(islice(endless, min(n, _BATCH))))
            status, answer = call(node.http_port, "POST", "/api/batch", batch, _KEYED)
            if status != 200 or b'"error"' in answer:
                raise BenchError(f"{self.name}: the batch was answered {status} {answer[:300]!r}")
            n -= _BATCH

    def collect(self, node: Node) -> None:
        call(node.http_port, "GET", "/debug/pprof/heap?gc=1")

    @staticmethod
    def _publication(target: Target, *, stamp: bool = False) -> dict[str, Any]:
        data = SENT
        if stamp:
            data = {**SENT, "data": {**SENT["data"], "t": STAMP_PLACE.decode()}}
        return {"channel": _channel(target), "data": data}

    @classmethod
    def _batch(cls, targets: Sequence[Target]) -> dict[str, Any]:
        return {"commands": [{"publish": cls._publication(target)} for target in targets], "parallel": True}
