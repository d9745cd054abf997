"""What the Scheduler decides, told in seconds after noon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hacron.core import status
from hacron.core.admission import MOST_OPEN
from hacron.core.messages import Batch, ClusterSeen, Definition, Entry, Outcome, Progress, RunFinished, RunRefused, RunStarted
from hacron.core.model import InvalidCronJob, Key, Run
from hacron.core.scheduler import Scheduler
from hacron.core.spec import parse
from tests.core.ledger_story import HELLO, LONG_BEFORE, NOON, Story, spec

ALO = {"guarantee": "AtLeastOnce"}


def test_a_tick_is_decided_ahead_and_runs_once() -> None:
    story = Story()
    story.at(30)
    story.declare(spec())
    story.at(54)
    assert story.runs == []
    story.at(56)
    assert story.runs == ["60 Pending west #1"]
    story.at(61)
    story.started(story.run)
    story.finished(story.run)
    assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])


def test_a_declaration_that_comes_twice_changes_nothing() -> None:
    story = Story()
    story.declare(spec(), created_at=NOON)
    story.declare(spec("0 0 * * *"), created_at=NOON)
    assert [record.generation for record in story.written if isinstance(record, Definition)] == [1]


@pytest.mark.parametrize("uid", ["uid-west", "uid-east"], ids=["of its only home", "of another home"])
def test_what_the_ledger_has_lost_begins_anew_when_its_home_says_again_what_it_has(uid: str) -> None:
    lost = Story()
    definition = Definition(
        key=HELLO,
        cluster="west",
        uid="uid-west",
        generation=2,
        created_at=LONG_BEFORE,
        revision=1,
        changed_at=LONG_BEFORE,
        spec=spec(),
    )
    lost.write([(definition,)])
    lost.at(70)
    lost.declare(spec("0 0 1 1 *"), generation=1, created_at=LONG_BEFORE)
    assert HELLO not in lost.state.progress, "that was before"
    cluster = uid.removeprefix("uid-")
    lost.declare(spec(), cluster=cluster, generation=2, created_at=LONG_BEFORE)
    lost.declare(spec(), cluster="west", generation=2, created_at=LONG_BEFORE)
    assert lost.state.definitions[HELLO]["west"] == definition
    lost.at(121)
    assert (lost.runs, lost.verdicts) == ([f"120 Pending {cluster} #1"], [])


@pytest.mark.parametrize("created", [timedelta(hours=1), timedelta(days=365_000)], ids=str)
def test_a_cronjob_that_is_made_in_the_future_begins_now(created: timedelta) -> None:
    story = Story()
    story.declare(spec(), created_at=NOON + created)
    story.at(61)
    assert story.runs == ["60 Pending west #1"]


def test_forbid_holds_the_tick_and_starts_it_when_the_run_has_ended() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid"))
    story.at(60)
    story.started(story.run)
    story.at(130)
    assert story.runs == ["60 Running west #1"]
    story.finished(story.run)
    assert story.runs == ["120 Pending west #1"]


def test_forbid_gives_a_superseded_tick_its_verdict() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid"))
    story.at(60)
    story.started(story.run)
    story.at(190)
    assert story.verdicts == ["120 Skipped JobAlreadyActive"]


def test_replace_stops_the_old_run_and_waits_until_it_is_gone() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Replace"))
    story.at(60)
    story.started(story.run)
    story.at(121)
    assert story.runs == ["60 Stopping west #1"]
    story.stopped(story.run)
    assert (story.runs, story.verdicts) == (["120 Pending west #1"], ["60 Stopped Replaced"])


DEADLINES: list[dict[str, Any]] = [{"startingDeadlineSeconds": 30}, {"catchUp": {"policy": "None"}}]


@pytest.mark.parametrize("fields", DEADLINES)
def test_a_tick_for_which_the_old_run_was_stopped_starts_however_long_that_takes(fields: dict[str, Any]) -> None:
    story = Story()
    story.declare(spec("*/2 * * * *", concurrencyPolicy="Replace", **fields))
    story.at(120)
    story.started(story.run)
    story.at(271)
    assert (story.runs, story.verdicts) == (["120 Stopping west #1"], [])
    story.stopped(story.run)
    assert (story.runs, story.verdicts) == (["240 Pending west #1"], ["120 Stopped Replaced"])
    assert story.run.start_by == story.now + story.rules.start_window


@pytest.mark.parametrize("fields", [*DEADLINES, {"startingDeadlineSeconds": 30, "catchUp": {"spreadSeconds": 10}}])
def test_it_starts_also_if_there_is_no_cluster_for_it_when_the_old_run_is_gone(fields: dict[str, Any]) -> None:
    story = Story()
    story.declare(spec("*/2 * * * *", concurrencyPolicy="Replace", **fields))
    story.at(120)
    story.started(story.run)
    story.at(250)
    story.cordoned = {"west": "maintenance"}
    story.at(260)
    story.stopped(story.run)
    assert story.progress.held is not None
    assert story.progress.held.reason == "NoCluster"
    story.at(300)
    story.cordoned = {}
    story.at(310)
    assert (story.runs, story.verdicts) == (["240 Pending west #1"], ["120 Stopped Replaced"])
    assert story.run.was_in_time


@pytest.mark.parametrize("fields", DEADLINES)
def test_a_tick_for_which_the_old_run_was_stopped_gives_way_to_the_next(fields: dict[str, Any]) -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Replace", **fields))
    story.at(60)
    story.started(story.run)
    story.at(185)
    assert (story.runs, story.verdicts) == (["60 Stopping west #1"], ["120 Skipped Replacing"])
    story.stopped(story.run)
    assert story.runs == ["180 Pending west #1"]


@pytest.mark.parametrize("fields", DEADLINES)
def test_a_tick_that_waits_for_a_lost_run_alone_has_its_deadline(fields: dict[str, Any]) -> None:
    story = Story()
    story.declare(spec("1-5/2 * * * *", concurrencyPolicy="Replace", placement={"clusters": ["west", "east"]}, **fields))
    story.at(58)
    story.alive = {"east"}
    story.at(220)
    assert (story.runs, story.verdicts) == (["60 Lost west #1"], ["60 Lost ClusterSilent", "180 Skipped Replacing"])


def test_of_many_missed_ticks_only_the_latest_is_made_up_for() -> None:
    story = Story()
    story.declare(spec(), created_at=NOON - timedelta(minutes=10, seconds=30))
    assert story.runs == ["0 Pending west #1"]
    assert story.verdicts == ["-60 Missed Superseded x10"]


def test_a_tick_past_its_deadline_is_missed() -> None:
    story = Story(clusters=())
    story.declare(spec(startingDeadlineSeconds=20))
    story.at(85)
    story.alive = {"west"}
    story.at(90)
    assert (story.runs, story.verdicts) == ([], ["60 Missed DeadlineExceeded"])


def test_without_a_living_cluster_the_tick_waits_for_one() -> None:
    story = Story(clusters=())
    story.declare(spec())
    story.at(70)
    assert story.progress.held is not None
    assert story.progress.held.reason == "NoCluster"
    story.alive = {"west"}
    story.at(75)
    assert story.runs == ["60 Pending west #1"]


def test_suspending_takes_back_what_was_decided_ahead_and_resuming_does_not_start_the_past() -> None:
    story = Story()
    story.declare(spec())
    story.at(56)
    story.declare(spec(suspend=True), generation=2)
    assert story.runs == []
    story.at(200)
    story.declare(spec(), generation=3)
    assert (story.runs, story.verdicts) == ([], ["180 Skipped Suspended x3"])
    story.at(236)
    assert story.runs == ["240 Pending west #1"]


def test_an_edit_counts_from_the_moment_of_the_edit() -> None:
    story = Story()
    story.declare(spec("0 0 * * *"), created_at=NOON - timedelta(hours=1))
    story.at(30)
    story.declare(spec("*/2 * * * *"), generation=2)
    assert story.runs == []
    story.at(116)
    assert story.runs == ["120 Pending west #1"]


def test_a_new_template_does_not_take_back_a_run() -> None:
    story = Story()
    story.declare(spec())
    story.at(56)
    story.declare(spec(jobSpec={"backoffLimit": 2}), generation=2)
    assert story.runs == ["60 Pending west #1"]


def test_a_tick_that_is_taken_back_and_decided_again_keeps_the_name_of_its_job() -> None:
    key = Key(f"default/{'x' * 52}")
    story = Story()
    job = {"completionMode": "Indexed", "completions": 5}
    story.declare(spec(jobSpec=job), key)
    story.at(56)
    before = story.state.progress[key].open[0].job
    story.declare(spec(jobSpec=job | {"completions": 5000}, successfulJobsHistoryLimit=5), key, generation=2)
    assert [run.job for run in story.state.progress[key].open] == [before]
    story.at(116)
    assert len(story.state.progress[key].open[1].job) == len(before) - len("000")


class TestTakenBackAndBegun:
    """An edit took a run back, and its cluster, which had not read of that, made the Job all the same."""

    def test_it_is_a_run_again_and_its_tick_has_come(self) -> None:
        story = Story()
        taken_back = decided_and_then(story, spec(suspend=True))
        story.at(60.1)
        story.started(taken_back)
        story.finished(taken_back)
        story.declare(spec(), generation=3)
        story.at(65)
        assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])

    def test_it_does_not_run_again_where_its_cluster_may_not_be_chosen_any_more(self) -> None:
        story = Story()
        taken_back = decided_and_then(story, spec(placement={"clusters": ["south"]}))
        story.at(60)
        assert story.progress.held is not None
        story.started(taken_back)
        assert (story.runs, story.progress.held) == (["60 Running west #1"], None)

    def test_under_forbid_the_next_waits_for_it(self) -> None:
        story = Story()
        forbids = {"concurrencyPolicy": "Forbid"}
        taken_back = decided_and_then(story, spec(suspend=True, **forbids), before=spec(**forbids))
        story.at(60.1)
        story.started(taken_back)
        story.declare(spec(**forbids), generation=3)
        story.at(120)
        assert story.runs == ["60 Running west #1"]
        assert story.progress.held is not None

    def test_of_a_cronjob_that_was_deleted_it_is_stopped(self) -> None:
        story = Story()
        story.declare(spec())
        story.at(56)
        taken_back = story.run
        story.withdraw()
        story.at(60.1)
        story.started(taken_back)
        assert story.runs == ["60 Stopping west #1"]

    def test_of_a_cronjob_that_was_deleted_and_made_anew_it_is_stopped_and_the_tick_is_anothers(self) -> None:
        story = Story(("west",))
        story.declare(spec())
        story.at(56)
        taken_back = story.run
        story.declare(spec(), uid="made anew")
        story.alive = {"west", "east"}
        assert story.runs == ["60 Pending west #1"]
        assert story.run.id != taken_back.id
        story.at(60.1)
        story.started(taken_back)
        assert story.runs == ["60 Pending west #1", "60 Stopping west #1"]
        story.stopped(taken_back)
        assert story.runs == ["60 Pending west #1"]
        story.at(180)
        assert story.progress.taken_back == ()

    def test_what_became_of_it_does_not_take_the_place_of_the_same_tick_of_the_cronjob_that_was_made_anew(self) -> None:
        story = Story(("west",))
        story.declare(spec())
        story.at(56)
        taken_back = story.run
        story.declare(spec(), uid="made anew")
        story.at(60.1)
        story.started(story.run)
        story.finished(story.run, Outcome.FAILED)
        story.started(taken_back)
        story.finished(taken_back)
        assert (story.runs, story.verdicts) == ([], ["60 Failed"])

    def test_under_forbid_the_next_waits_for_that_of_a_cronjob_that_was_deleted_and_made_anew(self) -> None:
        story = Story()
        forbids = spec(concurrencyPolicy="Forbid")
        story.declare(forbids)
        story.at(56)
        taken_back = story.run
        story.declare(spec("* * * * *", suspend=True, concurrencyPolicy="Forbid"), uid="made anew")
        story.at(60.1)
        story.started(taken_back)
        assert story.runs == ["60 Stopping west #1"]
        story.declare(forbids, uid="made anew", generation=2)
        story.at(120.1)
        assert story.runs == ["60 Stopping west #1"]
        assert story.progress.held is not None

    def test_a_refusal_changes_nothing(self) -> None:
        story = Story()
        taken_back = decided_and_then(story, spec(suspend=True))
        story.at(60.1)
        before = story.progress
        story.refused(taken_back)
        assert story.progress == before

    def test_what_was_due_before_it_and_waits_gives_way(self) -> None:
        story = Story()
        every = {"schedule": "@every 2s", "catchUp": {"policy": "All"}}
        story.declare(spec(**every))
        story.at(55)
        taken_back = story.run
        assert story.runs[-2:] == ["58 Pending west #1", "60 Pending west #1"]
        story.declare(spec(placement={"clusters": ["south"]}, **every), generation=2)
        before = len(story.verdicts)
        story.at(60.5)
        story.started(taken_back)
        assert story.verdicts[before:] == ["58 Missed Superseded"]
        assert "60 Running west #1" in story.runs


def decided_and_then(story: Story, edited: msgspec.Raw, before: msgspec.Raw | None = None) -> Run:
    """Let the tick of 12:01 be decided ahead, and taken back by an edit; return its run."""
    story.declare(before or spec())
    story.at(56)
    decided = story.run
    story.declare(edited, generation=2)
    assert story.runs == []
    return decided


@pytest.mark.parametrize(
    ("job", "indexes"),
    [
        ({}, 0),
        ({"completions": 5}, 0),
        ({"completionMode": "NonIndexed", "completions": 5}, 0),
        ({"completionMode": "Indexed", "completions": 5}, 5),
        ({"completionMode": "Indexed"}, 0),
        ({"completionMode": "Indexed", "completions": -1}, 0),
        ({"completionMode": "Indexed", "completions": "5"}, 0),
        ({"completionMode": "Indexed", "completions": True}, 0),
        ({"completionMode": ["Indexed"], "completions": 5}, 0),
    ],
)
def test_how_many_indexes_the_pods_have_is_read_from_the_template(job: dict[str, Any], indexes: int) -> None:
    assert parse(HELLO, spec(jobSpec=job)).indexes == indexes


def test_a_nonsense_schedule_never_fires_and_harms_nobody() -> None:
    story = Story()
    story.declare(spec("every now and then"))
    story.at(120)
    assert story.runs == []
    story.declare(spec(), generation=2)
    story.at(176)
    assert story.runs == ["180 Pending west #1"]


def test_withdrawing_stops_what_runs_and_is_forgotten_later() -> None:
    story = Story()
    story.declare(spec())
    story.at(61)
    story.started(story.run)
    story.withdraw()
    assert story.runs == ["60 Stopping west #1"]
    story.stopped(story.run)
    story.at(61 + 700)
    assert HELLO not in story.state.progress


def test_the_newest_change_wins_and_the_next_newest_takes_its_place() -> None:
    story = Story()
    story.declare(spec("0 1 * * *"), cluster="west")
    story.at(10)
    story.declare(spec("0 2 * * *"), cluster="east")
    assert story.state.cronjob(HELLO).schedule.text == "0 2 * * *"
    story.withdraw(cluster="east")
    assert story.state.cronjob(HELLO).schedule.text == "0 1 * * *"


def test_a_refused_run_goes_to_the_next_cluster_and_fails_when_none_is_left() -> None:
    story = Story()
    story.declare(spec(placement={"clusters": ["west", "east"]}))
    story.at(60)
    story.refused(story.run)
    assert story.runs == ["60 Pending east #2"]
    story.refused(story.run)
    assert (story.runs, story.verdicts) == ([], ["60 Refused Invalid"])


def test_a_run_that_was_too_late_may_go_to_the_same_cluster_again() -> None:
    story = Story(clusters=("west",))
    story.declare(spec("0 * * * *"), created_at=NOON - timedelta(minutes=1))
    story.at(40)
    story.refused(story.run, too_late=True)
    assert story.runs == ["0 Pending west #2"]


@pytest.mark.parametrize("guarantee", ["AtMostOnce", "AtLeastOnce"])
def test_a_run_that_was_too_late_goes_rather_to_another_cluster(guarantee: str) -> None:
    """A webhook may fail in one cluster for that very Job, and nothing else say that it is not to be had there."""
    story = Story()
    story.declare(spec("1 * * * *", guarantee=guarantee, placement={"clusters": ["west", "east"]}))
    story.at(60)
    for cluster, attempt in [("west", 1), ("east", 2), ("west", 3)]:
        assert story.runs == [f"60 Pending {cluster} #{attempt}"]
        story.at((story.run.start_by - NOON).total_seconds() + 0.5)
        story.refused(story.run, too_late=True)
        story.at((story.now - NOON).total_seconds() + 0.5)


def test_at_most_once_gives_a_silent_clusters_run_up_and_starts_nothing_elsewhere() -> None:
    story = Story()
    story.declare(spec("1 * * * *", placement={"clusters": ["west", "east"]}))
    story.at(58)
    story.alive = {"east"}
    story.at(100)
    assert (story.runs, story.verdicts) == (["60 Lost west #1"], ["60 Lost ClusterSilent"])


def test_the_truth_about_a_lost_run_is_told_when_its_cluster_is_back() -> None:
    story = Story()
    story.declare(spec("1 * * * *", placement={"clusters": ["west", "east"]}))
    story.at(58)
    story.alive = {"east"}
    story.at(100)
    story.finished(story.run)
    assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])


def test_a_lost_run_blocks_forbid_under_at_most_once() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid", placement={"clusters": ["west", "east"]}))
    story.at(58)
    story.alive = {"east"}
    story.at(600)
    assert story.runs == ["60 Lost west #1"]


def test_a_lost_run_blocks_only_until_its_active_deadline_is_over() -> None:
    story = Story()
    body = spec("1 * * * *", placement={"clusters": ["west"]}, jobSpec={"activeDeadlineSeconds": 60})
    story.declare(body)
    story.at(58)
    story.alive = {"east"}
    story.at(100)
    assert story.runs == ["60 Lost west #1"]
    over = 60 + 20 + 60 + 60 + 30 + 2  # start_by, a request on its way, the deadline, the pods' time to end, the margin
    story.at(over - 1)
    assert story.runs == ["60 Lost west #1"]
    story.at(over + 1)
    assert (story.runs, story.verdicts) == ([], ["60 Lost ClusterSilent"])


def test_at_least_once_places_a_silent_clusters_run_elsewhere() -> None:
    story = Story()
    story.declare(spec("1 * * * *", placement={"clusters": ["west", "east"]}, **ALO))
    story.at(58)
    story.alive = {"east"}
    story.at(100)
    assert story.runs == ["60 Lost west #1", "60 Pending east #2"]
    first, second = story.progress.open
    assert second.fencing > first.fencing
    story.started(second)
    story.finished(second)
    assert story.verdicts == ["60 Lost PlacedElsewhere", "60 Succeeded"]


def test_a_run_that_is_heard_of_again_after_it_was_tried_elsewhere_is_not_tried_again_when_it_falls_silent_once_more() -> None:
    story = Story()
    story.declare(spec("1 * * * *", placement={"clusters": ["west", "east", "south"]}, **ALO))
    story.at(58)
    story.alive = {"east", "south"}
    story.at(100)
    first, second = story.progress.open
    assert story.runs == ["60 Lost west #1", "60 Pending east #2"]
    story.started(first)
    story.started(second)
    assert story.runs == ["60 Running west #1", "60 Running east #2"]
    story.at(600)
    assert story.runs == ["60 Running east #2"]
    assert story.verdicts == ["60 Lost PlacedElsewhere"]


def test_at_least_once_gives_up_a_running_job_whose_cluster_is_silent_for_long() -> None:
    story = Story()
    story.declare(spec("1 * * * *", placement={"clusters": ["west", "east"]}, **ALO))
    story.at(60)
    story.started(story.run)
    story.alive = {"east"}
    story.at(300)
    assert story.runs == ["60 Running west #1"]
    story.at(400)
    assert story.runs[-1] == "60 Pending east #2"


def test_a_failed_run_is_told_as_failed_and_not_repeated() -> None:
    story = Story()
    story.declare(spec("1 * * * *"))
    story.at(60)
    story.finished(story.run, Outcome.FAILED)
    assert (story.runs, story.verdicts) == ([], ["60 Failed"])


def test_nothing_has_happened_later_than_it_is_heard_of() -> None:
    """However far ahead a cluster's clock is: what is reckoned from there would last as long."""
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid", jobSpec={"activeDeadlineSeconds": 30}))
    story.at(61)
    run, later = story.run, story.now + timedelta(days=365)
    story.tell(RunStarted(key=HELLO, run_id=run.id, cluster=run.cluster, started=later))
    assert story.run.started == story.now
    told = RunFinished(key=HELLO, run_id=run.id, cluster=run.cluster, outcome=Outcome.SUCCEEDED, finished=later)
    story.tell(told)
    assert (story.progress.last_successful, story.progress.recent[-1].finished) == (story.now, story.now)


