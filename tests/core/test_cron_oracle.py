"""Ticks against a slow oracle that shares nothing with the product.

The oracle walks through every minute of UTC and reads the wall clock. Windows lie where clocks change.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest

from hacron.core.cron import parse
from tests.testbed.oracle import Oracle, zone

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WINDOW = 4 * DAY

# Where clocks change

FAMOUS = [
    ("America/New_York", "2024-03-10"),
    ("America/New_York", "2024-11-03"),
    ("Europe/London", "2025-03-30"),
    ("Australia/Lord_Howe", "2024-04-06"),
    ("Australia/Lord_Howe", "2024-10-05"),
    ("Pacific/Chatham", "2024-09-28"),
    ("Pacific/Chatham", "2024-04-06"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-20"),
    ("Pacific/Enderbury", "1994-12-31"),
    ("America/St_Johns", "2007-11-04"),
    ("America/St_Johns", "2008-03-09"),
    ("America/St_Johns", "1988-04-03"),  # two hours forward
    ("America/Caracas", "2016-05-01"),
    ("America/Caracas", "2007-12-09"),
    ("Asia/Pyongyang", "2015-08-14"),
    ("Asia/Pyongyang", "2018-05-04"),
    ("Asia/Kathmandu", "1985-12-31"),
    ("Asia/Beirut", "2024-03-30"),
    ("Africa/Cairo", "2024-04-25"),
    ("Asia/Tehran", "2021-03-21"),
    ("Asia/Gaza", "2040-10-26"),  # two changes in seven days
    ("Asia/Gaza", "2040-10-20"),
    ("Africa/Casablanca", "2024-03-10"),
    ("Africa/Casablanca", "2024-04-14"),
    ("Antarctica/Troll", "2024-03-31"),
    ("Antarctica/Casey", "2010-03-04"),
    ("America/Asuncion", "2024-10-06"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("Europe/Lisbon", "1992-09-27"),
    ("Etc/UTC", "2024-02-28"),
    ("Asia/Kolkata", "2023-12-30"),
]
ANYWHERE = 60  # more windows, at random changes in random zones


def windows() -> list[tuple[str, datetime]]:
    found = [(name, datetime.fromisoformat(day).replace(tzinfo=UTC)) for name, day in FAMOUS]
    pick = random.Random(20240310)
    names = sorted((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())
    while len(found) < len(FAMOUS) + ANYWHERE:
        name = pick.choice(names)
        start = datetime(pick.randrange(1973, 2060), 1, 1, tzinfo=UTC)  # until 1972 some offsets had seconds
        days = [start + n * DAY for n in range(366)]
        offsets = [day.astimezone(zone(name)).utcoffset() for day in days]
        changes = [day for day, before, after in zip(days, offsets, offsets[1:], strict=False) if before != after]
        if changes:
            found.append((name, pick.choice(changes)))
    return found


WINDOWS = windows()


# Expressions that have something to do with the window


def expression(pick: random.Random, near: datetime) -> str:
    return " ".join(
        [
            pick.choice(
                [
                    "0",
                    "30",
                    "45",
                    "15",
                    "59",
                    "*/30",
                    "*/7",
                    "0,29,30,31",
                    "40-50/5",
                    "?/20",
                    "1",
                    "58/1",
                    "*",
                ]
            ),
            pick.choice(
                [
                    "*",
                    "*/2",
                    "*/3",
                    "0",
                    "1",
                    "2",
                    "3",
                    "23",
                    "0,1,2,3",
                    "22-23,0-1",
                    "?",
                    "1-3",
                    "2/7",
                    hour(near, pick),
                ]
            ),
            pick.choice(
                [
                    "*",
                    "*",
                    "*/2",
                    "?",
                    "1-31",
                    "1/3",
                    "*/1",
                    "31,29",
                    "*,13",
                    day(near, pick),
                    day(near, pick),
                ]
            ),
            pick.choice(["*", "*", "?", "*/2", "1-12", str(near.month), near.strftime("%b"), "jan-jun", "OCT/1"]),
            pick.choice(["*", "*", "?", "1-5", "sun", "0,SAT", "*/2", "*/1", "mon-5", "0-6", str(pick.randrange(7))]),
        ]
    )


def hour(near: datetime, pick: random.Random) -> str:
    return str((near.hour + pick.randrange(-2, 3)) % 24)


def day(near: datetime, pick: random.Random) -> str:
    return str((near + pick.randrange(-1, 2) * DAY).day)


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


def walk(schedule, begin: datetime, end: datetime) -> list[datetime]:
    """The whole chain of ticks if they are few; if they are many, every single answer is not worth the time."""
    found = []
    tick = schedule.next_after(begin)
    while tick is not None and tick <= end:
        found.append(tick)
        tick = schedule.next_after(tick)
    return found


def instant_in(clock: list[tuple[datetime, datetime]], pick: random.Random) -> datetime:
    return pick.choice(clock)[0] + timedelta(microseconds=pick.choice([0, 0, 1, 30_000_000, 59_999_999]))
