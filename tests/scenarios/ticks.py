"""At which instants the cronjobs of stories fire, worked out by the judge itself: it looks at every minute, in UTC, or counts on.

Anything else that a story might say of when to fire is refused, so that it does not pass unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from tests.testbed.oracle import Oracle

MINUTE = timedelta(minutes=1)
OTHER_WORDS = ("schedules", "hashedSchedule", "timeZone", "daylightSaving", "startTime", "endTime")
_EVERY = re.compile(r"@every ([1-9]\d*)s", re.ASCII)
_FIVE_FIELDS = re.compile(r"[\d*/,-]+(?: [\d*/,-]+){4}", re.ASCII)


def schedule_of(spec: Mapping[str, Any]) -> str:
    """Return what a spec that can be understood says of when to fire."""
    schedule = spec.get("schedule")
    others = [word for word in OTHER_WORDS if spec.get(word) is not None]
    if others or not isinstance(schedule, str) or not (_EVERY.fullmatch(schedule) or _FIVE_FIELDS.fullmatch(schedule)):
        raise ValueError(f"the judge cannot say when this fires: {', '.join([repr(schedule), *others])}")
    return schedule


def between(schedule: str, after: datetime, until: datetime, known: datetime) -> list[datetime]:
    """Return the ticks with after < tick <= until.

    `known`: with `@every`, an instant from which all others are whole intervals away: a tick, or what they are counted from.
    """
    every = _EVERY.fullmatch(schedule)
    if every is not None:
        return _apart(timedelta(seconds=int(every[1])), after, until, known.replace(microsecond=0))
    oracle, at, found = _oracle(schedule), after.replace(second=0, microsecond=0), []
    while (at := at + MINUTE) <= until:
        if oracle.matches(at):
            found.append(at)
    return found


def _apart(interval: timedelta, after: datetime, until: datetime, at: datetime) -> list[datetime]:
    found = []
    while at > after:
        at -= interval
    while (at := at + interval) <= until:
        if at > after:
            found.append(at)
    return found


@lru_cache(maxsize=100)
def _oracle(schedule: str) -> Oracle:
    return Oracle(schedule)
