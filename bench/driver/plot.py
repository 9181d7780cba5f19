# SPDX-License-Identifier: MIT
"""One SVG per subject: for each unit a panel with a logarithmic axis, for each metric a line with
a dot per contender and a tick at the target. Follows the reader's light or dark theme."""

import math
from html import escape

from .measure import Row
from .result import Result
from .subject import Subject

WIDTH = 900
LABELS = 340  # where the axes begin
RIGHT = 30
LINE = 26
PANEL_GAP = 46
LEGEND_COLUMNS = 4
LEGEND_LINE = 20

# Okabe and Ito, "Color Universal Design" (2008), without what a theme's background would hide.
COLORS = ["#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
SHAPES = ["circle", "square", "diamond"]

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .axis { font-size: 11px; fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .target { stroke: #1f2328; stroke-width: 2 }
  .peer { fill-opacity: 0.9 }
  .floor { fill: none; stroke: #59636e; stroke-width: 1.5 }
  .ours { fill: #D55E00 }
  .paper { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .axis { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .target { stroke: #f0f6fc }
    .floor { stroke: #9198a1 }
    .ours { fill: #ff8c42 }
    .paper { fill: #0d1117 }
  }
"""


class _Marks:
    """Each contender has one shape and colour throughout."""

    def __init__(self, subject: Subject, rows: list[Row]):
        self.subject = subject
        self.peers = []
        for row in rows:
            if row.who not in self.peers and not subject.is_ours(row.who):
                self.peers.append(row.who)
        self.peers.sort(key=lambda who: who in subject.floors)

    def draw(self, who: str, x: float, y: float, title: str) -> str:
        tip = f"<title>{escape(title)}</title>"
        if who == self.subject.ours:
            return f'<circle class="ours" cx="{x:.1f}" cy="{y:.1f}" r="6.5">{tip}</circle>'
        index = self.peers.index(who)
        look = f'class="peer" fill="{COLORS[index % len(COLORS)]}"'
        if who in self.subject.floors:
            look = 'class="floor"'
        return _shape(SHAPES[index // len(COLORS) % len(SHAPES)], look, x, y, tip)


def _shape(shape: str, look: str, x: float, y: float, tip: str) -> str:
    if shape == "circle":
        return f'<circle {look} cx="{x:.1f}" cy="{y:.1f}" r="4.5">{tip}</circle>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    return f'<rect {look} x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"{turn}>{tip}</rect>'


class _Axis:
    """Logarithmic, whole decades; where there are zeros, its left end stands for them."""

    def __init__(self, values: list[float], unit: str):
        positive = [value for value in values if value > 0]
        self.unit = unit
        self.has_zero = len(positive) < len(values)
        self.low = math.floor(math.log10(min(positive))) - self.has_zero
        self.high = max(math.ceil(math.log10(max(positive))), self.low + 1)

    def x(self, value: float) -> float:
        decades = math.log10(value) - self.low if value > 0 else 0
        return LABELS + (WIDTH - RIGHT - LABELS) * max(decades, 0) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Where, and what to write there."""
        values = [10.0**exponent for exponent in range(self.low, self.high + 1)]
        labels = [_quantity(value, self.unit) for value in values]
        if self.has_zero:
            labels[0] = "0"
        return [(self.x(value), label) for value, label in zip(values, labels)]


def _quantity(value: float, unit: str) -> str:
    """1000 ns are 1 µs."""
    times = ["ns", "us", "ms", "s"]
    while unit in times[:-1] and value >= 1000:
        value, unit = value / 1000, times[times.index(unit) + 1]
    return f"{value:g} {unit}".replace("us", "µs")


def _limit(result: Result) -> float | None:
    if result.metric.target_ratio is not None:
        return result.metric.target_ratio * result.peer.median if result.peer else None
    return result.metric.target


def _panel(unit: str, results: list[Result], rows: list[Row], marks: _Marks,
           top: float) -> list[str]:
    shown = [row for row in rows if row.unit == unit]
    limits = [limit for limit in map(_limit, results) if limit is not None]
    axis = _Axis([row.median for row in shown] + limits, unit)
    bottom = top + LINE * len(results)
    parts = []
    for x, label in axis.ticks():
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">'
                     f"{label}</text>")
    for index, result in enumerate(results):
        y = top + LINE * (index + 0.5)
        of_metric = [row for row in shown if row.metric == result.metric.key]
        parts += _line(result, of_metric, axis, marks, y)
    return parts


def _line(result: Result, rows: list[Row], axis: _Axis, marks: _Marks, y: float) -> list[str]:
    title = escape(result.metric.title)
    parts = [f'<text x="{LABELS - 16}" y="{y + 4}" text-anchor="end">{title}</text>']
    limit = _limit(result)
    if limit is not None:
        x = axis.x(limit)
        parts.append(f'<line class="target" x1="{x:.1f}" y1="{y - 9}" x2="{x:.1f}" y2="{y + 9}"/>')
    rows = [row for row in rows if row.who in marks.peers or row.who == marks.subject.ours]
    for row in sorted(rows, key=lambda row: row.who == marks.subject.ours):
        title = f"{row.who}: {row.median:g} {row.unit}"
        parts.append(marks.draw(row.who, axis.x(row.median), y, title))
    return parts


def _legend(marks: _Marks, top: float) -> tuple[list[str], float]:
    parts = []
    everybody = [marks.subject.ours, *marks.peers]
    width = (WIDTH - 40) / LEGEND_COLUMNS
    for index, who in enumerate(everybody):
        x = 20 + width * (index % LEGEND_COLUMNS)
        y = top + LEGEND_LINE * (index // LEGEND_COLUMNS)
        parts.append(marks.draw(who, x + 6, y - 4, who))
        parts.append(f'<text x="{x + 18:.1f}" y="{y}">{escape(who)}</text>')
    lines = math.ceil(len(everybody) / LEGEND_COLUMNS)
    return parts, top + LEGEND_LINE * lines


def svg(subject: Subject, results: list[Result], rows: list[Row]) -> str:
    marks = _Marks(subject, rows)
    parts = [f'<text class="title" x="20" y="28">{escape(subject.title)}</text>',
             '<text class="axis" x="20" y="46">medians on logarithmic axes; a bar is the target, '
             "hollow marks are floors, not peers</text>"]
    legend, y = _legend(marks, 74)
    parts += legend
    y += 4
    for unit in dict.fromkeys(result.metric.unit for result in results):
        if unit == "%" or not any(row.unit == unit and row.median > 0 for row in rows):
            continue
        of_unit = [result for result in results if result.metric.unit == unit]
        parts += _panel(unit, of_unit, rows, marks, y)
        y += LINE * len(of_unit) + PANEL_GAP
    height = y - PANEL_GAP + 30
    size = f'width="{WIDTH}" height="{height:.0f}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" {size}',
        f'     role="img" aria-label="{escape(subject.title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" {size}/>',
        *parts,
        "</svg>\n",
    ])