def test_a_report_from_another_cluster_about_a_run_changes_nothing() -> None:
    story = Story()
    story.declare(spec())
    story.at(60)
    forged = story.run.__class__(**{f: getattr(story.run, f) for f in story.run.__struct_fields__} | {"cluster": "east"})
    story.finished(forged)
    assert story.runs == ["60 Pending west #1"]


def test_a_ledger_that_has_just_begun_waits_before_it_makes_up_for_the_past() -> None:
    story = Story()
    story.state.born = NOON
    story.declare(spec(), created_at=NOON - timedelta(hours=1))
    assert story.runs == []
    ran = NOON
    story.declare(spec(), cluster="east", created_at=NOON - timedelta(hours=1), last_schedule_time=ran)
    story.at(20)
    assert (story.runs, story.verdicts) == ([], [])
    story.at(56)
    assert story.runs[-1].startswith("60 Pending")


def test_a_status_says_up_to_when_ticks_are_decided_and_not_beyond_what_may_still_have_to_run() -> None:
    story = Story()

    def decided_until() -> str | None:
        rendered = status.render(story.state, HELLO, "west", story.now)
        assert rendered is not None
        return str(rendered["decidedUntil"])[11:19] if rendered["decidedUntil"] is not None else None

    story.declare(spec("* * * * *"))
    story.at(58)
    assert (story.runs, decided_until()) == (["60 Pending west #1"], None)
    story.at(60)
    first = story.run
    story.started(first)
    story.at(116)
    assert decided_until() is None
    story.finished(first)
    assert decided_until() == "12:01:00"
    story.declare(spec("* * * * *", suspend=True), generation=2)
    assert decided_until() == "12:01:00", "what was decided ahead is taken back, and has not come"
    story.at(400)
    story.declare(spec("* * * * *"), generation=3)
    assert decided_until() == "12:06:00"
    story.declare(spec("*/7 * * * *"), generation=4)
    assert decided_until() == "12:06:40", "what the new schedule would have had is passed over"


