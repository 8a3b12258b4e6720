"""Ours: `notify serve`, with everything on: tokens, API keys, recovery, the inbox."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import jwt

from notify.domain.moments import timestamp
from tests.bench.machine import free_port
from tests.bench.peers.peer import NOTIFICATION, Client, Node, Peer, Target, call, http_request
from tests.bench.processes import BenchError, python_module
from tests.bench.publisher import STAMP_PLACE

_SECRET = "bench-secret-of-more-than-32-bytes-length"
_API_KEY = "bench-api-key-of-more-than-32-characters"
_BATCH = 1_000
_BEARER = {"Authorization": f"Bearer {_API_KEY}"}


class Notify(Peer):
    """What this repository is."""

    name = "notify"
    rounds = 8
    durable = True
    inboxes = True

    def start(self, *, core: int, ping_interval_s: int = 25) -> Node:
        port, internal_port = free_port(), free_port()
        process = self._processes.start(
            self.name,
            *python_module("notify"),
            "serve",
            core=core,
            env={
                "NOTIFY_REDIS_URL": self._redis_url,
                "NOTIFY_HOST": "127.0.0.1",
                "NOTIFY_PORT": str(port),
                "NOTIFY_INTERNAL_HOST": "127.0.0.1",
                "NOTIFY_INTERNAL_PORT": str(internal_port),
                "NOTIFY_JWT_SECRET": _SECRET,
                "NOTIFY_API_KEYS": _API_KEY,
                "NOTIFY_PING_INTERVAL": str(ping_interval_s),
                # Leaves 18,000 of 20,000 descriptors to clients.
                "NOTIFY_MAX_INTERNAL_CONNECTIONS": "256",
                "NOTIFY_LOG_LEVEL": "warning",
            },
        )
        return self._wait_until_ready(Node(process, port, internal_port), "/readyz", 200)

    def connect_packets(self, clients: Sequence[Client]) -> list[str]:
        expires_at = int(time.time()) + 3600
        packets = []
        for client in clients:
            claims: dict[str, Any] = {"sub": client.user, "exp": expires_at, "iat": int(time.time())}
            if client.room is not None:
                claims["join"] = [client.room]
            packets.append("40" + json.dumps({"token": jwt.encode(claims, _SECRET, "HS256")}))
        return packets

    def request(self, target: Target, *, stamp: bool = False, inbox: bool = True) -> str:
        body = {"to": {target.kind: target.name}, **NOTIFICATION}
        if not inbox:
            body["inbox"] = False
        if stamp:
            body["data"] = {**NOTIFICATION["data"], "t": STAMP_PLACE.decode()}
        return http_request("POST", "/v1/notifications", body, _BEARER)

    def batch_request(self, targets: Sequence[Target]) -> str:
        return http_request("POST", "/v1/notifications/batch", self._batch(targets, inbox=False), _BEARER)

    def flood(self, node: Node, targets: Sequence[Target], n: int) -> None:
        endless = cycle(targets)
        while n > 0:
            batch = self._batch(list(islice(endless, min(n, _BATCH))))
            status, answer = call(node.http_port, "POST", "/v1/notifications/batch", batch, _BEARER)
            if status != 202:
                raise BenchError(f"{self.name}: the batch was answered {status} {answer[:300]!r}")
            n -= _BATCH

    def schedule(self, node: Node, targets: Sequence[Target], at_ms: int) -> None:
        """Schedules one notification for each, all for the same time (unix ms)."""
        for begin in range(0, len(targets), _BATCH):
            batch = self._batch(targets[begin : begin + _BATCH])
            for notification in batch["notifications"]:
                notification["deliver_at"] = timestamp(at_ms)
            status, answer = call(node.http_port, "POST", "/v1/notifications/batch", batch, _BEARER)
            if status != 202:
                raise BenchError(f"{self.name}: the batch was answered {status} {answer[:300]!r}")

    @staticmethod
    def _batch(targets: Sequence[Target], *, inbox: bool = True) -> dict[str, Any]:
        items = [{"to": {t.kind: t.name}, **NOTIFICATION} for t in targets]
        return {"notifications": items if inbox else [{**item, "inbox": False} for item in items]}
