"""Posts notifications at a rate, each until it is accepted, and logs every 202."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.support.tokens import API_KEY


@dataclass(slots=True)
class Accepted:
    """A notification that was answered 202, and when."""

    stream: str
    number: int
    at: float


@dataclass
class Publisher:
    """Numbers the notifications of each stream and posts them one after the other, with a key each.

    A stream is `u:<user>`, `r:<room>`, `g:<group>` (a list of users, see `groups`) or `all`. One stream is
    always posted by one task, so its numbers say in which order its notifications were accepted.
    """

    streams: Sequence[str]
    addresses: Callable[[], Sequence[str]]
    rate: float
    rng: random.Random
    workers: int = 8
    timeout_s: float = 5.0
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    padding: int = 0
    """Characters of text in each notification."""
    accepted: list[Accepted] = field(default_factory=list)
    answers: Counter[int | str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds that each single request took, whatever it was answered."""
    _numbers: dict[str, int] = field(default_factory=dict)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to post."""
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(self.workers)]

    async def stop(self) -> None:
        """Finish what was begun: every notification ends as accepted."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def abort(self) -> None:
        """Leave everything as it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, worker: int) -> None:
        mine = self.streams[worker :: self.workers]
        pause_s = self.workers / self.rate
        keys = itertools.count()
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=aiohttp.ClientTimeout(total=self.timeout_s),
        ) as session:
            due = time.monotonic() + self.rng.uniform(0, pause_s)
            while not self._stop.is_set() and mine:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due = max(due + pause_s, time.monotonic() - 1.0)  # an outage is not made up for in a burst
                stream = self.rng.choice(mine)
                number = self._numbers[stream] = self._numbers.get(stream, 0) + 1
                await self._post(session, stream, number, f"{id(self)}-{worker}-{next(keys)}")

    async def _post(self, session: aiohttp.ClientSession, stream: str, number: int, key: str) -> None:
        kind, _, name = stream.partition(":")
        users = list(self.groups.get(name, ()))
        to = {"u": {"user": name}, "r": {"room": name}, "g": {"users": users}, "all": {"all": True}}[kind]
        body = {
            "to": to,
            "title": f"{stream}#{number}",
            **({"body": "x" * self.padding} if self.padding else {}),
        }
        while True:
            address = self.rng.choice(list(self.addresses()))
            began = time.monotonic()
            try:
                async with session.post(
                    f"{address}/v1/notifications", json=body, headers={"Idempotency-Key": key}
                ) as response:
                    status: int | str = response.status
                    await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                status = type(error).__name__
            self.waits.append(time.monotonic() - began)
            self.answers[status] += 1
            if status == 202:
                self.accepted.append(Accepted(stream, number, time.monotonic()))
                return
            assert isinstance(status, str) or status == 409 or status >= 500, status
            await asyncio.sleep(0.05)
