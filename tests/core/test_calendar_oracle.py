"""Calendars against a slow oracle that shares nothing with the product: daylightSaving, several schedules, bounds.

The oracle walks through every minute that a wall clock could show, and asks Python when it does. Windows lie where clocks change.
"""

from __future__ import annotations

import random
from datetime import datetime
from itertools import product

import pytest

from hacron.core.ticks.calendar import calendar
from hacron.core.ticks.daylight import DaylightSaving, Gap, Repeat
from tests.core.near_changes import DAY, MINUTE, NEW_YEAR, WINDOWS, expression, instant_in, walk
from tests.testbed.oracle import Oracle, instants

CHOICES = [DaylightSaving(gap, repeat) for gap, repeat in product(Gap, Repeat)]
AROUND = 0.75 * DAY  # both sides of the day of the change
FURTHER = 0.6 * DAY  # no wall clock is further from UTC


class LocalMinutes:
    """Every minute that the wall clock of a zone could show around a window, and when it does under a choice."""

    def __init__(self, name: str, choice: DaylightSaving, begin: datetime, end: datetime) -> None:
        self._name, self._choice, self._begin, self._end = name, choice, begin, end
        self.all = [(begin - FURTHER + n * MINUTE).replace(tzinfo=None) for n in range((end - begin + 2 * FURTHER) // MINUTE)]
        self._when: dict[datetime, list[datetime]] = {}

    def ticks(self, text: str) -> set[datetime]:
        oracle = Oracle(text)
        return {tick for local in self.all if oracle.matches(local) for tick in self._instants(local)}

    def _instants(self, local: datetime) -> list[datetime]:
        if local not in self._when:
            found = instants(local, self._name, *self._choice)
            self._when[local] = [tick for tick in found if self._begin < tick <= self._end]
        return self._when[local]


@pytest.mark.parametrize(("name", "change"), WINDOWS, ids=[f"{name} {day:%Y-%m-%d}" for name, day in WINDOWS])
def test_ticks_are_those_of_a_walk_through_every_local_minute(name: str, change: datetime) -> None:
    pick = random.Random(f"{name} {change}")
    begin, end = change - AROUND, change + AROUND + DAY
    clock = [(begin + n * MINUTE, begin) for n in range((end - begin) // MINUTE)]
    for choice in CHOICES * 2 if (name, f"{change:%Y-%m-%d}") in NEW_YEAR else pick.sample(CHOICES, 2):
        minutes = LocalMinutes(name, choice, begin, end)
        texts = [expression(pick, pick.choice(minutes.all)) for _ in range(pick.choice([1, 1, 3]))]
        bounds = sorted(instant_in(clock, pick) for _ in range(2))
        start, stop = (pick.choice([None, bound]) for bound in bounds)
        due = calendar(tuple(texts), name, choice, start, stop)
        ticks = sorted(set().union(*map(minutes.ticks, texts)))
        expected = [tick for tick in ticks if (start or begin) <= tick <= (stop or end)]

        assert walk(due, begin, end) == expected, (texts, choice, start, stop)

        for _ in range(3):
            after, until = sorted(instant_in(clock, pick) for _ in range(2))
            between = [tick for tick in expected if after < tick <= until]
            assert due.latest(after, until) == (between[-1] if between else None), (texts, choice, start, stop, after, until)
            assert due.count(after, until, at_most=30) == min(30, len(between)), (texts, choice, start, stop, after, until)
