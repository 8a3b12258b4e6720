"""P10: how soon what is marked on one device shows on the user's other one, which is on another node."""

from __future__ import annotations

import asyncio
import json
import time
from statistics import quantiles

from websockets.asyncio.client import ClientConnection, connect

from tests.bench.peers.peer import Client, Node, Peer, Target
from tests.bench.processes import BenchError

MARKS = 1_000
PATIENCE_S = 10


def mark_p99_ms(peer: Peer, a: Node, b: Node) -> float:
    """From the sending of the mark on A to the change on B, the 99th percentile."""
    return asyncio.run(_measure(peer, a, b))


async def _measure(peer: Peer, a: Node, b: Node) -> float:
    packet, again = peer.connect_packets([Client("ada"), Client("ada")])
    async with _device(a) as one, _device(b) as two:
        await one.send(packet)
        await two.send(again)
        for device in (one, two):
            await _next(device, "session:ready")
        peer.flood(a, [Target("user", "ada")], 1)
        for device in (one, two):
            arrived = await _next(device, "notification")
        id_ = arrived["id"]
        took = []
        for number in range(MARKS + 100):
            what = ("read", "unread")[number % 2]
            began = time.perf_counter()
            await one.send("42" + json.dumps(["inbox:mark", {"as": what, "ids": [id_]}]))
            changed = await _next(two, "inbox:changed")
            took.append((time.perf_counter() - began) * 1000)
            if changed["as"] != what:
                raise BenchError(f"marked as {what}, and told {changed}")
            await _next(one, "inbox:changed")
        return quantiles(took[100:], n=100)[-1]  # the first ones warm both nodes up


def _device(node: Node) -> connect:
    return connect(
        f"ws://127.0.0.1:{node.port}/socket.io/?EIO=4&transport=websocket",
        compression=None,
        ping_interval=None,
    )


async def _next(device: ClientConnection, event: str) -> dict[str, str]:
    """What the next event of that name says."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            packet = str(await device.recv())
            if packet == "2":
                await device.send("3")
            elif packet.startswith("42"):
                name, said, *_ = json.loads(packet[2:])
                if name == event:
                    found: dict[str, str] = said
                    return found
