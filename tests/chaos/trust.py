"""Faults around who may be here: R16 no keys and wrong clocks, R18 sent away while a node does not hear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.world import Report, quantile, resume_figures, world
from tests.gateway.issuer import Issuer, jwk, rsa_key, served, token
from tests.support.clients.raw import RawClient
from tests.support.faketime import clock_off_by
from tests.support.tokens import mint


async def no_keys_and_wrong_clocks(
    directory: Path, seed: int, *, people: int, rate: float, stock: int, seconds: float, quiet: bool
) -> Report:
    """R16: nodes an hour apart; all of them restart while the issuer of keys is down."""
    clocks = "an hour behind, right, an hour ahead"
    try:
        machines = [clock_off_by("-1h"), {}, clock_off_by("+1h")]
    except pytest.skip.Exception as missing:  # said in the report
        clocks, machines = f"all right ({missing})", [{}, {}, {}]
    issuer = Issuer()
    issuer.keys = [jwk(rsa_key(), "one")]
    async with (
        served(issuer),
        world(
            "R16",
            directory,
            seed,
            quiet=quiet,
            machines=machines,
            NOTIFY_JWT_SECRET="",
            NOTIFY_JWT_JWKS_URL=issuer.url,
        ) as here,
    ):
        here.token = lambda user, **claims: token(rsa_key(), kid="one", sub=user, **claims)
        await here.populate(people, rooms=max(1, people // 10), stock=stock)
        publisher = here.publish(rate)
        await here.pass_time(2, "warm")
        issuer.down = True
        for node in here.nodes:
            await node.restart()
            await here.pass_time(0.5, f"{node.name} restarted without keys")
        await here.pass_time(seconds, "the issuer is down")
        known = [await node.metric("notify_token_keys_known") for node in here.nodes]
        let_in = sum(one.connected_at is not None for one in here.people)
        issuer.down = False
        back_at = time.monotonic()
        async with asyncio.timeout(40):
            while sum([await node.metric("notify_token_keys_known") for node in here.nodes]) < 3:
                await asyncio.sleep(0.05)
        fetched = time.monotonic() - back_at
        everyone = await here.until(
            lambda: all(one.connected_at is not None for one in here.people), within_s=40
        )
        all_back = time.monotonic() - back_at
        posts = sum(n for status, n in publisher.answers.items() if status == 202)
        verdict = await here.settle()
        return Report(
            "R16",
            f"clocks of the nodes {clocks}; all three restart while the issuer of keys is down for "
            f"{seconds:.0f} s, {people} + {stock} clients, {rate:.0f} msg/s",
            verdict,
            {
                "nodes with keys meanwhile": f"{sum(known):.0f}",
                "let in meanwhile": str(let_in),
                "keys fetched after": f"{fetched:.1f} s",
                "all back after": f"{all_back:.1f} s" if everyone else "never",
                "posts accepted": str(posts),
                **resume_figures(here),
            },
            verdict.clean and everyone and not sum(known) and not let_in,
        )


async def sent_away_unheard(directory: Path, seed: int, *, people: int, rounds: int, quiet: bool) -> Report:
    """R18: users are sent away, tokens and all, while the node they are on is cut off from Redis."""
    async with world("R18", directory, seed, proxied=True, quiet=quiet) as here:
        took, left, others_lost = [], 0, 0
        for number in range(rounds):
            victim, proxy = here.nodes[number % 3], here.proxies[number % 3]
            asked = here.nodes[(number + 1) % 3]
            clients = {
                f"{number}-{index}": await RawClient.connect(victim.url, {"token": mint(f"{number}-{index}")})
                for index in range(people)
            }
            for client in clients.values():
                await client.answer()
            gone = [user for user in clients if int(user.partition("-")[2]) % 2]
            proxy.mode("refuse")
            proxy.cut()
            answers = await asyncio.gather(
                *(
                    asked.request("POST", f"/v1/users/{user}/disconnect", json={"revoke": True})
                    for user in gone
                )
            )
            assert all(status == 200 for status, _ in answers)
            proxy.mode("pass")
            healed_at = time.monotonic()

            def ended(clients: dict[str, RawClient] = clients, gone: list[str] = gone) -> int:
                return sum("1" in clients[user].packets for user in gone)

            def all_ended(gone: list[str] = gone, ended: Callable[[], int] = ended) -> bool:
                return ended() == len(gone)

            await here.until(all_ended, within_s=30)
            took.append(time.monotonic() - healed_at)
            left += len(gone) - ended()
            others_lost += sum(
                client.closed.is_set() or "1" in client.packets
                for user, client in clients.items()
                if user not in gone
            )
            here.say(f"round {number + 1} of {rounds}: {ended()} of {len(gone)} are gone")
            await asyncio.gather(*(client.lose() for client in clients.values()))
        return Report(
            "R18",
            f"{people // 2} of {people} users sent away while their node is cut off from Redis, "
            f"{rounds} times",
            None,
            {
                "gone after the healing": f"p50 {quantile(took, 0.5):.2f} s, longest {max(took):.2f} s",
                "still here": str(left),
                "others disturbed": str(others_lost),
            },
            not left and not others_lost,
        )
