"""R1 to R9: a fault each, what it did to those who were connected, and what it did not."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import aiohttp
import psutil

from tests.chaos.world import Report, World, quantile, world
from tests.tokens import API_KEY, mint


def resume_figures(here: World) -> dict[str, str]:
    """How long people were without a connection."""
    resumes = here.resumes
    return {
        "resumed": str(len(resumes)),
        "resume p50": f"{quantile(resumes, 0.5) * 1000:.0f} ms",
        "resume p99": f"{quantile(resumes, 0.99) * 1000:.0f} ms",
    }


async def killed_node(
    directory: Path, seed: int, *, people: int, rate: float, rounds: int, quiet: bool
) -> Report:
    """R1: SIGKILL one node of three, and again."""
    async with world("R1", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10))
        here.publish(rate)
        await here.pass_time(2, "warm")
        for number in range(rounds):
            victim = here.rng.choice(here.nodes)
            victim.kill()
            await here.pass_time(2, f"{victim.name} killed, {number + 1} of {rounds}")
            await victim.start()
            await here.pass_time(2, f"{victim.name} back")
        verdict = await here.settle()
        return Report(
            "R1",
            f"SIGKILL one node of three, {rounds} times, {people} clients, {rate:.0f} msg/s",
            verdict,
            resume_figures(here),
            verdict.clean and not verdict.told,
        )


async def rolling_restart(directory: Path, seed: int, *, people: int, rate: float, quiet: bool) -> Report:
    """R2: SIGTERM each node in turn, behind nginx where there is one."""
    from tests import debian
    from tests.k8s.nginx import Nginx

    async with world(
        "R2", directory, seed, quiet=quiet, NOTIFY_DRAIN_DELAY="1", NOTIFY_DRAIN_SECONDS="3"
    ) as here:
        behind = "nginx (ip_hash)"
        try:
            debian.program("nginx", "nginx-light")
        except debian.Missing as missing:  # said in the report: the figures are then without a proxy
            behind = f"no proxy ({missing})"
            return await _roll(here, people, rate, behind)
        ports = [(node.port, node.internal_port) for node in here.nodes]
        with Nginx(directory / "nginx", ports) as nginx:
            here.public = lambda: [nginx.url]
            here.internal = lambda: [nginx.internal_url]
            return await _roll(here, people, rate, behind)


async def _roll(here: World, people: int, rate: float, behind: str) -> Report:
    await here.populate(people, rooms=max(1, people // 10))
    publisher = here.publish(rate)
    await here.pass_time(1, "warm")
    exits, codes = [], []
    peak = 0.0
    for node in here.nodes:
        before = sum(person.connects for person in here.people)
        began = time.monotonic()
        stopping = asyncio.ensure_future(node.terminate())
        while not stopping.done():
            await here.pass_time(0.5, f"{node.name} drains")
            now = sum(person.connects for person in here.people)
            peak, before = max(peak, (now - before) / 0.5), now
        codes.append(await stopping)
        exits.append(time.monotonic() - began)
        await node.start()
        await here.pass_time(1, f"{node.name} is back")
    verdict = await here.settle()
    errors = sum(n for status, n in publisher.answers.items() if isinstance(status, int) and status >= 500)
    broken = sum(n for status, n in publisher.answers.items() if isinstance(status, str))
    return Report(
        "R2",
        f"SIGTERM all three in turn behind {behind}, {people} clients, {rate:.0f} msg/s",
        verdict,
        {
            "POST 5xx": str(errors),
            "POST broken off": str(broken),
            "exit codes": ", ".join(map(str, codes)),
            "exit time": f"{max(exits):.1f} s at most",
            "reconnects at the peak": f"{peak:.0f}/s",
            **resume_figures(here),
        },
        verdict.clean and not verdict.told and not errors and set(codes) == {0},
    )


async def killed_redis(directory: Path, seed: int, *, people: int, rate: float, quiet: bool) -> Report:
    """R3: SIGKILL Redis and start it again on its append-only file."""
    async with world("R3", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10))
        publisher = here.publish(rate)
        await here.pass_time(3, "warm")
        killed_at = time.monotonic()
        here.valkey.kill()
        await here.pass_time(1, "Redis killed")
        await here.valkey.astart()
        await here.until(lambda: publisher.accepted[-1].at > killed_at)
        without_writes = next(one.at for one in publisher.accepted if one.at > killed_at) - max(
            one.at for one in publisher.accepted if one.at <= killed_at
        )
        await here.pass_time(3, "Redis back")
        verdict = await here.settle()
        return Report(
            "R3",
            f"SIGKILL Redis (append-only), back after 1 s, {people} clients, {rate:.0f} msg/s",
            verdict,
            {
                "without writes": f"{without_writes:.2f} s",
                "answers": _answers(publisher.answers),
                "longest a caller waited": f"{max(publisher.waits):.2f} s",
                "connections lost": str(len(here.resumes)),
            },
            verdict.clean and not verdict.told,
        )


async def cut_subscribers(
    directory: Path, seed: int, *, people: int, rate: float, seconds: int, quiet: bool
) -> Report:
    """R4: kill the nodes' subscriber connections every second."""
    async with world("R4", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10))
        here.publish(rate)
        killed = 0
        with here.valkey.client() as client:
            for number in range(seconds):
                await here.pass_time(here.rng.uniform(0.8, 1.2), f"cut {number + 1} of {seconds}")
                killed += client.client_kill_filter(_type="pubsub")
        verdict = await here.settle()
        gaps = [await node.metric("notify_gap_messages_total") for node in here.nodes]
        return Report(
            "R4",
            f"CLIENT KILL TYPE pubsub every second for {seconds} s, {people} clients, {rate:.0f} msg/s",
            verdict,
            {
                "connections killed": str(killed),
                "messages healed": f"{sum(gaps):.0f}",
                "clients that noticed": str(len(here.resumes)),
            },
            verdict.clean and not verdict.told and not here.resumes,
        )


