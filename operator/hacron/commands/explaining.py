"""Why a cronjob would fire at a time, or would not: first whether it is due then at all, then what else would be in its way.

What runs and clusters there are is not known here; the findings about them say what it would come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hacron.commands import fieldwise, wallclock
from hacron.commands.gaps import clocks, gaps
from hacron.commands.subjects import Subject, part
from hacron.core import manifests, pausing
from hacron.core.admission import MOST_OPEN, Skip, admit, deadline
from hacron.core.manifests import rfc3339
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee
from hacron.core.placement import candidates
from hacron.core.rules import Rules

_INSTANT = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_LONG = timedelta(days=5 * 366)  # no tick within five years is "never"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about the question."""

    reason: str  # CamelCase, for programs
    message: str  # a sentence, for people
    against: bool = False  # whether it is why the cronjob would not fire


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer about one cronjob and one time."""

    at: tuple[datetime, ...]  # the instants that were asked about: two where a local time comes twice, none where it is left out
    findings: tuple[Finding, ...]
    before: datetime | None = None  # the nearest ticks
    after: datetime | None = None

    @property
    def fires(self) -> bool:
        return not any(finding.against for finding in self.findings)


def explain(subject: Subject, asked: datetime) -> Explanation:
    """Explain what would be at a time: an instant, or, in no time zone, a local time of the cronjob's zone."""
    at: tuple[datetime, ...] = () if asked.tzinfo is None else (asked,)
    if subject.cronjob is None:
        return Explanation(at, (Finding("Invalid", f"the spec is invalid: {subject.problem}", against=True),))
    if asked.tzinfo is None:
        at = tuple(wallclock.instants(subject.zone, asked))
    near = at or (_in_gap(subject, asked).at,)
    ticks = [instant for instant in at if _next(subject, subject.cronjob, instant - _INSTANT) == instant]
    findings = [
        *(_due(subject, at) if ticks else _not_due(subject, asked, at)),
        *_rests(subject, subject.cronjob, near[0]),
        *(_starts(subject, subject.cronjob, ticks[0]) if ticks else ()),
    ]
    after = _next(subject, subject.cronjob, near[-1])
    return Explanation(at, tuple(findings), _latest(subject, subject.cronjob, near[0]), after)


# --- is it due? -------------------------------------------------------------------------------------------------------


def _due(subject: Subject, at: tuple[datetime, ...]) -> Iterator[Finding]:
    yield Finding("Due", "it is due then: the time is one of its schedule")
    showings = [] if subject.interval else wallclock.showings(subject.zone, at[0])
    if len(showings) > 1:
        shown = wallclock.local(subject.zone, at[0])
        both = " and ".join(f"{rfc3339(each)} ({wallclock.local_text(wallclock.local(subject.zone, each))})" for each in showings)
        yield Finding("Repeated", f"the clock shows {wallclock.clock_text(shown)} twice on that day, at {both}")


def _not_due(subject: Subject, asked: datetime, at: tuple[datetime, ...]) -> Iterator[Finding]:
    if subject.interval:
        yield _not_counted(subject)
        return
    if not at:
        change = _in_gap(subject, asked)
        shown = f"{wallclock.clock_text(asked)} on {wallclock.date_text(asked)}"
        yield Finding("LeftOut", f"{shown} is left out in {subject.zone.name}: {clocks(change)}", against=True)
        walls = [asked]
    else:
        walls = [wallclock.local(subject.zone, instant).replace(tzinfo=None) for instant in at[:1]]
    for text in subject.texts:
        no = fieldwise.against(text, walls[0])
        of = f" of {text!r}" if len(subject.texts) > 1 else ""
        if no:
            yield Finding("NotDue", f"it is not due then: {'; '.join(no)}{of}", against=True)
    if at:
        for gap in gaps(subject, at[0] - _DAY, at[0] + _DAY):
            yield Finding("LeftOutNearby", gap.sentence)


def _not_counted(subject: Subject) -> Finding:
    if subject.base is None:
        sentence = (
            "@every counts from the last tick, or from when the object was made, and the manifest has neither"
            " status.lastScheduleTime nor metadata.creationTimestamp: give it as `kubectl get --output yaml` prints it"
        )
        return Finding("Unknown", sentence, against=True)
    return Finding("NotDue", f"it is not due then: {subject.texts[0]} is counted from {rfc3339(subject.base)}", against=True)


