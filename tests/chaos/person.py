"""A light client in Python that recovers as the stock ones do, and remembers everything it got."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.tokens import mint


@dataclass(slots=True)
class Arrival:
    """One notification: the stream it belongs to, its number in it, its offset, when it came."""

    stream: str
    number: int
    offset: tuple[str, int, int]
    at: float


@dataclass
class Person:
    """One user with one connection, which comes back whenever it is lost.

    `addresses` gives the nodes to try, as a load balancer would. `told` are the times at which the server
    said that it could not recover; `resumes` are the seconds from each loss to the next CONNECT.
    """

    user: str
    rooms: Sequence[str]
    addresses: Callable[[], Sequence[str]]
    rng: random.Random
    arrivals: list[Arrival] = field(default_factory=list)
    told: list[tuple[float, float]] = field(default_factory=list)
    resumes: list[float] = field(default_factory=list)
    connects: int = 0
    connected_at: float | None = None
    first_connected_at: float | None = None
    stalled: bool = False
    _pid: str | None = None
    _offset: str | None = None
    _lost_at: float | None = None
    _task: asyncio.Task[None] | None = None
    _websocket: ClientConnection | None = None

    @property
    def streams(self) -> set[str]:
        """The streams it is to receive."""
        return {f"u:{self.user}", *(f"r:{room}" for room in self.rooms), "all"}

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Go away."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def cut(self) -> None:
        """Lose the connection."""
        if self._websocket is not None:
            self._websocket.transport.abort()

    async def _run(self) -> None:
        token = mint(self.user, join=list(self.rooms))
        while True:
            address = self.rng.choice(list(self.addresses()))
            try:
                async with connect(
                    address.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
                    compression=None,
                    ping_interval=None,
                    open_timeout=5,
                    close_timeout=1,
                ) as websocket:
                    self._websocket = websocket
                    await self._converse(websocket, token)
            except (OSError, websockets.WebSocketException, TimeoutError):
                pass
            finally:
                self._websocket = None
                if self.connected_at is not None:
                    self.connected_at = None
                    self._lost_at = time.monotonic()
            await asyncio.sleep(self.rng.uniform(0.05, 0.3))

    async def _converse(self, websocket: ClientConnection, token: str) -> None:
        auth = {"token": token}
        if self._pid is not None:
            auth |= {"pid": self._pid, "offset": self._offset}
        await websocket.send("40" + json.dumps(auth))
        async for message in websocket:
            if message == "2":
                await websocket.send("3")
            elif message.startswith("40"):
                self._admitted(json.loads(message[2:])["pid"])
            elif message.startswith("42"):
                event, *arguments = json.loads(message[2:])
                if event == "notification":
                    self._took(arguments[0]["title"], arguments[1])
            elif message.startswith(("41", "44")):
                return

    def _admitted(self, pid: str) -> None:
        now = self.connected_at = time.monotonic()
        self.connects += 1
        if self.first_connected_at is None:
            self.first_connected_at = now
        if self._lost_at is not None:
            self.resumes.append(now - self._lost_at)
        if self._pid is not None and pid != self._pid:
            self.told.append((self._lost_at or 0.0, now))
        self._pid = pid
        self._lost_at = None

    def _took(self, title: str, offset: str) -> None:
        self._offset = offset
        epoch, ms, seq = offset.split("-")
        stream, _, number = title.rpartition("#")
        self.arrivals.append(Arrival(stream, int(number), (epoch, int(ms), int(seq)), time.monotonic()))
