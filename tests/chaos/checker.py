"""Judges what has happened by the histories of the API servers alone: every Job that was ever made, from watches."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

from tests.chaos.load import EVERY_S, Declared
from tests.testbed.judge import Ran

Tick = tuple[str, datetime]
AT_ONCE, EVERY = timedelta(0), timedelta(seconds=EVERY_S)


class Told(NamedTuple):
    """A verdict, as `.status.recent` has it."""

    tick: datetime
    verdict: str
    count: int  # of so many ticks, of which this is the last


Verdicts = dict[tuple[str, str], set[Told]]
"""By cluster and HACronJob that is declared there: all that was ever told there of its past."""

WELL = ("Succeeded", "Missed")  # what becomes of a tick under AtLeastOnce where all Jobs end well


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the ticks of one kind of cronjob in one stretch of time."""

    due: int
    started: int  # ticks with a Job
    held: int  # ticks of Forbid without one, whose cronjob still had a Job running: of those that wait the latest runs
    doubled: tuple[str, ...]  # ticks with more Jobs than the guarantee allows
    again: int  # ticks with a further attempt, which AtLeastOnce allows
    late_p50_s: float  # of those that need not wait for an earlier Job
    late_max_s: float

    @property
    def not_started(self) -> int:
        """Ticks without a Job: by the rules only the latest of those that nobody could decide is made up for."""
        return self.due - self.started - self.held


@dataclass(slots=True)
class History:
    """Every Job by cronjob and tick."""

    jobs: dict[Tick, list[Ran]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, ran: Iterable[Ran]) -> History:
        history = cls()
        for one in ran:
            history.jobs[one.cronjob.rpartition("/")[2], one.tick].append(one)
        return history

    def figures(self, ticks: Sequence[Tick], at_most_once: bool, forbidding: Container[str] = ()) -> Figures:
        """Return what became of these ticks; `forbidding` are the cronjobs with Forbid."""
        found = [(tick, self.jobs.get(tick, []), tick[0] in forbidding and self._runs(*tick)) for tick in ticks]
        late = [min(one.late_s for one in ran) for _, ran, waits in found if ran and not waits]
        return Figures(
            due=len(ticks),
            started=sum(bool(ran) for _, ran, _ in found),
            held=sum(waits and not ran for _, ran, waits in found),
            doubled=tuple(_told(tick, ran) for tick, ran, _ in found if _is_doubled(ran, at_most_once)),
            again=sum(len({one.attempt for one in ran}) > 1 for _, ran, _ in found),
            late_p50_s=median(late) if late else 0.0,
            late_max_s=max(late, default=0.0),
        )

    def overlaps(self, cronjob: str, at_most_once: bool) -> list[str]:
        """Return a sentence for each two Jobs of a cronjob that ran at the same time; times are known to a second.

        A further attempt, which AtLeastOnce makes elsewhere when a cluster is silent, may run beside what runs there unheard.
        """
        ran = sorted(
            (one for (name, _), jobs in self.jobs.items() if name == cronjob for one in jobs), key=lambda one: one.created
        )
        found, running = [], list[Ran]()
        for after in ran:
            running = [before for before in running if before.ended is None or before.ended > after.created]
            wrong = [before for before in running if at_most_once or before.attempt == after.attempt == 1]
            found += [
                f"{before.job} in {before.cluster} had not ended when {after.job} began in {after.cluster}" for before in wrong
            ]
            running.append(after)
        return found

    def lost(self, ticks: Iterable[Tick], forbidding: Container[str], heard_within: timedelta = AT_ONCE) -> list[str]:
        """Return a sentence for each tick without a Job, but for those of Forbid that an earlier Job has held up.

        Such a Job may be taken for running until its end is heard of, which is `heard_within` so long.
        """
        gone = ((name, at) for name, at in ticks if not self.jobs.get((name, at)))
        return [
            f"{name} at {at:%H:%M:%S} has no Job"
            for name, at in gone
            if not (name in forbidding and self._runs(name, at, heard_within))
        ]

    def _runs(self, cronjob: str, at: datetime, heard_within: timedelta = AT_ONCE) -> bool:
        """Say whether a run of an earlier tick was not over then; if its Job came later, the run had been decided before."""
        of_it = (one for (name, tick), jobs in self.jobs.items() if name == cronjob and tick < at for one in jobs)
        return any(one.ended is None or one.ended + heard_within >= at for one in of_it)

    def unfinished(self, ticks: Iterable[Tick]) -> list[str]:
        """Return a sentence for each tick that has Jobs of which none has ended well."""
        found = ((tick, self.jobs.get(tick, [])) for tick in ticks)
        return [f"{_told(tick, ran)}, none of which has ended well" for tick, ran in found if ran and not _has_succeeded(ran)]

    def silence_s(self, since: datetime, until: datetime) -> float:
        """Return the longest time in which no Job at all was made."""
        made = sorted(one.created for ran in self.jobs.values() for one in ran if since <= one.created <= until)
        return max(((b - a).total_seconds() for a, b in itertools.pairwise([since, *made, until])), default=0.0)


