"""The judge's ticks are those of the product's schedules; and the judge says so when it cannot say when something fires."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from hacron.core.ticks.calendar import calendar
from tests.scenarios import ticks
from tests.scenarios.script import spec
from tests.scenarios.world import NOON
from tests.simulation.draw import draw

IN_STORIES = ("* * * * *", "*/2 * * * *", "@every 7s", "@every 20s", "@every 30s")
FURTHER = ("1,2 12 * * *", "58-59 23 24 11 *", "*/7 0,23 * 11-12 2", "0 0 1 * 3", "@every 90s")
HOUR = timedelta(hours=1)


def by_the_product(schedule: str, after: datetime, until: datetime, base: datetime) -> list[datetime]:
    due = calendar((schedule,))
    found, at = [], due.next_after(after, base=base)
    while at is not None and at <= until:
        found.append(at)
        at = due.next_after(at, base=base)
    return found


@pytest.mark.parametrize("schedule", [*IN_STORIES, *FURTHER])
def test_ticks_are_those_of_the_product(schedule: str) -> None:
    dice = random.Random(schedule)
    for _ in range(20):
        known, after, until = sorted(NOON + dice.uniform(-12, 24) * HOUR for _ in range(3))
        assert ticks.between(schedule, after, until, known) == by_the_product(schedule, after, until, known)
    begin = NOON + 12 * HOUR  # itself is no tick, the end is one
    for end in (begin, begin + HOUR):
        assert ticks.between(schedule, begin, end, begin) == by_the_product(schedule, begin, end, begin)


def test_what_came_before_a_tick_that_is_known_is_a_tick_too() -> None:
    found = ticks.between("@every 20s", NOON, NOON + timedelta(seconds=65), known=NOON + timedelta(seconds=50.4))
    assert found == [NOON + timedelta(seconds=second) for second in (10, 30, 50)]


@pytest.mark.parametrize(
    "words",
    [
        {"schedule": "@hourly"},
        {"schedule": "@every 1h"},
        {"schedule": "0 2 * * MON"},
        {"schedule": "TZ=Europe/Berlin 0 2 * * *"},
        {"schedule": "0 2 * * *", "zone": "Europe/Berlin"},
        {"schedule": "0 2 * * *", "repeat": "First"},
        {"schedule": "* * * * *", "start": "12:10:00"},
        {"schedule": "* * * * *", "end": "12:10:00"},
        {"schedules": "0 2 * * *;0 3 * * *"},
        {"hashed": "H * * * *"},
    ],
    ids=str,
)
def test_what_the_judge_cannot_say_is_told(words: Mapping[str, str]) -> None:
    with pytest.raises(ValueError, match="the judge cannot say when this fires"):
        ticks.schedule_of(spec(dict(words)))


def test_schedules_of_stories_are_those_that_were_compared() -> None:
    told = [act.what for seed in range(100) for act in draw(seed).acts if " is applied in " in act.what]
    schedules = {what.split("schedule=")[1].split(", ")[0] for what in told}
    assert schedules == {*IN_STORIES, "nonsense"}
