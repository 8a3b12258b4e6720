"""The table of P1-P13, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.figures import FIGURES, Figure, Results, goal_here, goal_of, times_as_good, verdict

PEERS = ("stock", "node", "centrifugo", "notify")
RIVALS = ("node", "centrifugo")
"""Those beside whom it is said how many times as good ours is."""


def number(value: float | None, unit: str) -> str:
    """Three digits that count, and the unit."""
    if value is None:
        return "-"
    if abs(value) >= 1e6:
        text = f"{value / 1e6:.2f} M"
    elif abs(value) >= 100:
        text = f"{value:,.0f}"
    elif abs(value) >= 10:
        text = f"{value:.1f}"
    else:
        text = f"{value:.2f}"
    return f"{text}{unit}" if unit in ("/s", "x") else f"{text} {unit}"


def rows(results: Results) -> list[list[str]]:
    """Head and rows of the table."""
    head = ["", "what", *PEERS, *(f"x {peer}" for peer in RIVALS), "goal", "goal here", "verdict"]
    return [head, *(_row(figure, results) for figure in FIGURES if figure.key in results)]


def as_text(results: Results) -> str:
    """The table in columns, for a terminal."""
    table = rows(results)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(_line(row, widths) for row in table)


def as_markdown(results: Results, heading: Sequence[str]) -> str:
    """The table and how it came about."""
    head, *body = rows(results)
    lines = [
        "# Bench",
        "",
        *heading,
        "",
        "| " + " | ".join(head) + " |",
        "|---|---|" + "--:|" * (len(head) - 3) + "---|",
        *("| " + " | ".join(row) + " |" for row in body),
        "",
        "Medians. `x node` and `x centrifugo` say how many times as good ours is. `goal here` is the goal",
        "scaled by how `node` does on this machine against how it did where the goals were set.",
    ]
    notes = [
        f"- {key}, {peer}: {note}"
        for key, peers in results.items()
        for peer, readings in peers.items()
        for note in dict.fromkeys(readings.notes)
    ]
    if notes:
        lines += ["", "## Notes", "", *notes]
    return "\n".join(lines) + "\n"


def _row(figure: Figure, results: Results) -> list[str]:
    return [
        figure.key,
        figure.what,
        *(_cell(figure, results, peer) for peer in PEERS),
        *(number(times_as_good(figure, results, peer), "x") for peer in RIVALS),
        _bound(figure, goal_of(figure, results)),
        _bound(figure, goal_here(figure, results)),
        verdict(figure, results),
    ]


def _cell(figure: Figure, results: Results, peer: str) -> str:
    readings = results[figure.key].get(peer)
    return "-" if readings is None else number(readings.median, figure.unit)


def _bound(figure: Figure, goal: float | None) -> str:
    if goal is None:
        return "-"
    return (">= " if figure.more_is_better else "<= ") + number(goal, figure.unit)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    left = (0, 1, len(row) - 1)
    cells = (
        text.ljust(w) if i in left else text.rjust(w)
        for i, (text, w) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()
