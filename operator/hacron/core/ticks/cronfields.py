"""The text of a schedule → sets of values, by the rules of Kubernetes (robfig/cron v3, standard parser).

Strict on purpose: croniter would read `5-5` as "always", `7` as Sunday and `R` as a random number, so it
never sees what a user wrote, only canonical text made from these sets. When they fall is for `cron.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

MAX_LENGTH = 1000  # Kubernetes has no limit of its own; a list of all 60 minutes is 169 characters long
EXAMPLE = "'0 2 * * *' (minute hour day month weekday)"

_BLANKS = re.compile(r"[ \t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # Go's unicode.IsSpace
_NUMBER = re.compile(r"\+?[0-9]+", re.ASCII)
_DURATION = re.compile(r"[+-]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_DURATION_PART = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5
    "μs": 10**3,  # U+03BC
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_INT64_MAX = 2**63 - 1

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class InvalidSchedule(ValueError):  # named by what is wrong, like all errors here
    """Tell the user what is wrong with a schedule or its time zone, and what would be right."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field  # "schedule" or "timeZone", unless it was written somewhere else
        self.reason = reason

    def found_in(self, field: str) -> InvalidSchedule:
        """Give the same about a schedule that stands in another field; what is wrong with the zone stays with timeZone."""
        return InvalidSchedule(field, self.reason) if self.field == "schedule" else self


@dataclass(frozen=True, slots=True)
class Every:
    """An interval in elapsed time, counted from whatever instant it is asked about."""

    seconds: int  # >= 1

    @property
    def canonical(self) -> str:
        """The same text for the same interval."""
        return f"@every {self.seconds}s"


@dataclass(frozen=True, slots=True)
class Fields:
    """What a wall clock must show: values in ascending order; an empty tuple matches nothing."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]  # 0 is Sunday
    starred: bool  # a star in the day or the weekday field: a date must match both, otherwise either

    @property
    def canonical(self) -> str:
        """Numeric lists, `*` for a full field, so that the same ticks have the same text, or "never"."""
        dates = self.dates
        if not (self.minutes and self.hours and dates):
            return "never"
        return f"{_list(self.minutes, _MINUTE)} {_list(self.hours, _HOUR)} {dates}"

    @property
    def dates(self) -> str | None:
        """Day, month and weekday as one text, for the rule that croniter and Kubernetes have in common.

        A date matches either of day and weekday, or the one that is not `*`. None if no date can ever match.
        """
        return _dates(self.days, self.months, self.weekdays, self.starred)


@lru_cache(maxsize=4096)
def _dates(days: tuple[int, ...], months: tuple[int, ...], weekdays: tuple[int, ...], starred: bool) -> str | None:
    day, weekday = _list(days, _DAY), _list(weekdays, _WEEKDAY)
    if not starred:
        if "*" in (day, weekday):
            day = weekday = "*"
        elif not day:
            day = "*"
        elif not weekday:
            weekday = "*"
    possible = bool(day and weekday and months)
    if weekday == "*" and day != "*":
        possible = any(one <= _LONGEST[month] for one in days for month in months)
    return f"{day} {_list(months, _MONTH)} {weekday}" if possible else None


def read(text: str) -> Fields | Every:
    """Read the text of a schedule.

    Raises InvalidSchedule for everything that the API server of Kubernetes rejects in a new CronJob.
    """
    if len(text) > MAX_LENGTH:
        raise _invalid(f"is {len(text):,} characters long; at most {MAX_LENGTH:,} are allowed")
    if "TZ" in text:
        raise _invalid("must not contain TZ or CRON_TZ; name the time zone in timeZone instead")
    if text.startswith("@every "):
        return _every(text)
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise _invalid(f"{quoted(text)} is not known; use {', '.join(_DESCRIPTORS)} or '@every 1h30m'")
        text = _DESCRIPTORS[text]
    return _fields(text)


def quoted(text: str) -> str:
    """Echo what a user wrote: on one line, printable, at most 80 characters."""
    shown = repr(text[:80])
    return shown if len(text) <= 80 and len(shown) <= 82 else f"{shown[:77]}...{shown[0]}"


def _every(text: str) -> Every:
    duration = text.removeprefix("@every ")
    nanoseconds = _nanoseconds(duration)
    if nanoseconds is None:
        raise _invalid(f"{quoted(text)} has no valid duration; write '@every 90s', '@every 30m' or '@every 1h30m'")
    return Every(max(1, nanoseconds // 10**9))


def _nanoseconds(duration: str) -> int | None:
    """Go's time.ParseDuration."""
    if duration in ("0", "+0", "-0"):
        return 0
    if not _DURATION.fullmatch(duration):
        return None
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(duration):
        total += int(whole + fraction) * _NANOSECONDS[unit] // 10 ** len(fraction)
    if total > _INT64_MAX:
        return None
    return -total if duration.startswith("-") else total


