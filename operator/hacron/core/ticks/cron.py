"""A cron expression and a time zone → ticks: the instants, in UTC, at which it is due.

The rules are those of Kubernetes. A local time that does not exist is skipped, one that happens twice fires
twice, however long the shift, unless the user chose otherwise (`daylight.py`). Wall-clock time exists in here
only, and only within one span of constant UTC offset at a time, so that a tick is just wall clock minus offset.
croniter answers only which dates match, from canonical text; the times of a day are looked up in the value
sets. `cronfields.py` reads the text, `cronzone.py` the zones; `calendar.py` puts several together.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Protocol

from croniter import CroniterBadDateError, croniter

from hacron.core.ticks.cronfields import Every, InvalidSchedule, read
from hacron.core.ticks.cronzone import DEFAULT_ZONE, FIRST_YEAR, LAST_YEAR, Zone, tzdata_version, zone
from hacron.core.ticks.daylight import AS_CRONJOB, NOTHING_CHOSEN, DaylightSaving, seen_through

__all__ = ["InvalidSchedule", "Schedule", "Ticks", "parse", "tzdata_version", "utc"]

_YEARS = 5  # no match within this many calendar years is "never", as in robfig/cron
INSTANT = timedelta(microseconds=1)  # the smallest difference between two instants
_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


class Ticks(Protocol):
    """What a Schedule asks, once the instants are known to be UTC."""

    def next_after(self, instant: datetime, base: datetime) -> datetime | None: ...
    def first(self, after: datetime, until: datetime) -> datetime | None: ...
    def latest(self, after: datetime, until: datetime) -> datetime | None: ...
    def count(self, after: datetime, until: datetime, at_most: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a cronjob is due; get it from parse(). Equal to all that mean the same in the same zone.

    All instants are aware datetimes in UTC; anything else is our own mistake: ValueError.
    """

    text: str = field(compare=False)  # as the user wrote it
    time_zone: str
    canonical: str  # "never" when no date can match
    daylight: DaylightSaving  # in effect
    ticks: Ticks = field(compare=False, repr=False)

    def next_after(self, instant: datetime, base: datetime | None = None) -> datetime | None:
        """Give the first tick strictly after an instant; None if there is none within five calendar years.

        With `@every`, ticks are counted from `base`, an earlier instant, cut to seconds; unless given, from the instant itself.
        """
        return self.ticks.next_after(utc(instant), utc(instant if base is None else base))

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Give the latest tick with after < tick <= until. With `@every`, ticks are counted from `after`."""
        return self.ticks.latest(utc(after), utc(until))

    def count(self, after: datetime, until: datetime, at_most: int = 101) -> int:
        """Count the ticks with after < tick <= until, but stop at at_most. With `@every`, as in latest()."""
        return self.ticks.count(utc(after), utc(until), at_most)

    @property
    def interval(self) -> timedelta | None:
        """The interval of `@every`; None for five fields."""
        return self.ticks.interval if isinstance(self.ticks, _Interval) else None

    @property
    def every_hour(self) -> bool:
        """Whether it goes on through all hours, so that it flows on in real time however clocks change."""
        return self.interval is not None or self.canonical.split(" ")[1:2] == ["*"]

    def first_shown(self, earliest: datetime, latest: datetime) -> datetime | None:
        """Give the first match on a wall clock that nobody moves, both ends included, local times with UTC in place of a zone.

        None for `@every`, which looks at no clock.
        """
        return self.ticks.first_shown(earliest, latest) if isinstance(self.ticks, _WallClock) else None


def parse(text: str, time_zone: str | None = None, daylight: DaylightSaving = NOTHING_CHOSEN) -> Schedule:
    """Read a schedule as Kubernetes would; the zone is Etc/UTC unless named.

    Raises InvalidSchedule, and nothing else, whatever the arguments are.
    """
    if not isinstance(text, str):
        raise InvalidSchedule("schedule", f"must be a text such as '0 2 * * *', not {type(text).__name__[:40]}")
    if time_zone is not None and not isinstance(time_zone, str):
        raise InvalidSchedule("timeZone", f"must be a name such as Europe/Berlin, not {type(time_zone).__name__[:40]}")
    return _parse(text, DEFAULT_ZONE if time_zone is None else time_zone, daylight)


@lru_cache(maxsize=32768)
def _parse(text: str, time_zone: str, daylight: DaylightSaving) -> Schedule:
    times, where = read(text), zone(time_zone)
    if isinstance(times, Every):
        return Schedule(text, time_zone, times.canonical, AS_CRONJOB, _Interval(times.seconds))
    ticks = _wall_clock(times.minutes, times.hours, times.dates, seen_through(where, daylight))
    return Schedule(text, time_zone, times.canonical, daylight.in_effect, ticks)


def utc(instant: datetime) -> datetime:
    """Give the same instant in UTC; ValueError if it is in no zone."""
    if instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None:
        raise ValueError(f"in no time zone: {instant!r}")
    try:
        return instant.astimezone(UTC)
    except OverflowError:  # on the first or the last day that there is
        return instant.replace(tzinfo=UTC)


class _Interval:
    """`@every`: elapsed time, so neither zones nor wall clocks matter."""

    def __init__(self, seconds: int) -> None:
        self.interval = timedelta(seconds=seconds)

    def next_after(self, instant: datetime, base: datetime) -> datetime | None:
        return self._nth(base, self._passed(base, instant) + 1)

    def first(self, after: datetime, until: datetime) -> datetime | None:
        return self._nth(after, 1) if self._passed(after, until) else None

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        passed = self._passed(after, until)
        return self._nth(after, passed) if passed else None

    def count(self, after: datetime, until: datetime, at_most: int) -> int:
        return min(self._passed(after, until), at_most)

    def _passed(self, after: datetime, until: datetime) -> int:
        return max(0, (until - after.replace(microsecond=0)) // self.interval)

    def _nth(self, after: datetime, n: int) -> datetime | None:
        try:
            return after.replace(microsecond=0) + n * self.interval
        except OverflowError:  # later than year 9999
            return None


class _WallClock:
    """Five fields in a zone."""

    __slots__ = ("_asked", "_dates", "_earliest", "_hours", "_minutes", "_zone")

    def __init__(self, minutes: tuple[int, ...], hours: tuple[int, ...], dates: str | None, where: Zone) -> None:
        self._minutes = minutes
        self._hours = hours
        self._dates = _dates(dates) if dates and minutes and hours else None
        self._earliest = time(hours[0], minutes[0]) if minutes and hours else time()
        self._zone = where
        # (instant, answer) of the last few questions: a thousand cronjobs on one schedule cost one search
        self._asked: tuple[tuple[datetime, datetime | None], ...] = ()

    def next_after(self, instant: datetime, base: datetime) -> datetime | None:  # noqa: ARG002 - the wall clock counts for itself
        for asked, tick in self._asked:
            if asked == instant or (tick is not None and asked <= instant < tick):
                return tick
        tick = self.first(instant, self._horizon(instant))
        self._asked = ((instant, tick), *self._asked[:3])
        return tick

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        tick = self.first(after, until)
        if tick is None or self.first(tick, until) is None:
            return tick
        # Ever further back from the end, so that the length of the range does not matter where ticks are many.
        back = _HOUR
        while until - tick > back:
            later = self.first(until - back, until)
            if later is not None:
                tick = later
                break
            until -= back
            back *= 2
        while until - tick >= _SECOND:  # ticks are whole seconds; there is none later than until that counts
            middle = tick + (until - tick) / 2
            later = self.first(middle, until)
            if later is None:
                until = middle
            else:
                tick = later
        return tick

    def count(self, after: datetime, until: datetime, at_most: int) -> int:
        found = 0
        tick = self.first(after, until)
        while tick is not None and found < at_most:
            found += 1
            tick = self.first(tick, until)
        return found

    def _horizon(self, after: datetime) -> datetime:
        year = max(after.year, FIRST_YEAR)
        if year >= LAST_YEAR - _YEARS:
            return datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
        local = after + self._zone.offset(after) if year == after.year else after
        return datetime(local.year + _YEARS + 1, 1, 1, tzinfo=UTC) - INSTANT

    def first(self, after: datetime, until: datetime) -> datetime | None:
        """Find the first tick with after < tick <= until."""
        if self._dates is None or until <= after:
            return None
        for span in self._zone.spans(after, until):
            earliest = max(after + INSTANT, span.begin)
            latest = min(until, span.end - INSTANT)
            shown = self.first_shown(earliest + span.offset, latest + span.offset)
            tick = None if shown is None else shown - span.offset
            if span.also is not None:
                shown = self.first_shown(earliest + span.also, latest + span.also)
                if shown is not None and (tick is None or shown - span.also < tick):
                    tick = shown - span.also
            if tick is not None:
                return tick
        return None

    def first_shown(self, earliest: datetime, latest: datetime) -> datetime | None:
        """Find the first match with earliest <= match <= latest on a wall clock that nobody moves."""
        if self._dates is None:
            return None
        minute = earliest if not (earliest.second or earliest.microsecond) else _next_minute(earliest)
        day = minute.date()
        time_of_day = self._time_from(minute.hour, minute.minute)
        matching = self._dates.first(day if time_of_day else day + _DAY)
        if matching is None:
            return None
        if matching > day or time_of_day is None:
            time_of_day = self._earliest
        shown = datetime.combine(matching, time_of_day, tzinfo=UTC)
        return shown if shown <= latest else None

    def _time_from(self, hour: int, minute: int) -> time | None:
        """Find the first matching time of day that is not before this one."""
        at = bisect_left(self._hours, hour)
        if at < len(self._hours) and self._hours[at] == hour:
            if minute <= self._minutes[-1]:
                return time(hour, self._minutes[bisect_left(self._minutes, minute)])
            at += 1
        return time(self._hours[at], self._minutes[0]) if at < len(self._hours) else None


@lru_cache(maxsize=32768)
def _wall_clock(minutes: tuple[int, ...], hours: tuple[int, ...], dates: str | None, where: Zone) -> _WallClock:
    return _WallClock(minutes, hours, dates, where)  # one per meaning and zone, however it was written


def _next_minute(wall: datetime) -> datetime:
    return wall.replace(second=0, microsecond=0) + timedelta(minutes=1)


class _Dates:
    """Which dates match, as croniter says; `text` is what Fields.dates makes. Several threads may ask at once."""

    __slots__ = ("_always", "_expression", "_known", "_spare")

    def __init__(self, text: str) -> None:
        self._always = text == "* * *"
        self._expression = f"0 0 {text}"
        # Those that nobody is asking: one changes while it is asked, so each asker takes one. Made when it is needed: reading
        # the text is more than half of its work.
        self._spare: list[croniter] = []
        # (asked, answer) of the last few questions: whoever asks for a day in between gets the same answer
        self._known: tuple[tuple[date, date | None], ...] = ()

    def first(self, day: date) -> date | None:
        """Find the first date that matches and is not before day."""
        if self._always:
            return day
        for asked, found in self._known:
            if asked == day or (found is not None and asked <= day <= found):
                return found
        found = self._search(day)
        self._known = ((day, found), *self._known[:3])
        return found

    def _search(self, day: date) -> date | None:
        before = datetime.combine(day - _DAY, time())
        try:
            asked = self._spare.pop()
        except IndexError:
            asked = croniter(self._expression, before, max_years_between_matches=12)  # 29 February: 8 years over 2100
        try:
            found: datetime = asked.get_next(datetime, start_time=before)
        except CroniterBadDateError:
            return None
        finally:
            self._spare.append(asked)
        return found.date()


@lru_cache(maxsize=8192)
def _dates(text: str) -> _Dates:
    return _Dates(text)
