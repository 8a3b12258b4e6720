"""R15: one stranger who floods, stalls and clutters a node, beside people and callers who notice nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from notify.embedded.child import with_parent_death_signal
from tests.chaos.world import Report, quantile, world
from tests.support.tokens import API_KEY, mint


async def one_stranger(directory: Path, seed: int, *, people: int, seconds: float, quiet: bool) -> Report:
    """Attack one node in every way at once; ask it how it is, post, and look at what the people get."""
    # Frames are counted from ping to ping: floods are to be found within a short run, too.
    settings: dict[str, Any] = {"NOTIFY_LOG_LEVEL": "error", "NOTIFY_PING_INTERVAL": "5"}
    async with world("R15", directory, seed, nodes=1, quiet=quiet, **settings) as here:
        (node,) = here.nodes
        await here.populate(people, rooms=max(1, people // 10))
        here.publish(20)
        await here.pass_time(2, "warm")
        process = psutil.Process(node.pid)
        baseline = rss_peak = process.memory_info().rss
        command = [sys.executable, "-m", "tests.chaos.stranger", str(node.port), str(node.internal_port)]
        stranger = subprocess.Popen(with_parent_death_signal([*command, mint("stranger")], by=signal.SIGKILL))
        health: list[float] = []
        posts: list[float] = []
        failed = 0
        try:
            began = time.monotonic()
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_KEY}"}) as session:
                while time.monotonic() - began < seconds:
                    await here.pass_time(0.05, "attacked")
                    at = time.monotonic()
                    async with session.get(f"{node.internal_url}/healthz") as response:
                        failed += response.status != 200
                    health.append(time.monotonic() - at)
                    at = time.monotonic()
                    body = {"to": {"user": "nobody"}, "title": "x"}
                    async with session.post(f"{node.internal_url}/v1/notifications", json=body) as response:
                        failed += response.status != 202
                    posts.append(time.monotonic() - at)
                    rss_peak = max(rss_peak, process.memory_info().rss)
            floods = await node.metric("notify_floods_total")
            crowded_out = await node.metric("notify_crowded_out_total")
        finally:
            stranger.kill()
            stranger.wait()
        verdict = await here.settle()
        grown = (rss_peak - baseline) / 1e6
        slowest = max(quantile(health, 0.99), quantile(posts, 0.99))
        return Report(
            "R15",
            "one stranger: floods of pings, noops and ACKs, endless heads, pipelined handshakes, endless "
            f"chunk lines, for {seconds:.0f} s; {people} clients",
            verdict,
            {
                "/healthz p99": f"{quantile(health, 0.99) * 1000:.0f} ms",
                "POST p99": f"{quantile(posts, 0.99) * 1000:.0f} ms",
                "not 200 or 202": str(failed),
                "RSS grew by": f"{grown:.0f} MB",
                "closed as floods": f"{floods:.0f}",
                "crowded out": f"{crowded_out:.0f}",
                "connections lost": str(len(here.resumes)),
            },
            verdict.clean
            and not (verdict.told or failed or here.resumes)
            and slowest < 1
            and grown < 100
            and floods > 0,
        )
