"""What a spec says of when → Calendar: `schedule`, `schedules` or `hashedSchedule`, and what applies to all of them.

Checked as if nobody had looked before; what is wrong is told in one sentence.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from hacron.core.model import InvalidCronJob, Key
from hacron.core.ticks import hashed
from hacron.core.ticks.calendar import SCHEDULES, Calendar, calendar
from hacron.core.ticks.cron import InvalidSchedule
from hacron.core.ticks.cronfields import quoted
from hacron.core.ticks.daylight import NOTHING_CHOSEN, DaylightSaving, Gap, Repeat

MOST_SCHEDULES = 20
ONE_OF = ("schedule", SCHEDULES, "hashedSchedule")

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)

E = TypeVar("E", bound=StrEnum)


def read(key: Key, fields: dict[str, Any]) -> Calendar:
    """Return when the cronjob is due. Raises InvalidCronJob, whatever the input."""
    named = [name for name in ONE_OF if fields.get(name) is not None]
    if not named:
        sentence = 'schedule is missing: write five fields such as "0 2 * * *" (or set schedules or hashedSchedule instead)'
        raise InvalidCronJob("schedule", sentence)
    if len(named) > 1:
        raise InvalidCronJob(named[1], f"{' and '.join(named)} are set; exactly one of {', '.join(ONE_OF)} must be")
    chosen = _daylight_saving(fields.get("daylightSaving"))
    start, end = _time(fields, "startTime"), _time(fields, "endTime")
    if start is not None and end is not None and end < start:
        raise InvalidCronJob("endTime", "endTime must not be before startTime")
    try:
        return calendar(_texts(key, named[0], fields[named[0]]), _zone(fields.get("timeZone")), chosen, start, end)
    except InvalidSchedule as invalid:
        found = invalid.found_in(f"{SCHEDULES}[0]" if named[0] == SCHEDULES else named[0])
        raise InvalidCronJob(found.field, str(found)) from invalid


def _texts(key: Key, name: str, value: object) -> tuple[str, ...]:
    """The texts as Kubernetes writes them."""
    if name == SCHEDULES:
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_SCHEDULES:
            raise InvalidCronJob(SCHEDULES, f"{SCHEDULES} must be a list of 1 to {MOST_SCHEDULES} schedules, each a text")
        for n, text in enumerate(value):
            if not isinstance(text, str):
                raise InvalidCronJob(f"{SCHEDULES}[{n}]", f"{SCHEDULES}[{n}] must be a text such as '0 2 * * *'")
        return tuple(value)
    if not isinstance(value, str):
        raise InvalidCronJob(name, f"{name} must be a text such as '0 2 * * *', not {type(value).__name__[:40]}")
    return (hashed.resolve(value, key) if name == "hashedSchedule" else value,)


def _zone(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidCronJob("timeZone", f"timeZone must be a name such as Europe/Berlin, not {type(value).__name__[:40]}")
    return value


def _time(fields: dict[str, Any], name: str) -> datetime | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
            raise ValueError(value)
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        was = f", not {quoted(value)}" if isinstance(value, str) else ""
        sentence = f"{name} must be a time with its zone such as 2027-01-01T00:00:00Z or 2027-01-01T01:00:00+01:00{was}"
        raise InvalidCronJob(name, sentence) from error


def _daylight_saving(value: object) -> DaylightSaving:
    if value is None:
        return NOTHING_CHOSEN
    if not isinstance(value, dict):
        raise InvalidCronJob("daylightSaving", "daylightSaving must be an object with gap, repeat or both")
    return DaylightSaving(_choice(value.get("gap"), "gap", Gap), _choice(value.get("repeat"), "repeat", Repeat))


def _choice(value: object, name: str, kind: type[E]) -> E | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in list(kind):
        field = f"daylightSaving.{name}"
        raise InvalidCronJob(field, f"{field} must be one of {', '.join(kind)}")
    return kind(value)