def test_what_was_compared_with_another_ledger_is_not_taken_in() -> None:
    story = Story()
    story.declare(spec(), ledger=NOON)
    assert story.state.definitions == {}
    story.declare(spec(), ledger=LONG_BEFORE)
    assert story.state.definitions.keys() == {HELLO}
    story.declare(spec(), cluster="east")  # an older version does not say with which
    assert story.state.definitions[HELLO].keys() == {"west", "east"}


def test_while_a_ledger_is_young_another_replica_may_know_of_more_that_has_run() -> None:
    story = Story()
    story.state.born = NOON + timedelta(seconds=60)
    story.at(65)
    story.declare(spec(), created_at=NOON - timedelta(hours=1))
    story.declare(spec(), created_at=NOON - timedelta(hours=1), last_schedule_time=NOON + timedelta(seconds=60))
    story.at(80)
    assert (story.runs, story.verdicts) == ([], [])
    story.declare(spec(), created_at=NOON - timedelta(hours=1), last_schedule_time=NOON + timedelta(seconds=120))
    story.at(120)
    assert story.runs == ["120 Pending west #1"], "what is said later counts no more"


def test_what_is_refused_and_has_begun_all_the_same_goes_on() -> None:
    story = Story()
    story.declare(spec())
    story.at(60)
    run = story.run
    refused = RunRefused(key=HELLO, run_id=run.id, cluster="west", reason="Forbidden", message="no")
    story.tell(refused, RunStarted(key=HELLO, run_id=run.id, cluster="west", started=story.now))
    assert story.runs == ["60 Running west #1"]


