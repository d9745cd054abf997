"""Is a cronjob due at a time? If not, which field says no; and what changes of clocks have to do with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hacron.commands import fieldwise, wallclock
from hacron.commands.gaps import clocks, gaps, shifted, shifts
from hacron.commands.subjects import Subject
from hacron.core.manifests import rfc3339
from hacron.core.ticks.cronfields import quoted
from hacron.core.ticks.daylight import Repeat

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
class Moment:
    """What was asked about."""

    at: tuple[datetime, ...]  # the instants: two where a local time comes twice, none where it is left out
    near: tuple[datetime, datetime]  # between what comes before it and what comes after it
    left_out: wallclock.Change | None  # for a local time that does not exist
    wall: datetime  # the local time


def moment_of(subject: Subject, asked: datetime) -> Moment:
    """Find the instants of a time; in no time zone it is a local time of the cronjob's zone."""
    if asked.tzinfo is not None:
        return Moment((asked,), (asked, asked), None, wallclock.local(subject.zone, asked).replace(tzinfo=None))
    at = tuple(wallclock.instants(subject.zone, asked))
    if at:
        return Moment(at, (at[0], at[-1]), None, asked)
    dressed = asked.replace(tzinfo=UTC)
    around = wallclock.changes(subject.zone, dressed - 2 * _DAY, dressed + 2 * _DAY)
    change = next(change for change in around if change.leaves_out(asked))
    instead = dressed - change.before
    return Moment((instead,) if shifts(subject) else (), (instead, instead), change, asked)


def next_tick(subject: Subject, after: datetime) -> datetime | None:
    """Return the first tick after an instant; None also if nobody knows from where `@every` counts."""
    if not subject.interval:
        return subject.calendar.next_after(after)
    base = subject.base
    return None if base is None else subject.calendar.next_after(max(after, base), base)


def last_tick(subject: Subject, before: datetime) -> datetime | None:
    """Return the last tick before an instant; None as in next_tick()."""
    begin = subject.base if subject.interval else before - _LONG
    return None if begin is None else subject.calendar.latest(begin, before - _INSTANT)


def is_tick(subject: Subject, instant: datetime) -> bool:
    return next_tick(subject, instant - _INSTANT) == instant


def findings(subject: Subject, moment: Moment) -> Iterator[Finding]:
    """Say whether it is due then, and if not, why."""
    if subject.cronjob is not None and subject.fields.get("hashedSchedule") is not None:
        written, slots = quoted(subject.fields["hashedSchedule"]), quoted(subject.calendar.text)
        yield Finding("Hashed", f"hashedSchedule {written} is {slots} for {subject.cronjob.key}")
    if any(is_tick(subject, instant) for instant in moment.at):
        yield from _due(subject, moment)
    elif subject.interval:
        yield _not_counted(subject)
    else:
        yield from _not_due(subject, moment)


def _due(subject: Subject, moment: Moment) -> Iterator[Finding]:
    yield Finding("Due", "it is due then: the time is one of its schedule")
    if subject.interval:
        return
    yield from _repeated(subject, moment)
    change = moment.left_out or _shifted_by(subject, moment)
    if change is not None:
        wall = moment.wall if moment.left_out else moment.wall - (change.after - change.before)
        sentence = (
            f"{_shown(wall)} is left out in {subject.zone.name}, {clocks(change)}: daylightSaving.gap is ShiftForward, so it is"
        )
        yield Finding("Shifted", f"{sentence} due at {wallclock.clock_text(shifted(wall, change))}")


def _not_due(subject: Subject, moment: Moment) -> Iterator[Finding]:
    if moment.left_out is not None and not moment.at:
        sentence = f"{_shown(moment.wall)} is left out in {subject.zone.name}: {clocks(moment.left_out)}"
        yield Finding("LeftOut", sentence, against=True)
    noes = [(schedule.text, fieldwise.against(schedule.text, moment.wall)) for schedule in subject.calendar.schedules]
    if all(no for _, no in noes):
        for text, no in noes:
            of = f" of {quoted(text)}" if len(noes) > 1 else ""
            yield Finding("NotDue", f"it is not due then: {'; '.join(no)}{of}", against=True)
    elif moment.at and _within(subject, moment.at[0]):
        which = "first" if subject.calendar.chosen.repeat is Repeat.FIRST else "second"
        yield Finding(
            "RepeatLeftOut", f"daylightSaving.repeat: of a local time that comes twice only the {which} is due", against=True
        )
        yield from _repeated(subject, moment)
    yield from _bounds(subject, moment.near[0])
    for gap in gaps(subject, moment.near[0] - _DAY, moment.near[0] + _DAY) if moment.left_out is None else ():
        yield Finding("LeftOutNearby", gap.sentence)


def _bounds(subject: Subject, instant: datetime) -> Iterator[Finding]:
    start, end = subject.calendar.start, subject.calendar.end
    if start is not None and instant < start:
        yield Finding("BeforeStart", f"it is before startTime, {rfc3339(start)}", against=True)
    if end is not None and instant > end:
        yield Finding("AfterEnd", f"it is after endTime, {rfc3339(end)}", against=True)


def _within(subject: Subject, instant: datetime) -> bool:
    return not any(_bounds(subject, instant))


def _repeated(subject: Subject, moment: Moment) -> Iterator[Finding]:
    showings = wallclock.showings(subject.zone, moment.at[0])
    if len(showings) > 1:
        both = " and ".join(f"{rfc3339(each)} ({wallclock.local_text(wallclock.local(subject.zone, each))})" for each in showings)
        due = "both are" if all(is_tick(subject, each) for each in showings) else "one is"
        yield Finding("Repeated", f"the clock shows {wallclock.clock_text(moment.wall)} twice on that day, at {both}; {due} due")


def _shifted_by(subject: Subject, moment: Moment) -> wallclock.Change | None:
    """Return the change that has moved what is due now to this time; None if the fields themselves say so."""
    if not shifts(subject) or any(not fieldwise.against(schedule.text, moment.wall) for schedule in subject.calendar.schedules):
        return None
    return next((gap.change for gap in gaps(subject, moment.at[0] - _DAY, moment.at[0])), None)


def _not_counted(subject: Subject) -> Finding:
    if subject.origin is not None:
        sentence = f"it is not due then: {subject.calendar.text} is counted from {rfc3339(subject.origin)}"
        return Finding("NotDue", sentence, against=True)
    sentence = (
        "@every counts from the last tick, or from when the object was made, and the manifest has neither"
        " status.lastScheduleTime nor metadata.creationTimestamp: give it as `kubectl get --output yaml` prints it"
    )
    return Finding("Unknown", sentence, against=True)


def _shown(wall: datetime) -> str:
    return f"{wallclock.clock_text(wall)} on {wallclock.date_text(wall)}"
