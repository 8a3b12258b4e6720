"""What stands before nodes: it knows which of them are ready, and keeps each client on one."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

import aiohttp

from tests.chaos.proxy import Proxy
from tests.support.cluster import Node

INTERVAL_S, TIMEOUT_S = 0.2, 1.0


class Balancer(Proxy):
    """Spreads connections over the ready nodes by the client's address, as nginx's ip_hash does."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        super().__init__(self._ports)
        self._nodes = nodes
        self._ready: set[str] = {node.name for node in nodes}
        self._probes: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen, and ask the nodes how they are."""
        await super().start()
        self._probes = [asyncio.create_task(self._probe(node)) for node in self._nodes]

    async def stop(self) -> None:
        """End everything."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
        await super().stop()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ready(self) -> list[Node]:
        """The nodes that are ready; all of them when none is."""
        return [node for node in self._nodes if node.name in self._ready] or list(self._nodes)

    def _ports(self, client: str) -> Sequence[int]:
        nodes = self.ready
        first = zlib.crc32(client.encode()) % len(nodes)
        return [node.port for node in nodes[first:] + nodes[:first]]

    async def _probe(self, node: Node) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)
        ) as session:
            while True:
                try:
                    async with session.get(node.internal_url + "/readyz") as response:
                        ready = response.status == 200
                except (aiohttp.ClientError, TimeoutError, OSError):
                    ready = False
                (self._ready.add if ready else self._ready.discard)(node.name)
                await asyncio.sleep(INTERVAL_S)