def test_another_cluster_of_the_same_name_is_not_heard_until_the_first_is_silent() -> None:
    story = Story(clusters=("west",))

    def heard(uid: str) -> tuple[str, float]:
        story.tell(ClusterSeen(cluster="west", replica=f"of {uid}", api_ok=True, clock=story.now, uid=uid))
        known = story.state.clusters["west"]
        return known.uid, (known.seen_at - NOON).total_seconds()

    assert heard("a") == ("a", 0)
    story.alive.clear()
    story.at(10)
    assert heard("b") == ("a", 0)
    assert heard("") == ("a", 10), "a replica that does not know yet"
    story.at(24)
    assert heard("b") == ("a", 10)
    story.at(30)
    assert heard("b") == ("b", 30)


def test_every_tick_of_an_hour_gets_exactly_one_run() -> None:
    story = Story()
    story.declare(spec())
    ticks = []
    for minute in range(1, 61):
        story.at(60 * minute)
        ticks += [run.tick for run in story.progress.open]
        story.started(story.run)
        story.finished(story.run)
    assert ticks == [NOON + timedelta(minutes=minute) for minute in range(1, 61)]


def test_silence_from_before_the_executor_began_to_listen_gives_nothing_up() -> None:
    story = Story()
    story.declare(spec("1 * * * *", placement={"clusters": ["west", "east"]}, **ALO))
    story.at(60)
    story.started(story.run)
    story.now += timedelta(minutes=10)  # nobody listened: the broker was away
    story.take_over()
    assert story.runs == ["60 Running west #1"]
    story.alive = {"east"}
    story.at(60 + 600 + 290)
    assert story.runs == ["60 Running west #1"]
    story.at(60 + 600 + 310)
    assert story.runs == ["60 Pending east #2"]


