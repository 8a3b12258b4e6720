"""The stock JavaScript clients in a Node process, as Python objects.

    async with JavaScript() as javascript:
        client = await javascript.connect(url, transports=["websocket"], auth={"token": token})
        connected = await client.wait("connect")
        await client.wait_event("notification")

`oldest=True` takes socket.io-client 4.0.0 instead of the current one. Options are those of the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

SCRIPT = Path(__file__).with_name("client.mjs")
T = TypeVar("T")
TIMEOUT_S = 30.0


class JsClient:
    """One Socket.IO client. Everything it has said is in `log`, in order; `at` is when it was read."""

    def __init__(
        self, process: JavaScript, name: str, *, heard: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self._process = process
        self._acks = itertools.count(1)
        self.name = name
        self.log: list[dict[str, Any]] = []
        self.heard = heard
        self.changed = asyncio.Condition()

    @property
    def events(self) -> list[tuple[str, list[Any]]]:
        """(name, arguments) of the events received so far."""
        return [(line["event"], line["args"]) for line in self.log if line["type"] == "event"]

    def said(self, kind: str) -> list[dict[str, Any]]:
        """The lines of one type so far: connect, disconnect, connect_error, event, ack, upgrade, ..."""
        return [line for line in self.log if line["type"] == kind]

    async def wait(
        self, kind: str, *, after: int = 0, timeout_s: float = TIMEOUT_S, **fields: Any
    ) -> dict[str, Any]:
        """The first line of a type, with the given fields, past position `after` of the log."""

        def found() -> dict[str, Any] | None:
            for line in self.log[after:]:
                if line["type"] == kind and all(line.get(key) == value for key, value in fields.items()):
                    return line
            return None

        return await self._until(found, timeout_s, f"{kind} {fields or ''}")

    async def wait_event(self, event: str, count: int = 1, *, timeout_s: float = TIMEOUT_S) -> list[Any]:
        """The arguments of the `count`th event of that name, once it has come."""

        def found() -> list[Any] | None:
            args = [args for name, args in self.events if name == event]
            return args[count - 1] if len(args) >= count else None

        return await self._until(found, timeout_s, f"event {event}")

    async def _until(self, found: Callable[[], T | None], timeout_s: float, what: str) -> T:
        try:
            async with asyncio.timeout(timeout_s), self.changed:
                while (line := found()) is None:
                    await self.changed.wait()
                return line
        except TimeoutError:
            raise AssertionError(f"{self.name}: no {what} in {timeout_s} s; log: {self.log[-20:]}") from None

    async def emit(self, event: str, *args: Any) -> None:
        """Send an event."""
        await self._command("emit", event=event, args=list(args))

    async def call(self, event: str, *args: Any) -> list[Any]:
        """Send an event, and wait for the arguments of its acknowledgement."""
        ack = next(self._acks)
        await self._command("emit", event=event, args=list(args), ack=ack)
        answer: list[Any] = (await self.wait("ack", ack=ack))["args"]
        return answer

    async def flood(self, event: str, count: int, *, batch: int = 10) -> None:
        """Begin to send `count` events with a number each, `batch` in a turn; says `flooded` at the end."""
        await self._command("flood", event=event, count=count, batch=batch)

    async def disconnect(self) -> None:
        """`socket.disconnect()`."""
        await self._command("disconnect")

    async def reconnect(self) -> None:
        """`socket.connect()`, after a disconnect."""
        await self._command("reconnect")

    async def cut(self) -> None:
        """Lose the connection, as a network does. The client will reconnect."""
        await self._command("cut")

    async def mute(self) -> None:
        """Stop reading from the websocket's TCP connection."""
        await self._command("mute")

    async def unmute(self) -> None:
        """Read again."""
        await self._command("unmute")

    async def state(self) -> dict[str, Any]:
        """connected, active, sid, transport, and the number of events received."""
        after = len(self.log)
        await self._command("state")
        return await self.wait("state", after=after)

    async def _command(self, command: str, **fields: Any) -> None:
        await self._process.command(command, client=self.name, **fields)


class JavaScript:
    """A Node process with any number of clients."""

    def __init__(self) -> None:
        self._clients: dict[str, JsClient] = {}
        self._names = (f"js{number}" for number in itertools.count(1))
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.Task[None]
        self._ready = asyncio.Event()

    async def __aenter__(self) -> JavaScript:
        self._process = await asyncio.create_subprocess_exec(
            "node", str(SCRIPT), stdin=PIPE, stdout=PIPE, limit=1 << 24
        )
        self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(TIMEOUT_S):
            await self._ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.close()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def connect(
        self,
        url: str,
        *,
        oldest: bool = False,
        heard: Callable[[dict[str, Any]], None] | None = None,
        **options: Any,
    ) -> JsClient:
        """A client that begins to connect. A path in the URL is its namespace.

        `heard` is called with each line that it says.
        """
        client = JsClient(self, next(self._names), heard=heard)
        self._clients[client.name] = client
        await self.command("connect", client=client.name, url=url, options=options, oldest=oldest)
        return client

    async def command(self, command: str, **fields: Any) -> None:
        """Send one line to the process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"cmd": command, **fields}).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while text := await self._process.stdout.readline():
            line = json.loads(text)
            if line["type"] == "ready":
                self._ready.set()
                continue
            client = self._clients[line["client"]]
            line["at"] = time.monotonic()
            if client.heard is not None:
                client.heard(line)
            async with client.changed:
                client.log.append(line)
                client.changed.notify_all()
