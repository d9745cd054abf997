"""Which of the five fields of an expression say no to a local time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from hacron.core.ticks.cronfields import Every, Fields, quoted, read

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def against(text: str, wall: datetime) -> list[str]:
    """Return what each field that says no has to say; nothing if all agree, or if there are none (`@every`)."""
    times = read(text)
    if isinstance(times, Every):
        return []
    written = times.canonical.split(" ") if text.startswith("@") else text.split()
    return list(_against(times, written, wall))


def _against(times: Fields, written: list[str], wall: datetime) -> Iterator[str]:
    minute, hour, day, month, weekday = map(quoted, written)
    if wall.second or wall.microsecond:
        yield f"second {wall.second + wall.microsecond / 1e6:g} is not 0: ticks are on whole minutes"
    if wall.minute not in times.minutes:
        yield f"minute {wall.minute} is not in {minute}"
    if wall.hour not in times.hours:
        yield f"hour {wall.hour} is not in {hour}"
    if wall.month not in times.months:
        yield f"month {wall.month} is not in {month}"
    of_week = wall.isoweekday() % 7
    is_day, is_weekday = wall.day in times.days, of_week in times.weekdays
    shown = f"weekday {of_week} ({WEEKDAYS[of_week]})"
    if times.starred:
        if not is_day:
            yield f"day {wall.day} is not in {day}"
        if not is_weekday:
            yield f"{shown} is not in {weekday}"
    elif not (is_day or is_weekday):
        yield f"neither is day {wall.day} in {day} nor {shown} in {weekday}"
