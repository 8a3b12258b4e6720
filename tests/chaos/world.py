"""What a scenario happens in: nodes, the proxies between them and Redis, people, a publisher."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.chaos.balancer import Balancer
from tests.chaos.checker import Verdict, check, missing
from tests.chaos.person import Person
from tests.chaos.proxy import Proxy
from tests.chaos.publisher import Publisher
from tests.chaos.stock import StockPerson
from tests.support.clients.javascript import JavaScript
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint
from tests.support.valkey import Valkey

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
    balancer: Balancer
    stack: AsyncExitStack
    fronts: list[Proxy] = field(default_factory=list)
    people: list[Person | StockPerson] = field(default_factory=list)
    publisher: Publisher | None = None
    public: Callable[[], Sequence[str]] | None = None
    internal: Callable[[], Sequence[str]] | None = None
    token: Callable[..., str] = mint
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

    async def leave(self) -> None:
        """Send everyone home."""
        if self.publisher is not None:
            await self.publisher.abort()
        await asyncio.gather(*(one.stop() for one in self.people))

    def say(self, text: str) -> None:
        """Live progress, on one line of the terminal."""
        if not self.quiet:
            sys.stderr.write(f"\r\033[K{self.name} {time.monotonic() - self._began:5.1f}s  {text}")
            sys.stderr.flush()

    async def populate(self, people: int, *, rooms: int, stock: int = 0) -> None:
        """Connect people, each in one of the rooms, and a few stock clients; returns when all are in.

        The light ones choose a ready node each time; the stock ones have one address, as in real life, and
        are on websocket and on long-polling by turns.
        """
        for number in range(people):
            rng = random.Random(self.rng.random())
            person = Person(f"user-{number}", [f"room-{number % rooms}"], rng=rng)
            person.addresses = self.public or self._public
            person.local_address = _loopback(number)
            person.token = self.token
            self.people.append(person)
        if stock:
            javascript = await self.stack.enter_async_context(JavaScript())
            for number in range(stock):
                self.people.append(
                    StockPerson(
                        f"stock-{number}",
                        [f"room-{number % rooms}"],
                        javascript=javascript,
                        url=self.public()[0] if self.public else self.balancer.url,
                        transports=[("websocket", "polling")[number % 2]],
                        local_address=_loopback(people + number),
                        token=self.token,
                    )
                )
        await self.let_in()

    async def let_in(self) -> None:
        """Connect everybody; returns when all are in."""
        for begin in range(0, len(self.people), 50):
            for one in self.people[begin : begin + 50]:
                await one.start()

            def connected(end: int = begin + 50) -> bool:
                return all(one.connected_at for one in self.people[:end])

            assert await self.until(connected), "they do not get in"

    def _public(self) -> list[str]:
        if self.fronts:
            ports = {node.name: front.port for node, front in zip(self.nodes, self.fronts, strict=True)}
            return [f"http://127.0.0.1:{ports[node.name]}" for node in self.balancer.ready]
        return [node.url for node in self.balancer.ready]

    def group(self, size: int, *, streams: int) -> None:
        """Put the people on lists of that many users each; several streams go to each list."""
        for number, person in enumerate(self.people):
            person.groups = [f"group-{number // size}-{stream}" for stream in range(streams)]

    def publish_to_groups(self, rate: float, *, padding: int) -> Publisher:
        """Begin to post to the lists that people were put on, and to nobody else, with that much text."""
        members: dict[str, list[str]] = {}
        for person in self.people:
            for group in person.groups:
                members.setdefault(group, []).append(person.user)
        internal = self.internal or (lambda: [node.internal_url for node in self.balancer.ready])
        rng = random.Random(self.rng.random())
        streams = [f"g:{group}" for group in members]
        self.publisher = Publisher(streams, internal, rate, rng, groups=members, padding=padding)
        self.publisher.start()
        return self.publisher

    def publish(self, rate: float, *, timeout_s: float = 5.0) -> Publisher:
        """Begin to post to the people and to their rooms."""
        streams = [f"u:{person.user}" for person in self.people]
        streams += sorted({f"r:{room}" for person in self.people for room in person.rooms})
        streams.append("all")
        self.rng.shuffle(streams)
        internal = self.internal or (lambda: [node.internal_url for node in self.balancer.ready])
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
        """Seconds without a connection, over all light clients and all losses."""
        return [seconds for one in self.people if isinstance(one, Person) for seconds in one.resumes]

    @property
    def stock_resumes(self) -> list[float]:
        """The same for the stock clients, which wait 0.5 to 1.5 s before they try again."""
        return [seconds for one in self.people if isinstance(one, StockPerson) for seconds in one.resumes]


def _loopback(number: int) -> str:
    """An address of its own network for each client: nginx's ip_hash looks at the first three numbers."""
    return f"127.{1 + number // 250 % 250}.{1 + number % 250}.1"


@asynccontextmanager
async def world(
    name: str,
    directory: Path,
    seed: int,
    *,
    nodes: int = 3,
    proxied: bool = False,
    fronted: bool = False,
    quiet: bool = False,
    machines: Sequence[Mapping[str, str]] = (),
    **settings: str,
) -> AsyncIterator[World]:
    """`async with world("R1", path, seed) as here:`

    With `proxied` each node reaches Redis by a proxy; with `fronted` the clients reach each node by one.
    `machines` are environments of one node each, instead of `nodes` that are alike.
    """
    directory.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        cluster = Cluster(
            0 if proxied or machines else nodes, directory=directory, environ={**SETTINGS, **settings}
        )
        stack.push_async_callback(cluster.stop)
        proxies = [await _started(stack, Proxy(cluster.valkey.port)) for _ in range(nodes if proxied else 0)]
        for proxy in proxies:
            cluster.add(NOTIFY_REDIS_URL=f"redis://127.0.0.1:{proxy.port}")
        for environ in machines:
            cluster.add(**environ)
        await cluster.start()
        balancer = await _started(stack, Balancer(cluster.nodes))
        fronts = [await _started(stack, Proxy(node.port)) for node in cluster.nodes if fronted]
        here = World(name, cluster, proxies, random.Random(seed), quiet, balancer, stack, fronts=fronts)
        stack.push_async_callback(here.leave)
        yield here


P = TypeVar("P", bound=Proxy)


async def _started(stack: AsyncExitStack, proxy: P) -> P:
    await proxy.start()
    stack.push_async_callback(proxy.stop)
    return proxy


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


def resume_figures(here: World) -> dict[str, str]:
    """How long people were without a connection."""
    resumes, stock = here.resumes, here.stock_resumes
    return {
        "resumed": f"{len(resumes)} + {len(stock)}",
        "resume p50": f"{quantile(resumes, 0.5) * 1000:.0f} ms",
        "resume p99": f"{quantile(resumes, 0.99) * 1000:.0f} ms",
        "stock clients": f"p50 {quantile(stock, 0.5):.1f} s, longest {max(stock, default=0):.1f} s",
    }


def answers_of(answers: object) -> str:
    """How often which answer was given."""
    counts = dict(answers)  # type: ignore[call-overload]
    return ", ".join(f"{number} x {status}" for status, number in sorted(counts.items(), key=str))
