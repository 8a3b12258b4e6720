"""An aiohttp server whose one route hands its connections over, and who then owns them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from notify.gateway.engineio.transports.hand_over import HandedOver, hand_over
from notify.gateway.engineio.transports.websocket import WebSocketProtocol
from notify.protocol.engineio import frame
from tests.gateway.certificates import tls_contexts

PATIENCE_S = 30.0


class Recorder:
    """An owner that writes down what it is told, and answers what it is asked for."""

    def __init__(self) -> None:
        self.protocol: WebSocketProtocol | None = None
        self.received: list[str | bytes] = []
        self.pauses: list[bool] = []
        self.closed: list[tuple[int, bool]] = []
        self.on_text: Callable[[str], None] = lambda text: None
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for the condition, looking at it after each call from the protocol."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    @property
    def socket(self) -> WebSocketProtocol:
        assert self.protocol is not None
        return self.protocol

    def is_closed(self) -> bool:
        return bool(self.closed)

    def text_received(self, text: str) -> None:
        self.received.append(text)
        self._news.set()
        self.on_text(text)
        if text.startswith("echo "):
            self.socket.write(frame(text.encode()))

    def binary_received(self, data: bytes) -> None:
        self.received.append(data)
        self._news.set()
        if data == b"raise":
            raise RuntimeError("asked for")

    def writing_paused(self) -> None:
        self.pauses.append(True)
        self._news.set()

    def writing_resumed(self) -> None:
        self.pauses.append(False)
        self._news.set()

    def connection_closed(self, code: int, clean: bool) -> None:
        self.closed.append((code, clean))
        self._news.set()


class Site:
    """The running server. `owners` are the recorders of its connections, in the order they came."""

    def __init__(self, runner: web.AppRunner, owners: asyncio.Queue[Recorder], *, tls: bool) -> None:
        self.runner = runner
        self.address: tuple[str, int] = ("", 0)
        self.path = ""
        self.tls = tls
        self.owners = owners

    @property
    def url(self) -> str:
        return f"://{self.address[0]}:{self.address[1]}/"

    async def owner(self) -> Recorder:
        """That of the next connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.owners.get()


@asynccontextmanager
async def serving(
    *,
    tls: bool = False,
    unix: Path | None = None,
    limit: int = 1 << 20,
    close_timeout_s: float = 60.0,
    before: Callable[[web.Request], object] | None = None,
    after: Callable[[], Awaitable[object]] | None = None,
    handler_cancellation: bool = False,
    owner: type[Recorder] = Recorder,
) -> AsyncIterator[Site]:
    """Serve until the block is left, then end what is left. The handler does `before` and `after`.

    The time to answer a close frame is by default longer than any test waits.
    """
    owners: asyncio.Queue[Recorder] = asyncio.Queue()
    all_owners: list[Recorder] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if before is not None:
            waiting = before(request)
            if asyncio.isfuture(waiting) or asyncio.iscoroutine(waiting):
                await waiting
        new = owner()
        new.protocol = hand_over(request, new, max_message_bytes=limit, close_timeout_s=close_timeout_s)
        all_owners.append(new)
        owners.put_nowait(new)
        if after is not None:
            await after()
        return HandedOver()

    app = web.Application()
    app.router.add_route("*", "/", handle)
    runner = web.AppRunner(app, handler_cancellation=handler_cancellation, shutdown_timeout=1.0)
    await runner.setup()
    site = Site(runner, owners, tls=tls)
    context = tls_contexts()[0] if tls else None
    if unix is not None:
        site.path = str(unix)
        await web.UnixSite(runner, site.path, ssl_context=context).start()
    else:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        site.address = runner.addresses[0]
    try:
        yield site
    finally:
        await runner.cleanup()
        for each in all_owners:
            if not each.closed:
                each.socket.abort()
            await each.until(each.is_closed)
