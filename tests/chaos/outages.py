"""Faults of Redis and of the network: R3, R4, R5, R7, R11, R13 and R19."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.chaos.checker import missing
from tests.chaos.world import Report, answers_of, resume_figures, world


async def killed_redis(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, quiet: bool
) -> Report:
    """R3: SIGKILL Redis and start it again on its append-only file."""
    async with world("R3", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
        publisher = here.publish(rate)
        await here.pass_time(3, "warm")
        here.valkey.kill()
        await here.pass_time(1, "Redis killed")
        started_at = time.monotonic()
        await here.valkey.astart()
        await here.until(lambda: publisher.accepted[-1].at > started_at)
        without_writes = next(one.at for one in publisher.accepted if one.at > started_at) - max(
            one.at for one in publisher.accepted if one.at <= started_at
        )
        await here.pass_time(3, "Redis back")
        verdict = await here.settle()
        return Report(
            "R3",
            f"SIGKILL Redis (append-only), back after 1 s, {people} + {stock} clients, {rate:.0f} msg/s",
            verdict,
            {
                "without writes": f"{without_writes:.2f} s",
                "answers": answers_of(publisher.answers),
                "longest a caller waited": f"{max(publisher.waits):.2f} s",
                "connections lost": str(len(here.resumes) + len(here.stock_resumes)),
            },
            verdict.clean and not verdict.told,
        )


async def lost_data(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, cuts: int, quiet: bool
) -> Report:
    """R19: Redis comes back without its data, and the nodes are cut off again while they find that out."""
    async with world("R19", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
        publisher = here.publish(rate)
        await here.pass_time(3, "warm")
        killed_at = time.monotonic()
        here.valkey.kill()
        here.valkey.lose_data()
        await here.pass_time(1, "Redis killed, its data gone")
        await here.valkey.astart()
        killed = 0
        with here.valkey.client() as client:
            for number in range(cuts):
                await asyncio.sleep(here.rng.uniform(0.05, 0.3))
                killed += client.client_kill_filter(_type="pubsub")
                here.say(f"cut {number + 1} of {cuts}")
        await here.until(lambda: publisher.accepted[-1].at > killed_at)
        await here.pass_time(5, "Redis back")
        for person in here.people:  # what they are told covers everything since Redis died
            person.told = [(min(lost, killed_at), back) for lost, back in person.told]
        verdict = await here.settle()
        untold = sum(not person.told for person in here.people)
        return Report(
            "R19",
            f"Redis back without its data, subscriptions cut {cuts} times meanwhile, {people} + {stock} "
            f"clients, {rate:.0f} msg/s",
            verdict,
            {"connections killed": str(killed), "clients that were not told": str(untold)},
            verdict.clean and not untold and killed > 0,
        )


async def cut_subscribers(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, seconds: int, quiet: bool
) -> Report:
    """R4: kill the nodes' subscriber connections every second."""
    async with world("R4", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
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
            f"CLIENT KILL TYPE pubsub every second for {seconds} s, {people} + {stock} clients, "
            f"{rate:.0f} msg/s",
            verdict,
            {
                "connections killed": str(killed),
                "messages healed": f"{sum(gaps):.0f}",
                "clients that noticed": str(len(here.resumes)),
            },
            verdict.clean and not verdict.told and not here.resumes,
        )


async def cut_inside_messages(
    directory: Path, seed: int, *, people: int, rate: float, seconds: float, quiet: bool
) -> Report:
    """R13: one notification to 32 users is 32 copies under one offset; connections are cut between them."""
    async with world("R13", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=1)
        here.group(32, streams=4)
        publisher = here.publish_to_groups(rate, padding=3_000)
        await here.pass_time(1, "warm")
        killed = 0
        ends_at = time.monotonic() + seconds
        with here.valkey.client() as client:
            while time.monotonic() < ends_at:
                await here.pass_time(0.25, f"{killed} connections cut")
                killed += client.client_kill_filter(_type="pubsub")
        verdict = await here.settle()
        gaps = [await node.metric("notify_gap_messages_total") for node in here.nodes]
        told = [await node.metric("notify_gaps_lost_total") for node in here.nodes]
        return Report(
            "R13",
            f"CLIENT KILL TYPE pubsub four times a second for {seconds:.0f} s, {people} clients, "
            f"{len(publisher.accepted) / (seconds + 1):.0f} notifications/s to 32 users each",
            verdict,
            {
                "connections killed": str(killed),
                "messages healed": f"{sum(gaps):.0f}",
                "channels told of a gap": f"{sum(told):.0f}",
                "clients that noticed": str(len(here.resumes)),
            },
            verdict.clean and not verdict.told and not here.resumes and not any(told) and killed > 0,
        )


