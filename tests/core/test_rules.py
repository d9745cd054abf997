"""The rules about a tick as tables that people can read: `rules.txt`. REWRITE=1 writes them anew, to be reviewed like code.

Created at 12:00:00, due every minute. Where it is a policy of CronJobs, `stock_controller` must come to the
same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from hacron.core.ticks.cron import parse
from tests.core.ledger_story import NOON
from tests.core.ours import Ours
from tests.core.stock_controller import StockController

TABLES = Path(__file__).with_name("rules.txt")
STEP = timedelta(seconds=5)
ENDS = NOON + timedelta(minutes=6, seconds=10)

Row = tuple[str, ...]


def at(text: str) -> datetime:
    hour, minute, second = map(int, text.split(":"))
    return NOON.replace(hour=hour, minute=minute, second=second)


def play(ours: Ours, until: datetime = ENDS, acts: dict[str, dict[str, Any]] | None = None) -> None:
    """Let time pass, and change the spec at the times that `acts` names."""
    while ours.story.now < until:
        ours.at(ours.story.now + STEP)
        fields = (acts or {}).get(f"{ours.story.now:%M:%S}")
        if fields is not None:
            ours.declare(**fields)


def ran(ours: Ours) -> str:
    """The ticks that ran, with when if that was later."""
    shown = [f"{tick:%M}" if when == tick else f"{tick:%M} at {when:%M:%S}" for tick, when in ours.started]
    return ", ".join(shown) or "nothing"


def verdicts(ours: Ours) -> str:
    """What became of those that did not."""
    found = [v for v in ours.story.progress.recent if v.verdict not in ("Succeeded", "Failed", "Stopped")]
    many = [(f"{v.tick:%M}" if v.count == 1 else f"{v.count} up to {v.tick:%M}", v) for v in found]
    return ", ".join(f"{which} {v.verdict} ({v.reason})" for which, v in many) or "-"


# --- policy × deadline × the earlier run × how late the look is -----------------------------------------------------------------


def policies() -> Iterator[Row]:
    yield "policy", "deadline", "a run takes", "nobody decides", "ran", "the others"
    aways = {"never": None, "for 1 minute": "12:03:20", "for 3 minutes": "12:05:20"}
    for policy, deadline_s, takes_s, away in product(("Allow", "Forbid", "Replace", "Queue"), (None, 30, 100), (10, 100), aways):
        ours = Ours({"schedule": "* * * * *", "concurrencyPolicy": policy, "startingDeadlineSeconds": deadline_s})
        theirs = StockController(looked_from=NOON, schedule=parse("* * * * *"), policy=policy, deadline_s=deadline_s)
        _side_by_side(ours, theirs, timedelta(seconds=takes_s), aways[away])
        if policy != "Queue":
            assert ours.started == theirs.started, (policy, deadline_s, takes_s, away)
        yield policy, _s(deadline_s), f"{takes_s} s", away, ran(ours), verdicts(ours)


def _side_by_side(ours: Ours, theirs: StockController, takes: timedelta, away_until: str | None) -> None:
    while ours.story.now < ENDS:
        if away_until is not None and ours.story.now == at("12:02:20"):
            for tick in ours.away_until(at(away_until)):
                theirs.sync(tick)
        else:
            ours.at(ours.story.now + STEP)
        for tick, began in list(ours.started):
            if tick in ours.active and ours.story.now >= began + takes:
                ours.end(tick)
                theirs.active = [other for other in theirs.active if other != tick]
                theirs.sync(ours.story.now)
        theirs.sync(ours.story.now)


# --- edits ----------------------------------------------------------------------------------------------------------------------

EDITS: dict[str, dict[str, dict[str, Any]]] = {
    "suspend at 01:30, resume at 04:30": {"01:30": {"suspend": True}, "04:30": {"suspend": False}},
    "suspend 3 s before a tick": {"02:55": {"suspend": True}},
    "every minute → every second one at 02:30": {"02:30": {"schedule": "*/2 * * * *"}},
    "every minute → 00, 01 and 05 at 04:30": {"04:30": {"schedule": "0,1,5 * * * *"}},
    "hourly → every minute at 03:30": {"00:05": {"schedule": "0 * * * *"}, "03:30": {"schedule": "* * * * *"}},
    "another zone at 03:30": {"03:30": {"timeZone": "Asia/Kathmandu"}},
    "nonsense at 01:30, mended at 04:30": {"01:30": {"schedule": "now and then"}, "04:30": {"schedule": "* * * * *"}},
    "another deadline at 03:30": {"03:30": {"startingDeadlineSeconds": 100}},
    "Forbid → Allow at 03:30": {"03:30": {"concurrencyPolicy": "Allow"}},
    "Forbid → Replace at 03:30": {"03:30": {"concurrencyPolicy": "Replace"}},
    "Forbid → Queue at 03:30": {"03:30": {"concurrencyPolicy": "Queue"}},
    "suspend while a tick waits, resume at 04:30": {"02:30": {"suspend": True}, "04:30": {"suspend": False}},
    "another schedule while a tick waits": {"02:30": {"schedule": "*/3 * * * *"}},
}
KINDS: dict[str, dict[str, Any]] = {
    "Allow": {},
    "Allow, All after edits": {"catchUp": {"policy": "All", "afterEdits": True}},
    "Forbid, never ends": {"concurrencyPolicy": "Forbid"},
}


def edits() -> Iterator[Row]:
    yield "edit", "kind", "ran", "the others"
    for edit, kind in product(EDITS, KINDS):
        if ("Forbid" in edit or "waits" in edit) == (kind == "Forbid, never ends"):
            ours = Ours({"schedule": "* * * * *", **KINDS[kind]})
            play(ours, acts=EDITS[edit])
            yield edit, kind, ran(ours), verdicts(ours)


# --- the clock ------------------------------------------------------------------------------------------------------------------


def clocks() -> Iterator[Row]:
    yield "the clock at 03:20", "schedule", "ran", "the others"
    for seconds, schedule in product((-90, -30, 30, 90, 200), ("* * * * *", "@every 1m")):
        ours = Ours({"schedule": schedule})
        play(ours, at("12:03:20"))
        ours.away_until(ours.story.now)
        ours.story.now += timedelta(seconds=seconds)
        ours.away_until(ours.story.now)
        play(ours)
        yield f"{'back' if seconds < 0 else 'forward'} {abs(seconds)} s", schedule, ran(ours), verdicts(ours)


# --- the file -------------------------------------------------------------------------------------------------------------------


def _s(seconds: int | None) -> str:
    return "-" if seconds is None else f"{seconds} s"


def table(rows: Sequence[Row]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def test_the_rules_are_as_written() -> None:
    parts = {
        "A run of each minute; from 12:02:20 nobody decides for a while. Minutes after 12:00.": policies(),
        "The spec is edited.": edits(),
        "The clock of the executor jumps: no tick is repeated, and what was jumped over is missed.": clocks(),
    }
    found = "\n\n".join(f"# {title}\n\n{table(list(rows))}" for title, rows in parts.items()) + "\n"
    if os.environ.get("REWRITE"):
        TABLES.write_text(found)
    assert found == TABLES.read_text()
