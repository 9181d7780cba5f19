# SPDX-License-Identifier: MIT
"""Runs the programs: one process per contender, workload and round, in turns, so that what the
machine does over minutes hits everybody alike (A B C, B C A, …)."""

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from .subject import Subject

PATIENCE_S = 300
QUIET_ROUNDS_ENOUGH = 2


@dataclass(frozen=True)
class Plan:
    rounds: int
    repetitions: int
    only: list[str] | None = None


@dataclass(frozen=True)
class Contender:
    program: Path
    who: str
    version: str
    workloads: dict[str, list[str]]  # name → its metrics


@dataclass(frozen=True)
class Row:
    """What one contender reached in one metric, over all rounds."""
    metric: str
    unit: str
    who: str
    minimum: float
    median: float
    maximum: float
    noisy: bool


@dataclass
class Measured:
    rows: list[Row]
    versions: list[str]
    plan: Plan
    failures: list[str] = field(default_factory=list)


def find_programs(build: Path, subject: str) -> list[Path]:
    found = build.glob(f"bench/**/bench-{subject}-*")
    return sorted(path for path in found if path.is_file() and os.access(path, os.X_OK))


def _lines(program: Path, *arguments: str) -> list[dict]:
    output = subprocess.run([program, *arguments], check=True, text=True, timeout=PATIENCE_S,
                            stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in output.splitlines()]


def _contenders(programs: list[Path], subject: Subject) -> list[Contender]:
    contenders = [Contender(program, line["who"], line["version"], line["workloads"])
                  for program in programs for line in _lines(program, "--list")]
    return sorted(contenders, key=lambda each: not subject.is_ours(each.who))


def _workloads(contenders: list[Contender], only: list[str] | None) -> list[str]:
    """Each once, in the order in which the programs name them."""
    wanted = {}
    for contender in contenders:
        for workload, metrics in contender.workloads.items():
            if not only or set(only) & set(metrics):
                wanted[workload] = True
    return list(wanted)


def _merge(lines: list[dict]) -> Row:
    """Rounds in which the machine was busy with something else do not count, if it can be."""
    quiet = [line for line in lines if not line["noisy"]]
    noisy = len(quiet) < min(QUIET_ROUNDS_ENOUGH, len(lines))
    used = lines if noisy else quiet
    return Row(
        metric=lines[0]["metric"],
        unit=lines[0]["unit"],
        who=lines[0]["who"],
        minimum=min(line["min"] for line in used),
        median=statistics.median(line["median"] for line in used),
        maximum=max(line["max"] for line in used),
        noisy=noisy,
    )


def _rounds(contenders: list[Contender], workload: str, rounds: int):
    """Everybody once in each round; another one begins each time."""
    taking_part = [each for each in contenders if workload in each.workloads]
    for turn in range(rounds):
        print(f"bench: {workload}, round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
        first = turn % len(taking_part)
        yield from taking_part[first:] + taking_part[:first]


def run(programs: list[Path], subject: Subject, plan: Plan) -> Measured:
    contenders = _contenders(programs, subject)
    measured = Measured([], sorted({each.version for each in contenders}), plan)
    lines = defaultdict(list)

    for workload in _workloads(contenders, plan.only):
        for each in _rounds(contenders, workload, plan.rounds):
            try:
                for line in _lines(each.program, "--repetitions", str(plan.repetitions),
                                   "--who", each.who, workload):
                    lines[line["metric"], line["who"]].append(line)
            except (subprocess.SubprocessError, json.JSONDecodeError) as error:
                measured.failures.append(f"{each.who}: {workload}: {error}")
                print(f"bench: {measured.failures[-1]}", file=sys.stderr)
    measured.rows = [_merge(of_one) for of_one in lines.values()]
    return measured
