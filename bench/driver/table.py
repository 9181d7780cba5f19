# SPDX-License-Identifier: MIT
"""The tables, as text and as Markdown."""

from .measure import Row
from .result import Result
from .subject import Subject

NOTHING = "–"
HEADER = ["metric", "unit", "ours", "best peer", "", "ratio", "target", "met"]


def number(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def _with_noise(row: Row | None) -> str:
    if not row:
        return NOTHING
    return number(row.median) + (" NOISY" if row.noisy else "")


def _target(result: Result) -> str:
    sign = "≥" if result.metric.better == "higher" else "≤"
    if result.metric.target_ratio is not None:
        return f"{sign} {number(result.metric.target_ratio)} ×"
    if result.metric.target is not None:
        return f"{sign} {number(result.metric.target)}" if result.metric.target else "0"
    return NOTHING


def _met(result: Result) -> str:
    return {True: "yes", False: "NO", None: NOTHING}[result.met]


def cells(results: list[Result]) -> list[list[str]]:
    return [[result.metric.title, result.metric.unit, _with_noise(result.ours),
             _with_noise(result.peer), result.peer.who if result.peer else "",
             number(result.ratio), _target(result), _met(result)] for result in results]


def all_rows_cells(subject: Subject, rows: list[Row]) -> list[list[str]]:
    lines = []
    for metric in subject.metrics:
        of_metric = [row for row in rows if row.metric == metric.key]
        of_metric.sort(key=lambda row: row.median, reverse=metric.better == "higher")
        lines += [[metric.key, metric.unit, row.who, number(row.minimum), number(row.median),
                   number(row.maximum), "NOISY" if row.noisy else ""] for row in of_metric]
    return lines


ALL_ROWS_HEADER = ["metric", "unit", "who", "min", "median", "max", ""]


def _aligned(header: list[str], lines: list[list[str]], to_the_right: set[int]) -> str:
    table = [header, *lines]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.rjust(width) if i in to_the_right else cell.ljust(width)
                  for i, (cell, width) in enumerate(zip(line, widths))).rstrip()
        for line in table)


def as_text(subject: Subject, results: list[Result]) -> str:
    text = f"\n{subject.title}\n\n" + _aligned(HEADER, cells(results), {2, 3, 5, 6})
    judged = [result for result in results if result.met is not None]
    met = sum(result.met for result in judged)
    return text + f"\n\n{met} of {len(judged)} targets met\n"


def all_rows_as_text(subject: Subject, rows: list[Row]) -> str:
    return _aligned(ALL_ROWS_HEADER, all_rows_cells(subject, rows), {3, 4, 5}) + "\n"


def as_markdown(header: list[str], lines: list[list[str]], to_the_right: set[int]) -> str:
    rule = ["---:" if i in to_the_right else "---" for i in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines])
