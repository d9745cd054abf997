"""How long a run counts as running in a cluster of which nothing is heard, and what becomes of it then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from hacron.core.admission import latest_end
from hacron.core.messages import CronJobWithdrawn
from hacron.core.spec import parse
from tests.core.ledger_story import HELLO, Story, refused_and_waiting, spec

BOTH = {"placement": {"clusters": ["west", "east"]}}
ALO = {"guarantee": "AtLeastOnce"}


def lost_in_west_with_east_away(**job: object) -> Story:
    """The run of 12:01 in west, of which nothing is heard any more; nor is anything of east. A third cluster goes on."""
    story = Story(clusters=("west", "east", "other"))
    story.declare(spec("1 12 * * *", **BOTH, **ALO, jobSpec=job))
    story.at(50)
    story.alive = {"west", "other"}
    story.at(61)
    story.started(story.run)
    story.alive = {"other"}
    story.at(400)
    assert story.runs == ["60 Lost west #1"]
    return story


def test_a_deadline_of_the_job_does_not_delay_the_next_attempt() -> None:
    story = lost_in_west_with_east_away(activeDeadlineSeconds=3600)
    story.alive = {"east", "other"}
    story.at(401)
    assert story.runs[-1] == "60 Pending east #2"


def test_a_lost_run_that_waits_for_a_cluster_is_looked_at_again_without_one_that_comes_back() -> None:
    story = lost_in_west_with_east_away(activeDeadlineSeconds=3600)
    after = story.scheduler.next_look()
    assert after is not None
    assert after - story.now <= timedelta(seconds=5)


def test_what_waits_for_a_cluster_starts_as_one_comes_back_and_not_only_when_its_time_is_over() -> None:
    story = Story(clusters=("west", "east"))
    story.declare(spec("1 12 * * *", **BOTH, **ALO))
    story.at(40)
    story.alive = {"west"}
    story.at(60)
    story.refused(story.run)
    assert story.runs == ["60 Lost west #1"]
    story.alive = {"west", "east"}
    story.at(62)
    assert story.runs == ["60 Pending east #2"]


def replaced_in_silent_west(**fields: object) -> Story:
    """The run of 12:01 was told to make way at 12:02; nothing is heard of west since 12:01."""
    story = Story(clusters=("west", "east"))
    story.declare(spec("1,2 12 * * *", concurrencyPolicy="Replace", **BOTH, **fields))
    story.at(60)
    story.started(story.run)
    story.alive = {"east"}
    story.at(125)
    assert story.runs == ["60 Stopping west #1"]
    return story


def test_a_run_that_was_told_to_stop_is_over_when_its_job_has_ended() -> None:
    for fields, beside_it in (({}, []), (ALO, ["120 Pending east #1"])):
        story = replaced_in_silent_west(**fields, jobSpec={"activeDeadlineSeconds": 400})
        over = 60 + 20 + 400 + 30 + 2  # start_by, the deadline, the pods' time to end, the margin
        story.at(over - 1)
        assert story.runs == ["60 Stopping west #1", *beside_it]
        story.at(over + 1)
        assert story.runs == ["120 Pending east #1"]
        assert story.verdicts == ["60 Lost ClusterSilent"]


def test_a_run_that_was_told_to_stop_and_may_run_on_is_stopped_when_its_cluster_is_back() -> None:
    story = replaced_in_silent_west(**ALO)
    story.at(600)
    assert story.runs == ["60 Stopping west #1", "120 Pending east #1"]
    assert story.verdicts == []


def test_a_run_that_was_told_to_stop_is_waited_for_while_its_cluster_is_heard_of() -> None:
    story = replaced_in_silent_west(jobSpec={"activeDeadlineSeconds": 300})
    story.alive = {"west", "east"}
    story.at(600)
    assert story.runs[0] == "60 Stopping west #1"
    assert story.verdicts == []
    story.stopped(story.progress.open[0])
    assert story.verdicts == ["60 Stopped Replaced"]


def test_what_becomes_known_later_of_a_run_that_was_told_to_stop_is_not_told_twice() -> None:
    story = replaced_in_silent_west(jobSpec={"activeDeadlineSeconds": 300})
    stopping = story.run
    story.at(600)
    story.stopped(stopping)
    assert story.verdicts == ["60 Lost ClusterSilent"]


@pytest.mark.parametrize("guarantee", ["AtMostOnce", "AtLeastOnce"])
@pytest.mark.parametrize("deleted_again", [False, True])
def test_a_run_that_is_lost_is_not_told_to_be_lost_once_more_by_a_cronjob_made_anew(guarantee: str, deleted_again: bool) -> None:
    story = Story()
    body = spec("1 12 * * *", guarantee=guarantee, placement={"clusters": ["west"]}, jobSpec={"activeDeadlineSeconds": 400})
    story.declare(body, cluster="east")
    story.at(61)
    story.started(story.run)
    story.alive = {"east"}
    story.at(420)
    assert story.runs == ["60 Lost west #1"]
    story.declare(body, cluster="east", uid="uid-2")
    assert story.runs == ["60 Stopping west #1"]
    if deleted_again:
        story.tell(CronJobWithdrawn(key=HELLO, cluster="east", uid="uid-2"))
    story.at(1100)
    assert HELLO not in story.state.progress if deleted_again else not story.runs
    assert [event.reason for event in story.events].count("Lost") == 1


def test_a_run_of_a_silent_cluster_is_given_up_also_while_the_spec_is_not_understood() -> None:
    story = Story(clusters=("west", "east"))
    story.declare(spec("1 12 * * *", **BOTH, **ALO))
    story.at(61)
    story.started(story.run)
    story.alive = {"east"}
    story.declare(spec("nonsense", **BOTH, **ALO), generation=2)
    story.at(350)
    assert (story.runs, story.verdicts) == (["60 Running west #1"], [])
    story.at(370)
    assert (story.runs, story.verdicts) == (["60 Lost west #1"], ["60 Lost ClusterSilent"])
    story.declare(spec("1 12 * * *", **BOTH, **ALO), generation=3)
    assert story.runs == ["60 Lost west #1", "60 Pending east #2"]


def test_a_run_that_no_cluster_took_up_is_given_up_also_while_the_spec_is_not_understood() -> None:
    story = Story(clusters=("west", "east"))
    story.declare(spec("1 12 * * *", **BOTH))
    story.at(60)
    story.alive = {"east"}
    story.declare(spec("nonsense", **BOTH), generation=2)
    story.at(90)
    assert story.verdicts == ["60 Lost ClusterSilent"]
    story.alive = {"west", "east"}
    story.finished(story.run)
    assert (story.runs, story.verdicts) == ([], ["60 Succeeded"])


def next_begins_at(grace: dict[str, object], started: bool = True, **fields: object) -> int:
    """Return when, in seconds after noon, the next run begins in east; that of 12:01 in west, silent since, has 600 s."""
    story = Story(clusters=("west", "east"))
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]} | grace
    job = {"activeDeadlineSeconds": 600, "template": {"spec": pod}}
    story.declare(spec(**BOTH, **fields, jobSpec=job))
    story.at(60)
    if started:
        story.started(story.run)
    story.alive = {"east"}
    for second in range(61, 2000):
        story.at(second)
        if any(run.cluster == "east" for run in story.progress.open):
            return second
    return 2000


@pytest.mark.parametrize("policy", ["Forbid", "Replace", "Queue"])
def test_nothing_begins_while_pods_may_still_be_ending_where_nothing_is_heard(policy: str) -> None:
    start_by, deadline, margin = 80, 600, 2
    by_default = next_begins_at({}, concurrencyPolicy=policy)
    assert by_default == start_by + deadline + 30 + margin
    assert next_begins_at({"terminationGracePeriodSeconds": 200}, concurrencyPolicy=policy) == by_default - 30 + 200


def test_a_job_that_was_not_seen_may_have_been_made_by_a_request_that_was_kept_waiting() -> None:
    assert next_begins_at({}, started=False, concurrencyPolicy="Forbid") == 80 + 60 + 600 + 30 + 2


@pytest.mark.parametrize(
    ("given", "grace_s"), [(None, 30), (0, 0), (-5, 0), (90, 90), (2**60, 2**31 - 1), ("90", 30), (True, 30)]
)
def test_the_time_that_pods_have_to_end_is_read_from_the_template(given: object, grace_s: int) -> None:
    pod = {"spec": {"terminationGracePeriodSeconds": given, "containers": []}}
    assert parse(HELLO, spec(jobSpec={"template": pod})).grace_s == grace_s


def not_watched(state: str, **fields: object) -> Story:
    """Of the run of 12:01 in west, where it was Pending, Running, or Stopping, nobody will tell anything any more."""
    story = Story()
    story.declare(spec("1 12 * * *", **BOTH, **fields))
    story.at(61)
    if state != "Pending":
        story.started(story.run)
    if state == "Stopping":
        story.declare(spec("1,2 12 * * *", concurrencyPolicy="Replace", **BOTH, **fields), generation=2)
        story.at(121)
    assert story.runs == [f"60 {state} west #1"]
    story.out_of_sight(story.run)
    return story


@pytest.mark.parametrize("state", ["Pending", "Running", "Stopping"])
def test_a_run_that_nobody_can_look_at_is_lost_and_counts_until_its_job_must_have_ended(state: str) -> None:
    story = not_watched(state, jobSpec={"activeDeadlineSeconds": 400})
    assert story.verdicts == ["60 Lost NotWatched"]
    over = 60 + 20 + 400 + 30 + 2 + 60 * (state == "Pending")
    story.at(over - 1)
    assert story.runs == [f"60 {'Stopping' if state == 'Stopping' else 'Lost'} west #1"]
    story.at(over + 1)
    assert story.runs == (["120 Pending west #1"] if state == "Stopping" else [])
    assert story.verdicts == ["60 Lost NotWatched"]


@pytest.mark.parametrize("state", ["Pending", "Running", "Stopping"])
def test_a_run_that_nobody_can_look_at_and_that_nothing_ends_counts_no_more(state: str) -> None:
    story = not_watched(state)
    story.at(130)
    assert story.runs == (["120 Pending west #1"] if state == "Stopping" else [])
    assert story.verdicts == ["60 Lost NotWatched"]


def test_what_is_seen_after_all_of_a_run_that_nobody_could_look_at_is_the_truth() -> None:
    story = not_watched("Stopping", jobSpec={"activeDeadlineSeconds": 400})
    story.stopped(story.run, reason="JobGone")
    assert story.verdicts == ["60 Stopped JobGone"]


def test_another_cluster_can_not_say_that_a_run_is_out_of_sight() -> None:
    story = Story()
    story.declare(spec("1 12 * * *", **BOTH))
    story.at(61)
    story.out_of_sight(story.run, "east")
    assert story.runs == ["60 Pending west #1"]


def test_what_is_known_not_to_have_begun_waits_on_though_nobody_can_look_at_it() -> None:
    story = refused_and_waiting()
    story.out_of_sight(story.run)
    assert (story.run.reason, story.verdicts) == ("NotStarted", [])


@pytest.mark.parametrize("policy", ["Forbid", "Queue"])
def test_a_deadline_that_is_set_later_is_not_that_of_a_job_that_was_made_before(policy: str) -> None:
    story = Story()
    story.declare(spec("1,10 12 * * *", concurrencyPolicy=policy, **BOTH))
    story.at(61)
    story.started(story.run)
    story.alive = {"east"}
    story.at(500)
    assert story.runs == ["60 Lost west #1"]
    body = spec("1,10 12 * * *", concurrencyPolicy=policy, jobSpec={"activeDeadlineSeconds": 10}, **BOTH)
    story.declare(body, cluster="east", created_at=story.now)
    story.at(700)
    assert story.runs == ["60 Lost west #1"]


def test_a_deadline_that_is_set_higher_counts_also_for_what_runs_as_its_job_may_have_been_made_by_it() -> None:
    story = Story()
    story.declare(spec("1 12 * * *", concurrencyPolicy="Forbid", jobSpec={"activeDeadlineSeconds": 10}, **BOTH))
    story.at(61)
    run, rules = story.run, story.rules
    for now_s, allowed_s in ((5, 10), (1000, 1000)):
        cronjob, alone = (parse(HELLO, spec(jobSpec={"activeDeadlineSeconds": seconds})) for seconds in (now_s, allowed_s))
        end = latest_end(run, cronjob, rules)
        assert end is not None
        assert end == latest_end(replace(run, longest_s=None), alone, rules)
    assert latest_end(run, parse(HELLO, spec()), rules) is None
