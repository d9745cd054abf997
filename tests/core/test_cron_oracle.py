"""Ticks against a slow oracle that shares nothing with the product.

The oracle walks through every minute of UTC and reads the wall clock. Windows lie where clocks change.
"""

from __future__ import annotations

import random
from datetime import datetime

import pytest

from hacron.core.ticks.cron import parse
from tests.core.near_changes import DAY, MINUTE, WINDOW, WINDOWS, expression, instant_in, walk
from tests.testbed.oracle import Oracle, zone


@pytest.mark.parametrize(("name", "change"), WINDOWS, ids=[f"{name} {day:%Y-%m-%d}" for name, day in WINDOWS])
def test_ticks_are_those_of_a_walk_through_every_minute(name: str, change: datetime) -> None:
    pick = random.Random(f"{name} {change}")
    begin = change - 1.5 * DAY
    clock = [(begin + n * MINUTE, (begin + n * MINUTE).astimezone(zone(name))) for n in range(1, WINDOW // MINUTE + 1)]
    end = clock[-1][0]
    for _ in range(16):
        text = expression(pick, pick.choice(clock)[1])
        oracle, schedule = Oracle(text), parse(text, name)
        expected = [instant for instant, local in clock if oracle.matches(local)]

        assert walk(schedule, begin, end) == expected, text

        for _ in range(4):
            after, until = sorted((instant_in(clock, pick), instant_in(clock, pick)))
            between = [tick for tick in expected if after < tick <= until]
            assert schedule.latest(after, until) == (between[-1] if between else None), (text, after, until)
            assert schedule.count(after, until, at_most=30) == min(30, len(between)), (text, after, until)
