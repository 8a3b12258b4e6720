"""A TCP proxy that can cut, stall, and go half-open: the network between a node and its Redis."""

from __future__ import annotations

import asyncio
from typing import Literal

Mode = Literal["pass", "stall", "refuse"]


class Proxy:
    """Listens on a loopback port and passes on to another.

    `stall` keeps connections open and passes nothing on, as a partition does; `cut` resets what is there;
    `refuse` accepts nothing new.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._mode: Mode = "pass"
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mode(self, mode: Mode) -> None:
        """Change what happens to the bytes."""
        self._mode = mode
        if mode == "pass":
            self._flowing.set()
        else:
            self._flowing.clear()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self._mode == "refuse":
                return
            await self._flowing.wait()
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(other_writer)
            try:
                await asyncio.gather(self._pump(reader, other_writer), self._pump(other_reader, writer))
            finally:
                self._writers.discard(other_writer)
                other_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
