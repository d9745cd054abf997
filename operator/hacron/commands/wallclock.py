"""What clocks on the wall show: local times, and where the clocks are moved. For eyes only: nothing is decided by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from hacron.core.ticks.cronzone import Zone

_INSTANT = timedelta(microseconds=1)
_FAR = timedelta(days=2)  # more than any offset, and than any shift


@dataclass(frozen=True, slots=True)
class Change:
    """An instant at which the clocks of a zone are moved."""

    at: datetime
    before: timedelta  # offset of local time from UTC
    after: timedelta

    @property
    def is_gap(self) -> bool:
        """Whether local times are left out, not repeated."""
        return self.after > self.before

    @property
    def old(self) -> datetime:
        """What the clock would have shown."""
        return self.at.replace(tzinfo=None) + self.before

    @property
    def new(self) -> datetime:
        """What it shows instead."""
        return self.at.replace(tzinfo=None) + self.after

    def leaves_out(self, wall: datetime) -> bool:
        return self.old <= wall < self.new


def local(zone: Zone, instant: datetime) -> datetime:
    """Return an instant in local time, with its offset."""
    return instant.astimezone(timezone(zone.offset(instant)))


def instants(zone: Zone, wall: datetime) -> list[datetime]:
    """Return the instants at which the clock shows this: none in a gap, two in a repeat."""
    dressed = wall.replace(tzinfo=UTC)
    found = {dressed - span.offset for span in zone.spans(dressed - _FAR, dressed + _FAR)}
    return sorted(each for each in found if each + zone.offset(each) == dressed)


def showings(zone: Zone, instant: datetime) -> list[datetime]:
    """Return all instants at which the clock shows what it shows at this one."""
    return instants(zone, (instant + zone.offset(instant)).replace(tzinfo=None))


def changes(zone: Zone, after: datetime, until: datetime) -> Iterator[Change]:
    """Give the changes with after < change <= until, in order."""
    before = None
    for span in zone.spans(after, until):
        if before is not None and span.offset != before and after < span.begin <= until:
            yield Change(span.begin, before, span.offset)
        before = span.offset


def offset_text(offset: timedelta) -> str:
    """Write an offset like +01:00; with seconds where a zone has them, before there was standard time."""
    seconds = int(offset.total_seconds())
    hours, rest = divmod(abs(seconds), 3600)
    text = f"{'-' if seconds < 0 else '+'}{hours:02}:{rest // 60:02}"
    return f"{text}:{rest % 60:02}" if rest % 60 else text


def date_text(wall: datetime) -> str:
    return f"{wall:%a} {wall.date().isoformat()}"


def clock_text(wall: datetime) -> str:
    return f"{wall:%H:%M:%S}" if wall.second else f"{wall:%H:%M}"


def local_text(when: datetime) -> str:
    """Write a local time as people read it: Sat 2026-03-28 09:00 +01:00."""
    offset = when.utcoffset()
    return f"{date_text(when)} {clock_text(when)}" + ("" if offset is None else f" {offset_text(offset)}")
