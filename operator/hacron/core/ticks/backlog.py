"""The newest ticks of a range, oldest first, without a walk through all of it: an outage may have been long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from hacron.core.ticks.calendar import Calendar


def newest(schedule: Calendar, after: datetime, until: datetime, at_most: int) -> list[datetime]:
    """Return the newest ticks with after < tick <= until, oldest first. With `@every`, ticks are counted from `after`."""

    def ticks(begin: datetime) -> Iterator[datetime]:
        tick = schedule.next_after(begin, base=after)
        while tick is not None and tick <= until:
            yield tick
            tick = schedule.next_after(tick, base=after)

    def look(begin: datetime) -> list[datetime]:
        return list(islice(ticks(begin), at_most + 1))

    back = timedelta(minutes=at_most)
    begin, too_late = max(after, until - back), until
    found = look(begin)
    while len(found) < at_most and begin > after:
        back *= 2
        begin, too_late = max(after, until - back), begin
        found = look(begin)
    while len(found) > at_most:  # two ticks are at least a second apart: some instant between has just enough behind it
        middle = begin + (too_late - begin) / 2
        tried = look(middle)
        if len(tried) < at_most:
            too_late = middle
        else:
            begin, found = middle, tried
    return found
