"""The figures of a run, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.world import Report


def table(reports: Sequence[Report]) -> str:
    """A paragraph for each scenario."""
    lines = []
    for report in reports:
        lines.append(
            f"{'ok  ' if report.ok else 'FAIL'} {report.name}  {report.fault}  ({report.seconds:.0f} s)"
        )
        if report.verdict is not None:
            verdict = report.verdict
            lines.append(
                f"       lost {verdict.lost}, duplicates {verdict.duplicates}, out of order "
                f"{verdict.out_of_order}, told {verdict.told}; {verdict.accepted} accepted, "
                f"{verdict.arrived} arrived"
            )
            lines += [f"       {example}" for example in verdict.examples[:5]]
        lines.append("       " + "; ".join(f"{name}: {value}" for name, value in report.figures.items()))
    return "\n".join(lines)


def markdown(reports: Sequence[Report], *, seed: int, short: bool) -> str:
    """The report that is kept."""
    lines = [
        "# Chaos",
        "",
        f"`python -m tests.chaos{' --short' if short else ''} --seed {seed}`. "
        "Lost: accepted and never received. "
        "Told: clients that were told that they lost their place (`recovered === false`).",
        "",
        "| | fault | accepted | arrived | lost | duplicates | out of order | told | figures | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        verdict = report.verdict
        counts = (
            [
                verdict.accepted,
                verdict.arrived,
                verdict.lost,
                verdict.duplicates,
                verdict.out_of_order,
                verdict.told,
            ]
            if verdict is not None
            else [""] * 6
        )
        figures = "<br>".join(f"{name}: {value}" for name, value in report.figures.items())
        cells = [report.name, report.fault, *map(str, counts), figures, "ok" if report.ok else "**failed**"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
