"""The Engine.IO and the Socket.IO server are libraries: each works without what stands above it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect

PATIENCE_S = 30.0

ENGINE = """
from notify.gateway.engineio.server import Engine

server = Engine()

@server.on("message")
async def message(sid, data):
    await server.send(sid, [data, modules()])
"""

SOCKETS = """
from notify.gateway.socketio.server import SocketServer

server = SocketServer()

@server.event
async def connect(sid, environ, auth):
    await server.emit("hello", auth, to=sid)

@server.on("ask")
async def ask(sid, data):
    return data, modules()
"""

SERVE = """
import asyncio, sys
from aiohttp import web

def modules():
    return sorted(name for name in sys.modules if name.partition(".")[0] in ("notify", "socketio"))

async def main():
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()

asyncio.run(main())
"""

ENGINE_PACKAGES = ("notify.protocol", "notify.domain", "notify.gateway.engineio", "notify.gateway.http")
ENGINE_MODULES = ("notify", "notify.gateway", "notify.gateway.stats")


@asynccontextmanager
async def serving(program: str) -> AsyncIterator[int]:
    """Run a server in a process that imports nothing else; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program + SERVE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield int(await process.stdout.readline())
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def outside(modules: list[str], packages: tuple[str, ...], names: tuple[str, ...]) -> set[str]:
    """The modules that are neither of these nor inside one of the packages."""
    inside = tuple(f"{package}." for package in packages)
    return {name for name in modules if name not in (*packages, *names) and not name.startswith(inside)}


def json_of(message: str | bytes, skip: int) -> Any:
    """The JSON behind the packet type."""
    return json.loads(message[skip:])


async def test_the_engine_works_without_socketio():
    async with serving(ENGINE) as port:
        address = f"ws://127.0.0.1:{port}/engine.io/?EIO=4&transport=websocket"
        async with connect(address) as websocket:
            assert str(await websocket.recv()).startswith("0{")
            await websocket.send("4hello")
            said, modules = json_of(await websocket.recv(), 1)
    assert said == "hello"
    assert "notify.gateway.engineio.server" in modules
    assert not outside(modules, ENGINE_PACKAGES, ENGINE_MODULES)


async def test_the_socketio_server_works_with_plain_handlers_and_no_store():
    async with serving(SOCKETS) as port:
        address = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        async with connect(address) as websocket:
            assert str(await websocket.recv()).startswith("0{")
            await websocket.send('40{"token":"mine"}')
            assert str(await websocket.recv()).startswith('40{"sid":')
            assert json_of(await websocket.recv(), 2) == ["hello", {"token": "mine"}]
            await websocket.send('421["ask",7]')
            said, modules = json_of(await websocket.recv(), 3)
    assert said == 7
    assert "notify.gateway.socketio.server" in modules
    packages = (*ENGINE_PACKAGES, "notify.gateway.socketio", "socketio")
    backplane = (
        f"notify.backplane{name}" for name in ("", ".local", ".membership", ".delivery", ".acknowledgements")
    )
    assert not outside(modules, packages, (*ENGINE_MODULES, *backplane))
