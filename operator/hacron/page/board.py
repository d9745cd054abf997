"""All cronjobs as rows, kept up from view to view: a row is made anew only when the ledger has said something of its cronjob."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from hacron.core import status
from hacron.core.messages import Definition, Progress
from hacron.core.model import CronJob, InvalidCronJob, Key, RunState, VerdictKind, namespace_of
from hacron.core.state import State
from hacron.page.outlook import Flow, Outlook, Wish, flow_of, wish_of
from hacron.page.troubles import Severity, Trouble, is_problem, of_cronjob
from hacron.page.view import View

Pillar = tuple[str, int, str]
"""Cluster, minute (unix), and how it went: "good", "bad" or "none" for a tick that did not run and needed not."""

NOBODY: Mapping[str, Definition] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A cronjob."""

    key: Key
    progress: Progress
    homes: Mapping[str, Definition]
    winner: Definition | None
    cronjob: CronJob | InvalidCronJob | None
    paused: Definition | None
    never: tuple[str, str] | None  # why nothing is to come of it that could start: in a word, and in a sentence
    troubles: tuple[Trouble, ...]
    clusters: frozenset[str]  # where it is declared, or something of it ran
    kinds: frozenset[str]  # of its verdicts and of its open runs
    to_come: tuple[Flow, Wish] | None

    @property
    def severity(self) -> int:
        return max((trouble.severity for trouble in self.troubles), default=0)

    @property
    def condition(self) -> str:
        """In one word, how it stands."""
        if isinstance(self.cronjob, InvalidCronJob):
            return "Invalid"
        if self.cronjob is None:
            return "Withdrawn"
        if self.cronjob.suspend:
            return "Suspended"
        if self.paused is not None:
            return "Paused"
        if self.progress.held is not None:
            return "Held"
        return self.never[0] if self.never is not None else "Scheduled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows somebody wants to see."""

    namespace: str = ""
    text: str = ""  # part of namespace/name, in small letters
    cluster: str = ""
    verdict: str = ""  # a verdict among the recent ones, or the state of an open run
    troubled: bool = False

    def has(self, row: Row, late: Collection[Key] = ()) -> bool:
        """Whether a row is wanted. `late`: those with something to tell because of what time it is."""
        return (
            (not self.text or self.text in row.key)
            and (not self.namespace or namespace_of(row.key) == self.namespace)
            and (not self.cluster or self.cluster in row.clusters)
            and (not self.verdict or self.verdict in row.kinds)
            and (not self.troubled or bool(row.troubles) or row.key in late)
        )


class Board:
    """The rows of one replica. `lock` is held by whoever brings it up to a view and reads it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows: dict[Key, Row] = {}
        self.order: list[Row] = []  # the worst first, then by key
        self.conditions: Counter[str] = Counter()
        self.open: Counter[tuple[str, RunState]] = Counter()  # by cluster
        self.namespaces: Counter[str] = Counter()
        self.pillars: Counter[Pillar] = Counter()
        self.to_come: Counter[tuple[Flow, Wish]] = Counter()
        self.outlook = Outlook()
        self._view: View | None = None

    def see(self, view: View) -> None:
        """Bring the rows up to a view."""
        if view is self._view:
            return
        self._view, state = view, view.state
        changed = False
        for key in self.rows.keys() - state.progress.keys():
            self._count(self.rows.pop(key), -1)
            changed = True
        for key, progress in state.progress.items():
            row = self.rows.get(key)
            homes = state.definitions.get(key, NOBODY)
            if row is not None:
                if row.progress is progress and row.homes is homes:
                    continue
                self._count(row, -1)
            self.rows[key] = row = make_row(state, progress, homes)
            self._count(row, 1)
            changed = True
        if changed:
            self.order = sorted(self.rows.values(), key=lambda row: (-row.severity, row.key))

    def find(self, wanted: Wanted, late: Collection[Key] = ()) -> list[Row]:
        """Return the rows that are wanted, the worst first. `late`: those that are wrong because of what time it is."""
        found = [row for row in self.order if wanted.has(row, late)]
        if late:
            found.sort(key=lambda row: (-Severity.WRONG if row.key in late else -row.severity, row.key))
        return found

    def _count(self, row: Row, by: int) -> None:
        self.conditions[row.condition] += by
        self.namespaces[namespace_of(row.key)] += by
        for run in row.progress.open:
            self.open[run.cluster, run.state] += by
        for pillar in pillars_of(row.progress):
            self.pillars[pillar] += by
            if not self.pillars[pillar]:
                del self.pillars[pillar]
        if row.to_come is not None:
            self.to_come[row.to_come] += by
            if not self.to_come[row.to_come]:
                del self.to_come[row.to_come]


def make_row(state: State, progress: Progress, homes: Mapping[str, Definition]) -> Row:
    key = progress.key
    winner, cronjob = state.winner(key), state.cronjob(key)
    paused = status.paused_by(state, progress)
    drifted = winner is not None and any(bytes(other.spec) != bytes(winner.spec) for other in homes.values())
    placed = cronjob.placement.clusters if isinstance(cronjob, CronJob) else ()
    ran = (*(run.cluster for run in progress.open), *(verdict.cluster for verdict in progress.recent))
    kinds = (*(run.state.value for run in progress.open), *(verdict.verdict.value for verdict in progress.recent))
    flow = flow_of(progress, cronjob, paused)
    never = None
    if isinstance(cronjob, CronJob) and not cronjob.suspend and paused is None and progress.held is None:
        never = status.never(progress, cronjob)
    return Row(
        key=key,
        progress=progress,
        homes=homes,
        winner=winner,
        cronjob=cronjob,
        paused=paused,
        never=never,
        troubles=tuple(of_cronjob(progress, winner, cronjob, paused, drifted, never)),
        clusters=frozenset((*homes, *placed, *ran)) - {""},
        kinds=frozenset(kinds),
        to_come=(flow, wish_of(key, cronjob, homes)) if flow is not None and isinstance(cronjob, CronJob) else None,
    )


def pillars_of(progress: Progress) -> Iterator[Pillar]:
    for verdict in progress.recent:
        succeeded = verdict.verdict is VerdictKind.SUCCEEDED
        how = "good" if succeeded else "bad" if is_problem(verdict) else "none"
        yield verdict.cluster, int(verdict.tick.timestamp()) // 60, how


def next_ticks(row: Row, now: datetime, until: datetime, at_most: int) -> tuple[datetime, ...]:
    """Return the next ticks of a cronjob, up to an instant, and at most so many. The first comes however far away it is."""
    cronjob, progress = row.cronjob, row.progress
    if not isinstance(cronjob, CronJob):
        return ()
    tick = status.next_tick(progress, cronjob, row.paused, now)
    found: list[datetime] = []
    while tick is not None and len(found) < at_most and (not found or tick <= until):
        found.append(tick)
        tick = cronjob.schedule.next_after(tick, base=tick)
    return tuple(found)