def _in_gap(subject: Subject, wall: datetime) -> wallclock.Change:
    """Return the change that leaves a local time out."""
    dressed = wall.replace(tzinfo=UTC)
    around = wallclock.changes(subject.zone, dressed - 2 * _DAY, dressed + 2 * _DAY)
    return next(change for change in around if change.leaves_out(wall))


def _next(subject: Subject, cronjob: CronJob, after: datetime) -> datetime | None:
    if not subject.interval:
        return cronjob.schedule.next_after(after)
    base = subject.base
    return None if base is None else cronjob.schedule.next_after(max(after, base), base)


def _latest(subject: Subject, cronjob: CronJob, before: datetime) -> datetime | None:
    begin = subject.base if subject.interval else before - _LONG
    return None if begin is None else cronjob.schedule.latest(begin, before - _INSTANT)


# --- does it rest? ----------------------------------------------------------------------------------------------------


def _rests(subject: Subject, cronjob: CronJob, at: datetime) -> Iterator[Finding]:
    later = "; what comes meanwhile is made up for afterwards (catchUp.afterEdits)" if cronjob.catch_up.after_edits else ""
    if cronjob.suspend:
        yield Finding("Suspended", f"it is suspended: suspend is true{later}", against=True)
    pause = manifests.pause_of(part(subject.metadata, "annotations"))
    if pause is not None and pause.is_over(at):
        yield Finding("PauseOver", f"it is paused{pausing.details(pause)}, which is over by then")
    elif pause is not None:
        yield Finding("Paused", f"it is paused{pausing.details(pause)}{later}", against=True)


# --- would it start? --------------------------------------------------------------------------------------------------


def _starts(subject: Subject, cronjob: CronJob, tick: datetime) -> Iterator[Finding]:
    yield _deadline(cronjob, tick)
    yield _concurrency(subject, cronjob, tick)
    yield _placement(cronjob)


def _deadline(cronjob: CronJob, tick: datetime) -> Finding:
    rules = Rules()
    bound = deadline(cronjob, rules)
    if bound is None:
        return Finding("NoDeadline", "it may start however late: startingDeadlineSeconds is not set")
    if isinstance(admit(cronjob, tick, (), tick, rules), Skip):
        return Finding("DeadlineExceeded", f"it is never in time: {bound.rule}", against=True)
    until = rfc3339(tick + bound.after)
    return Finding("Deadline", f"if nothing can be started then, it still may before {until}: {bound.rule}")


def _concurrency(subject: Subject, cronjob: CronJob, tick: datetime) -> Finding:
    policy = cronjob.policy
    previous = _latest(subject, cronjob, tick)
    last = f" (the tick before is {rfc3339(previous)}, {_ago(tick - previous)} earlier)" if previous else ""
    active = _active(subject)
    now = f"; active when the manifest was read: {active}" if active else ""
    match policy:
        case ConcurrencyPolicy.FORBID:
            sentence = (
                f"it waits while an earlier run may still be running in any cluster{last}; of several that wait, the latest runs"
            )
        case ConcurrencyPolicy.REPLACE:
            sentence = f"an earlier run that is still running in any cluster{last} is stopped, and it starts when that is gone"
        case ConcurrencyPolicy.QUEUE:
            sentence = f"it waits its turn while {cronjob.max_active} earlier runs may still be running in any cluster{last}"
        case _:
            return Finding(
                "Allow", f"concurrencyPolicy Allow: it runs beside earlier runs, while fewer than {MOST_OPEN} are open{now}"
            )
    return Finding(str(policy), f"concurrencyPolicy {policy}: {sentence}{now}")


def _active(subject: Subject) -> str:
    runs = subject.status.get("active")
    found = [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    names = [f"{run.get('job') or run.get('name')}" + (f" in {run['cluster']}" if run.get("cluster") else "") for run in found]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _placement(cronjob: CronJob) -> Finding:
    names = candidates(cronjob.clusters, ())
    if not names:
        where = "a cluster that declares it; of several, to the first by name that is heard of and reaches its API server"
    elif len(names) == 1:
        where = f"{names[0]}, and waits for it if it is silent"
    else:
        where = f"the first of {', '.join(names)} that is heard of and reaches its API server"
    again = "; it is tried in another when that one falls silent" if cronjob.guarantee is Guarantee.AT_LEAST_ONCE else ""
    return Finding("Placement", f"it goes to {where}{again} (guarantee {cronjob.guarantee})")


def _ago(delta: timedelta) -> str:
    seconds = int(delta.total_seconds())
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and not seconds % size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
