"""What opens a port: how it takes connections, and that it takes none once it is closed."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
import uvloop
from aiohttp import web

from notify.ops.http_port import HttpPort, HttpStats
from notify.ops.ports import TAKEN_A_TURN, open_port


class Taken(asyncio.Protocol):
    """Counts itself."""

    def __init__(self, taken: list[Taken]) -> None:
        self._taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._taken.append(self)


def test_several_connections_are_taken_in_one_turn_of_the_loop() -> None:
    taken: list[Taken] = []

    async def take() -> None:
        port = HttpPort("test", answer_malformed=lambda _: web.Response(), stats=HttpStats())
        async with AsyncExitStack() as stack:
            number = await open_port(
                stack,
                web.Application(),
                port,
                host="127.0.0.1",
                number=0,
                shutdown_s=0,
                front=lambda _: lambda: Taken(taken),
            )
            address = ("127.0.0.1", number)
            clients = [socket.create_connection(address) for _ in range(TAKEN_A_TURN)]
            async with asyncio.timeout(30):
                while not taken:
                    await asyncio.sleep(0)  # a turn
            assert len(taken) == TAKEN_A_TURN
        for client in clients:
            client.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(take())
