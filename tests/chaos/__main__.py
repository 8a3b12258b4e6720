"""`make chaos`: all scenarios with live progress, and a report with the figures of R1 to R9.

    python -m tests.chaos [--only R1,R3] [--seed N] [--short] [--report FILE]

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
from pathlib import Path

from tests.chaos import rubbish, scenarios
from tests.chaos.report import markdown, table
from tests.chaos.world import Report

Run = Callable[[Path, int], Awaitable[Report]]


def runs(*, short: bool, quiet: bool = False) -> dict[str, Run]:
    """The scenarios by name, in their full or in their short form."""
    people, rate = (60, 100.0) if short else (500, 200.0)
    return {
        "R1": lambda path, seed: scenarios.killed_node(
            path, seed, people=people, rate=rate, rounds=1 if short else 4, quiet=quiet
        ),
        "R2": lambda path, seed: scenarios.rolling_restart(path, seed, people=people, rate=rate, quiet=quiet),
        "R3": lambda path, seed: scenarios.killed_redis(path, seed, people=people, rate=rate, quiet=quiet),
        "R4": lambda path, seed: scenarios.cut_subscribers(
            path, seed, people=people, rate=rate, seconds=5 if short else 60, quiet=quiet
        ),
        "R5": lambda path, seed: scenarios.partitioned_node(
            path, seed, people=people, rate=rate, seconds=5 if short else 30, quiet=quiet
        ),
        "R6": lambda path, seed: scenarios.slow_consumers(
            path, seed, slow=20, seconds=6 if short else 30, quiet=quiet
        ),
        "R7": lambda path, seed: scenarios.troubled_redis(path, seed, people=people, rate=rate, quiet=quiet),
        "R8": lambda path, seed: scenarios.parallel_copies(path, seed, quiet=quiet),
        "R9": lambda path, seed: rubbish.rubbish(path, seed, count=4_000 if short else 50_000, quiet=quiet),
    }


async def run(names: list[str], *, seed: int, short: bool) -> list[Report]:
    """Run scenarios one after the other."""
    reports = []
    known = runs(short=short)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="notify-chaos-") as directory:
            began = time.monotonic()
            report = await known[name](Path(directory), seed)
            report.seconds = time.monotonic() - began
        reports.append(report)
        sys.stderr.write("\r\033[K")
        print(table([report]), flush=True)
    return reports


def main() -> int:
    """The command line. Exit code 1 when something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="scenarios, separated by commas: R1,R3")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a run")
    parser.add_argument("--short", action="store_true", help="smaller and shorter")
    parser.add_argument("--report", type=Path, default=Path(__file__).parent / "results" / "latest.md")
    options = parser.parse_args()
    known = list(runs(short=True))
    names = [name.strip().upper() for name in options.only.split(",") if name.strip()] or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no scenario {', '.join(unknown)}: there are {', '.join(known)}")
    print(f"seed {options.seed}")
    reports = asyncio.run(run(names, seed=options.seed, short=options.short))
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(markdown(reports, seed=options.seed, short=options.short))
    print(f"report: {options.report}")
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
