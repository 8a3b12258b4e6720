"""Those who ask too much: R6 clients that stop reading, R8 callers that all send the same."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

import aiohttp
import psutil

from tests.chaos.record import Record
from tests.chaos.world import Report, quantile, world
from tests.support.tokens import API_KEY, mint


async def slow_consumers(directory: Path, seed: int, *, slow: int, seconds: float, quiet: bool) -> Report:
    """R6: clients that stop reading while their room is flooded."""
    async with world("R6", directory, seed, nodes=1, quiet=quiet) as here:
        (node,) = here.nodes
        await here.populate(50, rooms=1)
        sockets: list[asyncio.StreamWriter] = []
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_KEY}"}) as session:
            sockets += [await _connect_and_stop_reading(node.port, f"slow-{n}") for n in range(slow)]
            process = psutil.Process(node.pid)
            baseline = rss_peak = process.memory_info().rss
            size = min(60_000, 400_000 // slow)
            posts_per_s = 8e6 / (slow * size)
            padding = "x" * size
            latencies: list[float] = []
            sent = 0
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                await asyncio.sleep(max(0.0, began + sent / posts_per_s - time.monotonic()))
                probe = here.people[sent % len(here.people)]
                had = len(probe.arrivals)
                async with session.post(
                    f"{node.internal_url}/v1/notifications",
                    json={"to": {"room": "flood"}, "title": f"flood#{sent}", "body": padding},
                ) as response:
                    assert response.status == 202
                posted = time.monotonic()
                async with session.post(
                    f"{node.internal_url}/v1/notifications",
                    json={"to": {"user": probe.user}, "title": f"u:{probe.user}#{sent + 1}"},
                ) as response:
                    assert response.status == 202

                def arrived(had: int = had, probe: Record = probe) -> bool:
                    return len(probe.arrivals) > had

                await here.until(arrived)
                latencies.append(probe.arrivals[-1].at - posted)
                rss_peak = max(rss_peak, process.memory_info().rss)
                sent += 1
                here.say(f"{sent} posts, RSS {rss_peak / 1e6:.0f} MB")
            cut = await node.metric("notify_slow_consumers_total")
            left = await node.metric("notify_connections")
        for writer in sockets:
            writer.transport.abort()
        grown = (rss_peak - baseline) / 1e6
        return Report(
            "R6",
            f"{slow} clients that stop reading, 8 MB/s to them for {seconds:.0f} s",
            None,
            {
                "cut as slow consumers": f"{cut:.0f}",
                "RSS grew by": f"{grown:.0f} MB",
                "the others' p99": f"{quantile(latencies, 0.99) * 1000:.1f} ms",
                "connections left": f"{left:.0f}",
            },
            cut == slow and left == 50 and grown < slow * 4 + 20,
        )


async def _connect_and_stop_reading(port: int, user: str) -> asyncio.StreamWriter:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel would read megabytes for it
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    payload = ("40" + json.dumps({"token": mint(user, join=["flood"])})).encode()
    writer.write(bytes((0x81, 0xFE)) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload)
    await reader.readuntil(b'"sid"')
    received = b""
    while b"session:ready" not in received:
        received += await reader.read(512)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return writer


async def parallel_copies(directory: Path, seed: int, *, quiet: bool) -> Report:
    """R8: 100 parallel copies of one POST with one Idempotency-Key on three nodes."""
    async with world("R8", directory, seed, quiet=quiet) as here:
        await here.populate(6, rooms=1)
        answers: dict[str, int] = {}
        ids = set()
        person = here.people[0]

        async def post(session: aiohttp.ClientSession, number: int) -> None:
            node = here.nodes[number % 3]
            while True:
                async with session.post(
                    f"{node.internal_url}/v1/notifications",
                    json={"to": {"user": person.user}, "title": f"u:{person.user}#1"},
                    headers={"Idempotency-Key": "one"},
                ) as response:
                    key = (
                        f"{response.status}{' replayed' if 'Idempotent-Replayed' in response.headers else ''}"
                    )
                    answers[key] = answers.get(key, 0) + 1
                    if response.status == 202:
                        ids.add((await response.json())["id"])
                        return
                    assert response.status == 409, await response.text()
                await asyncio.sleep(0.02)

        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {API_KEY}"}, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            await asyncio.gather(*(post(session, number) for number in range(100)))
        await here.until(lambda: person.arrivals)
        await asyncio.sleep(1.0)
        return Report(
            "R8",
            "100 parallel copies of one POST with one Idempotency-Key on three nodes",
            None,
            {
                "notifications": str(len(ids)),
                "arrivals": str(len(person.arrivals)),
                "answers": ", ".join(f"{number} x {answer}" for answer, number in sorted(answers.items())),
            },
            len(ids) == len(person.arrivals) == 1 and answers.get("202") == 1,
        )
