"""Storms of reconnects: P11 thousands cut at random, P12 thousands that lose their node at once."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.bench.machine import cpu_s
from tests.chaos.checker import Verdict
from tests.chaos.herds import Findings, Herds
from tests.chaos.publisher import Publisher
from tests.chaos.world import Report, World, answers_of, quantile, world
from tests.support.cluster import Node

ROOM_SIZE = 96
LOOK_S = 0.25
CONNECT_S = 120.0
LAST_S = 60.0
"""How long the last ones may take to be back, and what they are owed to arrive."""


class Storm:
    """A world whose clients are herds; what is posted to them is theirs to judge."""

    def __init__(self, here: World, herds: Herds) -> None:
        self.here = here
        self.herds = herds
        self.ports: list[int] = []
        self._publisher: Publisher | None = None

    async def gather(self, rate: float) -> None:
        """Have all connect, then begin to post to them and to their rooms."""
        here, herds = self.here, self.herds
        self.ports = self._ready_ports()
        await herds.come(self.ports, seed=here.rng.randrange(10**6))
        assert await self.until_connected("coming", within_s=CONNECT_S), "they do not get in"
        self._publisher = here.publisher = Publisher(
            herds.streams,
            lambda: [node.internal_url for node in here.balancer.ready],
            rate,
            random.Random(here.rng.random()),
        )
        self._publisher.start()

    def _ready_ports(self) -> list[int]:
        return [node.port for node in self.here.balancer.ready]

    async def look(self, doing: str) -> Counter[str]:
        """Show how it goes; and send whoever connects to the nodes that are ready now, as a balancer does."""
        if (ports := self._ready_ports()) != self.ports:
            self.ports = ports
            await self.herds.call("go_to", ports=ports)
        state = await self.herds.state()
        accepted = len(self._publisher.accepted) if self._publisher is not None else 0
        self.here.say(
            f"{doing}: {state['connected']}/{self.herds.clients} connected, {state['returns']} returns, "
            f"{accepted} accepted, {state['arrived']} arrived"
        )
        return state

    async def until(
        self, condition: Callable[[Counter[str]], bool], doing: str, *, within_s: float = LAST_S
    ) -> bool:
        """Look until something holds; False when it does not in time."""
        deadline = time.monotonic() + within_s
        while not condition(await self.look(doing)):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def until_connected(self, doing: str, *, within_s: float = LAST_S) -> bool:
        """Look until all are connected."""
        return await self.until(
            lambda state: state["connected"] == self.herds.clients, doing, within_s=within_s
        )

    async def pass_time(self, seconds: float, doing: str) -> None:
        """Let it go on for a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await self.look(doing)
            await asyncio.sleep(min(LOOK_S, left))

    async def settle(self) -> Verdict:
        """Stop posting, wait for what is owed, and judge. What the clients found of time is left alone."""
        here, herds, publisher = self.here, self.herds, self._publisher
        assert publisher is not None
        here.say("finishing what was begun")
        await publisher.stop()
        posted: dict[str, int] = {}
        for one in publisher.accepted:
            posted[one.stream] = max(posted.get(one.stream, 0), one.number)
        deadline = time.monotonic() + LAST_S
        while (missing := await herds.missing(posted)) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(0.5)  # what would come twice has come by then
        found = await herds.findings()
        here.say("")
        return Verdict(
            accepted=len(publisher.accepted),
            expected=herds.expected(posted),
            arrived=found.arrived,
            lost=missing + found.faults["lost"],
            duplicates=found.faults["duplicates"] + found.faults["foreign"],
            out_of_order=found.faults["out_of_order"],
            told=found.told,
            examples=tuple(found.examples[:20]),
        )


class Meter:
    """CPU of nodes against the returns that they took, from its making on. They must live until then."""

    def __init__(self, nodes: list[Node], cpu: float, recovered: float) -> None:
        self._nodes = nodes
        self._cpu = cpu
        self._recovered = recovered

    @classmethod
    async def of(cls, nodes: list[Node]) -> Meter:
        """Begins to count."""
        cpu = sum(cpu_s(node.pid) for node in nodes)
        return cls(nodes, cpu, await _recovered(nodes))

    async def per_return(self) -> str:
        """In words; everything else that the nodes did meanwhile is in it."""
        cpu = sum(cpu_s(node.pid) for node in self._nodes) - self._cpu
        returns = await _recovered(self._nodes) - self._recovered
        return f"{cpu / returns * 1e6:.0f} us" if returns else "no returns"


async def _recovered(nodes: list[Node]) -> float:
    return sum(await asyncio.gather(*(node.metric("notify_recovered_total") for node in nodes)))


