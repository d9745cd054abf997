"""What a further attempt of a tick is bound by, and what ends the waiting for one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from hacron.core import tending
from hacron.core.admission import MOST_OPEN
from hacron.core.model import Pause, Run
from hacron.core.runs import MOST_ATTEMPTS, NOT_STARTED, run_id
from tests.core.ledger_story import NOON, Story, refused_and_waiting, spec

BOTH = {"placement": {"clusters": ["west", "east"]}}
ALO = {"guarantee": "AtLeastOnce"}
FOR_LONG_S = 20 * 3600
NOT_ASKED_AGAIN = {"west": "so that who has refused is not asked again"}
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
    story.cordoned = NOT_ASKED_AGAIN
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
    story.cordoned = NOT_ASKED_AGAIN
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


def waits_for_long(attempt: int) -> Story:
    """Return a story in which west has refused so many attempts, and a further one would be due since long ago."""
    story = refused_and_waiting()
    (run,) = story.progress.open
    run = replace(run, id=run_id("uid-west", run.tick, attempt), attempt=attempt)
    story.write([(replace(story.progress, open=(run,)),)])
    story.now = NOON + timedelta(seconds=FOR_LONG_S)
    story.at(FOR_LONG_S + 6)
    return story


class TestAskedAgain:
    """What a cluster said no for may have passed, and who has not been asked may be away for days."""

    def test_who_has_refused_a_run_is_asked_again_where_nobody_else_can_be(self) -> None:
        story = refused_and_waiting()
        story.at(80 + 59)
        assert story.runs == ["60 Lost west #1"]
        story.at(80 + 60)
        assert story.runs == ["60 Pending west #2"]
        assert story.run.refused_by == ()
        story.finished(story.run)
        assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])

    def test_each_time_after_three_times_as_long(self) -> None:
        story = refused_and_waiting()
        story.at(140)
        story.refused(story.run, "QuotaExceeded")
        assert story.run.refused_by == ("west",)
        start_by = 140 + 20
        story.at(start_by + 179)
        assert story.runs == ["60 Lost west #2"]
        story.at(start_by + 180)
        assert story.runs == ["60 Pending west #3"]

    def test_so_often_that_two_attempts_are_left_for_who_is_waited_for(self) -> None:
        assert waits_for_long(MOST_ATTEMPTS - 3).runs == [f"60 Pending west #{MOST_ATTEMPTS - 2}"]
        story = waits_for_long(MOST_ATTEMPTS - 2)
        assert story.runs == [f"60 Lost west #{MOST_ATTEMPTS - 2}"]
        story.alive = {"west", "east"}
        story.at(FOR_LONG_S + 10)
        assert story.runs == [f"60 Pending east #{MOST_ATTEMPTS - 1}"]

    def test_but_rather_one_that_has_not_refused_it(self) -> None:
        story = refused_and_waiting()
        story.alive = {"west", "east"}
        story.at(500)
        assert story.runs == ["60 Pending east #2"]

    def test_and_not_beside_one_that_may_have_begun_elsewhere(self) -> None:
        story = Story()
        story.declare(spec("1 12 * * *", **BOTH, **ALO))
        story.at(60)
        story.refused(story.run)
        story.started(story.run)
        story.alive = {"west"}
        story.at(1000)
        assert story.runs == ["60 Lost east #2"]

    def test_one_refusal_holds_up_no_later_tick_for_as_long_as_another_cluster_is_away(self) -> None:
        story = refused_and_waiting("* * * * *", concurrencyPolicy="Forbid")
        story.at(140)
        story.finished(story.run)
        story.at(145)
        assert story.runs == ["120 Pending west #1"]

    def test_not_before_another_had_the_time_to_be_heard_by_a_new_executor(self) -> None:
        story = refused_and_waiting()
        story.alive = set()
        story.at(400)
        story.take_over()
        story.alive = {"west"}
        story.at(410)
        assert story.runs == ["60 Lost west #1"]
        story.alive = {"west", "east"}
        story.at(414)
        assert story.runs == ["60 Pending east #2"]

    def test_what_has_begun_where_it_had_been_refused_counts_as_refused_by_nobody(self) -> None:
        """Else its cluster would not be asked any more, were the next one to refuse it."""
        story = refused_and_waiting()
        story.at(140)
        story.started(story.run)
        story.alive = {"east"}
        story.at(140 + 20 + story.rules.lost_after / timedelta(seconds=1))
        assert story.runs[-1] == "60 Pending east #3"
        story.refused(story.run)
        assert story.runs[-1] == "60 Lost east #3"
        story.alive = {"west", "east"}
        story.at(1200)
        assert (story.runs[-1], story.verdicts) == ("60 Pending west #4", ["60 Lost PlacedElsewhere"])

    def test_under_at_most_once_what_all_have_refused_that_can_be_asked_is_refused(self) -> None:
        story = Story()
        story.declare(spec("1 12 * * *", **BOTH))
        story.at(40)
        story.alive = {"west"}
        story.at(60)
        story.refused(story.run)
        assert (story.runs, story.verdicts) == ([], ["60 Refused Invalid"])


class TestSilentAndLimited:
    """A further attempt after silence begins beside what was given up of its own tick, and otherwise as the policy says."""

    def test_of_several_that_are_given_up_no_more_go_on_at_a_time_than_may_now(self) -> None:
        story = Story()
        fields: dict[str, Any] = {**ALO, **BOTH, "concurrencyPolicy": "Queue"}
        story.declare(spec("1-3 12 * * *", maxActive=3, **fields))
        for minute in (1, 2, 3):
            story.at(60 * minute)
            story.started(story.run)
        story.alive = {"east"}
        story.at(200)
        story.declare(spec("1-3 12 * * *", maxActive=1, **fields), generation=2)
        story.at(700)
        placed = [run for run in story.runs if " east " in run]
        assert placed == ["60 Pending east #2"]
        story.started(story.run)
        story.finished(story.run)
        story.at(710)
        assert [run for run in story.runs if " east " in run] == ["120 Pending east #2"]

    @pytest.mark.parametrize("policy", ["Forbid", "Replace"])
    def test_what_waits_for_a_cluster_does_not_begin_beside_a_later_tick(self, policy: str) -> None:
        story = Story(clusters=("east", "west", "north"))
        three = {"placement": {"clusters": ["east", "west", "north"]}}
        story.alive = {"east", "west"}
        story.at(30)
        story.declare(spec("1,20 12 * * *", concurrencyPolicy=policy, **ALO, **three))
        story.at(60)
        story.refused(story.run)
        story.started(story.run)
        assert story.runs == ["60 Running west #2"]
        story.alive = {"east"}
        story.at(60 * 20)
        assert story.runs == ["60 Lost west #2", "1200 Pending east #1"]
        story.started(story.run)
        story.alive = {"east", "north"}
        story.at(60 * 21)
        assert story.runs == ["60 Lost west #2", "1200 Running east #1"]
        story.finished(story.run)
        assert story.runs[-1] == "60 Pending north #3"


def cut_off_and_placed_elsewhere() -> tuple[Story, Run, Run]:
    """Return a story in which west was cut off with its run of 12:01, of which east has the next attempt; and the two."""
    story = Story()
    story.declare(spec("1 12 * * *", **BOTH, **ALO))
    story.at(58)
    story.alive = {"east"}
    story.at(100)
    first, second = story.progress.open
    return story, first, second


def test_a_tick_that_has_run_to_its_end_after_all_has_no_further_attempt() -> None:
    """Its first cluster was only cut off, and the second had refused it."""
    story, first, second = cut_off_and_placed_elsewhere()
    story.refused(second, "QuotaExceeded")
    assert story.runs == ["60 Lost west #1", "60 Lost east #2"]
    story.alive = {"west", "east"}
    story.started(first)
    story.finished(story.progress.open[0])
    story.at(600)
    assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])


def test_nor_has_it_where_the_second_falls_silent() -> None:
    story, first, second = cut_off_and_placed_elsewhere()
    story.started(second)
    story.alive = {"west"}
    story.finished(first)
    story.at(1000)
    assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])


def test_nor_where_the_second_is_refused_only_then() -> None:
    story, first, second = cut_off_and_placed_elsewhere()
    story.alive = {"west", "east"}
    story.finished(first)
    assert story.runs == ["60 Pending east #2"]
    story.refused(second, too_late=True)
    assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])


def test_nor_is_it_lost_where_the_second_is_only_late() -> None:
    """Its cluster lives, and its worker takes the name before it says that it has not begun."""
    story, first, second = cut_off_and_placed_elsewhere()
    story.alive = {"west", "east"}
    story.finished(first)
    story.at(200)
    assert story.runs == ["60 Pending east #2"]
    story.refused(second, too_late=True)
    assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])


@pytest.mark.parametrize(
    ("rest", "verdict"), [({"suspend": True}, "60 Skipped Suspended"), ({"pause": Pause()}, "60 Skipped Paused")]
)
def test_what_was_refused_waits_no_more_when_its_cronjob_rests(rest: dict[str, Any], verdict: str) -> None:
    story = refused_and_waiting()
    pause = rest.pop("pause", None)
    story.declare(spec("1 12 * * *", **ALO, **BOTH, **rest), generation=2, pause=pause, version=9)
    assert (story.runs, story.verdicts) == ([], [verdict])


def test_a_ninth_attempt_that_is_lost_is_waited_for_no_longer_than_it_may_be_silent() -> None:
    story = Story()
    story.declare(spec("1 12 * * *", placement={"clusters": ["west"]}, **ALO))
    story.at(60)
    for _ in range(MOST_ATTEMPTS - 1):
        story.at((story.now - NOON).total_seconds() + 30)
        story.refused(story.run, too_late=True)
    assert story.runs == ["60 Pending west #9"]
    story.alive = {"east"}
    story.at((story.now - NOON).total_seconds() + 60)
    assert story.runs == ["60 Lost west #9"]
    story.at((story.now - NOON).total_seconds() + story.rules.lost_after.total_seconds())
    assert (story.runs, story.verdicts[-1]) == ([], "60 Lost ClusterSilent")


def test_what_was_refused_waits_no_more_when_it_may_only_run_once() -> None:
    story = refused_and_waiting()
    assert story.runs == ["60 Lost west #1"]
    story.declare(spec("1 12 * * *", **BOTH), generation=2)
    assert (story.runs, story.verdicts) == ([], ["60 Refused NoCluster"])


def test_hundreds_that_wait_for_a_cluster_are_not_compared_with_each_other_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    story = refused_and_waiting()
    (first,) = story.progress.open
    waiting = [
        replace(first, id=run_id("uid-west", tick, 1), tick=tick, job=f"hello-{n}", fencing=first.fencing + n)
        for n, tick in enumerate(first.tick + timedelta(seconds=n) for n in range(MOST_OPEN))
    ]
    story.write([(replace(story.progress, open=tuple(waiting), fencing=waiting[-1].fencing),)])
    compared = 0

    def counted(one: Run, other: Run) -> bool:
        nonlocal compared
        compared += 1
        return is_of_the_same(one, other)

    is_of_the_same = tending._is_of_the_same
    monkeypatch.setattr(tending, "_is_of_the_same", counted)
    story.at(90)
    assert (compared, {run.reason for run in story.progress.open}) == (0, {NOT_STARTED})
    story.alive = {"west", "east"}
    story.at(96)
    assert {(run.state, run.cluster) for run in story.progress.open} == {("Pending", "east")}
    assert len(story.progress.open) == MOST_OPEN
