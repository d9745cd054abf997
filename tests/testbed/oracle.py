"""Which minutes a cron expression means: a slow oracle that shares nothing with the product.

It looks whether the expression's text matches what the wall clock shows. It is right by being dull: no search, no sets, no
croniter.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

NAMES = {
    name: n for n, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
NAMES |= {name: n for n, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}


@cache
def zone(name: str) -> ZoneInfo:
    with (resources.files("tzdata") / "zoneinfo" / name).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def shows(field: str, value: int, highest: int) -> bool:
    return any(item_shows(item, value, highest) for item in field.split(",") if item)


def item_shows(item: str, value: int, highest: int) -> bool:
    lowest = 1 if highest in (31, 12) else 0
    bounds, step = ([*item.split("/"), "1"])[:2]
    if bounds[0] in "*?":
        low, high = lowest, highest
    elif "-" in bounds:
        low, high = map(number, bounds.split("-"))
    else:
        low = number(bounds)
        high = highest if "/" in item else low
    return low <= value <= high and (value - low) % int(step) == 0


def number(text: str) -> int:
    return NAMES[text.lower()] if text.isalpha() else int(text)


def has_star(field: str) -> bool:
    return any(item and item[0] in "*?" and int(([*item.split("/"), "1"])[1]) == 1 for item in field.split(","))


class Oracle:
    """Whether the wall clock of an expression shows one of its times, remembered by field and value."""

    def __init__(self, text: str) -> None:
        self.minute, self.hour, self.day, self.month, self.weekday = text.split()
        self.both = has_star(self.day) or has_star(self.weekday)
        self.minutes = [shows(self.minute, value, 59) for value in range(60)]
        self.hours = [shows(self.hour, value, 23) for value in range(24)]
        self.dates: dict[tuple[int, int, int], bool] = {}

    def matches(self, local: datetime) -> bool:
        if not (self.minutes[local.minute] and self.hours[local.hour]):
            return False
        date = (local.year, local.month, local.day)
        if date not in self.dates:
            self.dates[date] = self.date_matches(local)
        return self.dates[date]

    def date_matches(self, local: datetime) -> bool:
        day, weekday = shows(self.day, local.day, 31), shows(self.weekday, local.isoweekday() % 7, 6)
        return shows(self.month, local.month, 12) and ((day and weekday) if self.both else (day or weekday))


def instants(local: datetime, name: str, gap: str = "Skip", repeat: str = "Both") -> list[datetime]:
    """Say when the wall clock of a zone shows a local time, under the choices of daylightSaving, by Python's own rules (PEP 495).

    Neither the engine's way (it knows spans of constant offset) nor the Oracle's (it asks what the clock shows at an instant).
    """
    first, last = (local.replace(tzinfo=zone(name), fold=fold).astimezone(UTC) for fold in (0, 1))
    shown = [at for at in (first, last) if at.astimezone(zone(name)).replace(tzinfo=None, fold=0) == local]
    if not shown:
        return [first] if gap == "ShiftForward" else []  # fold 0: by the offset of before
    return {"First": shown[:1], "Last": shown[-1:], "Both": sorted(set(shown))}[repeat]
