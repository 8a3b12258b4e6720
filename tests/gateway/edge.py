"""A server or an engine under test on a real port, and clients that speak its protocol by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from notify.gateway.engineio.server import Engine
from notify.gateway.engineio.transports.polling import Polling
from notify.gateway.socketio.server import SocketServer

PATIENCE_S = 30.0


class Edge:
    """Where a server listens, with clients for it."""

    def __init__(self, address: tuple[str, int], session: aiohttp.ClientSession, path: str) -> None:
        self.address = address
        self.origin = f"http://{address[0]}:{address[1]}"
        self.url = f"{self.origin}/{path}/"
        self.session = session

    async def request(self, method: str, query: str, **options: Any) -> tuple[int, str]:
        """Status and body."""
        async with asyncio.timeout(PATIENCE_S):
            async with self.session.request(method, f"{self.url}?{query}", **options) as response:
                return response.status, await response.text()

    async def headers(self, method: str, query: str, **options: Any) -> tuple[int, Any]:
        """Status and headers."""
        async with self.session.request(method, f"{self.url}?{query}", **options) as response:
            return response.status, response.headers

    async def refusal(self, method: str, query: str, **options: Any) -> tuple[int, int]:
        """Status and code of a request that is refused."""
        status, body = await self.request(method, query, **options)
        answer = json.loads(body)
        assert set(answer) == {"code", "message"}
        return status, answer["code"]

    async def open_polling(self) -> Poller:
        """A long-polling session."""
        status, body = await self.request("GET", "EIO=4&transport=polling")
        assert status == 200, body
        return Poller(self, json.loads(body.split("\x1e")[0][1:]))

    async def open_websocket(
        self, query: str = "EIO=4&transport=websocket", **options: Any
    ) -> ClientConnection:
        """A websocket that has been accepted."""
        url = self.url.replace("http", "ws", 1)
        return await connect(f"{url}?{query}", compression=None, max_size=None, **options)


class Poller:
    """A long-polling session, request by request."""

    def __init__(self, edge: Edge, opened: dict[str, Any]) -> None:
        self.edge = edge
        self.opened = opened
        self.query = f"EIO=4&transport=polling&sid={opened['sid']}"

    async def get(self) -> tuple[int, str]:
        """Status and body of a GET, which waits for packets."""
        return await self.edge.request("GET", self.query)

    async def poll(self) -> str:
        """The packets of a GET that must succeed."""
        status, body = await self.get()
        assert status == 200, body
        return body

    async def post(self, body: Any, **options: Any) -> tuple[int, str]:
        """Status and body of a POST."""
        options.setdefault("headers", {"Content-Type": "text/plain;charset=UTF-8"})
        return await self.edge.request("POST", self.query, data=body, **options)

    async def gone(self) -> bool:
        """True when the session is not known any more."""
        return await self.edge.refusal("GET", self.query) == (400, 1)


def polling(engine: Engine, poller: Poller) -> Polling:
    """The engine's side of a long-polling session."""
    found = engine.sockets[poller.opened["sid"]].polling
    assert found is not None
    return found


@asynccontextmanager
async def running(server: SocketServer | Engine, **runner_options: Any) -> AsyncIterator[Edge]:
    """Serve until the block is left. Nothing of any connection may be left then."""
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, **runner_options)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    path = "socket.io" if isinstance(server, SocketServer) else "engine.io"
    try:
        async with aiohttp.ClientSession() as session:
            yield Edge(runner.addresses[0], session, path)
    finally:
        await runner.cleanup()
        assert_nothing_left(server)


def assert_nothing_left(server: SocketServer | Engine) -> None:
    """No connection, and nothing that belonged to one."""
    engine = server.eio if isinstance(server, SocketServer) else server
    assert not engine.sockets
    assert not engine.leaving
    assert not engine.last_polls
    assert not len(engine._unconnected)
    assert not engine._closing
    assert not len(engine.handlers_in_flight)
    assert (engine.stats.polling_connections, engine.stats.websocket_connections) == (0, 0)
    if isinstance(server, SocketServer):
        assert not server.environ
        assert not server.manager.books
        assert not server.manager.callbacks


def echoing_engine(**options: Any) -> Engine:
    """An Engine.IO server that sends every message back."""
    engine = Engine(**{"cors_allowed_origins": "*", **options})

    async def echo(sid: str, data: Any) -> None:
        await engine.send(sid, data)

    engine.on("message", echo)
    return engine
