"""Faults of nodes: R1 killed, R2 restarted, R10 frozen, R12 killed with thousands on it."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from tests.chaos.foreign import Foreigners
from tests.chaos.world import Report, World, answers_of, quantile, resume_figures, world
from tests.k8s.nginx import Nginx
from tests.support import debian


async def killed_node(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, rounds: int, quiet: bool
) -> Report:
    """R1: SIGKILL one node of three, and again."""
    async with world("R1", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
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
            f"SIGKILL one node of three, {rounds} times, {people} + {stock} clients, {rate:.0f} msg/s",
            verdict,
            resume_figures(here),
            verdict.clean and not verdict.told,
        )


async def rolling_restart(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, quiet: bool
) -> Report:
    """R2: SIGTERM each node in turn, behind nginx where there is one."""
    async with world(
        "R2",
        directory,
        seed,
        quiet=quiet,
        NOTIFY_DRAIN_DELAY="1",
        NOTIFY_DRAIN_SECONDS="3",
        NOTIFY_TRUSTED_PROXIES="127.0.0.1",
    ) as here:
        behind = "nginx (ip_hash)"
        try:
            debian.program("nginx", "nginx-light")
        except debian.Missing as missing:  # said in the report: the figures are then without a proxy
            behind = f"no proxy ({missing})"
            return await _roll(here, people, rate, stock, behind)
        ports = [(node.port, node.internal_port) for node in here.nodes]
        with Nginx(directory / "nginx", ports) as nginx:
            here.public = lambda: [nginx.url]
            here.internal = lambda: [nginx.internal_url]
            return await _roll(here, people, rate, stock, behind)


async def _roll(here: World, people: int, rate: float, stock: int, behind: str) -> Report:
    await here.populate(people, rooms=max(1, people // 10), stock=stock)
    foreigners = Foreigners()
    await foreigners.connect(here, here.public()[0] if here.public else here.balancer.url)
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
    await here.until(lambda: foreigners.all_connected)
    errors = sum(n for status, n in publisher.answers.items() if isinstance(status, int) and status >= 500)
    broken = sum(n for status, n in publisher.answers.items() if isinstance(status, str))
    return Report(
        "R2",
        f"SIGTERM all three in turn behind {behind}, {people} + {stock} clients, {rate:.0f} msg/s",
        verdict,
        {
            "POST 5xx": str(errors),
            "POST broken off": str(broken),
            "exit codes": ", ".join(map(str, codes)),
            "exit time": f"{max(exits):.1f} s at most",
            "reconnects at the peak": f"{peak:.0f}/s",
            **resume_figures(here),
            **foreigners.figures(),
        },
        verdict.clean and not verdict.told and not errors and set(codes) == {0} and foreigners.all_connected,
    )


async def frozen_node(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, long_s: float, quiet: bool
) -> Report:
    """R10: SIGSTOP a node for 3 s, and for longer than the sessions of its clients live; then all are cut."""
    window_s = long_s * 0.6
    async with world(
        "R10",
        directory,
        seed,
        quiet=quiet,
        NOTIFY_PING_INTERVAL="1",
        NOTIFY_PING_TIMEOUT="1.5",
        NOTIFY_RECOVERY_WINDOW=str(window_s),
    ) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
        publisher = here.publish(rate, timeout_s=2.0)
        await here.pass_time(1, "warm")
        for seconds in (3.0, long_s):
            victim = here.rng.choice(here.nodes)
            victim.signal(signal.SIGSTOP)
            await here.pass_time(seconds, f"{victim.name} is frozen for {seconds:.0f} s")
            victim.signal(signal.SIGCONT)
            await here.pass_time(2, f"{victim.name} wakes")
        before = len(here.resumes) + len(here.stock_resumes)
        for one in here.people:  # whoever moved must find the session where it was left
            await one.cut()
        await here.pass_time(2, "all are cut")
        verdict = await here.settle()
        recovered = len(here.resumes) + len(here.stock_resumes) - before
        return Report(
            "R10",
            f"SIGSTOP one node of three for 3 s and for {long_s:.0f} s (recovery window "
            f"{window_s:.0f} s), then all cut, {people} + {stock} clients, {rate:.0f} msg/s",
            verdict,
            {
                **resume_figures(here),
                "resumed after the last cut": str(recovered),
                "answers": answers_of(publisher.answers),
            },
            verdict.clean and not verdict.told and recovered >= len(here.people),
        )


async def many_at_once(directory: Path, seed: int, *, people: int, rate: float, quiet: bool) -> Report:
    """R12: SIGKILL one node of two, and half of all clients come to the other one in the same second."""
    async with world("R12", directory, seed, nodes=2, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10))
        here.publish(rate)
        await here.pass_time(2, "warm")
        victim, other = here.nodes
        hung_there = await victim.metric("notify_connections")
        victim.kill()
        killed_at = time.monotonic()
        await here.until(lambda: len(here.resumes) >= hung_there)
        all_back = time.monotonic() - killed_at
        recovered = await other.metric("notify_recovered_total")
        replayed = await other.metric("notify_replayed_messages_total")
        verdict = await here.settle()
        return Report(
            "R12",
            f"SIGKILL one node of two, {people} clients, {rate:.0f} msg/s",
            verdict,
            {
                "clients that came over": f"{recovered:.0f}",
                "all back after": f"{all_back:.1f} s",
                "messages replayed": f"{replayed:.0f}",
                "resume p50": f"{quantile(here.resumes, 0.5) * 1000:.0f} ms",
                "resume p99": f"{quantile(here.resumes, 0.99) * 1000:.0f} ms",
            },
            verdict.clean and not verdict.told and recovered >= hung_there > 0,
        )