def test_a_run_that_was_given_up_is_placed_as_soon_as_there_is_a_cluster_for_it() -> None:
    story = Story()
    story.declare(spec("1 * * * *", placement={"clusters": ["west", "east"]}, **ALO))
    story.at(58)
    story.alive = set()
    story.at(100)
    assert story.runs == ["60 Lost west #1"]
    story.alive = {"east"}
    story.at(106)
    assert story.runs == ["60 Lost west #1", "60 Pending east #2"]


def test_of_several_that_wait_for_a_further_attempt_the_first_goes_first() -> None:
    """Not each for the others, and so for ever."""
    story = Story()
    story.declare(spec("@every 10s", **ALO))
    story.at(20)
    for run in story.progress.open:
        story.refused(run, too_late=True)
    story.declare(spec("@every 10s", concurrencyPolicy="Forbid", **ALO), generation=2)
    story.at(50)
    assert story.runs == ["20 Lost west #1", "10 Pending west #2"]
    story.finished(story.run)
    story.at(56)
    assert story.runs == ["20 Pending west #2"]


def late_and_waiting() -> Story:
    """Return a story in which the run of 20 s after noon was too late, and no cluster is left for another attempt."""
    story = Story()
    story.declare(spec("@every 20s", **ALO))
    story.at(20)
    story.alive = set()
    story.refused(story.run, too_late=True)
    return story


