"""What a worker knows of the Jobs in its cluster, when what it is told comes in any order."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hacron.core.manifests import Halting, JobView
from hacron.core.messages import Outcome
from hacron.core.model import key_of
from hacron.jobs import Jobs
from tests.roles.views import HELLO, YOUNG

OLD = replace(YOUNG, halt=Halting.DONE, tombstone=True, version=10)  # as text, its version would come first


def test_an_answer_that_comes_late_does_not_undo_what_the_watch_has_told() -> None:
    jobs = Jobs()
    assert jobs.keep(OLD)
    assert not jobs.keep(YOUNG)
    assert jobs.get(HELLO, "hello.1") == OLD


@pytest.mark.parametrize("other", [replace(YOUNG, uid="u2"), replace(YOUNG, version=0)], ids=["another Job", "no version"])
def test_what_cannot_be_compared_is_taken_as_news(other: JobView) -> None:
    jobs = Jobs()
    jobs.keep(OLD)
    assert jobs.keep(other)
    assert jobs.get(HELLO, "hello.1") == other


def test_a_newer_version_that_says_the_same_is_no_news_and_is_remembered() -> None:
    jobs = Jobs()
    jobs.keep(YOUNG)
    assert not jobs.keep(replace(YOUNG, version=12))
    assert not jobs.keep(replace(OLD, version=11))
    assert jobs.get(HELLO, "hello.1") == replace(YOUNG, version=12)


def test_what_runs_of_a_schedule_are_the_jobs_that_have_not_ended() -> None:
    jobs = Jobs()
    ended = replace(YOUNG, run_id="hello.2", uid="u2", terminal=Outcome.FAILED)
    taken = replace(YOUNG, run_id="hello.3", uid="u3", tombstone=True)
    asked_for = replace(YOUNG, run_id="asked.1", uid="u4", demand="again")
    for job in (YOUNG, ended, taken, asked_for):
        jobs.keep(job)
    assert jobs.running(HELLO) == [YOUNG]


def test_a_list_that_leaves_a_namespace_out_says_nothing_of_the_jobs_there() -> None:
    jobs, other = Jobs(), replace(YOUNG, key=key_of("shop", "hello"), namespace="shop", uid="u2")
    jobs.list_anew([YOUNG, other])
    jobs.list_anew([], left_out={"shop"})
    assert (jobs.get(HELLO, "hello.1"), jobs.get(other.key, "hello.1")) == (None, other)
    jobs.list_anew([])
    assert jobs.get(other.key, "hello.1") is None


def test_a_job_that_was_gone_and_is_listed_is_there_again() -> None:
    """Its API server was put back: until then no answer brings it back."""
    jobs = Jobs()
    jobs.keep(OLD)
    jobs.bury(OLD)
    assert not jobs.keep(OLD)
    assert jobs.list_anew([YOUNG]) == [HELLO]
    assert jobs.get(HELLO, "hello.1") == YOUNG
