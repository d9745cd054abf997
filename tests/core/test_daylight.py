"""What users may choose for local times that a change of clocks leaves out or repeats. The default is in test_cron.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hacron.core.ticks.cron import parse
from hacron.core.ticks.cronzone import zone
from hacron.core.ticks.daylight import AS_CRONJOB, DaylightSaving, Gap, Repeat, seen_through

SHIFTED = DaylightSaving(gap=Gap.SHIFT_FORWARD)
FIRST, LAST = DaylightSaving(repeat=Repeat.FIRST), DaylightSaving(repeat=Repeat.LAST)
NEW_YORK, LORD_HOWE, CHATHAM, SAO_TOME = "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Africa/Sao_Tome"
HOURS = [f"{hour:02}:00" for hour in range(24)]


def times(text: str, name: str, choice: DaylightSaving, day: str) -> list[str]:
    """The ticks within a day of UTC."""
    schedule, begin = parse(text, name, choice), datetime.fromisoformat(day).replace(tzinfo=UTC)
    found = []
    tick = schedule.next_after(begin - timedelta(microseconds=1))
    while tick is not None and tick < begin + timedelta(days=1):
        found.append(tick.strftime("%H:%M"))
        tick = schedule.next_after(tick)
    assert schedule.count(begin - timedelta(microseconds=1), begin + timedelta(hours=23, minutes=59), at_most=2000) == len(found)
    return found


@pytest.mark.parametrize(
    ("text", "name", "day", "expected"),
    [
        # New York: 10 March 2024 07:00 UTC, 02:00 → 03:00.
        ("30 2 * * *", NEW_YORK, "2024-03-10", ["07:30"]),  # 03:30
        ("0 2 * * *", NEW_YORK, "2024-03-10", ["07:00"]),
        ("59 2 * * *", NEW_YORK, "2024-03-10", ["07:59"]),
        ("0 3 * * *", NEW_YORK, "2024-03-10", ["07:00"]),
        ("0 2,3 * * *", NEW_YORK, "2024-03-10", ["07:00"]),  # both at one instant: one tick
        ("0,30 2-3 * * *", NEW_YORK, "2024-03-10", ["07:00", "07:30"]),
        ("30 2,4 * * *", NEW_YORK, "2024-03-10", ["07:30", "08:30"]),
        ("45 1-2 * * *", NEW_YORK, "2024-03-10", ["06:45", "07:45"]),
        ("0 * * * *", NEW_YORK, "2024-03-10", HOURS),
        ("30 2 * * *", NEW_YORK, "2024-03-11", ["06:30"]),
        ("30 2 10 3 *", NEW_YORK, "2024-03-10", ["07:30"]),
        ("30 1 * * *", NEW_YORK, "2024-11-03", ["05:30", "06:30"]),  # a repeat is not touched
        # Lord Howe: 5 October 2024 15:30 UTC, 02:00 → 02:30.
        ("0 2 * * *", LORD_HOWE, "2024-10-05", ["15:30"]),
        ("15,45 2 * * *", LORD_HOWE, "2024-10-05", ["15:45"]),  # 02:15 becomes 02:45
        ("10 2 * * *", LORD_HOWE, "2024-10-05", ["15:40"]),
        # Chatham: 28 September 2024 14:00 UTC, 02:45 → 03:45.
        ("45 2 * * *", CHATHAM, "2024-09-28", ["14:00"]),
        ("44 3 * * *", CHATHAM, "2024-09-28", ["14:59"]),
        # Midnight is missing: Beirut 30 March 2024 22:00 UTC.
        ("0 0 31 3 *", "Asia/Beirut", "2024-03-30", ["22:00"]),
        # A day is missing: Samoa, 30 December 2011. What was due on it is due on the 31st too, a day later.
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-30", ["19:00"]),
        ("0 9 * * *", "Pacific/Apia", "2011-12-30", ["19:00"]),
        # Two and three hours at once.
        ("30 1 * * *", "America/St_Johns", "1988-04-03", ["05:00"]),  # 00:01 → 02:01: 03:30
        ("59 2 1 1 *", "America/Danmarkshavn", "1996-01-01", ["05:59"]),
        # The gap goes over the end of a year of UTC.
        ("0 9 * * *", "Pacific/Kiritimati", "1995-01-01", ["19:00"]),
    ],
)
def test_what_does_not_exist_fires_as_if_clocks_had_not_been_moved_yet(
    text: str, name: str, day: str, expected: list[str]
) -> None:
    assert times(text, name, SHIFTED, day) == expected


@pytest.mark.parametrize(
    ("text", "name", "day", "first", "last"),
    [
        # New York: 3 November 2024 06:00 UTC, 02:00 → 01:00.
        ("30 1 * * *", NEW_YORK, "2024-11-03", ["05:30"], ["06:30"]),
        ("0 1 * * *", NEW_YORK, "2024-11-03", ["05:00"], ["06:00"]),
        ("59 1 * * *", NEW_YORK, "2024-11-03", ["05:59"], ["06:59"]),
        ("59 0 * * *", NEW_YORK, "2024-11-03", ["04:59"], ["04:59"]),
        ("0 2 * * *", NEW_YORK, "2024-11-03", ["07:00"], ["07:00"]),
        ("*/30 1-2 * * *", NEW_YORK, "2024-11-03", ["05:00", "05:30", "07:00", "07:30"], ["06:00", "06:30", "07:00", "07:30"]),
        ("0 * * * *", NEW_YORK, "2024-11-03", [h for h in HOURS if h != "06:00"], [h for h in HOURS if h != "05:00"]),
        ("30 2 * * *", NEW_YORK, "2024-03-10", [], []),  # a gap is not touched
        # Lord Howe: 6 April 2024 15:00 UTC, 02:00 → 01:30.
        ("30 1 * * *", LORD_HOWE, "2024-04-06", ["14:30"], ["15:00"]),
        ("0 2 * * *", LORD_HOWE, "2024-04-06", ["15:30"], ["15:30"]),
        ("29 1 * * *", LORD_HOWE, "2024-04-06", ["14:29"], ["14:29"]),
        # Over midnight: St John's 4 November 2007 02:31 UTC, 00:01 → 23:01 the day before.
        ("30 23 3 11 *", "America/St_Johns", "2007-11-04", ["02:00"], ["03:00"]),
        ("0 0 4 11 *", "America/St_Johns", "2007-11-04", ["02:30"], ["03:30"]),
        # Near the end of a year of UTC, and the two times on its two sides.
        ("30 23 31 12 *", "Africa/Tripoli", "1981-12-31", ["21:30"], ["22:30"]),
        ("30 23 31 12 *", "Africa/Casablanca", "1985-12-31", ["22:30"], ["23:30"]),
        ("30 1 1 1 *", SAO_TOME, "2019-01-01", ["00:30"], ["01:30"]),
        ("0 1 1 1 *", SAO_TOME, "2019-01-01", ["00:00"], ["01:00"]),
    ],
)
def test_what_happens_twice_fires_once(text: str, name: str, day: str, first: list[str], last: list[str]) -> None:
    assert times(text, name, FIRST, day) == first
    assert times(text, name, LAST, day) == last


def test_without_a_choice_the_zone_is_as_it_is() -> None:
    berlin = zone("Europe/Berlin")

    assert seen_through(berlin, DaylightSaving()) is berlin
    assert seen_through(berlin, AS_CRONJOB) is berlin
    assert seen_through(berlin, SHIFTED) is not berlin