def test_what_waits_for_a_further_attempt_when_its_cronjob_is_deleted_has_its_verdict() -> None:
    story = late_and_waiting()
    assert story.runs == ["20 Lost west #1"]
    story.withdraw()
    assert story.runs == []
    said = story.progress.recent[-1]
    assert (said.tick, said.verdict, said.reason) == (NOON + timedelta(seconds=20), "Skipped", "Withdrawn")
    assert said.message == "waited for its next attempt when the HACronJob was deleted; west had refused it (Invalid: no)"


def test_so_it_has_when_its_cronjob_is_made_anew_in_the_same_moment() -> None:
    story = late_and_waiting()
    story.declare(spec("@every 20s", **ALO), uid="uid-anew")
    assert [(said.tick, said.verdict, said.reason) for said in story.progress.recent] == [
        (NOON + timedelta(seconds=20), "Skipped", "Withdrawn")
    ]


def test_a_withdrawn_cronjob_is_forgotten_at_the_instant_that_was_noted_for_it() -> None:
    story = Story()
    story.declare(spec())
    story.withdraw()
    look = story.scheduler.next_look()
    assert look == NOON + story.rules.forget_after
    story.now = look
    story.tell()
    assert HELLO not in story.state.progress
    assert story.scheduler.next_look() is None


