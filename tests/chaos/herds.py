"""The processes in which the light clients of a storm live (`herd`), as a scenario sees them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from notify.embedded.child import with_parent_death_signal
from tests.bench.processes import ROOT

MOST_CLIENTS = 6_000
"""In one process: it may open 20,000 descriptors, and is to be quick."""
LINE_BYTES = 1 << 26
ANSWER_S = 60.0


@dataclass
class Findings:
    """What all clients found. The lists are in seconds, one for each return.

    `away`: from the loss to CONNECT's answer; `beyond`: of these, without what the client waited of its own
    accord; `replays`: from its CONNECT to the last message that it had missed, of returns that missed any.
    `again` counts returns for which one attempt was not enough.
    """

    away: list[float] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)
    replays: list[float] = field(default_factory=list)
    again: int = 0
    arrived: int = 0
    told: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


class Herds:
    """Clients, numbered from 0 and spread over processes; each is a user, and in one of the rooms."""

    def __init__(self, clients: int, *, rooms: int) -> None:
        self.clients = clients
        self.rooms = rooms
        self._processes: list[asyncio.subprocess.Process] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        count = -(-self.clients // MOST_CLIENTS)
        command = with_parent_death_signal([sys.executable, "-m", "tests.chaos.herd"], by=signal.SIGKILL)
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
                limit=LINE_BYTES,
            )
            self._processes.append(process)
            self._stack.push_async_callback(_end, process)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def streams(self) -> list[str]:
        """What is to be posted to. A room stands there so often that rooms get as much as users do."""
        rooms = [f"r:room-{number}" for number in range(self.rooms)]
        return rooms * max(1, self.clients // self.rooms) + [f"u:user-{n}" for n in range(self.clients)]

    def expected(self, posted: dict[str, int]) -> int:
        """How many arrivals there are to be, given the number of the last notification of each stream."""
        sizes = Counter(f"r:room-{number % self.rooms}" for number in range(self.clients))
        return sum(number * sizes.get(stream, 1) for stream, number in posted.items())

    async def come(self, ports: list[int], *, seed: int) -> None:
        """Have all begin to connect."""
        each = -(-self.clients // len(self._processes))
        for number, process in enumerate(self._processes):
            first = number * each
            await self._ask(
                process,
                "come",
                first=first,
                count=min(each, self.clients - first),
                rooms=self.rooms,
                ports=ports,
                seed=seed + number,
            )

    async def state(self) -> Counter[str]:
        """`connected`, `arrived`, `returns`, `cuts_left`."""
        total: Counter[str] = Counter()
        for answer in await self.call("state"):
            total.update(answer)
        return total

    async def missing(self, posted: dict[str, int]) -> int:
        """How many notifications have yet to arrive."""
        return sum(answer["missing"] for answer in await self.call("missing", posted=posted))

    async def findings(self) -> Findings:
        """What was found. The lists are those since the last call of this; the counts are of all the time."""
        total = Findings()
        for answer in await self.call("figures"):
            total.away += answer["away"]
            total.beyond += answer["beyond"]
            total.replays += answer["replays"]
            total.again += answer["again"]
            total.arrived += answer["arrived"]
            total.told += answer["told"]
            total.faults.update(answer["faults"])
            total.ends.update(answer["ends"])
            total.examples += answer["examples"]
        return total

    async def call(self, verb: str, **arguments: Any) -> list[dict[str, Any]]:
        """One command to all processes; their answers."""
        return await asyncio.gather(*(self._ask(one, verb, **arguments) for one in self._processes))

    async def _ask(self, process: asyncio.subprocess.Process, verb: str, **arguments: Any) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_S):
            line = await process.stdout.readline()
        assert line, "a herd has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
