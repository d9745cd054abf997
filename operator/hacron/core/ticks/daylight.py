"""What becomes of local times that a change of clocks leaves out or repeats: what users may choose, and how a zone then looks.

The default is what CronJob does, and is the zone as it is. Every other choice is a zone whose spans are cut or have a second wall
clock, so that a search for ticks need not know of it. Any shift counts, not only that of daylight saving.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from hacron.core.ticks.cronzone import FIRST_YEAR, LAST_YEAR, Span, Zone


class Gap(StrEnum):
    """What becomes of a local time that does not exist."""

    SKIP = "Skip"
    SHIFT_FORWARD = "ShiftForward"  # it fires as if the clocks had not been moved yet: later by the length of the gap


class Repeat(StrEnum):
    """Which of the two instants of a local time that happens twice counts."""

    FIRST = "First"
    LAST = "Last"
    BOTH = "Both"


class DaylightSaving(NamedTuple):
    """What the user has chosen; None is "nothing", and does what CronJob does."""

    gap: Gap | None = None
    repeat: Repeat | None = None

    @property
    def in_effect(self) -> DaylightSaving:
        """What is done, whether chosen or not."""
        return DaylightSaving(self.gap or Gap.SKIP, self.repeat or Repeat.BOTH)


NOTHING_CHOSEN = DaylightSaving()
AS_CRONJOB = NOTHING_CHOSEN.in_effect


@lru_cache(maxsize=4096)
def seen_through(zone: Zone, daylight: DaylightSaving) -> Zone:
    """Give the zone as it looks under this choice."""
    return zone if daylight.in_effect == AS_CRONJOB else _Chosen(zone, daylight)


class _Chosen(Zone):
    """A zone in which a local time may have been given to another instant, or taken from one."""

    def __init__(self, zone: Zone, daylight: DaylightSaving) -> None:
        super().__init__(zone.name, zone.info)
        self._zone = zone
        self._daylight = daylight

    def year(self, year: int) -> tuple[Span, ...]:
        return _year(self._zone, year, self._daylight)


@lru_cache(maxsize=8192)
def _year(zone: Zone, year: int, daylight: DaylightSaving) -> tuple[Span, ...]:
    # Years are where spans are cut, not where clocks change: what a change moves may lie beyond the year's end.
    begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    around = joined([span for near in (year - 1, year, year + 1) if FIRST_YEAR <= near <= LAST_YEAR for span in zone.year(near)])
    cut = [
        Span(max(span.begin, begin), min(span.end, end), span.offset, span.also)
        for before, at, after in zip([None, *around], around, [*around[1:], None], strict=False)
        for span in _adjusted(before, at, after, daylight)
    ]
    return tuple(span for span in cut if span.begin < span.end)


def joined(spans: list[Span]) -> list[Span]:
    """Put spans together that only the end of a year has cut, so that clocks change between any two."""
    whole: list[Span] = []
    for span in spans:
        if whole and whole[-1].offset == span.offset:
            whole[-1] = Span(whole[-1].begin, span.end, span.offset)
        else:
            whole.append(span)
    return whole


def _adjusted(before: Span | None, span: Span, after: Span | None, daylight: DaylightSaving) -> list[Span]:
    begin, end, first = span.begin, span.end, []
    if before is not None and span.offset > before.offset and daylight.gap is Gap.SHIFT_FORWARD:
        begin += span.offset - before.offset
        first = [Span(span.begin, begin, span.offset, also=before.offset)]
    if before is not None and span.offset < before.offset and daylight.repeat is Repeat.FIRST:
        begin += before.offset - span.offset
    if after is not None and after.offset < span.offset and daylight.repeat is Repeat.LAST:
        end -= span.offset - after.offset
    return [*first, Span(begin, end, span.offset)]
