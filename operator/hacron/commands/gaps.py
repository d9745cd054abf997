"""Local times that a schedule names and that do not exist, because the clocks are moved past them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hacron.commands import wallclock
from hacron.commands.subjects import Subject
from hacron.core.ticks.cron import Schedule
from hacron.core.ticks.daylight import Gap as Choice

SHOWN = 3
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """A change of clocks, and what it does to a schedule."""

    change: wallclock.Change
    missing: tuple[datetime, ...]  # the local times that do not exist, without an offset
    shifted: bool  # whether they fire all the same, later by the length of the gap

    @property
    def sentence(self) -> str:
        """Say what is missing, what becomes of it, and why."""
        times = ", ".join(wallclock.clock_text(wall) for wall in self.missing[:SHOWN])
        more = f" and {len(self.missing) - SHOWN} more" if len(self.missing) > SHOWN else ""
        what = f"shifted to {wallclock.clock_text(shifted(self.missing[0], self.change))}" if self.shifted else "left out"
        on = " and on" if self.shifted and len(self.missing) > 1 else ""
        return f"{wallclock.date_text(self.missing[0])} {times}{more}: {what}{on}, {clocks(self.change)}"


def gaps(subject: Subject, after: datetime, until: datetime) -> Iterator[Gap]:
    """Give the gaps with after < change <= until that have something of the schedule in them."""
    for change in wallclock.changes(subject.zone, after, until):
        missing = sorted({wall for schedule in subject.calendar.schedules for wall in _missing(schedule, change)})
        within = tuple(wall for wall in missing if _is_within(subject, wall, change))
        if change.is_gap and within:
            yield Gap(change, within, shifts(subject))


def shifts(subject: Subject) -> bool:
    """Whether a local time that does not exist fires all the same."""
    return subject.calendar.chosen.gap is Choice.SHIFT_FORWARD


def shifted(wall: datetime, change: wallclock.Change) -> datetime:
    """Return the local time that there is instead of one that does not exist."""
    return wall + (change.after - change.before)


def clocks(change: wallclock.Change) -> str:
    return f"clocks go from {wallclock.clock_text(change.old)} to {wallclock.clock_text(change.new)}"


def _missing(schedule: Schedule, change: wallclock.Change) -> Iterator[datetime]:
    # Local times with UTC in the place of a zone: on a wall clock that nobody moves all of them exist.
    earliest, latest = change.old.replace(tzinfo=UTC), change.new.replace(tzinfo=UTC) - _INSTANT
    wall = schedule.first_shown(earliest, latest)
    while wall is not None:
        yield wall.replace(tzinfo=None)
        wall = schedule.first_shown(wall + _INSTANT, latest) if wall < latest else None


def _is_within(subject: Subject, wall: datetime, change: wallclock.Change) -> bool:
    instant = wall.replace(tzinfo=UTC) - change.before
    start, end = subject.calendar.start, subject.calendar.end
    return (start is None or start <= instant) and (end is None or instant <= end)
