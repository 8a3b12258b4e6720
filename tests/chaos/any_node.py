"""Any node takes any request: R20, without affinity, while nodes are killed and restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from tests.chaos.next_node import NextNode
from tests.chaos.stock import StockPerson
from tests.chaos.world import Report, World, quantile, world
from tests.support.clients.javascript import JavaScript

KINDS = {
    "default": ("polling", "websocket"),
    "polling": ("polling",),
    "websocket": ("websocket",),
}


async def no_affinity(
    directory: Path, seed: int, *, each: int, rate: float, rounds: int, quiet: bool
) -> Report:
    """R20: every request goes to the next node; SIGKILL one again and again, then SIGTERM all in turn."""
    async with world(
        "R20", directory, seed, quiet=quiet, NOTIFY_DRAIN_DELAY="1", NOTIFY_DRAIN_SECONDS="3"
    ) as here:
        front = await here.stack.enter_async_context(NextNode(here))
        kinds = await _populate(here, front.url, each)
        here.publish(rate)
        await here.pass_time(2, "warm")
        upgraded = sum(one.upgrades for one in kinds["default"])
        moved = sum(
            [await node.metric("notify_sessions_moved_total", outcome="moved") for node in here.nodes]
        )
        passed_on = 0.0
        for number in range(rounds):
            victim = here.rng.choice(here.nodes)
            passed_on += await victim.metric("notify_passed_on_total", outcome="answered")
            victim.kill()
            await here.pass_time(2, f"{victim.name} killed, {number + 1} of {rounds}")
            await victim.start()
            await here.pass_time(2, f"{victim.name} back")
        killed = {kind: _resumes(people) for kind, people in kinds.items()}
        codes = []
        for node in here.nodes:
            passed_on += await node.metric("notify_passed_on_total", outcome="answered")
            front.leaving.add(node.name)
            stopping = asyncio.ensure_future(node.terminate())
            while not stopping.done():
                await here.pass_time(0.5, f"{node.name} drains")
            codes.append(await stopping)
            await node.start()
            front.leaving.discard(node.name)
            await here.pass_time(2, f"{node.name} is back")
        verdict = await here.settle()
        told = sum(len(one.told) for one in here.people if not _is_old(one))
        figures = {
            "requests": f"{front.requests}",
            "passed on": f"{passed_on:.0f}",
            "upgraded at first": f"{upgraded} of {len(kinds['default'])}, {moved:.0f} moved",
            "unknown sessions": ", ".join(f"{n} x {fate}" for fate, n in front.unknown.items()) or "0",
            "told though they can recover": str(told),
            "exit codes": ", ".join(map(str, codes)),
        }
        for kind, people in kinds.items():
            after_drains = _resumes(people)[len(killed[kind]) :]
            figures[f"{kind}, back after SIGKILL"] = _spread(killed[kind])
            figures[f"{kind}, back after a drain"] = _spread(after_drains)
        return Report(
            "R20",
            f"no affinity: SIGKILL one node of three, {rounds} times, then SIGTERM all in turn, "
            f"{len(here.people)} stock clients, 4.0 and current, by default, polling and websocket, "
            f"{rate:.0f} msg/s",
            verdict,
            figures,
            verdict.clean
            and not told
            and set(codes) == {0}
            and upgraded == len(kinds["default"])
            and not front.unknown.keys() & {"no reason", "never opened"},
        )


async def _populate(here: World, url: str, each: int) -> dict[str, list[StockPerson]]:
    javascript = await here.stack.enter_async_context(JavaScript())
    kinds: dict[str, list[StockPerson]] = {kind: [] for kind in KINDS}
    for number, (oldest, kind) in enumerate(product((False, True), list(KINDS) * each)):
        person = StockPerson(
            f"stock-{number}",
            [f"room-{number % 6}"],
            javascript=javascript,
            url=url,
            transports=KINDS[kind],
            oldest=oldest,
        )
        kinds[kind].append(person)
        here.people.append(person)
    await here.let_in()
    return kinds


def _is_old(one: object) -> bool:
    return isinstance(one, StockPerson) and one.oldest


def _resumes(people: Sequence[StockPerson]) -> list[float]:
    return [seconds for one in people for seconds in one.resumes]


def _spread(seconds: Sequence[float]) -> str:
    return (
        f"{len(seconds)} times, p50 {quantile(seconds, 0.5):.1f} s, longest {max(seconds, default=0):.1f} s"
    )