def without_verdict(verdicts: Verdicts, declared: Sequence[Declared], since: datetime, until: datetime) -> list[str]:
    """Return a sentence for each tick of which no `.status` told what became of it, or not what AtLeastOnce promises.

    Of cronjobs whose ticks wait for nothing (Allow), since < tick <= until, in each of their homes.
    """
    chosen, found = {one.name: one for one in declared if not one.forbids}, []
    for (cluster, name), told in verdicts.items():
        one = chosen.get(name)
        if one is None:
            continue
        counted = {verdict.tick - n * EVERY for verdict in told for n in range(verdict.count)}
        over = {verdict.tick - n * EVERY for verdict in told if verdict.verdict in WELL for n in range(verdict.count)}
        for tick in one.ticks(since, until):
            if tick not in counted:
                found.append(f"{name} at {tick:%H:%M:%S} has no verdict in {cluster}")
            elif not one.at_most_once and tick not in over:
                became = ", ".join(sorted({verdict.verdict for verdict in told if verdict.tick == tick}))
                found.append(f"{name} at {tick:%H:%M:%S} was {became} in {cluster}, and nothing after that")
    return found


def ticks_of(declared: Sequence[Declared], since: datetime, until: datetime, at_most_once: bool) -> list[Tick]:
    """Return all ticks of the cronjobs with this guarantee."""
    chosen = [one for one in declared if one.at_most_once == at_most_once]
    return [(one.name, tick) for one in chosen for tick in one.ticks(since, until)]


def violations(history: History, declared: Sequence[Declared], since: datetime, until: datetime) -> list[str]:
    """Return a sentence for each promise that was broken, whatever has failed."""
    broken = []
    for guarantee in (True, False):
        broken += history.figures(ticks_of(declared, since, until, guarantee), guarantee).doubled
    broken += history.unfinished(ticks_of(declared, since, until, at_most_once=False))
    for one in declared:
        if one.forbids:
            broken += history.overlaps(one.name, one.at_most_once)
    return broken


def lost(
    history: History, declared: Sequence[Declared], since: datetime, until: datetime, heard_within: timedelta = AT_ONCE
) -> list[str]:
    """Return a sentence for each tick that was not started, where the fault was one that keeps nothing from being started."""
    ticks = [tick for guarantee in (True, False) for tick in ticks_of(declared, since, until, guarantee)]
    return history.lost(ticks, {one.name for one in declared if one.forbids}, heard_within)


def _is_doubled(ran: Sequence[Ran], at_most_once: bool) -> bool:
    return len(ran) > (1 if at_most_once else len({one.attempt for one in ran}))


def _has_succeeded(ran: Sequence[Ran]) -> bool:
    return any(one.state == "Complete" for one in ran)


def _told(tick: Tick, ran: Sequence[Ran]) -> str:
    where = ", ".join(f"{one.job} in {one.cluster} (attempt {one.attempt})" for one in ran)
    return f"{tick[0]} at {tick[1]:%H:%M:%S} has {where}"
