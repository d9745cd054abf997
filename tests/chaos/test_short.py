"""The short form of `make chaos`: some faults on a broker of three nodes, with everything in network namespaces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.chaos.checker import History
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.stage import Stage
from tests.chaos.trial import do
from tests.testbed.control_plane import ControlPlane
from tests.testbed.judge import Ran

QUICK = {
    # A frozen executor is replaced within 2 x 2 s + 1 s, and a cluster is silent after 6 s.
    "HACRON_HEARTBEAT_S": "2",
    "HACRON_TOKEN_MISSING_AFTER_S": "6",
    "HACRON_SEEN_INTERVAL_S": "1",
    "HACRON_SILENT_AFTER_S": "6",
    "HACRON_START_WINDOW_S": "10",
    "HACRON_INVENTORY_INTERVAL_S": "10",
}
SHORT = [fault for fault in FAULTS.values() if fault.short]
LASTS_S = 12.0  # longer than a takeover takes with these settings
AT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def stage(west: ControlPlane, east: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    clusters, version = {"west": west, "east": east}, os.environ.get("RABBITMQ")
    stage = Stage(tmp_path_factory.mktemp("chaos"), clusters, version=version, settings=QUICK, with_naive=False)
    stage.set_up()
    yield stage
    stage.tear_down()


@pytest.mark.e2e
@pytest.mark.broker
@pytest.mark.cluster
@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
def test_nothing_runs_twice_and_everything_goes_on_after(stage: Stage, fault: Fault) -> None:
    result = do(stage, fault, LASTS_S)
    assert result.broken == ()
    assert result.at_most_once.due > 0
    assert result.at_most_once.started > 0


# --- the checker can tell ---


def ran(cronjob: str, at: int, cluster: str = "west", attempt: int = 1, ended: int | None = 1, state: str = "Complete") -> Ran:
    """Return a Job for the tick `at` seconds after AT, made then, and ended so many seconds later."""
    tick = AT + timedelta(seconds=at)
    return Ran(
        cluster=cluster,
        cronjob=f"default/{cronjob}",
        tick=tick,
        attempt=attempt,
        job=f"{cronjob}-{at}",
        uid=f"{cluster}-{cronjob}-{at}-{attempt}",
        created=tick,
        fencing=1,
        state=state if ended is not None else "",
        ended=tick + timedelta(seconds=ended) if ended is not None else None,
    )


def test_two_jobs_of_one_tick_are_seen() -> None:
    history = History.of([ran("a", 0), ran("a", 0, "east"), ran("a", 5)])
    figures = history.figures([("a", AT), ("a", AT + timedelta(seconds=5)), ("a", AT + timedelta(seconds=10))], at_most_once=True)
    assert (figures.due, figures.started, figures.not_started) == (3, 2, 1)
    assert figures.doubled == ("a at 00:00:00 has a-0 in west (attempt 1), a-0 in east (attempt 1)",)


def test_a_second_attempt_is_one_too_many_under_at_most_once_only() -> None:
    history = History.of([ran("a", 0), ran("a", 0, "east", attempt=2)])
    assert len(history.figures([("a", AT)], at_most_once=True).doubled) == 1
    allowed = history.figures([("a", AT)], at_most_once=False)
    assert (allowed.doubled, allowed.again) == ((), 1)


def test_jobs_that_overlap_are_seen_across_clusters() -> None:
    history = History.of([ran("a", 0, ended=6), ran("a", 5, "east"), ran("b", 0, ended=5), ran("b", 5)])
    assert history.overlaps("a") == ["a-0 in west had not ended when a-5 began in east"]
    assert history.overlaps("b") == []


def test_a_tick_whose_jobs_have_all_failed_or_not_ended_is_seen() -> None:
    history = History.of([ran("a", 0, ended=None), ran("b", 0, state="Failed"), ran("c", 0, ended=None), ran("c", 0, attempt=2)])
    assert [told.partition(" ")[0] for told in history.unfinished([("a", AT), ("b", AT), ("c", AT)])] == ["a", "b"]


def test_a_tick_that_forbid_has_skipped_is_not_counted_as_not_started() -> None:
    history = History.of([ran("a", 0, ended=7), ran("b", 0, ended=3)])
    ticks = [("a", AT + timedelta(seconds=5)), ("b", AT + timedelta(seconds=5))]
    figures = history.figures(ticks, at_most_once=True, forbidding={"a", "b"})
    assert (figures.held, figures.not_started) == (1, 1)
