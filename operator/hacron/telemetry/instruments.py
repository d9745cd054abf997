"""What Prometheus' own instruments lack: an age that grows by itself, and counters that follow totals kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from prometheus_client import Counter, Gauge


class Age:
    """A gauge of seconds that grows by itself, also when nobody is left to set it. May have one label."""

    def __init__(self, gauge: Gauge, monotonic: Callable[[], float]) -> None:
        self._gauge = gauge
        self._monotonic = monotonic

    def set(self, age_s: float, label: str | None = None) -> None:
        """Say how old it is now."""
        child = self._gauge if label is None else self._gauge.labels(label)
        began = self._monotonic() - age_s
        child.set_function(lambda: self._monotonic() - began)

    def forget(self, label: str) -> None:
        """Tell no age of it any more."""
        with suppress(KeyError):
            self._gauge.remove(label)


class Totals:
    """Brings counters up to totals that somebody else keeps, beginning with zero."""

    def __init__(self) -> None:
        self._told: dict[tuple[Counter, tuple[str, ...]], int] = {}

    def bring(self, counter: Counter, total: int, *labels: str) -> None:
        """Let the counter grow by as much as the total has grown since the last call."""
        known = self._told.get((counter, labels), 0)
        if total != known:
            (counter.labels(*labels) if labels else counter).inc(total - known)
            self._told[counter, labels] = total

    def bring_each(self, counter: Counter, totals: Mapping[str, int]) -> None:
        """Do so for each value of a label."""
        for label, total in totals.items():
            self.bring(counter, total, label)


M = TypeVar("M", Gauge, Counter)


def begun(metric: M, labels: Mapping[str, Iterable[str]]) -> M:
    """Begin with a zero for each value that a label may have: what appears with its first count has no increase to be seen."""
    if len(labels) == 1:
        (values,) = labels.values()
        for value in values:
            metric.labels(value)
    return metric
