"""A light client in Python that recovers as the stock ones do: hundreds of them cost little."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.chaos.record import Record
from tests.support.tokens import mint


@dataclass
class Person(Record):
    """Comes back whenever its connection is lost, to one of the nodes that `addresses` gives then.

    `local_address` is one of 127.0.0.0/8, for proxies that look at it.
    """

    addresses: Callable[[], Sequence[str]] = list
    rng: random.Random = field(default_factory=random.Random)
    local_address: str | None = None
    token: Callable[..., str] = mint
    """Signs its tokens, one for each connect: `token(user, join=[...])`."""
    _pid: str | None = None
    _offset: str | None = None
    _silence_s: float = 60.0
    _task: asyncio.Task[None] | None = None
    _websocket: ClientConnection | None = None

    async def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Go away."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def cut(self) -> None:
        """Lose the connection."""
        if self._websocket is not None:
            self._websocket.transport.abort()

    async def _run(self) -> None:
        options: dict[str, Any] = {"local_addr": (self.local_address, 0)} if self.local_address else {}
        while True:
            address = self.rng.choice(list(self.addresses()))
            try:
                async with connect(
                    address.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
                    compression=None,
                    ping_interval=None,
                    open_timeout=5,
                    close_timeout=0.2,
                    **options,
                ) as websocket:
                    self._websocket = websocket
                    await self._converse(websocket, self.token(self.user, join=list(self.rooms)))
                    websocket.transport.abort()
            except (OSError, EOFError, websockets.WebSocketException, TimeoutError):
                pass  # what the clients that are watched here are for
            finally:
                self._websocket = None
                self.lost(time.monotonic())
            await asyncio.sleep(self.rng.uniform(0.05, 0.3))

    async def _converse(self, websocket: ClientConnection, token: str) -> None:
        auth: dict[str, str | None] = {"token": token}
        if self._pid is not None:
            auth |= {"pid": self._pid, "offset": self._offset}
        await websocket.send("40" + json.dumps(auth))
        while True:
            async with asyncio.timeout(self._silence_s):  # half-open: stock clients wait as long for a ping
                message = str(await websocket.recv())
            if message == "2":
                await websocket.send("3")
            elif message.startswith("0"):
                opened = json.loads(message[1:])
                self._silence_s = (opened["pingInterval"] + opened["pingTimeout"]) / 1000
            elif message.startswith("40"):
                pid = json.loads(message[2:])["pid"]
                self.admitted(time.monotonic(), recovered=pid == self._pid)
                self._pid = pid
            elif message.startswith("42"):
                event, *arguments = json.loads(message[2:])
                if event == "notification":
                    self._offset = arguments[1]
                    self.took(arguments[0]["title"], arguments[1], time.monotonic())
            elif message.startswith(("41", "44")):
                return
