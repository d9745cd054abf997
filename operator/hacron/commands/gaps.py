"""Local times that a schedule names and that do not exist, because the clocks are moved past them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hacron.commands import wallclock
from hacron.commands.subjects import Subject

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Gap:
    """A change of clocks, and what it leaves out of a schedule: local times without an offset."""

    change: wallclock.Change
    missing: tuple[datetime, ...]

    @property
    def sentence(self) -> str:
        times = ", ".join(wallclock.clock_text(wall) for wall in self.missing[:SHOWN])
        more = f" and {len(self.missing) - SHOWN} more" if len(self.missing) > SHOWN else ""
        return f"{wallclock.date_text(self.missing[0])} {times}{more}: left out, {clocks(self.change)}"


def gaps(subject: Subject, after: datetime, until: datetime) -> Iterator[Gap]:
    """Give the gaps with after < change <= until that leave something out."""
    if subject.interval:
        return
    for change in wallclock.changes(subject.zone, after, until):
        missing = tuple(_missing(subject, change)) if change.is_gap else ()
        if missing:
            yield Gap(change, missing)


def clocks(change: wallclock.Change) -> str:
    return f"clocks go from {wallclock.clock_text(change.old)} to {wallclock.clock_text(change.new)}"


def _missing(subject: Subject, change: wallclock.Change) -> Iterator[datetime]:
    # On a wall clock that nobody moves all local times exist.
    unmoved = subject.with_fields(timeZone="Etc/UTC", startTime=None, endTime=None, daylightSaving=None).schedule
    wall = unmoved.next_after(change.old.replace(tzinfo=UTC) - timedelta(microseconds=1))
    while wall is not None and change.leaves_out(wall.replace(tzinfo=None)):
        yield wall.replace(tzinfo=None)
        wall = unmoved.next_after(wall)
