"""What is to come, added up by cluster and column: against a count cronjob by cronjob, and what it costs."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from hacron.core.messages import Batch, Checkpoint, ClusterState, Definition, Entry, Progress, Record
from hacron.core.model import Cluster, CronJob, Pause, key_of
from hacron.core.packing import pack
from hacron.core.state import State
from hacron.page.board import Board
from hacron.page.outlook import COLUMNS, MOST_TICKS, Sums
from hacron.page.view import View
from tests.core.ledger_story import LONG_BEFORE, NOON, spec
from tests.roles.onlooker import Onlooker, a_night
from tests.scenarios.script import Script

SILENT_AFTER = timedelta(seconds=15)


def ledger(bodies: list[dict[str, Any]], pauses: dict[int, Pause] | None = None) -> State:
    """A State in which west and east live and each of these is declared, in turn in west and in east."""
    records: list[tuple[Record, ...]] = [
        (Checkpoint(replica="west-1", cluster="west", at=NOON, born=LONG_BEFORE),),
        *((ClusterState(cluster=Cluster(name=name, seen_at=NOON)),) for name in ("west", "east")),
    ]
    for number, body in enumerate(bodies):
        key = key_of("default", f"cronjob-{number}")
        definition = Definition(
            key=key,
            cluster=("west", "east")[number % 2],
            uid=str(number),
            generation=1,
            created_at=NOON,
            revision=number,
            changed_at=NOON,
            spec=spec(**body),
            pause=(pauses or {}).get(number),
        )
        last = NOON - timedelta(seconds=number * 7 % 3600)
        records.append((definition, Progress(key=key, cronjob_id=str(number), last_tick=last)))
    state = State()
    for load in pack(records).loads:
        entry = Batch(epoch=1, sender="west-1", sent_at=NOON, records=tuple(load.records))
        state.apply(Entry(offset=state.position + 1, size=1, batch=entry))
    return state


def outlook(state: State, now: datetime, hours: int, board: Board | None = None) -> tuple[datetime, Sums, int]:
    view = View(state=state.still(), at=now, caught_up=True, executor=True, worker=True)
    board = board or Board()
    board.see(view)
    begin, sums, uncounted = board.outlook.sums(board.to_come, view, SILENT_AFTER, now, hours)
    return datetime.fromtimestamp(begin * 60, NOON.tzinfo), sums, uncounted


MIXED: list[dict[str, Any]] = [
    {"schedule": "*/5 * * * *"},
    {"schedule": "*/5 * * * *"},
    {"schedule": "3-59/5 * * * *", "placement": {"clusters": ["east"]}},
    {"schedule": "30 2 * * *", "timeZone": "Asia/Kolkata"},
    {"schedule": "0 14 * * 2", "placement": {"clusters": ["south", "west"]}},
    {"schedules": ["0 * * * *", "0,20 13 * * *"], "schedule": None},
    {"schedule": "@every 7s"},
    {"schedule": "@every 13m"},
    {"schedule": "@every 5m", "startTime": "2026-11-24T12:31:30Z", "endTime": "2026-11-24T13:01:30Z"},
    {"schedule": "* * * * *", "startTime": "2026-11-24T12:10:00Z", "endTime": "2026-11-24T12:20:00Z"},
    {"schedule": "* * * * *", "suspend": True},
    {"schedule": "0 0 30 2 *"},
    {"schedule": "* * * * *"},
    {"schedule": "* * * * *"},
    {"schedule": "@every 90s"},
    {"schedule": "17 * * * *", "placement": {"clusters": ["nowhere"]}},
]
PAUSES = {12: Pause(), 13: Pause(until=NOON + timedelta(minutes=20)), 14: Pause(until=NOON + timedelta(minutes=20, seconds=15))}
PLACES = {2: "east", 15: ""}


@pytest.mark.parametrize("hours", [1, 6, 24])
@pytest.mark.parametrize("second", [0, 10, 3599])
def test_it_is_what_counting_cronjob_by_cronjob_gives(hours: int, second: int) -> None:
    state, now = ledger(MIXED, PAUSES), NOON + timedelta(seconds=second)
    state.clusters |= {name: Cluster(name=name, seen_at=now) for name in ("west", "east")}
    begin, sums, uncounted = outlook(state, now, hours)
    counted: Sums = {}
    minute = now.replace(second=0) + timedelta(minutes=1)
    assert begin <= minute - timedelta(minutes=1) < begin + timedelta(minutes=hours)
    end = begin + timedelta(minutes=COLUMNS * hours)
    for number in range(len(MIXED)):
        progress = state.progress[key_of("default", f"cronjob-{number}")]
        cronjob, pause = state.cronjob(progress.key), PAUSES.get(number)
        assert isinstance(cronjob, CronJob)
        if cronjob.suspend or (pause is not None and pause.until is None):
            continue
        cluster = PLACES.get(number, ("west", "east")[number % 2])
        base = progress.last_tick
        tick = cronjob.schedule.next_after(base)
        while tick is not None and tick < end:
            if tick >= minute and (pause is None or pause.until is None or tick >= pause.until):
                columns = counted.setdefault(cluster, {})
                column = (tick - begin) // timedelta(minutes=hours)
                columns[column] = columns.get(column, 0) + 1
            tick = cronjob.schedule.next_after(tick, base=base)
    assert sums == counted
    assert sum(sums[""].values()) == hours
    assert uncounted == 0


def test_what_a_cluster_that_is_away_would_run_goes_elsewhere_or_nowhere() -> None:
    script = Script()
    for command in (
        "replicas west-1 east-1",
        "at 12:00:05",
        "apply west hello schedule='*/5 * * * *' clusters=east,west",
        "apply east alone schedule='*/10 * * * *'",
        "at 12:01:00",
    ):
        script.run(command)
    onlooker = Onlooker(script)
    try:
        assert ticks_of(onlooker) == {"east": 18, "west": 0, "": 0}
        script.run("silence east")
        script.run("at 12:02:00")
        assert ticks_of(onlooker) == {"east": 0, "west": 12, "": 6}
        script.run("annotate west hello pause=")
        script.run("restore east")
        script.run("at 12:03:00")
        assert ticks_of(onlooker) == {"east": 6, "west": 0, "": 0}
    finally:
        onlooker.close()


def test_the_page_is_told_the_same_ticks_in_sum_as_in_its_rows() -> None:
    onlooker = Onlooker(a_night())
    try:
        told = onlooker.told("overview")
        begin, end = told["coming"]["begin"], told["coming"]["begin"] + 3600
        rows = onlooker.told("cronjobs", limit=200)["cronjobs"]
        minute = told["now"] // 60 * 60 + 60
        ticks = [tick for row in rows for tick in row["next"] if minute <= tick < end]
        every = [*(one["coming"] for one in told["clusters"]), told["coming"]["nowhere"]]
        assert sum(count for columns in every for _, count in columns) == len(ticks) > 50
        assert max(begin + number * 60 for columns in every for number, _ in columns) == max(ticks)
    finally:
        onlooker.close()


def ticks_of(onlooker: Onlooker) -> dict[str, int]:
    told = onlooker.told("overview")
    columns = {one["name"]: one["coming"] for one in told["clusters"]} | {"": told["coming"]["nowhere"]}
    return {name: sum(count for _, count in found) for name, found in columns.items()}


# --- 10,000 cronjobs ------------------------------------------------------------------------------


def many(schedules: list[str]) -> list[dict[str, Any]]:
    spread = {"strategy": "Spread", "clusters": ["west", "east"]}
    return [{"schedule": text} | ({"placement": spread} if n % 3 == 0 else {}) for n, text in enumerate(schedules)]


def drawn(count: int) -> list[str]:
    """A third each hour, a quarter each day, a fifth every few minutes, the rest weekly, monthly or by intervals."""
    drawing = random.Random(1)

    def one() -> str:
        minute, hour = drawing.randrange(60), drawing.randrange(24)
        kinds = {
            f"{minute} * * * *": 6,
            f"{minute} {hour} * * *": 5,
            f"{minute % 5}-59/5 * * * *": 2,
            "* * * * *": 2,
            f"@every {drawing.choice((30, 90, 600, 3600))}s": 1,
            f"{minute} {hour} * * {drawing.randrange(7)}": 2,
            f"{minute} {hour} {drawing.randrange(1, 29)} * *": 2,
        }
        return drawing.choices(list(kinds), list(kinds.values()))[0]

    return [one() for _ in range(count)]


def test_with_ten_thousand_cronjobs_it_costs_a_fraction_of_a_second() -> None:
    state, board = ledger(many(drawn(10_000))), Board()
    now = NOON + timedelta(seconds=10)
    for hours in (1, 6, 24):
        began = time.process_time()
        _, sums, uncounted = outlook(state, now, hours, board)
        assert time.process_time() - began < 10  # reading all schedules included; nearer bounds are for a machine of its own
        assert uncounted == 0
        assert sum(ticks for columns in sums.values() for ticks in columns.values()) > 50_000 * hours
        assert len(msgspec.json.encode(sums)) < 5000


def test_schedules_that_nobody_shares_do_not_hold_it_up_and_what_is_left_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred that are due most minutes, each at others: a hundred thousand ticks a day, and a fifth of the bound."""
    bound = MOST_TICKS // 5
    monkeypatch.setattr("hacron.page.outlook.MOST_TICKS", bound)
    drawing = random.Random(2)
    minutes = [",".join(map(str, sorted(drawing.sample(range(60), 45)))) for _ in range(100)]
    state, board = ledger(many([f"{some} * * * *" for some in minutes])), Board()
    now, left = NOON + timedelta(seconds=10), []
    for _ in range(20):
        began = time.process_time()
        _, sums, uncounted = outlook(state, now, 24, board)
        assert time.process_time() - began < 4
        left.append(uncounted)
        if not uncounted:
            break
    assert left == sorted(set(left), reverse=True), "each time a part of what was left"
    assert left[0] == 100 - (bound // (45 * 24) + 1)
    assert left[-1] == 0
    assert abs(sum(ticks for columns in sums.values() for ticks in columns.values()) - 100 * 45 * 24) < 100 * 45
