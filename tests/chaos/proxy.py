"""A TCP proxy that can cut, stall, and go half-open: the network before a node, or behind it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

Mode = Literal["pass", "stall", "refuse"]
Choose = Callable[[str], Sequence[int]]
"""From the address of a client to the ports to try, in this order."""

COPY = re.compile(rb"\*3\r\n\$7\r\nmessage\r\n\$\d+\r\n[^\r]*:topic:")
"""How Redis begins what it sends to a subscriber of a channel's topic."""
COPY_BYTES = 80
"""What such a beginning may have, with a prefix of tests."""


class _Passage:
    """One connection through the proxy: the side of who came, and the side of the target."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self.deserted = False
        """The near side is gone, and the far side has not been told."""
        self.stalled = False
        self.carried = b""
        """The end of what the target sent, where the beginning of a copy may have been torn apart."""


class Proxy:
    """Listens on a loopback port and passes on to another.

    `stall` keeps connections open and passes nothing on, as a partition does; `refuse` accepts nothing new;
    `cut` resets what is there; `desert` resets only the side of those who came, which leaves the target with
    half-open connections.
    """

    def __init__(self, target: int | Choose) -> None:
        self.port = 0
        self._choose: Choose = (lambda _: [target]) if isinstance(target, int) else target
        self._mode: Mode = "pass"
        self._copies: int | None = None
        self._allowed: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._passages: list[_Passage] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Connections that pass through now."""
        return len(self._passages)

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        self.mode("pass")
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mode(self, mode: Mode) -> None:
        """Change what happens to the bytes."""
        self._mode = mode
        if mode == "stall":
            self._flowing.clear()
        else:
            self._flowing.set()
            for passage in self._passages:
                passage.stalled = False

    def stall(self, number: int) -> None:
        """Let one connection, counted as they came, pass nothing on until `mode` is called."""
        self._passages[number].stalled = True

    def stall_after(self, count: int) -> None:
        """Let that many bytes more through to the target, of all connections together, and then stall."""
        self._allowed = count

    @property
    def has_stalled(self) -> bool:
        """True while nothing is passed on."""
        return not self._flowing.is_set()

    def cut_after(self, copies: int) -> None:
        """Let that many messages of channels through, and cut the connection before the next one."""
        self._copies = copies

    @property
    def has_cut(self) -> bool:
        """True when what `cut_after` asked for has happened."""
        return self._copies is None

    def cut(self) -> None:
        """Reset all connections."""
        for passage in list(self._passages):
            passage.near.transport.abort()
            passage.far.transport.abort()

    def desert(self) -> int:
        """Reset the connections of those who came, and tell the target nothing; how many."""
        passages = [passage for passage in self._passages if not passage.deserted]
        for passage in passages:
            passage.deserted = True
            passage.near.transport.abort()
        return len(passages)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._mode != "refuse":
                await self._flowing.wait()
                await self._pass_on(reader, writer)
            else:
                writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()  # the test ends it, or there is nobody to pass on to
        finally:
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._open(writer.get_extra_info("peername")[0])
        passage = _Passage(writer, far_writer)
        self._passages.append(passage)
        forth = asyncio.create_task(self._pump(passage, reader, far_writer))
        back = asyncio.create_task(self._pump(passage, far_reader, writer, counted=True))
        try:
            await asyncio.wait([forth, back], return_when=asyncio.FIRST_COMPLETED)
            if passage.deserted:
                await back
            writer.close()  # what it holds still goes out
            far_writer.close()
        finally:
            self._passages.remove(passage)
            for pump in (forth, back):
                pump.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)

    async def _open(self, client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for port in self._choose(client):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        raise ConnectionRefusedError("no target takes connections")

    async def _pump(
        self,
        passage: _Passage,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        counted: bool = False,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                while passage.stalled:
                    await asyncio.sleep(0.02)
                if passage.deserted:
                    continue
                if counted and self._copies is not None:
                    passed = self._up_to_the_cut(passage, data)
                    if passed is not None:
                        writer.write(passed)
                        await writer.drain()
                        return
                if not counted and self._allowed is not None:
                    passed, data = data[: self._allowed], data[self._allowed :]
                    self._allowed -= len(passed)
                    writer.write(passed)
                    if data:
                        self._allowed = None
                        self.mode("stall")
                        await self._flowing.wait()
                writer.write(data)
                await writer.drain()

    def _up_to_the_cut(self, passage: _Passage, data: bytes) -> bytes | None:
        """What of `data` still passes when the connection is to be cut in it; None when it is not."""
        assert self._copies is not None
        carried = len(passage.carried)
        text = passage.carried + data
        for found in COPY.finditer(text):
            if self._copies == 0:
                self._copies = None
                return data[: max(0, found.start() - carried)]
            self._copies -= 1
        # What has been counted must not be counted again with the next piece.
        last = max((found.end() for found in COPY.finditer(text)), default=0)
        passage.carried = text[max(last, len(text) - COPY_BYTES) :]
        return None
