"""Connections that are ended so that the client comes back: it does, whatever language it is written in.

What a server must not do then was found with these clients: the Java client waits 45 s for the end of a
connection that it was sent a close frame on, python-socketio takes CLOSE on long-polling for good.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from notify.gateway.drain import close_in_batches
from notify.gateway.socketio.server import SocketServer
from tests.gateway.certificates import certificate
from tests.gateway.edge import running
from tests.k8s.nginx import Nginx
from tests.support.clients.java import JavaClient
from tests.support.clients.javascript import JavaScript
from tests.support.clients.python import PythonClient
from tests.support.cluster import Cluster
from tests.support.tokens import mint
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)

TRANSPORTS = ("websocket", "polling")
SILENCE_S = 40
"""Of a ping interval and timeout so long that no client is back by noticing a silence."""
QUICK: dict[str, Any] = {"reconnectionDelay": 100, "reconnectionDelayMax": 500, "rejectUnauthorized": False}


class JavaScriptClient:
    """The stock JavaScript client with the methods of the other two."""

    def __init__(self, javascript: JavaScript, url: str, *, transport: str, token: str) -> None:
        self._javascript, self._url = javascript, url
        self._options: dict[str, Any] = {"transports": [transport], "auth": {"token": token}, **QUICK}

    async def __aenter__(self) -> JavaScriptClient:
        self._client = await self._javascript.connect(self._url, **self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.disconnect()

    @property
    def log(self) -> list[dict[str, Any]]:
        return self._client.log

    async def wait(self, kind: str, *, after: int = 0, title: str | None = None) -> dict[str, Any]:
        if kind != "notification":
            return await self._client.wait(kind, after=after, timeout_s=60)
        await until(lambda: title in [args[0].get("title") for _, args in self._client.events])
        return {}


@asynccontextmanager
async def clients(url: str) -> AsyncIterator[dict[str, Any]]:
    """Name to client: each language on each transport, all of them connected."""
    async with AsyncExitStack() as stack:
        javascript = await stack.enter_async_context(JavaScript())
        found: dict[str, Any] = {}
        for transport in TRANSPORTS:
            for language, kind in (("java", JavaClient), ("python", PythonClient)):
                name = f"{language}-{transport}"
                found[name] = kind(url, transport=transport, token=mint(name))
            name = f"javascript-{transport}"
            found[name] = JavaScriptClient(javascript, url, transport=transport, token=mint(name))
        for client in found.values():
            await stack.enter_async_context(client)
        for client in found.values():
            await client.wait("connect")
        yield found


async def all_return(found: dict[str, Any], marks: dict[str, int]) -> None:
    """Every client loses its connection and gets another, by itself."""
    for name, client in found.items():
        lost = await client.wait("disconnect", after=marks[name])
        assert "server disconnect" not in str(lost), "for such a reason clients stay away"
        await client.wait("connect", after=marks[name])


@pytest.mark.java
async def test_clients_in_every_language_come_back_after_a_drain_to_the_same_server():
    server = SocketServer(cors_allowed_origins="*", ping_interval=SILENCE_S, ping_timeout=SILENCE_S)
    async with running(server) as edge, clients(edge.origin) as found:
        for _ in range(2):
            marks = {name: len(client.log) for name, client in found.items()}
            began = time.monotonic()
            sockets = list(server.eio.sockets.values())
            assert len(sockets) == len(found)
            assert await close_in_batches(sockets, over_s=0, sleep=asyncio.sleep) == len(found)
            await all_return(found, marks)
            assert time.monotonic() - began < SILENCE_S, "before a silence is noticed"


@pytest.mark.java
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_clients_in_every_language_are_on_the_next_node_when_theirs_is_drained(
    tmp_path: Path, tls: bool
):
    pem = None
    if tls:
        pem = tmp_path / "certificate.pem"
        pem.write_bytes(certificate()[0])
    settings = {
        "NOTIFY_PING_INTERVAL": str(SILENCE_S),
        "NOTIFY_PING_TIMEOUT": str(SILENCE_S),
        "NOTIFY_TRUSTED_PROXIES": "127.0.0.1",
        "NOTIFY_CORS_ORIGINS": "*",
    }
    async with Cluster(2, directory=tmp_path, environ=settings) as cluster:
        ports = [(node.port, node.internal_port) for node in cluster.nodes]
        with Nginx(tmp_path / "nginx", ports, certificate=pem) as nginx:
            async with clients(nginx.url) as found:
                counts = [await node.metric("notify_connections") for node in cluster.nodes]
                assert sum(counts) == len(found)
                leaving, staying = cluster.nodes if counts[0] else reversed(cluster.nodes)
                marks = {name: len(client.log) for name, client in found.items()}
                began = time.monotonic()
                leaving.signal(signal.SIGTERM)
                await all_return(found, marks)
                assert time.monotonic() - began < SILENCE_S, "before a silence is noticed"
                await staying.post({"to": {"users": list(found)}, "title": "welcome back"})
                for name, client in found.items():
                    await client.wait("notification", title="welcome back")
                    if name.startswith("javascript"):
                        again = await client.wait("connect", after=marks[name])
                        assert again["recovered"] is True, name
                assert await leaving.ended() == 0
