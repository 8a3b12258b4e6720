"""Thousands of light clients in one process, which judge by themselves what they get.

Raw protocols on uvloop: of a frame only the title and the offset are looked for. Each client is in one room,
comes back as socket.io-client does (after 0.5 to 1.5 s at first, then more slowly) and recovers as that does.
What is posted to a stream is numbered without a hole, so that each arrival shows what is missing, or has come
twice, before it.

    python -m tests.chaos.herd      commands as JSON lines on stdin, see `Herd.commands`
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import orjson
import uvloop

from tests.bench.lines import Lines
from tests.bench.load import text_frame
from tests.bench.machine import raise_file_limit
from tests.support.tokens import mint

DELAY_S, MOST_DELAY_S, JITTER = 1.0, 5.0, 0.5
"""How long socket.io-client waits before it tries again, at first and at most, give or take half."""
DIAL_TIMEOUT_S = 20.0
"""How long socket.io-client waits for a connection to open."""
DIALS = 64
"""Connections that are begun at once when all come for the first time."""
TURN_S = 0.02

_BIND_ADDRESS_NO_PORT = 24
_PONG = text_frame(b"3")
_GREETING = b"HTTP/1.1 101"
_UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: notify\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class LightClient(asyncio.Protocol):
    """One user in one room: where it has come to, and its connection when it has one."""

    __slots__ = (
        "_address",
        "_attempts",
        "_buffer",
        "_connect_at",
        "_dialled_at",
        "_herd",
        "_lost_at",
        "_missed_at",
        "_numbers",
        "_offset",
        "_pid",
        "_place",
        "_refused",
        "_streams",
        "_timeout",
        "_token",
        "_transport",
        "_upgraded",
        "connected",
    )

    def __init__(self, herd: Herd, number: int, *, rooms: int) -> None:
        user, room = f"user-{number}", f"room-{number % rooms}"
        self.connected = False
        self._herd = herd
        # An address of its own for each few, so that the ports of one are not used up by returns.
        self._address = f"127.{1 + number // 250 % 250}.{1 + number % 250}.1"
        self._token = mint(user, join=[room])
        self._streams = (f"u:{user}".encode(), f"r:{room}".encode())
        self._numbers: list[int | None] = [0, 0]
        self._place = (0, 0)
        self._pid: str | None = None
        self._offset: str | None = None
        self._transport: asyncio.Transport | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._buffer = b""
        self._upgraded = False
        self._attempts = self._refused = 0
        self._lost_at: float | None = None
        self._dialled_at = self._connect_at = 0.0
        self._missed_at: float | None = None

    # -- coming and going -----------------------------------------------------------------------------

    async def dial(self) -> None:
        """Open a connection to one of the nodes; it tries again when that fails."""
        herd = self._herd
        self._attempts += 1
        if self._attempts == 1:
            self._dialled_at = time.monotonic()
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((self._address, 0))
            address = ("127.0.0.1", herd.rng.choice(herd.ports))
            # Asked twice: on loopback it is done by then, as a rule, and nothing has to be waited for.
            if sock.connect_ex(address) and sock.connect_ex(address) not in (0, errno.EISCONN):
                async with asyncio.timeout(DIAL_TIMEOUT_S):
                    await herd.loop.sock_connect(sock, address)
            await herd.loop.create_connection(lambda: self, sock=sock)
        except (OSError, TimeoutError) as error:
            sock.close()
            herd.ends[type(error).__name__] += 1
            self._try_again()

    def _try_again(self) -> None:
        herd = self._herd
        delay_s = min(MOST_DELAY_S, DELAY_S * 2**self._refused) * herd.rng.uniform(1 - JITTER, 1 + JITTER)
        self._refused += 1
        herd.loop.call_later(delay_s, herd.send_out, self)

    def cut(self) -> bool:
        """Lose the connection. False when it is lost already."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.abort()
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._buffer = b""
        self._upgraded = False
        self._timeout = self._herd.loop.call_later(DIAL_TIMEOUT_S, self.cut)
        transport.write(_UPGRADE)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        herd = self._herd
        self._transport = None
        self._opened()
        if self.connected:
            self.connected = False
            herd.connected -= 1
            self._lost_at = time.monotonic()
        else:
            herd.ends["before it was let in"] += 1
        self._try_again()

    def _opened(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    # -- what comes -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        begin, size = 0, len(buffer)
        if not self._upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = buffer
                return
            if not buffer.startswith(_GREETING):
                self._herd.ends[buffer[9:12].decode()] += 1
                self.cut()
                return
            self._upgraded = True
            begin = end + 4
        while begin + 2 <= size:
            length, head = buffer[begin + 1], 2
            if length >= 126:
                head = 4 if length == 126 else 10
                length = int.from_bytes(buffer[begin + 2 : begin + head], "big")
            end = begin + head + length
            if begin + head > size or end > size:
                break
            if buffer[begin] == 0x81:
                self._packet(buffer[begin + head : end])
            begin = end
        self._buffer = buffer[begin:]

    def _packet(self, packet: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if packet.startswith(b"42["):
            self._event(packet)
        elif packet == b"2":
            transport.write(_PONG)
        elif packet.startswith(b"0{"):
            self._opened()
            self._refused = 0
            auth: dict[str, str | None] = {"token": self._token}
            if self._pid is not None:
                auth |= {"pid": self._pid, "offset": self._offset}
            self._connect_at, self._missed_at = time.monotonic(), None
            transport.write(text_frame(b"40" + orjson.dumps(auth)))
        elif packet.startswith(b"40{"):
            self._admitted(orjson.loads(packet[2:])["pid"])
        else:  # turned away, or sent away: neither is to happen
            self._herd.ends[packet[:60].decode()] += 1
            transport.abort()

    def _event(self, packet: bytes) -> None:
        if not packet.endswith(b'"]'):
            return  # `session:ready` has no offset
        begin = packet.rindex(b',"') + 2
        self._offset = offset = packet[begin:-2].decode()
        if not packet.startswith(b'42["notification",'):
            return
        if not self.connected:
            self._missed_at = time.monotonic()
        title = packet.index(b'"title":"') + 9
        stream, _, number = packet[title : packet.index(b'"', title)].rpartition(b"#")
        _, ms, seq = offset.split("-")
        self._took(stream, int(number), (int(ms), int(seq)))

    def _took(self, stream: bytes, number: int, place: tuple[int, int]) -> None:
        herd = self._herd
        herd.arrived += 1
        if stream not in self._streams:
            herd.fault("foreign", f"{self._streams[0].decode()} got {stream.decode()}#{number}")
            return
        which = self._streams.index(stream)
        last = self._numbers[which]
        if last is not None and number <= last:
            herd.fault("duplicates", f"{self._streams[0].decode()}: {stream.decode()}#{number} after #{last}")
            return
        if last is not None and number > last + 1:
            herd.fault("lost", f"{self._streams[0].decode()}: {stream.decode()}#{number} after #{last}")
        if place < self._place:
            herd.fault("out_of_order", f"{self._streams[0].decode()}: {place} after {self._place}")
        self._numbers[which], self._place = number, place

    def _admitted(self, pid: str) -> None:
        herd, now = self._herd, time.monotonic()
        if self._lost_at is not None:
            if pid == self._pid:
                herd.returned(
                    away_s=now - self._lost_at,
                    beyond_s=now - self._dialled_at,
                    replay_s=None if self._missed_at is None else self._missed_at - self._connect_at,
                    at_once=self._attempts == 1,
                )
            else:
                herd.told += 1
                self._numbers = [None, None]  # what it is owed begins anew
        self._pid = pid
        self._attempts = 0
        self.connected = True
        herd.connected += 1

    def missing(self, posted: dict[str, int]) -> int:
        """How many of what was posted to its streams have not come; those that came are without a hole."""
        return sum(
            posted.get(stream.decode(), 0) - last
            for stream, last in zip(self._streams, self._numbers, strict=True)
            if last is not None
        )


class Herd:
    """The clients of this process, and what they found."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.rng = random.Random()
        self.ports: list[int] = []
        self.connected = self.arrived = self.told = 0
        self.ends: Counter[str] = Counter()
        """Why connections could not be had, or were ended by a node before the client was in."""
        self.ended: asyncio.Event = asyncio.Event()
        self._clients: list[LightClient] = []
        self._faults: Counter[str] = Counter()
        self._examples: list[str] = []
        self._away: list[float] = []
        self._beyond: list[float] = []
        self._replays: list[float] = []
        self._again = self._returns = 0
        self._cuts: list[tuple[float, int]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._gone = False

    def serve(self, lines: Lines) -> None:
        """Answer commands from now on."""
        self.loop.add_reader(lines.fileno(), self._read, lines)

    def _read(self, lines: Lines) -> None:
        commands = lines.read()
        if commands is None:
            self.ended.set()
            return
        for command in commands:
            verb = command.pop("do")
            lines.answer(self.commands[verb](self, **command))

    def leave(self) -> None:
        """All go, for good."""
        self._gone = True
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            client.cut()

    def send_out(self, client: LightClient) -> None:
        """Have a client connect."""
        if not self._gone:
            self._begin(client.dial())

    def _begin(self, work: Any) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fault(self, kind: str, what: str) -> None:
        """Something came that should not have, or did not come before it."""
        self._faults[kind] += 1
        if len(self._examples) < 5:
            self._examples.append(f"{kind}: {what}")

    def returned(self, *, away_s: float, beyond_s: float, replay_s: float | None, at_once: bool) -> None:
        """A client has its session back."""
        self._returns += 1
        self._away.append(away_s)
        self._beyond.append(beyond_s)
        if replay_s is not None:
            self._replays.append(replay_s)
        self._again += not at_once

    # -- commands -------------------------------------------------------------------------------------

    def come(self, *, first: int, count: int, rooms: int, ports: list[int], seed: int) -> dict[str, Any]:
        """Clients of these numbers begin to connect."""
        self.rng.seed(seed)
        self.ports = ports
        self._clients = [LightClient(self, number, rooms=rooms) for number in range(first, first + count)]
        self._begin(self._come())
        return {}

    async def _come(self) -> None:
        for begin in range(0, len(self._clients), DIALS):
            for client in self._clients[begin : begin + DIALS]:
                self.send_out(client)
            while self.connected < begin:
                await asyncio.sleep(TURN_S / 4)

    def go_to(self, *, ports: list[int]) -> dict[str, Any]:
        """From now on connections are made to these ports."""
        self.ports = ports
        return {}

    def cut(self, *, times: int, within_s: float) -> dict[str, Any]:
        """Each client loses its connection so many times, at random, in that time."""
        now = self.loop.time()
        self._cuts = [
            (now + self.rng.uniform(0, within_s), number)
            for number in range(len(self._clients))
            for _ in range(times)
        ]
        heapq.heapify(self._cuts)
        self._turn()
        return {}

    def _turn(self) -> None:
        now = self.loop.time()
        while self._cuts and self._cuts[0][0] <= now:
            _, number = heapq.heappop(self._cuts)
            if not (self._clients[number].connected and self._clients[number].cut()):
                # It is away: that is not one of the times.
                heapq.heappush(self._cuts, (now + self.rng.uniform(0, 2 * DELAY_S), number))
        if self._cuts:
            self.loop.call_later(TURN_S, self._turn)

    def state(self) -> dict[str, Any]:
        """How it goes."""
        return {
            "connected": self.connected,
            "arrived": self.arrived,
            "returns": self._returns,
            "cuts_left": len(self._cuts),
        }

    def missing(self, *, posted: dict[str, int]) -> dict[str, Any]:
        """How many notifications are still to come, given the number of the last one of each stream."""
        return {"missing": sum(client.missing(posted) for client in self._clients)}

    def figures(self) -> dict[str, Any]:
        """What was found since the last call of this."""
        found: dict[str, Any] = {
            "away": self._away,
            "beyond": self._beyond,
            "replays": self._replays,
            "again": self._again,
            "arrived": self.arrived,
            "told": self.told,
            "faults": dict(self._faults),
            "ends": dict(self.ends),
            "examples": list(self._examples),
        }
        self._away, self._beyond, self._replays, self._again = [], [], [], 0
        return found

    commands: ClassVar[dict[str, Callable[..., dict[str, Any]]]] = {
        "come": come,
        "go_to": go_to,
        "cut": cut,
        "state": state,
        "missing": missing,
        "figures": figures,
    }


async def _main() -> None:
    herd = Herd()
    herd.serve(Lines())
    await herd.ended.wait()
    herd.leave()


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(_main())
