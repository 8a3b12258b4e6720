"""The results as one SVG: a row of bars for each figure, the goal as a line across."""

from __future__ import annotations

from xml.sax.saxutils import escape

from tests.bench.figures import FIGURES, Figure, Results, goal_of
from tests.bench.report import PEERS, number

_COLOURS = {"stock": "#9aa5b1", "node": "#6b8e5a", "centrifugo": "#b0793c", "notify": "#2f6fde"}
_LABEL_X, _BARS_X, _BARS_WIDTH, _BAR, _GAP = 16, 420, 380, 14, 14
_WIDTH = _BARS_X + _BARS_WIDTH + 110
_HEAD = 56


def as_svg(results: Results) -> str:
    """The whole chart. Bars of one figure share a scale; different figures do not."""
    parts: list[str] = []
    y = _HEAD
    for figure in FIGURES:
        if figure.key in results and any(r.values for r in results[figure.key].values()):
            drawn, height = _figure(figure, results, y)
            parts.append(drawn)
            y += height + _GAP
    legend = "".join(
        f'<rect x="{_BARS_X + i * 90}" y="24" width="12" height="12" fill="{_COLOURS[peer]}"/>'
        f'<text x="{_BARS_X + i * 90 + 18}" y="34">{peer}</text>'
        for i, peer in enumerate(PEERS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#1f2933">\n'
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>\n'
        f'<text x="{_LABEL_X}" y="35" font-size="17" font-weight="600">notify beside its peers</text>\n'
        f"{legend}"
        f'<line x1="{_BARS_X + 280}" y1="23" x2="{_BARS_X + 280}" y2="37" stroke="#d64545" stroke-width="2"/>'
        f'<text x="{_BARS_X + 288}" y="34">goal</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _figure(figure: Figure, results: Results, y: int) -> tuple[str, int]:
    medians = {
        peer: readings.median
        for peer in PEERS
        if (readings := results[figure.key].get(peer)) is not None and readings.median is not None
    }
    goal = goal_of(figure, results)
    longest = max([*medians.values(), goal or 0.0, 1e-9])
    height = max(2, len(medians)) * _BAR
    better = "more is better" if figure.more_is_better else "less is better"
    parts = [
        f'<text x="{_LABEL_X}" y="{y + 11}"><tspan font-weight="600">{escape(figure.key)}</tspan></text>',
        f'<text x="{_LABEL_X + 84}" y="{y + 11}">{escape(figure.what)}</text>',
        f'<text x="{_LABEL_X + 84}" y="{y + 25}" fill="#7b8794" font-size="10">{better}</text>',
    ]
    for i, (peer, value) in enumerate(medians.items()):
        width, top = max(1.0, value / longest * _BARS_WIDTH), y + i * _BAR
        colour, label = _COLOURS[peer], escape(number(value, figure.unit))
        parts += [
            f'<rect x="{_BARS_X}" y="{top}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>',
            f'<text x="{_BARS_X + width + 6:.1f}" y="{top + 10}" font-size="10">{label}</text>',
        ]
    if goal is not None:
        x = f"{_BARS_X + goal / longest * _BARS_WIDTH:.1f}"
        ends = f'x1="{x}" y1="{y - 3}" x2="{x}" y2="{y + height}"'
        parts.append(f'<line {ends} stroke="#d64545" stroke-width="2"/>')
    return "\n".join(parts), height
