"""A balancer without affinity: every single request goes to the next node, a websocket's bytes with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection: *[^\r]*", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade: *websocket", re.IGNORECASE)


class RoundRobin:
    """Takes one request a connection, which stock clients and pools put up with, and sends it on."""

    def __init__(self, ports: Callable[[], Sequence[int]]) -> None:
        """`ports()`: of the nodes that may be asked now."""
        self._ports = ports
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 16)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def answered(self, head: bytes, port: int, answer: bytes) -> None:
        """For those who look on: the node at this port has answered; nothing, when it went away instead.

        Not called for websockets.
        """

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._pass_on(reader, writer)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-2]
        upgrade = _UPGRADE.search(head) is not None
        if not upgrade:
            head = _CONNECTION.sub(b"", head[:-2]) + b"\r\nConnection: close\r\n"
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        opened = await self._next()
        if opened is None:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        node_reader, node_writer = opened
        try:
            node_writer.write(head + b"\r\n" + body)
            answer = None if upgrade else bytearray()
            there = asyncio.create_task(_copy(reader, node_writer))
            back = asyncio.create_task(_copy(node_reader, writer, answer))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                if answer is not None and back.done():
                    self.answered(head, node_writer.get_extra_info("peername")[1], bytes(answer))
            finally:
                there.cancel()
                back.cancel()
        finally:
            node_writer.close()

    async def _next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        ports = self._ports()
        for _ in ports:
            try:
                return await asyncio.open_connection("127.0.0.1", ports[next(self._turns) % len(ports)])
            except OSError:
                continue
        return None


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, copied: bytearray | None = None
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            if copied is not None:
                copied += data
            writer.write(data)
            await writer.drain()
