"""INBOX: random steps on the inboxes of people on three nodes, which are killed; all must show one thing."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import aiohttp
import redis.asyncio

from notify.domain.channel import Channel
from notify.store.keys import Keys
from tests.chaos.bell import Bell
from tests.chaos.families import Backend, Family, Unanswered
from tests.chaos.ledger import Drift, Ledger
from tests.chaos.world import Report, World, quantile, world
from tests.store.inbox_model import ModelInbox
from tests.support.tokens import API_KEY

MOST = 10
"""Entries that an inbox keeps here: few, so that it is trimmed all the time."""


async def drifting_inboxes(
    directory: Path, seed: int, *, operations: int, families: int, kill_every_s: float, quiet: bool
) -> Report:
    """INBOX: people with three screens each, on both transports and in their own namespace too."""
    async with world("INBOX", directory, seed, quiet=quiet, NOTIFY_INBOX_MAX=str(MOST)) as here:
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {API_KEY}"}, timeout=timeout
        ) as session:
            backend = Backend(here, session, here.rng)
            all_ = [await _family(here, backend, number) for number in range(families)]
            hearing = asyncio.create_task(_hear(here, all_))
            kills: list[str] = []
            killing = asyncio.create_task(_kill(here, kill_every_s, kills))
            began = time.monotonic()
            showing = asyncio.create_task(_show(here, all_, kills, operations))
            drifts: list[str] = []
            try:
                share = operations // families
                await asyncio.gather(*(_live(family, share, drifts) for family in all_))
            finally:
                took_s = time.monotonic() - began
                for task in (showing, killing, hearing):
                    task.cancel()
                await asyncio.gather(showing, killing, hearing, return_exceptions=True)
                bells = [bell for family in all_ for mine in family.bells.values() for bell in mine]
                await asyncio.gather(*(bell.stop() for bell in bells))
            here.say("")
            done: Counter[str] = sum((family.done for family in all_), Counter())
            swept = sum(len(ledger.late_ms) for family in all_ for ledger in family.ledgers.values())
            late = [ms for family in all_ for ms in family.late_ms]
            return Report(
                "INBOX",
                f"{operations} steps of {2 * families} people with {len(bells)} screens on three nodes, "
                f"{len(kills)} killed",
                None,
                {
                    "drift": str(len(drifts)),
                    "operations": f"{sum(done.values())}, {sum(done.values()) / took_s:.0f}/s",
                    "kinds": ", ".join(f"{kind} {n}" for kind, n in sorted(done.items())),
                    "connects": str(sum(bell.connects for bell in bells)),
                    "recovered": str(sum(bell.recovered for bell in bells)),
                    "lists by screens": str(sum(bell.lists for bell in bells)),
                    "asked again": str(backend.repeats),
                    "fell due": str(swept),
                    "told by itself": f"{len(late)}, {quantile(late, 0.5):.0f} ms late (median), "
                    f"{quantile(late, 0.99):.0f} ms (p99), {max(late, default=0)} ms at most",
                    **{f"first drift {n}": text for n, text in enumerate(drifts[:1])},
                },
                not drifts and sum(done.values()) > operations * 0.9 and bool(kills) and bool(late),
            )


async def _family(here: World, backend: Backend, number: int) -> Family:
    rng = random.Random(here.rng.random())
    ledgers, bells = {}, {}
    for name in ("ada", "bob"):
        user = f"{name}-{number}"
        page, _ = await backend.ask("GET", f"/v1/users/{user}/inbox")
        ledgers[user] = Ledger(user, ModelInbox(MOST, page["rev"]))
        bells[user] = [
            Bell(
                user,
                lambda: [node.url for node in here.balancer.ready],
                random.Random(rng.random()),
                transport=transport,
                namespace=namespace.format(user=user),
            )
            for transport, namespace in (("websocket", "/"), ("polling", "/"), ("websocket", "/users/{user}"))
        ]
    return Family(here, backend, rng, ledgers, bells)


async def _hear(here: World, families: list[Family]) -> None:
    """Hands everything that is published to the ledgers, in its order, and brings the screens."""
    prefix = Keys().topic_prefix
    ledgers = {
        (prefix + Channel("/", "user", user).address).encode(): ledger
        for family in families
        for user, ledger in family.ledgers.items()
    }
    client = redis.asyncio.Redis.from_url(here.valkey.url)
    try:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe(*ledgers)
            for family in families:
                for mine in family.bells.values():
                    for bell in mine:
                        bell.start()
            while True:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=10)
                if message is not None:
                    ledgers[message["channel"]].hear(message["data"])
    finally:
        await client.aclose()


async def _kill(here: World, every_s: float, kills: list[str]) -> None:
    while True:
        await asyncio.sleep(every_s)
        victim = here.rng.choice(here.nodes)
        victim.kill()
        kills.append(victim.name)
        await asyncio.sleep(here.rng.uniform(0.2, 1.0))
        await victim.start()


async def _live(family: Family, steps: int, drifts: list[str]) -> None:
    await asyncio.sleep(0.5)
    try:
        for _ in range(steps):
            await family.step()
    except (Drift, AssertionError, Unanswered) as error:
        drifts.append(f"{type(error).__name__}: {error}")


async def _show(here: World, families: list[Family], kills: list[str], operations: int) -> None:
    while True:
        done = sum(family.done.total() for family in families)
        here.say(f"{done}/{operations} steps, {len(kills)} nodes killed")
        await asyncio.sleep(0.5)
