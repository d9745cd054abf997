"""Where clocks change, and expressions that have something to do with it: for the tests against a slow oracle."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from importlib import resources

from tests.testbed.oracle import zone

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
# Where the change, or what it moves, lies across the end of a year
NEW_YEAR = [
    ("Africa/Sao_Tome", "2018-01-01"),
    ("Africa/Sao_Tome", "2019-01-01"),
    ("Africa/Tripoli", "1981-12-31"),
    ("Africa/Casablanca", "1985-12-31"),
    ("Asia/Singapore", "1981-12-31"),
    ("Pacific/Kiritimati", "1994-12-31"),
    ("America/Danmarkshavn", "1996-01-01"),  # three hours forward
    ("America/Lima", "1986-01-01"),
    ("Pacific/Kosrae", "1998-12-31"),
]
ANYWHERE = 60  # more windows, at random changes in random zones


def windows() -> list[tuple[str, datetime]]:
    found = [(name, datetime.fromisoformat(day).replace(tzinfo=UTC)) for name, day in FAMOUS + NEW_YEAR]
    pick = random.Random(20240310)
    names = sorted((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())
    while len(found) < len(FAMOUS + NEW_YEAR) + ANYWHERE:
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
