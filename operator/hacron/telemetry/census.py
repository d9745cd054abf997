"""How many cronjobs, open runs, demands and waiting ticks there are: State, counted a slice at a time.

A walk over ten thousand cronjobs would hold up the engine, for numbers that nobody reads more often than every few seconds.
"""

from __future__ import annotations

from collections import Counter

from hacron.core.model import CronJob, InvalidCronJob, Key, RunState
from hacron.core.state import State
from hacron.core.status import paused_by
from hacron.telemetry.metrics import CONDITIONS, Metrics

SLICE = 1000  # cronjobs: about a millisecond


class Census:
    """Counts one State in rounds. The metrics change when a round is complete."""

    def __init__(self, state: State, metrics: Metrics) -> None:
        self._state = state
        self._metrics = metrics
        self._left: list[Key] = []  # of this round
        self._conditions: Counter[str] = Counter()
        self._runs: Counter[RunState] = Counter()
        self._held = 0

    def go_on(self) -> None:
        """Count another slice. Each cronjob is counted once in a round, as it stands when its turn comes."""
        if not self._left:
            self._begin()
        slice_, self._left = self._left[:SLICE], self._left[SLICE:]
        for key in slice_:
            self._count(key)
        if not self._left:
            self._publish()

    def _begin(self) -> None:
        self._left = list(self._state.progress)
        self._conditions.clear()
        self._runs.clear()
        self._held = 0

    def _count(self, key: Key) -> None:
        progress = self._state.progress.get(key)
        if progress is None:
            return  # gone since the round began
        for run in progress.open:
            self._runs[run.state] += 1
        self._held += progress.held is not None
        cronjob = self._state.cronjob(key)
        if cronjob is not None:
            self._conditions[_condition(cronjob, is_paused=paused_by(self._state, progress) is not None)] += 1

    def _publish(self) -> None:
        for condition in CONDITIONS:
            self._metrics.cronjobs.labels(condition).set(self._conditions[condition])
        for state in RunState:
            if state.is_open:
                self._metrics.runs_open.labels(state).set(self._runs[state])
        self._metrics.ticks_held.set(self._held)
        self._metrics.demands_open.set(self._state.open_demands)


def _condition(cronjob: CronJob | InvalidCronJob, *, is_paused: bool) -> str:
    """Say what a cronjob counts as; the first of them that is true."""
    if isinstance(cronjob, InvalidCronJob):
        return "invalid"
    if cronjob.suspend:
        return "suspended"
    return "paused" if is_paused else "valid"
