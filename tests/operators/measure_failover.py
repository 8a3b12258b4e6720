"""What a failover to a replica loses of what Redis had acknowledged; prints the table of docs/redis.md.

    python -m tests.operators.measure_failover

Writers append to a stream as fast as they are answered. At some moment the master is killed and the replica
is promoted; lost is what was acknowledged and is not there. Each way of writing is tried with a replica that
follows well, and with one whose link to the master is cut some seconds before the master dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.operators.servers import Server, until

WRITERS = 16
FLOW_S = 2.0
CUT_S = 8.0


@dataclass
class Outcome:
    acknowledged: set[int] = field(default_factory=set)
    refused: int = 0
    seconds: float = 0.0
    lost: int = 0
    lost_span_s: float = 0.0


@dataclass(frozen=True)
class Way:
    name: str
    lines: tuple[str, ...] = ()
    wait: bool = False


WAYS = (
    Way("nothing set"),
    Way("`min-replicas-to-write 1`, `min-replicas-max-lag 10` (default)", ("min-replicas-to-write 1",)),
    Way(
        "`min-replicas-to-write 1`, `min-replicas-max-lag 1`",
        ("min-replicas-to-write 1", "min-replicas-max-lag 1"),
    ),
    Way("`WAIT 1 500` after each write", wait=True),
)


class Commands:
    """The way from the replica to the master; `cut` makes it swallow everything, as a lost network does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> int:
        """The port to replicate from."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, back]
        for source, target in ((reader, back), (there, writer)):
            self._pumps.add(asyncio.create_task(self._pump(source, target)))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()

    async def cut(self) -> None:
        """From now on nothing arrives any more, and nobody is told."""
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def close(self) -> None:
        """End it."""
        await self.cut()
        for writer in self._writers:
            writer.transport.abort()
        self._server.close()


async def measure(way: Way, *, cut: bool, directory: Path) -> Outcome:
    """Write, kill, promote, count."""
    common = ("appendonly yes", "repl-diskless-sync-delay 0", "repl-timeout 60", *way.lines)
    with Server(directory / "first", *common) as first:
        link = Commands(first.port)
        port = await link.open()
        with await asyncio.to_thread(
            Server(directory / "second", *common, f"replicaof 127.0.0.1 {port}").__enter__
        ) as second:
            await asyncio.to_thread(
                until,
                lambda: second.call("INFO", "replication")["master_link_status"] == "up",
                within_s=20,
                what="the replica follows",
            )
            await asyncio.sleep(
                1.5
            )  # the master counts a replica that has acknowledged, which it does each second
            outcome, times = Outcome(), dict[int, float]()
            over = asyncio.Event()
            began = time.monotonic()
            writers = [
                asyncio.create_task(_write(first.port, number, way, outcome, times, over))
                for number in range(WRITERS)
            ]
            await asyncio.sleep(FLOW_S)
            if cut:
                await link.cut()
                await asyncio.sleep(CUT_S)
            first.kill()
            outcome.seconds = time.monotonic() - began
            over.set()
            await asyncio.gather(*writers)
            await asyncio.sleep(0.2)  # what was on its way arrives, if the link still stands
            await link.close()
            second.call("REPLICAOF", "NO", "ONE")
            await asyncio.to_thread(
                until, lambda: second.call("ROLE")[0] == "master", within_s=10, what="promoted"
            )
            async with Redis(port=second.port, protocol=2, socket_timeout=30) as client:
                kept = {int(fields[b"n"]) for _, fields in cast(list[Any], await client.xrange("log"))}
    lost = outcome.acknowledged - kept
    outcome.lost = len(lost)
    if lost:
        outcome.lost_span_s = max(times.values()) - min(times[number] for number in lost)
    return outcome


async def _write(
    port: int, writer: int, way: Way, outcome: Outcome, times: dict[int, float], over: asyncio.Event
) -> None:
    number = writer
    client = Redis(
        port=port, protocol=2, socket_timeout=2, retry=Retry(NoBackoff(), 0), single_connection_client=True
    )
    try:
        while not over.is_set():
            number += WRITERS
            try:
                # One connection, one after the other: WAIT is of the writes of its own connection.
                await client.xadd("log", {"n": number})
                taken = not way.wait or await client.wait(1, 500) >= 1
            except RedisError as error:
                if "NOREPLICAS" not in str(error):
                    return  # the master is dead
                taken = False
            if taken:
                outcome.acknowledged.add(number)
                times[number] = time.monotonic()
            else:
                outcome.refused += 1
                await asyncio.sleep(0.05)
    finally:
        await client.aclose()


async def main() -> None:
    """Print the table."""
    print("| written with | replica | acknowledged/s | refused | lost | their time before the kill |")
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        for cut in (False, True):
            with tempfile.TemporaryDirectory() as directory:
                found = await measure(way, cut=cut, directory=Path(directory) / "redis")
            rate = len(found.acknowledged) / found.seconds
            replica = f"cut off for {CUT_S:g} s" if cut else "follows"
            span = f"{found.lost_span_s:.2f} s" if found.lost else "-"
            print(
                f"| {way.name} | {replica} | {rate:,.0f} | {found.refused:,} | {found.lost:,} | {span} |",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main())
