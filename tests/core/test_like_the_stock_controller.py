"""The same ticks run, at the same time, as under Kubernetes' own controller, whatever happens. Told in steps of five seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hacron.core.ticks.cron import parse
from tests.core.ledger_story import NOON
from tests.core.ours import Ours
from tests.core.stock_controller import StockController

STEP = timedelta(seconds=5)
SCHEDULES = ("* * * * *", "*/2 * * * *", "3,4,9 * * * *", "@every 1m", "0 0 30 2 *")


passes = st.tuples(st.just("passes"), st.integers(1, 40))
happens = st.one_of(
    passes,
    passes,
    st.tuples(st.just("nobody decides for"), st.integers(1, 60)),
    st.tuples(st.just("the oldest ends"), st.none()),
    st.tuples(st.just("the newest ends"), st.none()),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("schedule"), st.sampled_from(SCHEDULES)),
    st.tuples(st.just("concurrencyPolicy"), st.sampled_from(["Allow", "Forbid", "Replace"])),
    st.tuples(st.just("startingDeadlineSeconds"), st.sampled_from([None, 0, 10, 60, 100, 400])),
)
NAMES = {"suspend": "suspend", "schedule": "schedule", "concurrencyPolicy": "policy", "startingDeadlineSeconds": "deadline_s"}


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(["Allow", "Forbid", "Replace"]),
    deadline_s=st.sampled_from([None, None, 0, 10, 60, 100]),
    schedule=st.sampled_from(SCHEDULES),
    story=st.lists(happens, max_size=14),
)
@example(  # edited when the next tick has been decided, and not come
    policy="Allow", deadline_s=None, schedule="* * * * *", story=[("passes", 11), ("schedule", "@every 1m"), ("passes", 12)]
)
def test_like_the_stock_controller(policy: str, deadline_s: int | None, schedule: str, story: list[tuple[str, Any]]) -> None:
    ours = Ours({"schedule": schedule, "concurrencyPolicy": policy, "startingDeadlineSeconds": deadline_s})
    theirs = StockController(looked_from=NOON, schedule=parse(schedule), policy=policy, deadline_s=deadline_s)
    for what, value in story:
        match what:
            case "passes":
                for _ in range(value):
                    ours.at(ours.story.now + STEP)
                    theirs.sync(ours.story.now)
            case "nobody decides for":
                for tick in ours.away_until(ours.story.now + value * STEP):
                    theirs.sync(tick)
                theirs.sync(ours.story.now)
            case "the oldest ends" | "the newest ends":
                if ours.active:
                    tick = min(ours.active) if what == "the oldest ends" else max(ours.active)
                    theirs.active.remove(tick)
                    ours.end(tick)
                    theirs.sync(ours.story.now)
            case _:
                ours.declare(**{what: value})
                theirs.edit(ours.story.now, **{NAMES[what]: parse(value) if what == "schedule" else value})
        assert ours.started == theirs.started
        assert ours.active == sorted(theirs.active)