def split(text: str) -> tuple[str, str, str, str, str]:
    """Split a text into its five fields: minute, hour, day, month, weekday. Raises InvalidSchedule if it has not five."""
    parts = [part for part in _BLANKS.split(text) if part]
    if not parts:
        raise _invalid(f"is empty; write five fields such as {EXAMPLE}")
    if len(parts) != 5:
        count = f"{len(parts)} field" + ("s" if len(parts) > 1 else "")
        raise _invalid(f"{quoted(text)} has {count}; write five, such as {EXAMPLE}")
    minute, hour, day, month, weekday = parts
    return minute, hour, day, month, weekday


def _fields(text: str) -> Fields:
    minute, hour, day, month, weekday = split(text)
    days, day_starred = _values(day, _DAY)
    weekdays, weekday_starred = _values(weekday, _WEEKDAY)
    return Fields(
        minutes=_values(minute, _MINUTE)[0],
        hours=_values(hour, _HOUR)[0],
        days=days,
        months=_values(month, _MONTH)[0],
        weekdays=weekdays,
        starred=day_starred or weekday_starred,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What one of the five fields may hold."""

    name: str
    lowest: int
    highest: int
    names: Mapping[str, int]
    hint: str  # what would be right


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_MINUTE = Kind("minute", 0, 59, {}, "0-59")
_HOUR = Kind("hour", 0, 23, {}, "0-23")
_DAY = Kind("day", 1, 31, {}, "1-31")
_MONTH = Kind(
    "month",
    1,
    12,
    {name: n for n, name in enumerate(_MONTHS, 1)},
    "1-12 or jan-dec",
)
_WEEKDAY = Kind(
    "weekday",
    0,
    6,
    {name: n for n, name in enumerate(_WEEKDAYS)},
    "0-6 or sun-sat (Sunday is 0)",
)
FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
_LONGEST = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # by month, in a leap year


@lru_cache(maxsize=4096)  # thousands of expressions are made of some hundred fields
def _values(field: str, kind: Kind) -> tuple[tuple[int, ...], bool]:
    """The values of one field, and whether a bare star is among its items. Empty items are dropped."""
    values: set[int] = set()
    starred = False
    for item in field.split(","):
        if item:
            found, star = _item(item, kind)
            values.update(found)
            starred |= star
    return tuple(sorted(values)), starred


def _item(item: str, kind: Kind) -> tuple[range, bool]:
    bounds, slash, step_text = item.partition("/")
    low_text, hyphen, high_text = bounds.partition("-")
    step = number(step_text, {}) if slash else 1
    if step is None or step < 1:
        raise _wrong(item, kind, "has a step that is not a number from 1 up; write it like */5")
    if low_text in ("*", "?"):  # robfig does not look at what follows a star and a hyphen
        return range(kind.lowest, kind.highest + 1, step), step == 1
    low = number(low_text, kind.names)
    high = number(high_text, kind.names) if hyphen else kind.highest if slash else low
    if (low is None or high is None) and item.startswith("H"):
        raise _wrong(item, kind, "is a hashed slot, which is not understood here; write it in hashedSchedule instead")
    if low is None or high is None:
        raise _wrong(item, kind, f"is not understood; use {kind.hint}, with *, lists, ranges and steps")
    if low < kind.lowest or max(low, high) > kind.highest:
        raise _wrong(item, kind, f"is out of range; use {kind.hint}")
    if low > high:
        raise _wrong(item, kind, "is empty or runs backwards; split it in two, such as 22-23,0-3 for hours 22-3")
    return range(low, high + 1, step), False


def number(text: str, names: Mapping[str, int]) -> int | None:
    """Read a number, or one of the names; None if it is neither."""
    if (named := names.get(text.lower())) is not None:
        return named
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if number <= _INT64_MAX else None


@lru_cache(maxsize=4096)
def _list(values: tuple[int, ...], kind: Kind) -> str:
    if len(values) == kind.highest - kind.lowest + 1:
        return "*"
    return ",".join(map(str, values))


def _wrong(item: str, kind: Kind, reason: str) -> InvalidSchedule:
    return _invalid(f"{kind.name} {quoted(item)} {reason}")


def _invalid(reason: str) -> InvalidSchedule:
    return InvalidSchedule("schedule", reason)
