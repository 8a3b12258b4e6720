"""R17: backends that keep pools of connections, over a rolling restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp

from tests.chaos.world import Report, World, answers_of, world
from tests.support.cluster import Node
from tests.support.tokens import API_KEY


class Callers:
    """Posts over one pool to whatever nodes are ready, and keeps account of what became of it."""

    def __init__(self, nodes: list[Node], *, count: int) -> None:
        self.nodes = nodes
        self.count = count
        self.ready = set(nodes)
        self.answers: Counter[str] = Counter()
        """Statuses; `no connection`, where nothing was sent: a caller takes the next node; and what broke."""

    @property
    def accepted(self) -> int:
        """Posts that were taken."""
        return self.answers["202"]

    @property
    def broken(self) -> dict[str, int]:
        """What a caller cannot tell from a loss."""
        return {what: number for what, number in self.answers.items() if what not in ("202", "no connection")}

    async def run(self) -> None:
        """Call until cancelled."""
        # A pool that never lets go by itself: only what the nodes say ends a connection.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            for number in range(self.count):
                tasks.create_task(self._call(session, number))

    async def _watch(self) -> None:
        """What a load balancer does."""
        while True:
            for node in self.nodes:
                if await node.status("/readyz") == 200:
                    self.ready.add(node)
                else:
                    self.ready.discard(node)
            await asyncio.sleep(0.1)

    async def _call(self, session: aiohttp.ClientSession, number: int) -> None:
        turn = number
        while True:
            nodes = [node for node in self.nodes if node in self.ready]
            if nodes:
                turn += 1
                self.answers[await self._post(session, nodes[turn % len(nodes)], number)] += 1
            # Some are busy, some use their connection once in a while.
            await asyncio.sleep(0.002 * (1 + number % 8) ** 2)

    async def _post(self, session: aiohttp.ClientSession, node: Node, number: int) -> str:
        try:
            async with session.post(
                node.internal_url + "/v1/notifications",
                json={"to": {"user": f"user-{number}"}, "title": "x"},
                headers={"Authorization": f"Bearer {API_KEY}"},
            ) as response:
                await response.read()
                return str(response.status)
        except aiohttp.ClientConnectorError:
            return "no connection"
        except aiohttp.ClientError as error:
            return type(error).__name__


async def pooled_callers(directory: Path, seed: int, *, callers: int, rounds: int, quiet: bool) -> Report:
    """R17: SIGTERM each node in turn; every call on a connection that is there is answered."""
    async with world(
        "R17", directory, seed, quiet=quiet, NOTIFY_DRAIN_DELAY="1", NOTIFY_DRAIN_SECONDS="1"
    ) as here:
        calling = Callers(here.nodes, count=callers)
        running = asyncio.create_task(calling.run())
        await _accepted(calling, 100)
        for number in range(rounds):
            for node in here.nodes:
                await _restarted(here, node, number)
                await _accepted(calling, calling.accepted + 100)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return Report(
            "R17",
            f"rolling restart under {callers} callers with a pool of connections, {rounds} times",
            None,
            {"answers": answers_of(calling.answers), "broken": answers_of(calling.broken) or "none"},
            not calling.broken,
        )


async def _restarted(here: World, node: Node, number: int) -> None:
    here.say(f"{node.name} restarts, round {number + 1}")
    await node.restart()


async def _accepted(calling: Callers, count: int) -> None:
    while calling.accepted < count:
        await asyncio.sleep(0.02)
