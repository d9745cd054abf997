"""Time zones: a name → spans of constant UTC offset.

All zones come from the pinned tzdata package, never from the files of the system: two replicas that disagree
about a zone would disagree about a tick.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]  # has no types, and is one string

from hacron.core.ticks.cronfields import InvalidSchedule, quoted

DEFAULT_ZONE = "Etc/UTC"
FIRST_YEAR, LAST_YEAR = 2, 9980  # room at both ends of datetime for offsets, and for croniter to look ahead

# How far apart to probe for changes of the offset. Two changes that undo each other within one stride would
# be missed; in tzdata 2026f none are closer than 6.9 days (Gaza, 2040). A test checks each new tzdata.
STRIDE = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time with one offset; it ends where the offset changes or the year does."""

    begin: datetime
    end: datetime  # not in the span
    offset: timedelta
    also: timedelta | None = None  # a second wall clock that counts here, not yet put forward (see daylight.py)


class Zone:
    """One time zone; get it from zone()."""

    def __init__(self, name: str, info: ZoneInfo) -> None:
        self.name = name
        self.info = info

    def offset(self, instant: datetime) -> timedelta:
        """Give local time minus UTC at an instant."""
        offset = instant.astimezone(self.info).utcoffset()
        assert offset is not None  # a ZoneInfo always knows
        return offset

    def year(self, year: int) -> tuple[Span, ...]:
        """Give the spans of a year of UTC, FIRST_YEAR to LAST_YEAR."""
        return _year(self, year)

    def spans(self, after: datetime, until: datetime) -> Iterator[Span]:
        """Give the spans that hold an instant with after < instant <= until, in order, uncut."""
        for year in range(max(after.year, FIRST_YEAR), min(until.year, LAST_YEAR) + 1):
            for span in self.year(year):
                if span.begin > until:
                    return
                if span.end > after:
                    yield span


def tzdata_version() -> str:
    """Give the version of the time zone database in use, as IANA names it, such as "2026f"."""
    version: str = tzdata.IANA_VERSION
    return version


def zone(name: str) -> Zone:
    """Look a zone up by its exact name in the zone database. Raises InvalidSchedule."""
    if not name:
        raise _invalid("must not be empty; leave it out for UTC, or use a name such as Europe/Berlin")
    if name.lower() == "local":
        raise _invalid(f"{quoted(name)} is not allowed; use a name such as Europe/Berlin or Etc/UTC")
    # Membership is stricter than what Kubernetes asks of the form of a name, and keeps "America" (a folder),
    # "../x" and other spellings of upper and lower case away from the file system.
    if name not in _names():
        raise _invalid(f"{quoted(name)} is not in the time zone database; use a name such as Europe/Berlin or Etc/UTC")
    return _load(name)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())


@cache  # bounded by _names()
def _load(name: str) -> Zone:
    with (resources.files("tzdata") / "zoneinfo" / name).open("rb") as file:
        return Zone(name, ZoneInfo.from_file(file, key=name))


@lru_cache(maxsize=8192)
def _year(zone: Zone, year: int) -> tuple[Span, ...]:
    begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    spans = []
    offset = zone.offset(begin)
    left = begin
    while left < end:
        right = min(left + STRIDE, end - timedelta(seconds=1))
        if zone.offset(right) != offset:
            change = _change(zone, left, right)
            spans.append(Span(begin, change, offset))
            begin, offset = change, zone.offset(change)
        left += STRIDE
    spans.append(Span(begin, end, offset))
    return tuple(spans)


def _change(zone: Zone, left: datetime, right: datetime) -> datetime:
    """Find the first instant, to the second, whose offset is no longer that of left."""
    before = zone.offset(left)
    while right - left > timedelta(seconds=1):
        middle = left + timedelta(seconds=(right - left) // timedelta(seconds=2))
        if zone.offset(middle) == before:
            left = middle
        else:
            right = middle
    return right


def _invalid(reason: str) -> InvalidSchedule:
    return InvalidSchedule("timeZone", reason)