def _times(found: Findings) -> dict[str, str]:
    return {
        "returns": f"{len(found.away)}, {found.again} of them not at the first attempt",
        "away p50, p95, p99": ", ".join(f"{quantile(found.away, share):.2f}" for share in (0.5, 0.95, 0.99))
        + f", longest {max(found.away, default=0):.2f} s",
        "beyond the client's own wait p50, p95, p99": ", ".join(
            f"{quantile(found.beyond, share):.2f}" for share in (0.5, 0.95, 0.99)
        )
        + f", longest {max(found.beyond, default=0):.2f} s",
        "replay p50, p99": f"{quantile(found.replays, 0.5) * 1000:.0f}, "
        f"{quantile(found.replays, 0.99) * 1000:.0f} ms ({len(found.replays)} returns had missed something)",
    }


def _rooms(clients: int, publisher_tasks: int) -> int:
    """A multiple of the publisher's tasks, so that each room is posted to by one of them."""
    return publisher_tasks * max(1, round(clients / ROOM_SIZE / publisher_tasks))


async def cut_at_random(
    directory: Path,
    seed: int,
    *,
    clients: int,
    cuts: int,
    seconds: float,
    rate: float,
    goal_s: float | None,
    quiet: bool,
) -> Report:
    """P11: light clients on two nodes, each cut again and again at random.

    Where there is a goal, replays are to be done within it for 99 of 100 returns.
    """
    async with (
        world("P11", directory, seed, nodes=2, quiet=quiet) as here,
        Herds(clients, rooms=_rooms(clients, Publisher.workers)) as herds,
    ):
        storm = Storm(here, herds)
        await storm.gather(rate)
        await storm.pass_time(1, "warm")
        meter = await Meter.of(here.nodes)
        await herds.call("cut", times=cuts, within_s=seconds)
        await storm.pass_time(seconds, "cut at random")
        all_back = await storm.until(
            lambda state: not state["cuts_left"] and state["connected"] == clients, "the last come back"
        )
        per_return = await meter.per_return()
        found = await herds.findings()
        verdict = await storm.settle()
        return Report(
            "P11",
            f"{clients} light clients on two nodes, each cut {cuts} times at random in {seconds:.0f} s, "
            f"{rate:.0f} notifications/s to users and rooms",
            verdict,
            {
                "arrived": f"{verdict.arrived / verdict.expected:.2%}",
                **_times(found),
                "stayed away": str(clients - (await herds.state())["connected"]),
                "CPU of the nodes per return": f"{per_return} (with what was live meanwhile)",
                "connections that failed": answers_of(found.ends) or "none",
            },
            verdict.clean
            and not verdict.told
            and verdict.arrived == verdict.expected
            and all_back
            and len(found.away) == clients * cuts
            and (goal_s is None or quantile(found.replays, 0.99) < goal_s),
        )


async def node_lost(
    directory: Path,
    seed: int,
    *,
    clients: int,
    rate: float,
    drain_s: float,
    goal_s: float | None,
    quiet: bool,
) -> Report:
    """P12: light clients on three nodes, of which one is drained, then one killed once that is back.

    Where there is a goal, 95 of 100 are to be back within it, not counting what they wait by themselves.
    """
    async with (
        world(
            "P12", directory, seed, quiet=quiet, NOTIFY_DRAIN_DELAY="1", NOTIFY_DRAIN_SECONDS=str(drain_s)
        ) as here,
        Herds(clients, rooms=_rooms(clients, Publisher.workers)) as herds,
    ):
        storm = Storm(here, herds)
        await storm.gather(rate)
        await storm.pass_time(1, "warm")
        drained, killed, _ = here.nodes
        figures: dict[str, str] = {}
        good = True
        for victim, sign, what in (
            (drained, signal.SIGTERM, "drained"),
            (killed, signal.SIGKILL, "killed"),
        ):
            others = [node for node in here.nodes if node is not victim]
            there = int(await victim.metric("notify_connections"))
            before = (await herds.state())["returns"]
            await herds.findings()
            meter = await Meter.of(others)
            began = time.monotonic()
            victim.signal(sign)

            def back(state: Counter[str], wanted: int = before + there) -> bool:
                return state["returns"] >= wanted and state["connected"] == clients

            all_back = await storm.until(back, f"{victim.name} {what}", within_s=drain_s + LAST_S)
            took_s = time.monotonic() - began
            per_return = await meter.per_return()
            found = await herds.findings()
            good = good and all_back and len(found.away) >= there > 0
            good = good and (goal_s is None or quantile(found.beyond, 0.95) < goal_s)
            figures[what] = f"{there} clients, all back after {took_s:.1f} s"
            figures |= {f"{what}, {name}": value for name, value in _times(found).items()}
            figures[f"{what}, CPU of the others per return"] = per_return
            figures[f"{what}, never back"] = str(clients - (await herds.state())["connected"])
            await victim.ended()
            await victim.start()
        verdict = await storm.settle()
        found = await herds.findings()
        figures["connections that failed"] = answers_of(found.ends) or "none"
        return Report(
            "P12",
            f"{clients} light clients on three nodes, one drained over {drain_s:.0f} s, then one killed, "
            f"{rate:.0f} notifications/s to users and rooms",
            verdict,
            figures,
            verdict.clean and not verdict.told and verdict.arrived == verdict.expected and good,
        )