def test_a_run_that_is_not_heard_of_before_its_cronjob_is_forgotten_has_its_verdict() -> None:
    story = Story()
    story.declare(spec(placement={"clusters": ["west"]}), cluster="east")
    story.at(60)
    story.started(story.run)
    story.alive = {"east"}
    story.withdraw(cluster="east")
    story.at(60 + 599)
    assert story.runs == ["60 Stopping west #1"]
    story.at(60 + 605)
    assert HELLO not in story.state.progress
    verdicts = [told.recent for told in story.written if isinstance(told, Progress)][-1]
    assert [(one.verdict, one.reason) for one in verdicts] == [("Lost", "Withdrawn")]


def test_verdicts_stand_in_the_order_of_their_ticks_however_late_the_truth_is_told() -> None:
    story = Story()
    story.declare(spec(placement={"clusters": ["west"]}))
    story.at(58)
    story.alive = {"east"}
    story.at(100)
    lost = story.run
    story.alive = {"west", "east"}
    story.at(121)
    story.finished(story.run)
    story.finished(lost)
    assert story.verdicts == ["60 Succeeded", "120 Succeeded"]


def test_an_interval_is_counted_from_the_last_tick_however_often_it_is_looked_at_in_between() -> None:
    story = Story()
    story.declare(spec("@every 15s", concurrencyPolicy="Replace"))
    story.at(15)
    story.started(story.run)
    story.at(29)
    assert story.runs == ["15 Running west #1"]
    story.at(30)
    assert story.runs == ["15 Stopping west #1"]


