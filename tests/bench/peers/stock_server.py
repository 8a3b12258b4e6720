"""The `stock` peer: python-socketio's AsyncServer and AsyncRedisManager on aiohttp, nothing changed."""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from typing import Any

import socketio
from aiohttp import web


def application(redis_url: str, ping_interval_s: int) -> web.Application:
    """The server and a bare HTTP endpoint that emits."""
    sio = socketio.AsyncServer(
        async_mode="aiohttp",
        client_manager=socketio.AsyncRedisManager(redis_url),
        ping_interval=ping_interval_s,
    )

    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
        for room in auth["rooms"]:
            await sio.enter_room(sid, room)

    async def emit(request: web.Request) -> web.Response:
        body = await request.json()
        notification = body["notification"]
        notification["data"]["t"] = f"{time.monotonic_ns() // 1000:016d}"
        await sio.emit("notification", notification, room=body["room"])
        return web.json_response({})

    async def flood(request: web.Request) -> web.Response:
        body = await request.json()
        rooms = body["rooms"]
        for i in range(body["n"]):
            await sio.emit("notification", body["notification"], room=rooms[i % len(rooms)])
        return web.json_response({})

    async def collect(request: web.Request) -> web.Response:
        gc.collect()
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.post("/emit", emit), web.post("/flood", flood), web.post("/collect", collect)])
    sio.attach(app)
    return app


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--ping-interval", type=int, required=True)
    arguments = parser.parse_args()
    runner = web.AppRunner(application(arguments.redis, arguments.ping_interval), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.port, backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
