"""Ten thousand notifications due at one time: how long Redis is busy at a time, and how late they are.

python -m tests.bench.due [--runs N] [--nodes 1,2] [--count N] [--most MS]

Each is for a user of its own, and goes into their inbox. Nodes as they are deployed schedule them over HTTP
and deliver them; Valkey has a core to itself, all else shares the other. How late each was is the difference
between its place in the user's log, which Redis stamps as it publishes, and its `deliver_at`. Redis' slow log
has the longest call, while they are scheduled and while they are delivered. One who pings Redis all the while
says how long others wait, for all the calls that were before them.

Valkey, and who pings, go before all other processes, where that is allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from notify.domain.channel import Channel
from tests.bench.busy import Busy
from tests.bench.machine import LOAD_CORE, SERVER_CORE, go_as_usual, go_first
from tests.bench.peers.notify import Notify
from tests.bench.peers.peer import Target
from tests.bench.processes import BenchError, Processes
from tests.bench.valkey import Valkey

AHEAD_MS = 15_000
"""They are scheduled for so much later: all of them are there by then."""
PATIENCE_S = 60
PING_EVERY_S = 0.002
READ_AT_ONCE = 500
SLOWER_THAN_US = 500
"""What the slow log keeps: writing all calls down would keep Redis busy."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run showed. Times in ms; calls with the name of the script."""

    scheduling: tuple[float, str]
    delivering: tuple[float, str]
    waits: tuple[float, ...]
    late: tuple[int, ...]

    @property
    def took_s(self) -> float:
        """From the first that was delivered to the last."""
        return (max(self.late) - min(self.late)) / 1000


async def _run(nodes: int, count: int) -> Run:
    with Processes() as processes:
        valkey = Valkey(processes, core=SERVER_CORE, first=True)
        busy = Busy(valkey.url)
        try:
            peer = Notify(processes, valkey.url)
            first, *_ = [peer.start(core=LOAD_CORE) for _ in range(nodes)]
            await busy.redis.start()
            await busy.redis.execute("CONFIG", "SET", "slowlog-max-len", 10_000)
            await busy.redis.execute("CONFIG", "SET", "slowlog-log-slower-than", SLOWER_THAN_US)
            await busy.forget()
            users = [f"user-{number}" for number in range(count)]
            at_ms = int(time.time() * 1000) + AHEAD_MS
            targets = [Target("user", user) for user in users]
            await asyncio.to_thread(peer.schedule, first, targets, at_ms)
            if time.time() * 1000 > at_ms - 500:
                raise BenchError("scheduling took longer than it may")
            scheduling = await busy.longest(SLOWER_THAN_US)
            await busy.forget()
            waits = await _until_delivered(busy, at_ms)
            delivering = await busy.longest(SLOWER_THAN_US)
            return Run(scheduling[:2], delivering[:2], tuple(waits), tuple(await _late(busy, users, at_ms)))
        finally:
            await busy.redis.stop()
            valkey.remove()


async def _until_delivered(busy: Busy, at_ms: int) -> list[float]:
    """How long each PING waited meanwhile, in ms."""
    waits: list[float] = []
    await asyncio.sleep(max(0.0, at_ms / 1000 - time.time() - 0.05))
    go_first()
    try:
        while left := await busy.redis.execute("ZCARD", busy.keys.due):
            if time.time() > at_ms / 1000 + PATIENCE_S:
                raise BenchError(f"{left} were not delivered within {PATIENCE_S} s")
            for _ in range(20):
                began = time.perf_counter()
                await busy.redis.execute("PING")
                waits.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(PING_EVERY_S)
    finally:
        go_as_usual()
    return waits


async def _late(busy: Busy, users: Sequence[str], at_ms: int) -> list[int]:
    """How many ms after its time each was published; each once, or it is an error."""
    late = []
    for begin in range(0, len(users), READ_AT_ONCE):
        names = [
            busy.keys.log_prefix + Channel("/", "user", user).address
            for user in users[begin : begin + READ_AT_ONCE]
        ]
        logs = await asyncio.gather(*(busy.redis.execute("XRANGE", name, "-", "+") for name in names))
        for name, entries in zip(names, logs, strict=True):
            if len(entries) != 1:
                raise BenchError(f"{name} has {len(entries)} entries")
            late.append(int(entries[0][0].partition(b"-")[0]) - at_ms)
    entered = await busy.inbox.snapshot(users[-1])
    if entered.counts.total != 1:
        raise BenchError("it went into no inbox")
    return late


def _measure(arguments: argparse.Namespace) -> bool:
    numbers = [int(number) for number in arguments.nodes.split(",")]
    runs: dict[int, list[Run]] = {number: [] for number in numbers}
    for _ in range(arguments.runs):
        for number in numbers:  # in turn, so that what else the machine does meets all alike
            runs[number].append(asyncio.run(_run(number, arguments.count)))
    print(
        f"{arguments.count} due at one time, {arguments.runs} runs, ms: medians; of calls least, median, most"
    )
    print("nodes | longest call, where | while scheduling | PING p99, max | late p50, p99, max | delivered/s")
    for number, found in runs.items():
        print(
            number,
            _calls([run.delivering for run in found]),
            _calls([run.scheduling for run in found]),
            _typical(found, lambda run: (_p(99, run.waits), max(run.waits)), 1),
            _typical(found, lambda run: (_p(50, run.late), _p(99, run.late), max(run.late)), 0),
            _typical(found, lambda run: (len(run.late) / run.took_s,), 0),
            sep=" | ",
        )
    return all(median(run.delivering[0] for run in found) <= arguments.most for found in runs.values())


def _calls(calls: Sequence[tuple[float, str]]) -> str:
    worst, name = max(calls)
    return f"{min(calls)[0]:.2f} {median(took for took, _ in calls):.2f} {worst:.2f} {name}"


def _typical(runs: Sequence[Run], figures: Callable[[Run], Sequence[float]], digits: int) -> str:
    """The median over the runs of each of these."""
    return ", ".join(f"{median(one):.{digits}f}" for one in zip(*map(figures, runs), strict=True))


def _p(percent: int, values: Sequence[float]) -> float:
    return quantiles(values, n=100)[percent - 1]


def main() -> int:
    """1 when a call was longer than it may be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.due", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--nodes", default="1,2", help="how many nodes, one case each")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--most", type=float, default=3.0, help="ms that a call may take, in the median")
    return 0 if _measure(parser.parse_args()) else 1


if __name__ == "__main__":
    sys.exit(main())
