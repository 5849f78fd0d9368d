"""
Plots as SVG: counts per second as bars, with moments and a limit; and lines over a count.

Nothing but text is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 900, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 60, 40
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
COLOURS = ("#2b6cb0", "#c53030", "#2f855a", "#6b46c1")
STYLE = (
    "text{font:12px sans-serif;fill:#222}.bar{fill:#2b6cb0}.axis{stroke:#888}"
    ".limit{stroke:#c53030;stroke-dasharray:6 4}.moment{stroke:#dd6b20}"
    ".ground{fill:#fff}"
)


def bars(
    counts: Sequence[int], title: str, *, limit: int, moments: Mapping[str, float], first: int = 0
) -> str:
    """One bar a second, the first of them at second ``first``; moments are seconds as well."""
    highest = max([limit, *counts]) * 1.1
    width = (WIDTH - LEFT - RIGHT) / max(1, len(counts))

    def x(second: float) -> float:
        return LEFT + (second - first) * width

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - count / highest * (HEIGHT - TOP - BOTTOM)

    parts = _ground(title)
    parts += [
        f'<rect class="bar" x="{x(first + at):.1f}" y="{y(count):.1f}" '
        f'width="{max(0.5, width - 0.5):.2f}" height="{y(0) - y(count):.1f}"/>'
        for at, count in enumerate(counts)
        if count
    ]
    parts += [_line("limit", LEFT, y(limit), WIDTH - RIGHT, y(limit))]
    parts += [_line("axis", LEFT, y(0), WIDTH - RIGHT, y(0)), _line("axis", LEFT, TOP, LEFT, y(0))]
    step = _step(highest, 6)
    parts += [
        _text(LEFT - 6, y(count) + 4, str(count), "end") for count in range(0, int(highest), step)
    ]
    step = _step(len(counts), 12)
    begin = -(-first // step) * step
    parts += [
        _text(x(second), HEIGHT - BOTTOM + 16, str(second), "middle")
        for second in range(begin, first + len(counts) + 1, step)
    ]
    parts.append(_text(WIDTH / 2, HEIGHT - 6, "seconds", "middle"))
    for row, (name, second) in enumerate(moments.items()):
        above = TOP - 24 + 15 * row
        parts.append(_line("moment", x(second), above - 9, x(second), y(0)))
        parts.append(_text(x(second) + 4, above, name))
    return "\n".join([*parts, "</svg>\n"])


def lines(
    series: Mapping[str, Sequence[float]], at: Sequence[int], *, title: str, across: str
) -> str:
    """One line a name over the counts ``at``, which are as far apart as their logarithms."""
    highest = max((value for values in series.values() for value in values), default=1.0) * 1.15
    span = math.log(at[-1] / at[0]) or 1.0

    def x(count: int) -> float:
        return LEFT + 20 + math.log(count / at[0]) / span * (WIDTH - LEFT - RIGHT - 60)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM)

    parts = [*_ground(title), _line("axis", LEFT, y(0), WIDTH - RIGHT, y(0))]
    parts.append(_line("axis", LEFT, TOP, LEFT, y(0)))
    step = _step(highest, 6)
    parts += [
        _text(LEFT - 6, y(value) + 4, str(value), "end") for value in range(0, int(highest), step)
    ]
    parts += [_text(x(count), HEIGHT - BOTTOM + 16, str(count), "middle") for count in at]
    for (name, values), colour in zip(series.items(), COLOURS, strict=False):
        points = [(x(count), y(value)) for count, value in zip(at, values, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        parts.append(_text(points[-1][0] + 6, points[-1][1] + 4, name))
    parts.append(_text(WIDTH / 2, HEIGHT - 6, across, "middle"))
    return "\n".join([*parts, "</svg>\n"])


def _ground(title: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        _text(LEFT, 16, title),
    ]


def _step(extent: float, most: int) -> int:
    return next((step for step in STEPS if extent / step <= most), STEPS[-1])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
