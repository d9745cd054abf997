"""What is made up for after an outage or a wait: catchUp and concurrencyPolicy Queue. Told in seconds after noon."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hacron.core.model import Pause
from hacron.core.ticks.backlog import newest
from hacron.core.ticks.cron import parse
from tests.core.ledger_story import NOON, Story, spec


def outage(minutes: int, **fields: Any) -> Story:
    """A cronjob that is due every minute, found when it could not be started for so many minutes, the last at noon."""
    story = Story()
    story.declare(spec(**fields), created_at=NOON - timedelta(minutes=minutes - 1, seconds=30))
    return story


TOO_LATE = [f"{tick} Missed DeadlineExceeded" for tick in (-240, -180, -120)]
OUTAGES: tuple[tuple[dict[str, Any], list[int], list[str]], ...] = (
    # spec                                            ticks that run at once   verdicts on the others
    ({}, [0], ["-60 Missed Superseded x4"]),
    ({"catchUp": {"policy": "Last"}}, [0], ["-60 Missed Superseded x4"]),
    ({"catchUp": {"policy": "Last", "windowSeconds": 30}}, [0], ["-60 Missed Superseded x4"]),
    ({"catchUp": {"policy": "All"}}, [-240, -180, -120, -60, 0], []),
    ({"catchUp": {"policy": "All", "limit": 2}}, [-60, 0], ["-120 Missed Superseded x3"]),
    ({"catchUp": {"policy": "All", "windowSeconds": 120}}, [-60, 0], TOO_LATE),
    ({"catchUp": {"policy": "All"}, "startingDeadlineSeconds": 61}, [-60, 0], TOO_LATE),
    ({"catchUp": {"policy": "All", "limit": 3}, "concurrencyPolicy": "Forbid"}, [-120], ["-180 Missed Superseded x2"]),
    ({"concurrencyPolicy": "Queue"}, [-240], []),
    ({"concurrencyPolicy": "Queue", "maxActive": 3}, [-240, -180, -120], []),
    ({"concurrencyPolicy": "Queue", "maxActive": 2, "catchUp": {"limit": 3}}, [-120, -60], ["-180 Skipped QueueFull x2"]),
)  # fmt: skip


@pytest.mark.parametrize(("fields", "runs", "verdicts"), OUTAGES, ids=str)
def test_after_an_outage(fields: dict[str, Any], runs: list[int], verdicts: list[str]) -> None:
    story = outage(5, **fields)
    assert story.runs == [f"{tick} Pending west #1" for tick in runs]
    assert story.verdicts == verdicts


def test_without_catch_up_a_tick_that_cannot_start_soon_is_missed() -> None:
    story = Story(clusters=())
    story.declare(spec(catchUp={"policy": "None"}))
    story.at(75)
    assert story.verdicts == []
    story.at(81)
    assert story.verdicts == ["60 Missed DeadlineExceeded"]
    assert "west has never been heard of" in story.progress.recent[0].message
    story.alive = {"west"}
    story.at(116)
    assert story.runs == ["120 Pending west #1"]


def test_without_catch_up_forbid_skips_instead_of_waiting() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid", catchUp={"policy": "None"}))
    story.at(60)
    story.started(story.run)
    story.at(141)
    assert story.verdicts == ["120 Skipped JobAlreadyActive"]
    story.finished(story.run)
    assert story.runs == []
    story.at(176)
    assert story.runs == ["180 Pending west #1"]


def test_made_up_runs_are_spread_and_the_newest_ticks_keep_their_place() -> None:
    story = outage(4, catchUp={"policy": "All", "spreadSeconds": 10})
    assert story.runs == ["-180 Pending west #1"]
    for seconds, ticks in ((9, [-180]), (10, [-180, -120]), (20, [-180, -120, -60, 0])):
        story.at(seconds)
        assert [int((run.tick - NOON).total_seconds()) for run in story.progress.open] == ticks
    story.at(56)
    assert story.runs[-1] == "60 Pending west #1"


def test_what_waits_a_day_for_its_turn_says_so() -> None:
    story = outage(3, catchUp={"policy": "All", "spreadSeconds": 86400})
    assert story.progress.held is not None
    assert "starts 86400 s after" in story.progress.held.message


def test_a_queue_runs_every_tick_in_order_as_places_become_free() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Queue", maxActive=2))
    story.at(130)
    assert story.runs == ["60 Pending west #1", "120 Pending west #1"]
    story.at(250)
    assert story.progress.held is not None
    assert (story.progress.held.reason, story.progress.held.tick) == ("Queued", NOON + timedelta(seconds=180))
    for ends in (60, 120):
        run = story.progress.open[0]
        assert run.tick == NOON + timedelta(seconds=ends)
        story.finished(run)
    assert story.runs == ["180 Pending west #1", "240 Pending west #1"]


def test_a_queue_that_is_full_lets_the_oldest_give_way() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Queue", catchUp={"limit": 2}))
    story.at(60)
    story.started(story.run)
    story.at(310)
    assert story.verdicts == ["120 Skipped QueueFull", "180 Skipped QueueFull"]
    story.finished(story.run)
    assert story.runs == ["240 Pending west #1"]


def test_after_edits_also_the_paused_past_is_made_up_for() -> None:
    story = Story()
    catch_up = {"policy": "All", "afterEdits": True}
    story.declare(spec(catchUp=catch_up))
    story.at(30)
    story.declare(spec(catchUp=catch_up, suspend=True), generation=2)
    story.at(200)
    assert story.runs == []
    story.declare(spec(catchUp=catch_up), generation=3)
    assert story.runs == ["60 Pending west #1", "120 Pending west #1", "180 Pending west #1"]


@pytest.mark.parametrize("just_before_s", [2.5, 4, 8])
def test_after_an_edit_what_it_would_have_had_is_made_up_for_also_if_a_tick_was_decided_ahead(just_before_s: float) -> None:
    story = Story()
    story.declare(spec("0 * * * *", catchUp={"afterEdits": True}))
    story.at(3600 - just_before_s)
    assert len(story.runs) == (just_before_s < 5)
    story.declare(spec("30 * * * *", catchUp={"afterEdits": True}), generation=2)
    assert story.runs == ["1800 Pending west #1"]


def test_a_pause_that_is_over_when_it_comes_takes_nothing_back() -> None:
    story = Story()
    story.declare(spec("@every 60s"))
    story.at(57)
    before = story.runs
    assert before == ["60 Pending west #1"]
    story.declare(spec("@every 60s"), pause=Pause(until=NOON + timedelta(seconds=55)), version=2)
    assert story.runs == before
    story.at(120)
    assert [run.tick for run in story.progress.open] == [NOON + timedelta(seconds=60), NOON + timedelta(seconds=120)]


@settings(deadline=None)  # a busy machine proves nothing
@given(
    st.sampled_from(["* * * * *", "*/7 3 * * *", "0 0 1 */3 *", "@every 13s", "@every 5h", "0 12 24 11 *", "0 0 30 2 *"]),
    st.integers(0, 3 * 10**6),
    st.integers(1, 12),
)
def test_the_newest_of_a_range_are_its_end(text: str, seconds: int, at_most: int) -> None:
    schedule, after = parse(text), NOON - timedelta(seconds=seconds)
    ticks: list[datetime] = []
    tick = schedule.next_after(after, base=after)
    while tick is not None and tick <= NOON and len(ticks) < 5000:
        ticks.append(tick)
        tick = schedule.next_after(tick, base=after)
    if len(ticks) < 5000:
        assert newest(schedule, after, NOON, at_most) == ticks[-at_most:]
