"""What a worker knows of the Jobs in its cluster, when what it is told comes in any order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from hacron.core.manifests import Halting, JobView
from hacron.core.model import key_of
from hacron.jobs import Jobs

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = key_of("default", "hello")
YOUNG = JobView(
    key=KEY,
    run_id="hello.1",
    uid="u1",
    namespace="default",
    name="hello-1",
    created=NOON,
    tick=NOON,
    attempt=1,
    terminal=None,
    finished=None,
    reason="",
    message="",
    tombstone=False,
    ran=False,
    deleting=False,
    fencing=1,
    version=9,
)
OLD = replace(YOUNG, halt=Halting.DONE, tombstone=True, version=10)  # as text, its version would come first


def test_an_answer_that_comes_late_does_not_undo_what_the_watch_has_told() -> None:
    jobs = Jobs()
    assert jobs.keep(OLD)
    assert not jobs.keep(YOUNG)
    assert jobs.get(KEY, "hello.1") == OLD


@pytest.mark.parametrize("other", [replace(YOUNG, uid="u2"), replace(YOUNG, version=0)], ids=["another Job", "no version"])
def test_what_cannot_be_compared_is_taken_as_news(other: JobView) -> None:
    jobs = Jobs()
    jobs.keep(OLD)
    assert jobs.keep(other)
    assert jobs.get(KEY, "hello.1") == other


def test_a_newer_version_that_says_the_same_is_no_news_and_is_remembered() -> None:
    jobs = Jobs()
    jobs.keep(YOUNG)
    assert not jobs.keep(replace(YOUNG, version=12))
    assert not jobs.keep(replace(OLD, version=11))
    assert jobs.get(KEY, "hello.1") == replace(YOUNG, version=12)
