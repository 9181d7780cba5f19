# SPDX-License-Identifier: MIT
"""A subject: a folder with programs and a subject.toml that says what their figures mean."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Difference:
    metric: str
    less: str
    per: float


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    unit: str
    better: str = "lower"
    target: float | None = None
    target_ratio: float | None = None
    against: str | None = None
    difference: Difference | None = None
    apart: dict[str, str] = field(default_factory=dict)  # like Subject.apart, for this metric

    def is_better(self, a: float, b: float) -> bool:
        return a > b if self.better == "higher" else a < b


@dataclass(frozen=True)
class Subject:
    name: str
    title: str
    ours: str
    floors: list[str]
    apart: dict[str, str]
    metrics: list[Metric]

    def is_peer(self, who: str, metric: Metric) -> bool:
        return not (self.is_ours(who) or who in self.floors or who in self.apart
                    or who in metric.apart)

    def all_apart(self) -> dict[str, str]:
        """Why some peers are not compared with."""
        return self.apart | {f"{who} in {metric.key}": why
                             for metric in self.metrics for who, why in metric.apart.items()}

    def is_ours(self, who: str) -> bool:
        """Ours as it comes, or a variant of it: "patinox, with a monitor"."""
        return who == self.ours or who.startswith(self.ours + ",")


def _metric(content: dict) -> Metric:
    if "difference" in content:
        content = content | {"difference": Difference(**content["difference"])}
    return Metric(**content)


def names(bench: Path) -> list[str]:
    return sorted(path.parent.name for path in bench.glob("*/subject.toml"))


def load(folder: Path) -> Subject:
    with open(folder / "subject.toml", "rb") as file:
        content = tomllib.load(file)
    return Subject(
        name=folder.name,
        title=content["title"],
        ours=content["ours"],
        floors=content.get("floors", []),
        apart=content.get("apart", {}),
        metrics=[_metric(metric) for metric in content["metric"]],
    )
