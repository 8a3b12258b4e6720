"""A server process to be weighed: `python -m tests.gateway.idle_server asyncio|uvloop`.

Prints its port; then, for each line on standard input, its connections and its resident bytes.
"""

from __future__ import annotations

import asyncio
import gc
import sys

import psutil
from aiohttp import web

from notify.gateway.engineio.transports.hand_over import HandedOver, hand_over
from notify.gateway.engineio.transports.websocket import WebSocketProtocol
from tests.gateway.loops import LOOPS


class Silent:
    """The least an owner can be."""

    __slots__ = ("protocol",)
    protocol: WebSocketProtocol
    count = 0

    def text_received(self, text: str) -> None:
        pass

    def binary_received(self, data: bytes) -> None:
        pass

    def writing_paused(self) -> None:
        pass

    def writing_resumed(self) -> None:
        pass

    def connection_closed(self, code: int, clean: bool) -> None:
        Silent.count -= 1


async def handle(request: web.Request) -> web.StreamResponse:
    owner = Silent()
    owner.protocol = hand_over(request, owner, max_message_bytes=65536)
    Silent.count += 1
    return HandedOver()


async def main() -> None:
    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    print(runner.addresses[0][1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        gc.collect()
        print(Silent.count, psutil.Process().memory_info().rss, len(asyncio.all_tasks()), flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=LOOPS[sys.argv[1]]) as running:
        running.run(main())
