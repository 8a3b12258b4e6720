"""What a scenario happens in: nodes, the proxies between them and Redis, people, a publisher."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.checker import Verdict, check, missing
from tests.chaos.person import Person
from tests.chaos.proxy import Proxy
from tests.chaos.publisher import Publisher
from tests.cluster import Cluster, Node
from tests.valkey import Valkey

SETTINGS = {"NOTIFY_LOG_LEVEL": "info", "NOTIFY_RECOVERY_MAX_MESSAGES": "5000"}


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class World:
    """Everything of one scenario. `rng` decides who, where and when, so that a seed repeats a run."""

    name: str
    cluster: Cluster
    proxies: list[Proxy]
    rng: random.Random
    quiet: bool
    people: list[Person] = field(default_factory=list)
    publisher: Publisher | None = None
    public: Callable[[], Sequence[str]] | None = None
    internal: Callable[[], Sequence[str]] | None = None
    notes: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @property
    def nodes(self) -> list[Node]:
        """All nodes."""
        return self.cluster.nodes

    @property
    def valkey(self) -> Valkey:
        """Their Redis."""
        return self.cluster.valkey

    def say(self, text: str) -> None:
        """Live progress, on one line of the terminal."""
        if not self.quiet:
            sys.stderr.write(f"\r\033[K{self.name} {time.monotonic() - self._began:5.1f}s  {text}")
            sys.stderr.flush()

    async def populate(self, people: int, *, rooms: int) -> None:
        """Connect people, each in one of the rooms; returns when all are in."""
        public = self.public or (lambda: [node.url for node in self.nodes])
        for number in range(people):
            rng = random.Random(self.rng.random())
            room = f"room-{number % rooms}"
            self.people.append(Person(f"user-{number}", [room], public, rng))
        for begin in range(0, people, 50):
            for person in self.people[begin : begin + 50]:
                person.start()
            await self.until(lambda end=begin + 50: all(person.connected_at for person in self.people[:end]))

    def publish(self, rate: float, *, timeout_s: float = 5.0) -> Publisher:
        """Begin to post to the people and to their rooms."""
        streams = [f"u:{person.user}" for person in self.people]
        streams += sorted({f"r:{room}" for person in self.people for room in person.rooms})
        self.rng.shuffle(streams)
        internal = self.internal or (lambda: [node.internal_url for node in self.nodes if node.running])
        self.publisher = Publisher(
            streams, internal, rate, random.Random(self.rng.random()), timeout_s=timeout_s
        )
        self.publisher.start()
        return self.publisher

    async def until(self, condition: Callable[[], Any], *, within_s: float = 60.0) -> bool:
        """Wait for a condition; False when it does not come true."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def pass_time(self, seconds: float, doing: str) -> None:
        """Let it go on for a while, showing how it goes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            connected = sum(person.connected_at is not None for person in self.people)
            accepted = len(self.publisher.accepted) if self.publisher else 0
            arrived = sum(len(person.arrivals) for person in self.people)
            self.say(
                f"{doing}: {connected}/{len(self.people)} connected, {accepted} accepted, {arrived} arrived"
            )
            await asyncio.sleep(min(0.5, left))

    async def settle(self, *, within_s: float = 40.0) -> Verdict:
        """Stop publishing, wait for what is owed, and judge."""
        assert self.publisher is not None
        self.say("finishing what was begun")
        await self.publisher.stop()
        await self.until(lambda: all(person.connected_at for person in self.people), within_s=within_s)
        deadline = time.monotonic() + within_s
        while missing(self.publisher.accepted, self.people) and time.monotonic() < deadline:
            await asyncio.sleep(0.25)
        await asyncio.sleep(0.5)  # what would come twice has come by then
        verdict = check(self.publisher.accepted, self.people)
        self.say("")
        return verdict

    @property
    def resumes(self) -> list[float]:
        """Seconds without a connection, over all people and all losses."""
        return [seconds for person in self.people for seconds in person.resumes]


@asynccontextmanager
async def world(
    name: str,
    directory: Path,
    seed: int,
    *,
    nodes: int = 3,
    proxied: bool = False,
    quiet: bool = False,
    **settings: str,
):
    """`async with world("R1", path, seed) as here:` - with `proxied`, each node reaches Redis by a proxy."""
    directory.mkdir(parents=True, exist_ok=True)
    proxies: list[Proxy] = []
    cluster = Cluster(0 if proxied else nodes, directory=directory, environ={**SETTINGS, **settings})
    try:
        if proxied:
            for _ in range(nodes):
                proxy = Proxy(cluster.valkey.port)
                await proxy.start()
                proxies.append(proxy)
                cluster.add(NOTIFY_REDIS_URL=f"redis://127.0.0.1:{proxy.port}")
        await cluster.start()
        here = World(name, cluster, proxies, random.Random(seed), quiet)
        try:
            yield here
        finally:
            if here.publisher is not None:
                for task in here.publisher._tasks:
                    task.cancel()
                await asyncio.gather(*here.publisher._tasks, return_exceptions=True)
            await asyncio.gather(*(person.stop() for person in here.people))
    finally:
        await cluster.stop()
        for proxy in proxies:
            await proxy.stop()


Scenario = Callable[..., Awaitable["Report"]]


@dataclass
class Report:
    """What a scenario showed: the verdict, and figures by name."""

    name: str
    fault: str
    verdict: Verdict | None
    figures: dict[str, str]
    ok: bool
    seconds: float = 0.0