async def partitioned_node(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, seconds: float, quiet: bool
) -> Report:
    """R5: one node is cut off from Redis without a word, and healed."""
    async with world("R5", directory, seed, proxied=True, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
        here.publish(rate)
        await here.pass_time(2, "warm")
        victim, proxy = here.nodes[0], here.proxies[0]
        proxy.mode("stall")
        cut_at = time.monotonic()
        detected = deaf = None
        while time.monotonic() - cut_at < seconds:
            await here.pass_time(0.25, f"{victim.name} is cut off")
            if detected is None and await victim.metric("notify_redis_connected") == 0:
                detected = time.monotonic() - cut_at
            if deaf is None and await victim.metric("notify_subscribed") == 0:
                deaf = time.monotonic() - cut_at
        healed_at = time.monotonic()
        proxy.mode("pass")
        publisher = here.publisher
        assert publisher is not None
        owed = [one for one in publisher.accepted if cut_at < one.at < healed_at]
        caught_up = None
        while caught_up is None and time.monotonic() < healed_at + 40:
            await here.pass_time(0.05, f"{victim.name} is healed")
            if not missing(owed, here.people):
                caught_up = time.monotonic() - healed_at
        verdict = await here.settle()
        gap = await victim.metric("notify_gap_messages_total")
        return Report(
            "R5",
            f"one node of three cut off from Redis for {seconds:.0f} s, {people} + {stock} clients, "
            f"{rate:.0f} msg/s",
            verdict,
            {
                "commands fail after": f"{detected:.1f} s" if detected is not None else "never",
                "found deaf after": f"{deaf:.1f} s" if deaf is not None else "the cut was over sooner",
                "caught up after": f"{caught_up:.2f} s" if caught_up is not None else "never",
                "messages healed": f"{gap:.0f}",
                "connections lost": str(len(here.resumes) + len(here.stock_resumes)),
                "answers": answers_of(publisher.answers),
            },
            verdict.clean and not verdict.told and caught_up is not None and detected is not None,
        )


async def troubled_redis(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, quiet: bool
) -> Report:
    """R7: Redis paused for 5 s, full, and slow."""
    async with world("R7", directory, seed, quiet=quiet) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
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
                await asyncio.to_thread(client.execute_command, "DEBUG", "SLEEP", "0.2")
                await here.pass_time(0.3, "Redis is slow")
            client.config_set("appendfsync", "everysec")
        await here.pass_time(2, "Redis is well")
        verdict = await here.settle()
        waits = publisher.waits
        return Report(
            "R7",
            f"Redis paused 5 s, at maxmemory 3 s, with a slow disk, {people} + {stock} clients, "
            f"{rate:.0f} msg/s",
            verdict,
            {
                "answers": answers_of(publisher.answers),
                "longest a caller waited": f"{max(waits):.2f} s",
                "connections lost": str(len(here.resumes) + len(here.stock_resumes)),
            },
            verdict.clean and not verdict.told and max(waits) < 3.0,
        )


async def half_open(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, rounds: int, quiet: bool
) -> Report:
    """R11: connections that are dead on one side only: first the node does not know, then the client."""
    async with world(
        "R11",
        directory,
        seed,
        fronted=True,
        quiet=quiet,
        NOTIFY_PING_INTERVAL="1",
        NOTIFY_PING_TIMEOUT="1",
    ) as here:
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
        here.publish(rate)
        await here.pass_time(1, "warm")
        deserted = 0
        for _ in range(rounds):
            deserted += sum(front.desert() for front in here.fronts)
            deserted += here.balancer.desert()
            await here.pass_time(1.5, "gone without a word to the nodes")
        front = here.rng.choice(here.fronts)
        front.mode("stall")
        await here.pass_time(4, "silent for both")
        front.mode("pass")
        await here.pass_time(1, "no longer silent")
        verdict = await here.settle()
        await asyncio.sleep(2.5)  # what was polling may hold on until its ping times out
        left = [await node.metric("notify_connections") for node in here.nodes]
        return Report(
            "R11",
            f"half-open connections: {rounds} times all, for the nodes only; once those of a node, for both, "
            f"{people} + {stock} clients, "
            f"{rate:.0f} msg/s",
            verdict,
            {
                "deserted": str(deserted),
                **resume_figures(here),
                "connections left": f"{sum(left):.0f} of {len(here.people)}",
            },
            verdict.clean and not verdict.told and sum(left) == len(here.people),
        )
