"""How long a run counts as running in a cluster of which nothing is heard, and what becomes of it then."""

from __future__ import annotations

from datetime import timedelta

from tests.core.ledger_story import Story, spec

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
