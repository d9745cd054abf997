"""The fields of a spec that say when: what is taken, and the one sentence for what is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hacron.core.model import InvalidCronJob, key_of
from hacron.core.ticks.calendar import Calendar
from hacron.core.ticks.daylight import DaylightSaving, Gap, Repeat
from hacron.core.ticks.when import read

KEY = key_of("billing", "invoices")
SHIFTED, FIRST = Gap.SHIFT_FORWARD, Repeat.FIRST


def due(**fields: Any) -> Calendar:
    return read(KEY, fields)


def refusal(**fields: Any) -> tuple[str, str]:
    with pytest.raises(InvalidCronJob) as caught:
        read(KEY, fields)
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"schedule": "0 2 * * *"}, "0 2 * * *"),
        ({"schedule": "0 2 * * *", "schedules": None, "hashedSchedule": None}, "0 2 * * *"),
        ({"schedules": ["0 9 * * mon-fri", "30 10 * * sat"]}, "0 9 * * mon-fri; 30 10 * * sat"),
        ({"schedules": ["@every 5m"]}, "@every 5m"),
        ({"schedules": [f"{n} * * * *" for n in range(20)]}, "; ".join(f"{n} * * * *" for n in range(20))),
        ({"hashedSchedule": "H 2 * * *"}, "39 2 * * *"),
        ({"hashedSchedule": "0 2 * * *"}, "0 2 * * *"),
    ],
)
def test_one_of_three_fields_says_when(fields: dict[str, Any], text: str) -> None:
    assert due(**fields).text == text


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({}, "schedule", 'schedule is missing: write five fields such as "0 2 * * *"'),
        ({"schedule": None}, "schedule", "schedule is missing"),
        (
            {"schedule": "@daily", "schedules": ["@daily"]},
            "schedules",
            "schedule and schedules are set; exactly one of schedule, schedules, hashedSchedule must be",
        ),
        ({"schedule": "@daily", "hashedSchedule": ""}, "hashedSchedule", "schedule and hashedSchedule are set"),
        ({"schedule": 5}, "schedule", "schedule must be a text such as '0 2 * * *', not int"),
        ({"schedule": ["@daily"]}, "schedule", "not list"),
        ({"schedule": ""}, "schedule", "schedule: is empty; write five fields"),
        (
            {"schedule": "H 2 * * *"},
            "schedule",
            "schedule: minute 'H' is a hashed slot, which is not understood here; write it in h",
        ),
        ({"schedules": []}, "schedules", "schedules must be a list of 1 to 20 schedules"),
        ({"schedules": ["@daily"] * 21}, "schedules", "schedules must be a list of 1 to 20 schedules"),
        ({"schedules": "@daily"}, "schedules", "schedules must be a list"),
        ({"schedules": {"0": "@daily"}}, "schedules", "schedules must be a list"),
        ({"schedules": ["@daily", None]}, "schedules[1]", "schedules[1] must be a text"),
        ({"schedules": ["@daily", "* * * *"]}, "schedules[1]", "schedules[1]: '* * * *' has 4 fields; write five"),
        ({"schedules": ["H * * * *", "@daily"]}, "schedules[0]", "schedules[0]: minute 'H' is a hashed slot"),
        ({"schedules": ["60 * * * *"]}, "schedules[0]", "schedules[0]: minute '60' is out of range"),
        ({"schedules": ["@every 5m", "@daily"]}, "schedules[0]", "@every counts from its own last tick"),
        ({"hashedSchedule": 5}, "hashedSchedule", "hashedSchedule must be a text such as"),
        ({"hashedSchedule": "H H H"}, "hashedSchedule", "hashedSchedule: 'H H H' has 3 fields"),
        ({"hashedSchedule": "H 25 * * *"}, "hashedSchedule", "hashedSchedule: hour '25' is out of range; use 0-23"),
        ({"hashedSchedule": "@daily"}, "hashedSchedule", "hashedSchedule: '@daily' has no five fields"),
        ({"schedule": "@daily", "timeZone": 5}, "timeZone", "timeZone must be a name such as Europe/Berlin, not int"),
        ({"schedules": ["@daily"], "timeZone": "Mars"}, "timeZone", "timeZone: 'Mars' is not in the time zone database"),
        ({"hashedSchedule": "H * * * *", "timeZone": "Local"}, "timeZone", "timeZone: 'Local' is not allowed"),
        ({"schedule": "@daily", "daylightSaving": "Skip"}, "daylightSaving", "must be an object with gap, repeat or both"),
        (
            {"schedule": "@daily", "daylightSaving": {"gap": "skip"}},
            "daylightSaving.gap",
            "daylightSaving.gap must be one of Skip, ShiftForward",
        ),
        (
            {"schedule": "@daily", "daylightSaving": {"repeat": ["First"]}},
            "daylightSaving.repeat",
            "daylightSaving.repeat must be one of First, Last, Both",
        ),
        (
            {"schedule": "@daily", "startTime": 5},
            "startTime",
            "startTime must be a time with its zone such as 2027-01-01T00:00:00Z",
        ),
        (
            {"schedule": "@daily", "startTime": "2027-01-02T00:00:00Z", "endTime": "2027-01-01T23:59:59Z"},
            "endTime",
            "endTime must not be before startTime",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_field(fields: dict[str, Any], field: str, says: str) -> None:
    where, sentence = refusal(**fields)
    assert (where, says in sentence) == (field, True), sentence
    assert len(sentence) <= 200


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2027-01-01T00:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T01:30:00+01:30", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T19:00:00-05:00", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01t00:00:00z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T23:59:59.25Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_written_with_their_zone(text: str, instant: datetime) -> None:
    assert due(schedule="@daily", startTime=text).start == instant


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "2027-01-01", "2027-01-01T00:00:00", "2027-01-01T00:00Z", "20270101T000000Z", "2027-W01-1T00:00:00Z"),
        *("2027-13-01T00:00:00Z", "2027-02-29T00:00:00Z", "2027-01-01T24:00:00Z", "2027-01-01T00:00:00+24:00"),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z"),
        *("2027-01-01T00:00:00Z ", "２０２７-01-01T00:00:00Z", "2027-01-01T00:00:00Z\0", "9" * 100_000),
    ],
)
@pytest.mark.parametrize("field", ["startTime", "endTime"])
def test_other_times_are_not(field: str, text: str) -> None:
    where, sentence = refusal(schedule="@daily", **{field: text})
    assert where == field
    assert "must be a time with its zone such as" in sentence
    assert len(sentence) <= 260


def test_the_end_may_be_the_start() -> None:
    assert due(schedule="@daily", startTime="2027-01-01T00:00:00Z", endTime="2027-01-01T01:00:00+01:00").end is not None


def test_what_is_not_chosen_is_known_not_to_be_chosen() -> None:
    for fields, chosen in [
        ({}, DaylightSaving(None, None)),
        ({"daylightSaving": None}, DaylightSaving(None, None)),
        ({"daylightSaving": {}}, DaylightSaving(None, None)),
        ({"daylightSaving": {"gap": "ShiftForward"}}, DaylightSaving(SHIFTED, None)),
        ({"daylightSaving": {"gap": None, "repeat": "First"}}, DaylightSaving(None, FIRST)),
    ]:
        assert due(schedule="@daily", **fields).chosen == chosen
