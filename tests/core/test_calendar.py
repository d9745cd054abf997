"""Several schedules, and from when until when: unions, bounds, equality."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hacron.core.ticks.calendar import Calendar, calendar
from hacron.core.ticks.cron import InvalidSchedule, parse
from hacron.core.ticks.daylight import NOTHING_CHOSEN, DaylightSaving, Gap, Repeat

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bounded(*texts: str, start: str | None = None, end: str | None = None, zone: str | None = None) -> Calendar:
    return calendar(texts, zone, NOTHING_CHOSEN, utc(start) if start else None, utc(end) if end else None)


def ticks(of: Calendar, after: str, at_most: int = 50) -> list[str]:
    found: list[str] = []
    tick = of.next_after(utc(after))
    while tick is not None and len(found) < at_most:
        found.append(tick.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00"))
        tick = of.next_after(tick)
    return found


def agrees(of: Calendar, after: str, until: str) -> list[str]:
    """The ticks of a range, on which next_after, latest and count agree."""
    found = [tick for tick in ticks(of, after, 500) if tick <= until]
    latest = of.latest(utc(after), utc(until))
    assert (latest and latest.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")) == (found[-1] if found else None)
    assert of.count(utc(after), utc(until), at_most=1000) == len(found)
    return found


# One schedule without bounds


@pytest.mark.parametrize("text", ["*/15 9-17 * * mon-fri", "0 0 29 2 *", "0 0 30 2 *", "@every 90m"])
def test_one_schedule_without_bounds_is_that_schedule(text: str) -> None:
    alone, schedule = calendar((text,), NEW_YORK), parse(text, NEW_YORK)
    after, until = utc("2026-05-05 10:00:01"), utc("2031-07-05")

    assert alone.next_after(after) == schedule.next_after(after)
    assert alone.next_after(after, base=utc("2026-05-05")) == schedule.next_after(after, base=utc("2026-05-05"))
    assert alone.latest(after, until) == schedule.latest(after, until)
    assert alone.count(after, until) == schedule.count(after, until)
    assert (alone.text, alone.canonical, alone.time_zone) == (text, schedule.canonical, NEW_YORK)
    assert alone._ticks is schedule.ticks, "asking the calendar costs what asking the schedule costs"


# Several


def test_an_instant_that_several_name_is_one_tick() -> None:
    both = calendar(("0 */2 * * *", "0 */3 * * *"))

    assert agrees(both, "2026-05-05", "2026-05-05 12:00") == [f"2026-05-05 {hour:02}:00" for hour in (2, 3, 4, 6, 8, 9, 10, 12)]


def test_different_times_on_different_days() -> None:
    shop = calendar(("0 9 * * mon-fri", "30 10 * * sat"), "Europe/Prague")

    assert ticks(shop, "2026-05-07", 4) == ["2026-05-07 07:00", "2026-05-08 07:00", "2026-05-09 08:30", "2026-05-11 07:00"]
    assert shop.text == "0 9 * * mon-fri; 30 10 * * sat"


def test_one_that_never_fires_adds_nothing() -> None:
    assert calendar(("0 0 30 2 *", "@daily")) == calendar(("@daily",))
    assert calendar(("0 0 30 2 *", "0 0 31 4 *")).canonical == "never"
    assert agrees(calendar(("0 0 30 2 *", "0 0 31 4 *")), "2026-05-05", "2036-05-05") == []


def test_counting_several_stops_where_it_is_told_to() -> None:
    every_minute = calendar(("*/2 * * * *", "1/2 * * * *"))

    assert every_minute.count(utc("2026-05-05"), utc("2026-05-06")) == 101
    assert every_minute.count(utc("2026-05-05"), utc("2026-05-06"), at_most=0) == 0
    assert every_minute.count(utc("2026-05-05"), utc("2026-05-06"), at_most=9999) == 1440


def test_every_stands_alone() -> None:
    with pytest.raises(InvalidSchedule, match=r"^schedules\[1\]: @every .* must stand alone, in schedule$"):
        calendar(("@daily", "@every 5m"))


def test_what_is_wrong_with_one_of_several_names_it() -> None:
    with pytest.raises(InvalidSchedule, match=r"^schedules\[1\]: hour '24' is out of range; use 0-23$") as caught:
        calendar(("@daily", "0 24 * * *"))
    assert caught.value.field == "schedules[1]"
    with pytest.raises(InvalidSchedule, match=r"^timeZone: 'Mars' is not in the time zone database"):
        calendar(("@daily", "@hourly"), "Mars")


# Bounds


def test_both_bounds_are_within() -> None:
    hourly = bounded("0 * * * *", start="2026-05-05 10:00", end="2026-05-05 12:00")

    assert agrees(hourly, "2020-01-01", "2030-01-01") == ["2026-05-05 10:00", "2026-05-05 11:00", "2026-05-05 12:00"]
    assert agrees(hourly, "2026-05-05 10:00", "2026-05-05 11:59") == ["2026-05-05 11:00"]
    assert agrees(hourly, "2026-05-05 12:00", "2030-01-01") == []
    assert agrees(hourly, "2020-01-01", "2026-05-05 09:59:59") == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-05-05 10:00:00.000001", None, ["2026-05-05 10:01"]),
        ("2026-05-05 10:00:00", "2026-05-05 10:00:00", ["2026-05-05 10:00"]),
        ("2026-05-05 10:00:00", "2026-05-05 10:00:59.999999", ["2026-05-05 10:00"]),
        ("2026-05-05 10:00:01", "2026-05-05 10:00:59", []),
    ],
)
def test_bounds_are_exact_to_the_microsecond(start: str, end: str | None, expected: list[str]) -> None:
    assert agrees(bounded("* * * * *", start=start, end=end), "2026-05-05", "2026-05-05 10:01") == expected


def test_never_within_five_years_counts_from_the_start() -> None:
    assert ticks(bounded("0 0 1 1 *", start="2046-06-01"), "2026-05-05", 1) == ["2047-01-01 00:00"]


def test_every_begins_with_the_start_and_goes_on_from_there() -> None:
    hourly = bounded("@every 1h", start="2026-05-05 10:00", end="2026-05-05 12:59")

    assert agrees(hourly, "2026-05-04 09:37:12", "2026-05-06") == ["2026-05-05 10:00", "2026-05-05 11:00", "2026-05-05 12:00"]
    assert hourly.next_after(utc("2026-05-05 10:30"), base=utc("2026-05-01")) == utc("2026-05-05 11:00")
    assert ticks(hourly, "2026-05-05 10:37") == ["2026-05-05 11:37", "2026-05-05 12:37"], "after the start it is as ever"
    assert ticks(bounded("@every 1h", start="2026-05-05 10:00:00.5"), "2026-05-05", 1) == ["2026-05-05 10:00:01"]


def test_bounds_hold_for_several() -> None:
    both = bounded("0 9 * * *", "0 17 * * *", start="2026-05-05 10:00", end="2026-05-06 16:59")

    assert agrees(both, "2026-01-01", "2026-12-31") == ["2026-05-05 17:00", "2026-05-06 09:00"]


@pytest.mark.parametrize("text", ["* * * * *", "@every 2562047h", "0 0 29 2 *"])
@pytest.mark.parametrize("at", ["0001-01-01", "9980-01-01", "9999-01-01", "9999-12-31 23:59:59.999999"])
def test_no_bound_is_too_early_or_too_late(text: str, at: str) -> None:
    bound, first, last = utc(at), datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for start, end in ((bound, None), (None, bound), (bound, bound)):
        clipped = calendar((text,), "Pacific/Kiritimati", NOTHING_CHOSEN, start, end)
        for instant in (first, utc("2026-05-05"), last):
            tick = clipped.next_after(instant)
            assert tick is None or tick > instant
            assert clipped.latest(first, instant) is None or clipped.count(first, instant) > 0


# Values


def test_what_means_the_same_is_equal() -> None:
    assert calendar(("0 9 * * *", "@daily"), NEW_YORK) == calendar(("00 0 * * *", "0 +9 * * ?", "@daily"), NEW_YORK)
    assert hash(calendar(("0 9 * * *", "@daily"))) == hash(calendar(("@daily", "0 9 * * *")))
    assert calendar(("@daily",), NEW_YORK) != calendar(("@daily",))
    assert calendar(("@daily",)) != calendar(("@daily", "@hourly"))
    assert bounded("@daily", start="2026-05-05") == bounded("@daily", start="2026-05-04 23:59:59.9")
    assert bounded("@daily", start="2026-05-05") != bounded("@daily", start="2026-05-06")
    assert bounded("@daily", start="2026-05-05") != bounded("@daily", end="2026-05-05")


def test_choosing_what_is_done_anyway_is_no_difference() -> None:
    def choosing(gap: Gap | None = None, repeat: Repeat | None = None, text: str = "@daily") -> Calendar:
        return calendar((text,), NEW_YORK, DaylightSaving(gap, repeat))

    assert choosing() == choosing(Gap.SKIP) == choosing(Gap.SKIP, Repeat.BOTH)
    assert choosing() != choosing(Gap.SHIFT_FORWARD)
    assert choosing() != choosing(repeat=Repeat.FIRST) != choosing(repeat=Repeat.LAST)
    assert choosing(text="@every 5m") == choosing(Gap.SHIFT_FORWARD, Repeat.FIRST, text="@every 5m")


def test_the_same_words_are_the_same_object() -> None:
    assert bounded("@daily", start="2026-05-05") is bounded("@daily", start="2026-05-05")


def test_an_instant_in_no_zone_is_our_own_mistake() -> None:
    bad, good = datetime(2026, 5, 5), utc("2026-05-05")  # noqa: DTZ001
    for of in (calendar(("@daily",)), bounded("@daily", "@hourly", start="2026-05-05")):
        for call in (lambda of=of: of.next_after(bad), lambda of=of: of.latest(bad, good), lambda of=of: of.count(good, bad)):
            with pytest.raises(ValueError, match="in no time zone"):
                call()


def test_twenty_busy_schedules_cost_one_search_each_not_one_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = calendar(tuple(f"{n}/20 * * * *" for n in range(20)), NEW_YORK)
    kind = type(busy.schedules[0].ticks)
    searches = []
    first = kind.first
    monkeypatch.setattr(kind, "first", lambda self, after, until: searches.append(after) or first(self, after, until))

    assert busy.count(utc("2026-05-05"), utc("2027-05-05")) == 101
    assert len(searches) <= 20 + 101
    assert busy.latest(utc("2026-05-05"), utc("2027-05-05") + timedelta(seconds=30)) == utc("2027-05-05")
    assert len(searches) <= 20 + 101 + 20 * 40
