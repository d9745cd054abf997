"""What a further attempt of a tick is bound by, and what ends the waiting for one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.core.ledger_story import NOON, Story, refused_and_waiting, spec

BOTH = {"placement": {"clusters": ["west", "east"]}}
ALO = {"guarantee": "AtLeastOnce"}
DEADLINES = [{"startingDeadlineSeconds": 60}, {"catchUp": {"policy": "None"}}, {"catchUp": {"windowSeconds": 60}}]


@pytest.mark.parametrize("bound", DEADLINES, ids=lambda bound: next(iter(bound)) + str(next(iter(bound.values()))))
def test_where_an_attempt_may_have_begun_no_deadline_keeps_the_next_from_starting(bound: dict[str, Any]) -> None:
    story = Story()
    story.declare(spec("1 12 * * *", **BOTH, **ALO, **bound))
    story.at(60)
    story.started(story.run)
    story.alive = {"east"}
    story.at(400)
    assert story.runs == ["60 Pending east #2"]
    placed_at = NOON + timedelta(seconds=60) + story.rules.lost_after
    assert story.run.start_by >= placed_at + story.rules.start_window


def test_where_the_one_before_was_refused_the_deadline_counts() -> None:
    story = Story()
    story.declare(spec("1 12 * * *", startingDeadlineSeconds=10, **BOTH, **ALO))
    story.at(70)
    assert story.runs == ["60 Pending west #1"]
    story.refused(story.run)
    assert (story.runs, story.verdicts) == ([], ["60 Refused Invalid"])


@pytest.mark.parametrize("policy", ["Allow", "Forbid"])
def test_what_was_refused_waits_for_another_cluster_until_its_deadline_and_no_longer(policy: str) -> None:
    story = Story()
    story.declare(spec("1,20 12 * * *", startingDeadlineSeconds=100, concurrencyPolicy=policy, **BOTH, **ALO))
    story.at(40)
    story.alive = {"west"}
    story.at(60)
    story.refused(story.run)
    story.at(159)
    assert (story.runs, story.verdicts) == (["60 Lost west #1"], [])
    story.at(161)
    assert (story.runs, story.verdicts) == ([], ["60 Missed DeadlineExceeded"])
    story.alive = {"west", "east"}
    story.at(200)
    assert story.runs == []


@pytest.mark.parametrize("guarantee", ["AtMostOnce", "AtLeastOnce"])
def test_a_tick_for_which_others_were_stopped_is_offered_to_the_next_cluster_after_its_deadline(guarantee: str) -> None:
    story = Story()
    story.declare(spec("*/10 * * * *", concurrencyPolicy="Replace", startingDeadlineSeconds=10, guarantee=guarantee, **BOTH))
    story.at(600)
    story.started(story.run)
    story.at(1230)
    story.stopped(story.run)
    assert story.runs == ["1200 Pending west #1"]
    story.refused(story.run, "QuotaExceeded")
    assert story.runs == ["1200 Pending east #2"]
    assert story.run.start_by - story.now == story.rules.start_window


@pytest.mark.parametrize("said", ["gone", "forgotten"])
def test_nothing_waits_for_a_cluster_that_will_not_come(said: str) -> None:
    story = refused_and_waiting()
    assert story.runs == ["60 Lost west #1"]
    if said == "gone":
        story.gone = ("east",)
    else:
        story.forgotten = {"west": ("east",)}
    story.at(120)
    assert (story.runs, story.verdicts) == ([], ["60 Refused NoCluster"])


def test_a_cluster_that_was_never_heard_of_is_waited_for_no_longer_than_one_may_be_silent() -> None:
    story = Story(clusters=("west",))
    story.declare(spec("1 12 * * *", **BOTH, **ALO))
    story.at(60)
    story.refused(story.run)
    story.at(story.rules.lost_after / timedelta(seconds=1) - 10)
    assert story.runs == ["60 Lost west #1"]
    story.at(story.rules.lost_after / timedelta(seconds=1) + 10)
    assert (story.runs, story.verdicts) == ([], ["60 Refused NoCluster"])


def test_what_waits_for_a_further_attempt_makes_way_at_once() -> None:
    story = refused_and_waiting("1,2 12 * * *", concurrencyPolicy="Replace")
    assert story.runs == ["60 Lost west #1"]
    story.at(121)
    assert (story.runs, story.verdicts) == (["120 Pending west #1"], ["60 Skipped Replaced"])


def test_a_run_that_blocks_no_longer_does_not_keep_ticks_from_being_decided_ahead() -> None:
    story = Story()
    story.declare(spec("1,20,30 12 * * *", concurrencyPolicy="Forbid", **BOTH, **ALO))
    story.at(60)
    story.started(story.run)
    story.alive = {"east"}
    story.withdraw()
    story.declare(spec("1,20,30 12 * * *", concurrencyPolicy="Forbid", **BOTH, **ALO), uid="uid-anew")
    story.at(20 * 60 - 4)
    assert story.runs == ["60 Stopping west #1", "1200 Pending east #1"]
