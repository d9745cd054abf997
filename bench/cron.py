"""What schedules cost, beside raw croniter: no servers needed, half a minute.

    python -m bench.cron

Each figure is from a process of its own, so that nothing is remembered from the one before, and is CPU time, so that other work
on the machine counts less; the best of three counts.
"""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from croniter import croniter

from bench.figures import Report
from hacron.core.agenda import Agenda
from hacron.core.model import Key
from hacron.core.ticks.calendar import Calendar, calendar

NOW = datetime(2026, 11, 24, 11, 59, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DISTINCT = 10_000
SIZES = (10_000, 100_000)
ZONES = (None, None, None, "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo", "Australia/Sydney")
# As people write them, and how often.
SHAPES = {
    "* * * * *": 4,
    "*/5 * * * *": 10,
    "*/15 * * * *": 8,
    "0 * * * *": 8,
    "@hourly": 3,
    "@daily": 5,
    "{m} * * * *": 12,
    "{m} {h} * * *": 25,
    "{m} {h} * * 1-5": 10,
    "*/10 {h}-23 * * mon-fri": 4,
    "{m} {h} * * {w}": 6,
    "{m} {h} 1 * *": 5,
}

Said = tuple[str, str | None]


def realistic(count: int) -> list[Said]:
    """Texts and zones as people write them; most of them several times."""
    pick = random.Random(7)
    shapes = pick.choices(list(SHAPES), list(SHAPES.values()), k=count)
    return [(_filled(shape, pick), pick.choice(ZONES)) for shape in shapes]


def distinct(count: int) -> list[Said]:
    """Texts and zones of which no two are the same: times of the day, then days, weekdays and months too."""
    pick = random.Random(7)
    said: dict[Said, None] = {}
    while len(said) < count:
        shape = pick.choice(["{m} {h} * * *", "{m} {h} * * {w}", "{m} {h} {d} * *", "{m},{n} {h} * * *", "{m}/7 {h} {d} {o} *"])
        said[(_filled(shape, pick), pick.choice(ZONES))] = None
    return list(said)


def _filled(shape: str, pick: random.Random) -> str:
    values = {"m": 60, "n": 60, "h": 24, "w": 7}
    return shape.format(
        **{name: pick.randrange(end) for name, end in values.items()}, d=pick.randint(1, 28), o=pick.randint(1, 12)
    )


# --- what is measured, each in its own process ---


def parsing() -> dict[str, float]:
    """Read texts that are all distinct, with their zones."""
    said = distinct(DISTINCT)
    return {"hacron": _per_second(len(said), lambda: [calendar((text,), zone) for text, zone in said])}


def parsing_croniter() -> dict[str, float]:
    """The same texts, in no zone."""
    said = distinct(DISTINCT)
    naive = NOW.replace(tzinfo=None)
    return {"croniter": _per_second(len(said), lambda: [croniter(text, naive) for text, _ in said])}


def walking() -> dict[str, float]:
    """From tick to tick, twenty times each."""
    due = [calendar((text,), zone) for text, zone in distinct(1000)]
    return {"hacron": _per_second(20 * len(due), lambda: [_walk(each.next_after) for each in due])}


def walking_croniter() -> dict[str, float]:
    """The same, in no zone: no changes of clocks to look at."""
    due = [croniter(text, NOW.replace(tzinfo=None)) for text, _ in distinct(1000)]
    return {"croniter": _per_second(20 * len(due), lambda: [[each.get_next(datetime) for _ in range(20)] for each in due])}


def schedule(kind: str, count: int) -> dict[str, float]:
    """Build the schedule of so many cronjobs, then let noon and a minute past it come."""
    said = {"realistic": realistic, "distinct": distinct}[kind](count)
    gc.set_threshold(20_000, 50, 100)  # as a replica does
    before_mib = _resident_mib()
    began = time.process_time()
    agenda: Agenda[Key] = Agenda()
    calendars: dict[Key, Calendar] = {}
    for n, (text, zone) in enumerate(said):
        key = Key(f"default/job-{n}")
        calendars[key] = calendar((text,), zone)
        agenda.put(key, calendars[key].next_after(NOW))
    built_s = time.process_time() - began
    built_mib = _resident_mib() - before_mib
    figures = {"built_s": built_s, "mib": built_mib, "words": len(set(said)), "meanings": len(set(calendars.values()))}
    for minute, when in ((1, "noon"), (2, "past")):
        now = NOW + minute * MINUTE
        began = time.process_time()
        due = agenda.due(now)
        for key in due:
            agenda.put(key, calendars[key].next_after(now))
        figures |= {f"{when}_ms": (time.process_time() - began) * 1e3, f"{when}_ticks": len(due)}
    return figures


def schedule_croniter(kind: str, count: int) -> dict[str, float]:
    """The same by one croniter for each cronjob, in no zone, without an agenda."""
    said = {"realistic": realistic, "distinct": distinct}[kind](count)
    naive = NOW.replace(tzinfo=None)
    before_mib = _resident_mib()
    began = time.process_time()
    built = []
    for text, _ in said:
        one = croniter(text, naive)
        built.append((one.get_next(datetime), one))
    return {"built_s": time.process_time() - began, "mib": _resident_mib() - before_mib}


def _walk(next_after: Callable[[datetime], datetime | None]) -> None:
    tick: datetime | None = NOW
    for _ in range(20):
        assert tick is not None
        tick = next_after(tick)


def _per_second(count: int, work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return count / (time.process_time() - began)


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


# --- the report ---


def main() -> None:
    """Print the tables, or what one measurement has found."""
    match sys.argv[1:]:
        case []:
            _report(Report())
        case [what]:
            print(json.dumps({f.__name__: f for f in (parsing, parsing_croniter, walking, walking_croniter)}[what]()))
        case [what, kind, count]:
            print(json.dumps({f.__name__: f for f in (schedule, schedule_croniter)}[what](kind, int(count))))


def _report(report: Report) -> None:
    rows = []
    for what, title in (("parsing", "texts read, all distinct"), ("walking", "next ticks")):
        ours, theirs = _best(what)["hacron"], _best(f"{what}_croniter")["croniter"]
        rows.append((f"{title}, per second; raw croniter", f"{ours:,.0f}; {theirs:,.0f} ({ours / theirs:.1f} times)"))
    report.add("One expression", rows)
    for kind in ("realistic", "distinct"):
        for count in SIZES:
            ours, theirs = _best("schedule", kind, str(count)), _best("schedule_croniter", kind, str(count))
            report.add(
                f"{count:,} cronjobs, {ours['words']:,.0f} distinct texts and zones, {ours['meanings']:,.0f} meanings",
                [
                    ("built: read, next tick found, put on the agenda", f"{ours['built_s']:.2f} s, {ours['mib']:.0f} MiB"),
                    ("raw croniter, one each, no zones", f"{theirs['built_s']:.2f} s, {theirs['mib']:.0f} MiB"),
                    (f"all {ours['noon_ticks']:,.0f} ticks of noon, and their next ones", f"{ours['noon_ms']:.1f} ms"),
                    (f"all {ours['past_ticks']:,.0f} of the minute after", f"{ours['past_ms']:.1f} ms"),
                ],
            )


def _best(*arguments: str) -> dict[str, float]:
    """Measure three times, each in a new process; what takes least, or does most, counts."""
    command = [sys.executable, "-m", "bench.cron", *arguments]
    found = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(3)]
    return min(found, key=lambda one: one.get("built_s", -one.get("hacron", one.get("croniter", 0))))


if __name__ == "__main__":
    main()
