"""When a cronjob is due: one schedule or several, between startTime and endTime.

An instant that several schedules name is one tick. Calendars are shared: ten thousand cronjobs that say the same in the
same words have one. With one schedule and no bounds, asking the calendar is asking the schedule. How it is written in a spec is
read by `when.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import MAXYEAR, UTC, datetime, timedelta
from functools import lru_cache

from hacron.core.ticks.cron import INSTANT, InvalidSchedule, Schedule, Ticks, parse, utc
from hacron.core.ticks.daylight import NOTHING_CHOSEN, DaylightSaving

SCHEDULES = "schedules"  # the field that holds several
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a cronjob is due; get it from calendar(). Equal to all that mean the same in the same zone.

    All instants are aware datetimes in UTC; anything else is our own mistake: ValueError.
    """

    text: str = field(compare=False)  # what fires, for people: several schedules with "; " in between
    schedules: tuple[Schedule, ...]  # at least one; each meaning once, in the order of their canonical texts
    start: datetime | None  # no tick is before it
    end: datetime | None  # no tick is after it
    chosen: DaylightSaving = field(compare=False)
    _ticks: Ticks = field(compare=False, repr=False)

    @property
    def canonical(self) -> str:
        """The same text for the same ticks within start and end; "never" when no date can match."""
        return "; ".join(schedule.canonical for schedule in self.schedules)

    @property
    def time_zone(self) -> str:
        """The zone of all schedules."""
        return self.schedules[0].time_zone

    def goes_on(self, before: Calendar) -> bool:
        """Whether ticks are what they were: it means the same, or is an `@every` that neither its zone nor its end has moved."""
        if self.schedules[0].interval is None:
            return self == before
        return (self.canonical, self.start) == (before.canonical, before.start)

    def next_after(self, instant: datetime, base: datetime | None = None) -> datetime | None:
        """Give the first tick strictly after an instant; None if there is none within five calendar years.

        The five years count from startTime if that is still to come. With `@every`, ticks are counted from `base`, an earlier
        instant, cut to seconds; unless given, from the instant itself. A startTime that is later than that is the first tick.
        """
        return self._ticks.next_after(utc(instant), utc(instant if base is None else base))

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Give the latest tick with after < tick <= until. With `@every`, ticks are counted from `after`."""
        return self._ticks.latest(utc(after), utc(until))

    def count(self, after: datetime, until: datetime, at_most: int = 101) -> int:
        """Count the ticks with after < tick <= until, but stop at at_most. With `@every`, as in latest()."""
        return self._ticks.count(utc(after), utc(until), at_most)


def calendar(
    texts: tuple[str, ...],
    time_zone: str | None = None,
    chosen: DaylightSaving = NOTHING_CHOSEN,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Calendar:
    """Put schedules together. Raises InvalidSchedule: about `schedule` if there is only one, otherwise about `schedules[n]`."""
    remembered = _of_one if len(texts) == 1 else _of_several
    return remembered(texts, time_zone, chosen, start, end)


def _make(
    texts: tuple[str, ...], time_zone: str | None, chosen: DaylightSaving, start: datetime | None, end: datetime | None
) -> Calendar:
    schedules = [_parse(n, texts, time_zone, chosen) for n in range(len(texts))]
    distinct = tuple(schedules) if len(schedules) == 1 else _distinct(schedules)
    ticks: Ticks = distinct[0].ticks if len(distinct) == 1 else _Union([schedule.ticks for schedule in distinct])
    if start is not None or end is not None:
        start, end = _whole_second_from(start), end.replace(microsecond=0) if end else None
        ticks = _Clipped(ticks, start, end, distinct[0].interval or INSTANT)
    return Calendar("; ".join(texts), distinct, start, end, chosen, ticks)


_of_one = lru_cache(maxsize=32768)(_make)
_of_several = lru_cache(maxsize=2048)(_make)  # the texts of one may be twenty times as long


def _parse(n: int, texts: Sequence[str], time_zone: str | None, chosen: DaylightSaving) -> Schedule:
    try:
        schedule = parse(texts[n], time_zone, chosen)
    except InvalidSchedule as invalid:
        raise (invalid if len(texts) == 1 else invalid.found_in(f"{SCHEDULES}[{n}]")) from invalid
    if schedule.interval and len(texts) > 1:
        raise InvalidSchedule(f"{SCHEDULES}[{n}]", "@every counts from its own last tick, so it must stand alone, in schedule")
    return schedule


def _distinct(schedules: list[Schedule]) -> tuple[Schedule, ...]:
    possible = {schedule for schedule in schedules if schedule.canonical != "never"} or schedules[:1]
    return tuple(sorted(possible, key=lambda schedule: schedule.canonical))


def _whole_second_from(start: datetime | None) -> datetime | None:
    """Ticks are whole seconds, so this is the same start."""
    if start is None or not start.microsecond or start.year == MAXYEAR:
        return start
    return start.replace(microsecond=0) + _SECOND


class _Union:
    """Several, none of them `@every`: an instant that two of them name is one tick."""

    def __init__(self, parts: Sequence[Ticks]) -> None:
        self._parts = parts

    def next_after(self, instant: datetime, base: datetime) -> datetime | None:
        return min(filter(None, (part.next_after(instant, base) for part in self._parts)), default=None)

    def first(self, after: datetime, until: datetime) -> datetime | None:
        return min(filter(None, (part.first(after, until) for part in self._parts)), default=None)

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        latest = None
        for part in self._parts:  # the more that is known, the less is left to be searched
            latest = part.latest(latest or after, until) or latest
        return latest

    def count(self, after: datetime, until: datetime, at_most: int) -> int:
        found = 0
        upcoming = {part: part.first(after, until) for part in self._parts}
        while found < at_most and (tick := min(filter(None, upcoming.values()), default=None)) is not None:
            found += 1
            upcoming |= {part: part.first(tick, until) for part, next_tick in upcoming.items() if next_tick == tick}
        return found


class _Clipped:
    """Only what is not before start and not after end."""

    def __init__(self, ticks: Ticks, start: datetime | None, end: datetime | None, interval: timedelta) -> None:
        self._ticks = ticks
        self._end = end or datetime.max.replace(tzinfo=UTC)
        # What stands for every instant before start. With `@every`, so that start is the first tick.
        earliest = datetime.min.replace(tzinfo=UTC)
        self._before = start - min(interval, start - earliest) if start else earliest
        self._start = start or earliest

    def next_after(self, instant: datetime, base: datetime) -> datetime | None:
        tick = self._ticks.next_after(self._from(instant), self._from(base))
        return tick if tick is not None and tick <= self._end else None

    def first(self, after: datetime, until: datetime) -> datetime | None:
        return self._ticks.first(self._from(after), min(until, self._end))

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        return self._ticks.latest(self._from(after), min(until, self._end))

    def count(self, after: datetime, until: datetime, at_most: int) -> int:
        return self._ticks.count(self._from(after), min(until, self._end), at_most)

    def _from(self, instant: datetime) -> datetime:
        return instant if instant >= self._start else self._before
