"""Does a change of clocks touch a schedule in the coming year, where its user has not said what is to be done then?

Times that a change leaves out or repeats are where cron jobs surprise people twice a year. A schedule that fires every hour flows
on in real time and surprises nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise

from hacron.core.ticks.calendar import Calendar
from hacron.core.ticks.cron import Schedule
from hacron.core.ticks.cronzone import LAST_YEAR, zone
from hacron.core.ticks.daylight import joined

YEAR = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Change:
    """An instant at which clocks are put forward or back."""

    at: datetime
    before: timedelta  # local time minus UTC
    after: timedelta

    @property
    def forward(self) -> bool:
        return self.after > self.before

    @property
    def affected(self) -> tuple[datetime, datetime]:
        """The local times that do not exist, or that happen twice: from, and to without its end."""
        first, last = sorted((self.before, self.after))
        return self.at + first, self.at + last


@dataclass(frozen=True, slots=True)
class Notice:
    """What there is to tell."""

    reason: str
    message: str


def warn(calendar: Calendar, since: datetime) -> Notice | None:
    """Tell of the first change within a year that touches a tick and about which the user has not chosen."""
    for change in _changes(calendar.time_zone, max(since, calendar.start or since).date()):
        chosen = calendar.chosen.gap if change.forward else calendar.chosen.repeat
        if chosen is not None or not since < change.at:
            continue
        shown = min(filter(None, (_touched(schedule, change) for schedule in calendar.schedules)), default=None)
        if shown is not None and _within(calendar, shown, change):
            return _gap(shown, change, calendar.time_zone) if change.forward else _repeat(shown, change, calendar.time_zone)
    return None


@lru_cache(maxsize=4096)
def _changes(time_zone: str, day: date) -> tuple[Change, ...]:
    """The changes within a year from the beginning of a day."""
    after = datetime.combine(day, time(), tzinfo=UTC)
    if after.year > LAST_YEAR:
        return ()
    spans = joined(list(zone(time_zone).spans(after, after + YEAR)))
    found = (Change(right.begin, left.offset, right.offset) for left, right in pairwise(spans))
    return tuple(change for change in found if after < change.at <= after + YEAR)


@lru_cache(maxsize=65536)
def _touched(schedule: Schedule, change: Change) -> datetime | None:
    """The first local time of a schedule that a change leaves out or repeats."""
    if schedule.every_hour:
        return None
    begin, end = change.affected
    return schedule.first_shown(begin, end - timedelta(microseconds=1))


def _within(calendar: Calendar, shown: datetime, change: Change) -> bool:
    """Whether it would fire at all; of a local time that happens twice, whether it would fire twice."""
    first, last = shown - change.before, shown - (change.before if change.forward else change.after)
    return (calendar.start is None or calendar.start <= first) and (calendar.end is None or last <= calendar.end)


def _gap(shown: datetime, change: Change, time_zone: str) -> Notice:
    shifted = shown + (change.after - change.before)
    return Notice(
        "LocalTimeLeftOut",
        f"{_day_and_time(shown)} does not exist in {time_zone}, where clocks go forward from {_clocks(change)}: nothing will run."
        f" Choose with spec.daylightSaving.gap: Skip (this), or ShiftForward (runs at {_time(shifted, shown)})",
    )


def _repeat(shown: datetime, change: Change, time_zone: str) -> Notice:
    return Notice(
        "LocalTimeRepeated",
        f"{_day_and_time(shown)} happens twice in {time_zone}, where clocks go back from {_clocks(change)}: it will run twice."
        " Choose with spec.daylightSaving.repeat: Both (this), First or Last",
    )


def _clocks(change: Change) -> str:
    before, after = change.at + change.before, change.at + change.after
    return f"{before:%H:%M} to {_time(after, before)}"


def _time(local: datetime, near: datetime) -> str:
    """The time, and the date too where it is another."""
    return f"{local:%H:%M}" if local.date() == near.date() else _day_and_time(local)


def _day_and_time(local: datetime) -> str:
    return f"{local:%H:%M} on {local.date().isoformat()}"