def test_jobs_that_never_end_do_not_pile_up_without_end() -> None:
    story = Story(clusters=("west",))
    story.declare(spec("@every 1s"))
    story.at(MOST_OPEN + 60)
    assert len(story.progress.open) == MOST_OPEN
    assert story.verdicts[-1] == f"{MOST_OPEN + 60} Skipped TooManyRuns"
    story.finished(story.progress.open[0])
    story.at(MOST_OPEN + 61)
    assert story.run.tick == NOON + timedelta(seconds=MOST_OPEN + 61)


def test_the_latest_missed_tick_is_found_however_uneven_the_schedule() -> None:
    story = Story()
    story.declare(spec("30 3,4,5 * * 1-5"), created_at=NOON.replace(hour=2))
    assert story.run.tick == NOON.replace(hour=5, minute=30)


def test_with_a_deadline_of_nothing_nothing_ever_runs() -> None:
    story = Story()
    story.declare(spec(startingDeadlineSeconds=0))
    story.at(200)
    assert (story.runs, story.verdicts) == ([], [f"{tick} Missed DeadlineExceeded" for tick in (60, 120, 180)])


def test_an_edit_that_takes_back_a_run_does_not_move_an_interval() -> None:
    story = Story()
    story.declare(spec("@every 1m"))
    story.at(56)
    story.declare(spec("@every 1m", concurrencyPolicy="Forbid"), generation=2)
    assert story.runs == ["60 Pending west #1"]


def test_a_standby_comes_into_step_a_part_at_a_time() -> None:
    story = Story()
    for number in range(5):
        story.declare(spec(), key=Key(f"default/job-{number}"))
    heir = Scheduler(story.state, story.rules)
    heir.touch(story.state.progress)
    assert [heir.prepare(at_most=2), heir.prepare(at_most=2), heir.prepare(at_most=2)] == [False, False, True]
    assert heir.next_look() == story.scheduler.next_look()


def test_what_is_kept_of_a_spec_that_is_not_understood_holds_nothing_of_who_read_it() -> None:
    story = Story()
    story.declare(spec("now and then"))
    found = story.state.cronjob(HELLO)
    assert isinstance(found, InvalidCronJob)
    assert (found.field, found.__traceback__, found.__cause__, found.__context__) == ("schedule", None, None, None)


def test_what_is_only_written_again_is_no_change() -> None:
    """With ten thousand cronjobs hundreds are in a second, and whoever looks at what has changed would do so in vain."""
    story = Story()
    story.declare(spec())
    story.at(61)
    cronjob, told = story.state.cronjob(HELLO), [replace(record) for record in story.state.stalest()]
    batch = Batch(epoch=story.epoch, sender="r1", sent_at=story.now, records=tuple(told))
    applied = story.state.apply(Entry(offset=story.state.position + 1, size=100, batch=batch))
    assert {type(record) for record in told} >= {Definition, Progress}
    assert (applied.counts, applied.keys, tuple(applied.was)) == (True, (), (HELLO,))
    assert story.state.cronjob(HELLO) is cronjob
    assert story.state.floor == story.state.position
    edited = replace(story.progress, last_tick=story.now)
    batch = Batch(epoch=story.epoch, sender="r1", sent_at=story.now, records=(told[0], edited))
    assert story.state.apply(Entry(offset=story.state.position + 1, size=100, batch=batch)).keys == (HELLO,)


def test_what_comes_to_nothing_in_one_decision_is_not_written_and_is_looked_at_later() -> None:
    """A cluster whose clock is behind says that a run has begun, and counts as silent all the same."""
    story = Story()
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid", jobSpec={"activeDeadlineSeconds": 7200}))
    story.at(3600)
    run = story.run
    story.started(run)
    story.alive = set()
    story.at(4200)
    assert story.runs == ["3600 Lost west #1"]
    before, known = len(story.written), story.progress
    look = story.scheduler.next_look()
    assert look is not None
    story.now = look
    story.started(run)
    assert (len(story.written), story.progress) == (before, known)
    following = story.scheduler.next_look()
    assert following is not None
    assert following > look
    story.at(3600 + 60 + 7200 + 60 + 3600)
    assert "7200 Skipped JobAlreadyActive" in story.verdicts
