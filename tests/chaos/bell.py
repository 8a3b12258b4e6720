"""A screen with a bell and a list, which keeps the rules of docs/events.md and counts nothing itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import websockets
from websockets.asyncio.client import connect

from tests.support.tokens import mint

CALL_S = 10.0
OVER = (OSError, EOFError, websockets.WebSocketException, aiohttp.ClientError, TimeoutError)


@dataclass
class Shown:
    """An entry on the screen."""

    place: int
    seen: bool
    read: bool
    category: str | None


@dataclass
class Bell:
    """One connection of a user, on websocket or long-polling, to one of the nodes that `addresses` gives.

    It comes back by itself when it is lost, and recovers as the stock clients do. `faults` are what the
    server did against its promises.
    """

    user: str
    addresses: Callable[[], Sequence[str]]
    rng: random.Random
    transport: str = "websocket"
    namespace: str = "/"
    rev: int = 0
    unseen: int = 0
    unread: int = 0
    shown: dict[str, Shown] = field(default_factory=dict)
    shown_rev: int = -1
    """The rev that `shown` is of."""
    connected: bool = False
    connects: int = 0
    recovered: int = 0
    lists: int = 0
    faults: list[str] = field(default_factory=list)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _pid: str | None = None
    _offset: str | None = None
    _resets: int = 0
    _ready: bool = False
    _send: Callable[[str], Any] | None = None
    _abort: Callable[[], object] | None = None
    _acks: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _task: asyncio.Task[None] | None = None
    _lister: asyncio.Task[None] | None = None

    @property
    def settled(self) -> bool:
        """It has nothing left to ask."""
        return self.connected and self._ready and self.shown_rev == self.rev

    def start(self) -> None:
        """Come, and stay."""
        self.wanted.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Go for good."""
        tasks = [task for task in (self._task, self._lister) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Lose the connection. It comes back at once, if it is `wanted`."""
        if self._abort is not None:
            self._abort()

    def forget(self) -> None:
        """Lose what a recovery needs: the next connection begins anew."""
        self._pid = self._offset = None

    async def call(self, event: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Send an event; its acknowledgement. Raises ConnectionError when the connection was lost before."""
        number = next(self._numbers)
        answered = self._acks[number] = asyncio.get_running_loop().create_future()
        try:
            if self._send is None:
                raise ConnectionError("not connected")
            await self._send(f"42{self._prefix}{number}{json.dumps([event, asked])}")
            async with asyncio.timeout(CALL_S):
                answer: dict[str, Any] = await answered
                return answer
        except OVER as error:
            raise ConnectionError(repr(error)) from error
        finally:
            self._acks.pop(number, None)

    # -- the connection -------------------------------------------------------------------------------

    @property
    def _prefix(self) -> str:
        return "" if self.namespace == "/" else self.namespace + ","

    async def _run(self) -> None:
        while True:
            await self.wanted.wait()
            address = self.rng.choice(list(self.addresses()))
            self._resets = 0
            try:
                await (self._websocket if self.transport == "websocket" else self._polling)(address)
            except OVER:
                pass  # what it is watched for
            finally:
                self.connected = self._ready = False
                self._send = self._abort = None
                for future in self._acks.values():
                    if not future.done():
                        future.set_exception(ConnectionResetError())
                self.changed.set()
            await asyncio.sleep(self.rng.uniform(0.02, 0.15))

    async def _websocket(self, address: str) -> None:
        async with connect(
            address.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
            compression=None,
            ping_interval=None,
            open_timeout=5,
            close_timeout=0.2,
            max_size=None,
        ) as websocket:
            self._abort = websocket.transport.abort
            self._send = websocket.send
            async with asyncio.timeout(5):
                await websocket.recv()  # the handshake
            await websocket.send(self._connect_packet())
            try:
                while True:
                    if await self._packet(str(await websocket.recv())):
                        return
            finally:
                websocket.transport.abort()

    async def _polling(self, address: str) -> None:
        url = address + "/socket.io/?EIO=4&transport=polling"
        timeout = aiohttp.ClientTimeout(total=40, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def said(method: str, sid: str = "", body: str | None = None) -> str:
                async with session.request(method, url + sid, data=body) as response:
                    if response.status != 200:
                        raise ConnectionResetError(response.status)
                    return await response.text()

            sid = "&sid=" + json.loads((await said("GET"))[1:])["sid"]

            async def send(packet: str) -> None:
                await said("POST", sid, packet)

            async def poll() -> None:
                while True:
                    for packet in (await said("GET", sid)).split("\x1e"):
                        if await self._packet(packet):
                            return

            self._send = send
            await send(self._connect_packet())
            polling = asyncio.ensure_future(poll())
            self._abort = polling.cancel
            try:
                await asyncio.wait([polling])
                if not polling.cancelled():
                    polling.result()
            finally:
                self._send = None  # before the session is closed
                polling.cancel()

    def _connect_packet(self) -> str:
        auth = {"token": mint(self.user)}
        if self._pid is not None:
            auth["pid"] = self._pid
            if self._offset is not None:
                auth["offset"] = self._offset
        return f"40{self._prefix}{json.dumps(auth)}"

    async def _packet(self, packet: str) -> bool:
        """True when the server has ended it."""
        if packet == "2" and self._send is not None:
            await self._send("3")
        elif packet.startswith("40"):
            self._admitted(json.loads(packet[2 + len(self._prefix) :]).get("pid"))
        elif packet.startswith("42"):
            event, *args = json.loads(packet[2 + len(self._prefix) :])
            if isinstance(args[-1], str):
                self._offset = args[-1]
            self._heard(event, args[0])
        elif packet.startswith("43"):
            number, _, answer = packet[2 + len(self._prefix) :].partition("[")
            future = self._acks.get(int(number))
            if future is not None and not future.done():
                future.set_result(json.loads("[" + answer)[0])
        elif packet.startswith(("41", "44")):
            self.faults.append(f"{self.user} was sent away: {packet[:100]}")
            return True
        self.changed.set()
        return False

    # -- the rules ------------------------------------------------------------------------------------

    def _admitted(self, pid: str | None) -> None:
        recovered = pid is not None and pid == self._pid
        self._pid = pid
        self.connected = True
        self.connects += 1
        self.recovered += recovered
        if self._resets != recovered:
            self.faults.append(f"{self.user}: {self._resets} resets before CONNECT, recovered {recovered}")
        if not recovered:
            self.shown_rev = -1

    def _heard(self, event: str, said: dict[str, Any]) -> None:
        if event == "session:ready":
            self._ready = True
            self._take(said["inbox"], said["inbox"]["rev"])
        elif event == "inbox:changed" and said["as"] == "reset":
            self._resets += not self.connected
            self._take(said["counts"], said["rev"])
        elif event == "notification" and "inbox" in said:
            self._follow(event, said, said["inbox"], said["inbox"]["rev"])
        elif event in ("inbox:changed", "notification:removed"):
            self._follow(event, said, said["counts"], said["rev"])
        self._list()

    def _take(self, badge: dict[str, int], rev: int) -> None:
        self.rev, self.unseen, self.unread = rev, badge["unseen"], badge["unread"]

    def _follow(self, event: str, said: dict[str, Any], badge: dict[str, int], rev: int) -> None:
        if rev > self.rev:
            self._take(badge, rev)
        if rev == self.shown_rev + 1 and self._show(event, said):
            self.shown_rev = rev

    def _show(self, event: str, said: dict[str, Any]) -> bool:
        """False when only a list can tell."""
        if event == "notification":
            self.shown[said["id"]] = Shown(said["inbox"]["place"], False, False, said.get("category"))
        elif event == "notification:removed":
            for id_ in said["ids"]:
                self.shown.pop(id_, None)
        elif said["as"] in ("unarchived", "unsnoozed"):
            return False
        else:
            category = said.get("category")
            ids = (
                said["ids"]
                if "ids" in said
                else [
                    id_
                    for id_, one in self.shown.items()
                    if one.place <= said["up_to"] and category in (None, one.category)
                ]
            )
            for id_ in ids:
                self._mark(said["as"], id_)
        return True

    def _mark(self, what: str, id_: str) -> None:
        one = self.shown.get(id_)
        if one is None:
            return
        if what in ("archived", "snoozed"):
            del self.shown[id_]
        elif what == "unread":
            one.read = False
        else:
            one.seen = True
            one.read = one.read or what == "read"

    def _list(self) -> None:
        behind = self._ready and self.shown_rev != self.rev
        if behind and (self._lister is None or self._lister.done()):
            self._lister = asyncio.create_task(self._list_again())

    async def _list_again(self) -> None:
        while self._ready and self.shown_rev != self.rev:
            try:
                answer = await self.call("inbox:list", {"limit": 100})
            except ConnectionError:
                await asyncio.sleep(0.02)
                continue
            if not answer["ok"]:
                await asyncio.sleep(0.05)
                continue
            self.lists += 1
            if answer["rev"] < self.rev:
                continue  # it was read before what has come meanwhile
            self.shown = {
                entry["id"]: Shown(
                    entry["place"],
                    entry["seen_at"] is not None,
                    entry["read_at"] is not None,
                    entry.get("category"),
                )
                for entry in answer["data"]
            }
            self.shown_rev = answer["rev"]
            self._take(answer["counts"], answer["rev"])
            self.changed.set()