async def partitioned_node(
    directory: Path, seed: int, *, people: int, rate: float, seconds: float, quiet: bool
) -> Report:
    """R5: one node is cut off from Redis without a word, and healed."""
    async with world("R5", directory, seed, proxied=True, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10))
        here.publish(rate)
        await here.pass_time(2, "warm")
        victim, proxy = here.nodes[0], here.proxies[0]
        proxy.mode("stall")
        cut_at = time.monotonic()
        detected = None
        while time.monotonic() - cut_at < seconds:
            await here.pass_time(0.25, f"{victim.name} is cut off")
            if detected is None and await victim.metric("notify_redis_connected") == 0:
                detected = time.monotonic() - cut_at
        healed_at = time.monotonic()
        proxy.mode("pass")
        before = await victim.metric("notify_resubscriptions_total")
        caught_up = None
        deadline = time.monotonic() + 40
        while caught_up is None and time.monotonic() < deadline:
            await here.pass_time(0.1, f"{victim.name} is healed")
            if (
                await victim.metric("notify_subscribed") == 1
                and await victim.metric("notify_resubscriptions_total") > before
            ):
                caught_up = time.monotonic() - healed_at
        verdict = await here.settle()
        return Report(
            "R5",
            f"one node of three cut off from Redis for {seconds:.0f} s, {people} clients, {rate:.0f} msg/s",
            verdict,
            {
                "detected after": f"{detected:.1f} s" if detected is not None else "never",
                "caught up after": f"{caught_up:.2f} s" if caught_up is not None else "never",
                "connections lost": str(len(here.resumes)),
            },
            verdict.clean and not verdict.told and caught_up is not None,
        )


async def slow_consumers(directory: Path, seed: int, *, slow: int, seconds: float, quiet: bool) -> Report:
    """R6: clients that stop reading while their room is flooded."""
    async with world("R6", directory, seed, nodes=1, quiet=quiet) as here:
        (node,) = here.nodes
        await here.populate(50, rooms=1)
        sockets = []
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_KEY}"}) as session:
            for number in range(slow):
                sockets.append(await _connect_and_stop_reading(node.port, f"slow-{number}"))
            process = psutil.Process(node.pid)
            baseline = rss_peak = process.memory_info().rss
            padding = "x" * 20_000
            latencies: list[float] = []
            sent = 0
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                # 20 slow clients and 20 kB: 20 posts a second are 8 MB/s to them
                await asyncio.sleep(max(0.0, began + sent / 20 - time.monotonic()))
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
                await here.until(lambda had=had, probe=probe: len(probe.arrivals) > had)
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
            f"{slow} clients that stop reading, {slow * 20_000 * 20 / 1e6:.0f} MB/s to them",
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
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    payload = ("40" + json.dumps({"token": mint(user, join=["flood"])})).encode()
    writer.write(bytes((0x81, 0xFE)) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload)
    await reader.readuntil(b'"sid"')
    received = b""
    while b"session:ready" not in received:
        received += await reader.read(512)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return writer


async def troubled_redis(directory: Path, seed: int, *, people: int, rate: float, quiet: bool) -> Report:
    """R7: Redis paused for 5 s, full, and slow."""
    async with world("R7", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10))
        publisher = here.publish(rate)
        await here.pass_time(2, "warm")
        with here.valkey.client() as client:
            client.client_pause(5000, all=True)
            await here.pass_time(6, "Redis is paused")
            client.config_set("maxmemory", 1)
            await here.pass_time(3, "Redis is full")
            client.config_set("maxmemory", 0)
            client.config_set("appendfsync", "always")
            for _ in range(10):  # a disk that hangs for a moment, again and again
                client.execute_command("DEBUG", "SLEEP", "0.2")
                await here.pass_time(0.3, "Redis is slow")
            client.config_set("appendfsync", "everysec")
        await here.pass_time(2, "Redis is well")
        verdict = await here.settle()
        waits = publisher.waits
        return Report(
            "R7",
            f"Redis paused 5 s, at maxmemory 3 s, with a slow disk, {people} clients, {rate:.0f} msg/s",
            verdict,
            {
                "answers": _answers(publisher.answers),
                "longest a caller waited": f"{max(waits):.2f} s",
                "connections lost": str(len(here.resumes)),
            },
            verdict.clean and not verdict.told and max(waits) < 3.0,
        )


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


def _answers(answers: object) -> str:
    counts = dict(answers)  # type: ignore[call-overload]
    return ", ".join(f"{number} x {status}" for status, number in sorted(counts.items(), key=str))
