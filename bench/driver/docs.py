# SPDX-License-Identifier: MIT
"""Puts what was measured into docs/benchmarks.md, between markers; the words around them are
written by hand and stay."""

import datetime
import os
import platform
import re
import sys
from pathlib import Path

from . import plot, table
from .measure import Measured
from .result import Result
from .subject import Subject


def _first(path: str, pattern: str, otherwise: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else otherwise


def machine() -> str:
    cpu = _first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$", platform.machine())
    virtual = re.search(r"\bhypervisor\b", _first("/proc/cpuinfo", r"^flags\s*:\s*(.*)$", ""))
    system = _first("/etc/os-release", r'^PRETTY_NAME="(.*)"$', platform.system())
    kernel = re.match(r"[\d.]*\d", platform.release())[0]
    cpus = len(os.sched_getaffinity(0))
    return (f"{cpu}, {cpus} CPUs, {'virtual machine' if virtual else 'bare metal'}, "
            f"Linux {kernel}, {system}")


def section(subject: Subject, results: list[Result], measured: Measured) -> str:
    plan = measured.plan
    apart = [f"- {who}: {why}" for who, why in subject.all_apart().items()]
    return "\n".join([
        f"Measured on {datetime.date.today()}: {machine()}.",
        f"Medians over {plan.rounds} rounds, in each at least {plan.repetitions} repetitions.",
        f"Versions: {', '.join(measured.versions)}.",
        "",
        table.as_markdown(table.HEADER, table.cells(results), {2, 3, 5, 6}),
        "",
        "Not compared with there, but in the plot and the full table:",
        "",
        *apart,
        "",
        f"![Every contender in every metric](bench-{subject.name}.svg)",
        "",
        "<details><summary>Every contender, min / median / max</summary>",
        "",
        table.as_markdown(table.ALL_ROWS_HEADER, table.all_rows_cells(subject, measured.rows),
                          {3, 4, 5}),
        "",
        "</details>",
    ])


def write(folder: Path, subject: Subject, results: list[Result], measured: Measured) -> None:
    page = folder / "benchmarks.md"
    begin, end = f"<!-- bench {subject.name}: begin -->", f"<!-- bench {subject.name}: end -->"
    text = page.read_text()
    if begin not in text or end not in text:
        sys.exit(f"bench/run: {page} lacks the markers {begin} and {end}")
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    page.write_text(f"{before}{begin}\n{section(subject, results, measured)}\n{end}{after}")
    (folder / f"bench-{subject.name}.svg").write_text(plot.svg(subject, results, measured.rows))
