# SPDX-License-Identifier: MIT
"""Ours against the best peer and the target, metric by metric."""

from dataclasses import dataclass

from .measure import Row
from .subject import Metric, Subject


@dataclass(frozen=True)
class Result:
    subject: Subject
    metric: Metric
    ours: Row | None
    peer: Row | None  # the best one, or the one that the target is a multiple of

    @property
    def ratio(self) -> float | None:
        if not self.ours or not self.peer or self.peer.median == 0:
            return None
        return self.ours.median / self.peer.median

    @property
    def met(self) -> bool | None:
        """None: there is no target, or nothing to compare with it."""
        value, limit = self._value_and_limit()
        if value is None or limit is None:
            return None
        return value == limit or self.metric.is_better(value, limit)

    def _value_and_limit(self) -> tuple[float | None, float | None]:
        if self.metric.target_ratio is not None:
            return self.ratio, self.metric.target_ratio
        return (self.ours.median if self.ours else None), self.metric.target

    def as_row(self) -> dict:
        return {
            "subject": self.subject.name,
            "metric": self.metric.key,
            "unit": self.metric.unit,
            "ours": self.ours.median if self.ours else None,
            "peer": self.peer.median if self.peer else None,
            "peer_name": self.peer.who if self.peer else None,
            "ratio": self.ratio,
        }


def _best(subject: Subject, metric: Metric, rows: list[Row]) -> Row | None:
    if metric.against:
        peers = [row for row in rows if row.who == metric.against]
    else:
        peers = [row for row in rows if subject.is_peer(row.who, metric)]
    peers.sort(key=lambda row: row.median, reverse=metric.better == "higher")
    return peers[0] if peers else None


def _difference(subject: Subject, metric: Metric, rows: list[Row]) -> Row | None:
    wanted = metric.difference
    of_metric = {row.who: row for row in rows if row.metric == wanted.metric}
    whole, less = of_metric.get(subject.ours), of_metric.get(wanted.less)
    if not whole or not less:
        return None
    value = (whole.median - less.median) / wanted.per
    noisy = whole.noisy or less.noisy
    return Row(metric.key, metric.unit, subject.ours, value, value, value, noisy)


def with_differences(subject: Subject, rows: list[Row]) -> list[Row]:
    derived = [_difference(subject, metric, rows)
               for metric in subject.metrics if metric.difference]
    return rows + [row for row in derived if row]


def evaluate(subject: Subject, rows: list[Row]) -> list[Result]:
    results = []
    for metric in subject.metrics:
        of_metric = [row for row in rows if row.metric == metric.key]
        if of_metric:
            ours = next((row for row in of_metric if row.who == subject.ours), None)
            results.append(Result(subject, metric, ours, _best(subject, metric, of_metric)))
    return results
