"""`make chaos`: all scenarios with live progress, and a report with the figures of all of them.

    python -m tests.chaos [--only R1,R3] [--seed N] [--short] [--herd 1000] [--report FILE]

A seed repeats a run: who is killed, who posts what, where everyone connects.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos import (
    any_node,
    callers,
    crowds,
    inboxes,
    outages,
    rubbish,
    scenarios,
    storms,
    strangers,
    trust,
)
from tests.chaos.report import markdown, table
from tests.chaos.world import Report

Run = Callable[..., Awaitable[Report]]
Size = dict[str, Any]


def runs(*, short: bool, herd: int | None = None) -> dict[str, Run]:
    """The scenarios by name, in their full or in their short form; `herd` clients in storms."""
    size: Size = (
        {"people": 60, "rate": 100.0, "stock": 4} if short else {"people": 500, "rate": 200.0, "stock": 8}
    )
    goal_s = None if short or herd else 2.0
    return {
        "R1": partial(scenarios.killed_node, **size, rounds=1 if short else 4),
        "R2": partial(scenarios.rolling_restart, **size),
        "R3": partial(outages.killed_redis, **size),
        "R4": partial(outages.cut_subscribers, **size, seconds=5 if short else 60),
        "R5": partial(outages.partitioned_node, **size, seconds=5 if short else 30),
        "R6": partial(crowds.slow_consumers, slow=5 if short else 20, seconds=6 if short else 30),
        "R7": partial(outages.troubled_redis, **size),
        "R8": crowds.parallel_copies,
        "R9": partial(rubbish.rubbish, count=4_000 if short else 50_000),
        "R10": partial(scenarios.frozen_node, **size, long_s=12 if short else 30),
        "R11": partial(outages.half_open, **size, rounds=1 if short else 5),
        "R12": partial(scenarios.many_at_once, people=300 if short else 2_000, rate=100 if short else 200),
        "R13": partial(
            outages.cut_inside_messages,
            people=64 if short else 256,
            rate=600,
            seconds=8 if short else 25,
        ),
        "R15": partial(strangers.one_stranger, people=30 if short else 200, seconds=8 if short else 30),
        "R16": partial(trust.no_keys_and_wrong_clocks, **size, seconds=4 if short else 20),
        "R17": partial(callers.pooled_callers, callers=16, rounds=1 if short else 5),
        "INBOX": partial(
            inboxes.drifting_inboxes,
            operations=1_500 if short else 100_000,
            families=6 if short else 16,
            kill_every_s=2.0 if short else 20.0,
        ),
        "R18": partial(trust.sent_away_unheard, people=30 if short else 300, rounds=2 if short else 5),
        "R19": partial(outages.lost_data, **size, cuts=20 if short else 60),
        "R20": partial(any_node.no_affinity, each=2 if short else 10, rate=200.0, rounds=1 if short else 4),
        "P11": partial(
            storms.cut_at_random,
            clients=herd or (200 if short else 10_000),
            cuts=2 if short else 8,
            seconds=1 if short else 120,
            rate=100,
            goal_s=goal_s,
        ),
        "P12": partial(
            storms.node_lost,
            clients=herd or (200 if short else 15_000),
            drain_s=1 if short else 10,
            rate=100,
            goal_s=goal_s,
        ),
    }


async def run(names: list[str], *, seed: int, short: bool, herd: int | None, quiet: bool) -> list[Report]:
    """Run scenarios one after the other."""
    reports = []
    known = runs(short=short, herd=herd)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="notify-chaos-") as directory:
            began = time.monotonic()
            report = await known[name](Path(directory), seed, quiet=quiet)
            report.seconds = time.monotonic() - began
        reports.append(report)
        if not quiet:
            sys.stderr.write("\r\033[K")
        print(table([report]), flush=True)
    return reports


def main() -> int:
    """The command line. Exit code 1 when something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="scenarios, separated by commas: R1,R3")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a run")
    parser.add_argument("--short", action="store_true", help="smaller and shorter")
    parser.add_argument("--herd", type=int, help="clients in storms (P11, P12)")
    parser.add_argument("--report", type=Path, default=Path(__file__).parent / "results" / "latest.md")
    options = parser.parse_args()
    known = list(runs(short=True))
    names = [name.strip().upper() for name in options.only.split(",") if name.strip()] or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no scenario {', '.join(unknown)}: there are {', '.join(known)}")
    print(f"seed {options.seed}")
    reports = asyncio.run(
        run(
            names,
            seed=options.seed,
            short=options.short,
            herd=options.herd,
            quiet=not sys.stderr.isatty(),
        )
    )
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(markdown(reports, seed=options.seed, short=options.short))
    print(f"report: {options.report}")
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
