"""Two plots as plain SVG: bars on a logarithmic scale, and pairs of points for the middle and the tail of latencies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

WIDTH, LABEL, ROW = 800, 230, 26
INK, QUIET, OURS, OTHERS = "#222", "#888", "#1a6fb0", "#b9c2cb"


def bars(title: str, unit: str, values: Mapping[str, float], ours: str) -> str:
    """A horizontal bar for each value, on a logarithmic scale; ours stands out."""
    scale = _Scale(min(values.values()), max(values.values()))
    rows = []
    for number, (name, value) in enumerate(values.items()):
        top = 44 + number * ROW
        colour = OURS if name.startswith(ours) else OTHERS
        end = scale(value)
        rows.append(
            _text(LABEL - 8, top + 15, name, "end")
            + f'<rect x="{LABEL}" y="{top}" width="{end - LABEL:.1f}" height="{ROW - 6}" fill="{colour}"/>'
            + _text(end + 6, top + 15, f"{value:.3g} {unit}")
        )
    return _picture(title, unit, rows, scale)


def latencies(title: str, values: Mapping[str, tuple[float, float]], limit: float) -> str:
    """p50 and p99.9 of each row, in ms, joined; a line at the limit."""
    scale = _Scale(min(low for low, _ in values.values()), max(limit, *(high for _, high in values.values())))
    rows = []
    for number, (name, (middle, tail)) in enumerate(values.items()):
        top = 44 + number * ROW + 10
        a, b = scale(middle), scale(tail)
        rows.append(
            _text(LABEL - 8, top + 5, name, "end")
            + f'<line x1="{a:.1f}" y1="{top}" x2="{b:.1f}" y2="{top}" stroke="{OTHERS}" stroke-width="4"/>'
            + f'<circle cx="{a:.1f}" cy="{top}" r="5" fill="{OTHERS}"/>'
            + f'<circle cx="{b:.1f}" cy="{top}" r="5" fill="{OURS}"/>'
            + _text(b + 10, top + 5, f"{middle:.2g} / {tail:.2g} ms")
        )
    at = scale(limit)
    bottom = 44 + len(values) * ROW
    rows.append(f'<line x1="{at:.1f}" y1="38" x2="{at:.1f}" y2="{bottom}" stroke="#c33" stroke-dasharray="4 3"/>')
    return _picture(title, "ms", rows, scale, len(values))


class _Scale:
    """From a value to its place across, by powers of ten."""

    def __init__(self, low: float, high: float) -> None:
        self.first, self.last = math.floor(math.log10(low)), math.ceil(math.log10(high))

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self.first) / max(1, self.last - self.first)
        return LABEL + share * (WIDTH - LABEL - 130)


def _picture(title: str, unit: str, rows: list[str], scale: _Scale, count: int | None = None) -> str:
    bottom = 44 + (count or len(rows)) * ROW
    marks = []
    for power in range(scale.first, scale.last + 1):
        at = scale(10.0**power)
        marks.append(
            f'<line x1="{at:.1f}" y1="38" x2="{at:.1f}" y2="{bottom}" stroke="#e5e8eb"/>'
            + _text(at, bottom + 16, f"{10.0**power:g} {unit}", "middle", QUIET)
        )
    height = bottom + 28
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
    return "\n".join(
        [
            head + 'font-family="sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            f'<text x="12" y="22" font-size="15" fill="{INK}">{escape(title)}</text>',
            *marks,
            *rows,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
