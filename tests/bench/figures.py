"""The yardsticks P1-P13: what each figure is, and what is asked of ours."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    key: str
    what: str
    unit: str
    goal: float
    """For `notify`, on the machine on which the yardsticks were set."""
    more_is_better: bool = False
    times: str = ""
    """The peer of which the goal is a multiple: of what it does in the same run."""
    no_goal: bool = False
    """Shown for what it says about another figure."""
    reference_node: float | None = None
    """What `node` did on that machine: by how much this machine differs is read off it."""

    @property
    def yardstick(self) -> str:
        """P1 of `P1`, P3 of `P3 paced`."""
        return self.key.split(" ", maxsplit=1)[0]


FIGURES = (
    Figure("P1", "fan-out to 1,000, 40 messages/s: CPU per delivery", "us", 9, reference_node=13.4),
    Figure(
        "P2",
        "fan-out, ten waiting for each: deliveries per CPU-s",
        "/s",
        1e6,
        more_is_better=True,
        reference_node=117e3,
    ),
    Figure("P2 with 1", "the same, one waiting", "/s", 0, more_is_better=True, no_goal=True),
    Figure("P2 with 100", "the same, a hundred waiting", "/s", 0, more_is_better=True, no_goal=True),
    Figure("P3 paced", "unicast to 1,000 users, 1,000/s: CPU per message", "us", 0.75, times="node"),
    Figure("P3 flat out", "unicast, ten waiting for each: CPU per message", "us", 25, reference_node=48),
    Figure("P3 with 1", "the same, one waiting for each", "us", 0, no_goal=True),
    Figure("P4 single", "POSTs, each durable, per CPU-s", "/s", 22_000, more_is_better=True),
    Figure("P4 inbox", "the same, each with an entry in an inbox", "/s", 16_000, more_is_better=True),
    Figure("P4 batch", "POSTed in batches of 1,000, per CPU-s", "/s", 20_000, more_is_better=True),
    Figure("P5 p50", "POST on A to client on B, 1,000/s: median", "ms", 1, times="centrifugo"),
    Figure("P5 p99", "the same, 99th percentile", "ms", 1, times="centrifugo"),
    Figure(
        "P6",
        "connects (ours, Centrifugo: authenticated, recoverable), per CPU-s",
        "/s",
        1.2,
        more_is_better=True,
        times="centrifugo",
    ),
    Figure("P7", "RSS per idle websocket", "KB", 4, reference_node=13.6),
    Figure("P8 at 1,000", "CPU per disconnect, 1,000 users on the node", "us", 0, no_goal=True),
    Figure("P8 at 15,000", "CPU per disconnect, 15,000 users on the node", "us", 0, no_goal=True),
    Figure("P8 growth", "the second divided by the first", "x", 1.3),
    Figure("P8 others", "CPU of a node per message for other nodes' rooms", "us", 1),
    Figure("P9 at 5,000", "CPU a second per idle websocket, 5,000 of them", "us", 0.5),
    Figure("P9 at 18,000", "the same, 18,000 of them", "us", 0.5),
    Figure("P10 one", "an inbox entry more than a publish: Redis", "us", 12),
    Figure("P10 many", "the same, a user of a piece of 32", "us", 12),
    Figure("P10 at 100", "bytes an entry, 100 in the inbox", "B", 250),
    Figure("P10 at 1,000", "the same, 1,000", "B", 250),
    Figure("P10 list", "20 out of 1,000: 99th percentile", "ms", 5),
    Figure("P10 mark", "1,000 marked at once: Redis", "ms", 3),
    Figure("P10 second device", "a mark on A to the user's client on B: 99th percentile", "ms", 50),
    Figure("P13 local", "CPU per poll at the session's node", "us", 0, no_goal=True),
    Figure("P13 poll", "a poll passed on, CPU of both nodes: so many times that", "x", 2.5),
    Figure(
        "P13 sticky",
        "connects on long-polling that go over to websocket, per CPU-s of all nodes",
        "/s",
        0,
        more_is_better=True,
        no_goal=True,
    ),
    Figure(
        "P13 connects",
        "the same, each request to the next of three nodes: so many times that",
        "x",
        0.6,
        more_is_better=True,
    ),
)


@dataclass(slots=True)
class Readings:
    """All runs of one figure of one peer."""

    values: list[float]
    notes: list[str]

    @property
    def median(self) -> float | None:
        """None when no run gave a value."""
        return median(self.values) if self.values else None


Results = dict[str, dict[str, Readings]]
"""By figure's key, then by peer's name."""


def goal_of(figure: Figure, results: Results) -> float | None:
    """The goal in the figure's unit; None when it hangs on a peer that was not measured."""
    if figure.no_goal:
        return None
    if not figure.times:
        return figure.goal
    peer = _median(results, figure, figure.times)
    return None if peer is None else figure.goal * peer


def goal_here(figure: Figure, results: Results) -> float | None:
    """The goal scaled by how `node` does here against how it did where the goals were set."""
    goal, node = goal_of(figure, results), _median(results, figure, "node")
    if goal is None or figure.times or figure.reference_node is None or not node:
        return None
    return goal * node / figure.reference_node


def verdict(figure: Figure, results: Results) -> str:
    """`reached`, `reached for this machine`, `missed by ...`, or `-` when there is nothing to judge."""
    ours, goal = _median(results, figure, "notify"), goal_of(figure, results)
    if ours is None or goal is None:
        return "-"
    if _as_good(figure, ours, goal):
        return "reached"
    here = goal_here(figure, results)
    if here is not None and _as_good(figure, ours, here):
        return "reached for this machine"
    short_by = goal / ours if figure.more_is_better else ours / goal
    return f"missed by {short_by:.2f}x"


def times_as_good(figure: Figure, results: Results, peer: str) -> float | None:
    """How many times as good ours is as a peer; None when one of them was not measured, or is nothing."""
    ours, theirs = _median(results, figure, "notify"), _median(results, figure, peer)
    if not ours or not theirs:
        return None
    return ours / theirs if figure.more_is_better else theirs / ours


def as_json(results: Results) -> dict[str, Any]:
    """The results as they are kept."""
    return {
        figure.key: {
            "what": figure.what,
            "unit": figure.unit,
            "goal": goal_of(figure, results),
            "goal_for_this_machine": goal_here(figure, results),
            "verdict": verdict(figure, results),
            "peers": {
                peer: {"median": readings.median, "runs": readings.values, "notes": readings.notes}
                for peer, readings in results[figure.key].items()
            },
        }
        for figure in FIGURES
        if figure.key in results
    }


def _median(results: Results, figure: Figure, peer: str) -> float | None:
    readings = results.get(figure.key, {}).get(peer)
    return None if readings is None else readings.median


def _as_good(figure: Figure, value: float, goal: float) -> bool:
    return value >= goal if figure.more_is_better else value <= goal
