"""Roles whose API server is away when it counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hacron.core.manifests import rfc3339
from hacron.core.model import Run, key_of
from tests.cluster.house import House, house
from tests.cluster.seen import await_, first_job, jobs
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import manifest
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster

QUICK = {"start_window_s": 2.0, "skew_margin_s": 0.5, "backup_after_s": 0.5, "seen_interval_s": 1.0, "silent_after_s": 60.0}


@pytest.fixture
def alone(west: ControlPlane, request: pytest.FixtureRequest) -> Iterator[House]:
    """One replica, with the settings that the test has as its parameter, at an API server that works in the end."""
    with house({"west": west}, "west-1", **request.param) as found:
        yield found
    west.start_apiserver()


def decided_ahead(alone: House, namespace: str) -> Run:
    """Return the run that waits for its tick."""
    state, key = alone["west-1"].session.state, key_of(namespace, "hello")

    def waits() -> Run | None:
        progress, soon = state.progress.get(key), datetime.now(UTC) + timedelta(seconds=3)
        return next((run for run in progress.open if run.tick > soon), None) if progress is not None else None

    return until(waits, 30, "a run decided ahead")


@pytest.mark.parametrize("alone", [QUICK], indirect=True, ids=["start_window_s=2"])
def test_the_name_of_a_run_that_is_too_late_is_taken_before_that_is_said(
    alone: House, west: ControlPlane, namespace: str
) -> None:
    """A replica that was frozen on its way to create the Job then finds the name taken."""
    west.apply(manifest("hello", "@every 6s", namespace=namespace, startingDeadlineSeconds=1))
    run = decided_ahead(alone, namespace)
    west.stop_apiserver()
    until(lambda: datetime.now(UTC) > run.start_by, 20, "the end of its time")
    west.start_apiserver()

    def its_job() -> dict[str, Any] | None:
        return next((job for job in jobs(west, namespace) if job["metadata"]["name"] == run.job), None)

    tombstone = until(its_job, 20, "its name being taken")  # the next tick may have come meanwhile
    assert tombstone["metadata"]["labels"]["hacron.io/tombstone"] == "true"
    assert tombstone["metadata"]["annotations"]["hacron.io/run-id"] == run.id
    assert tombstone["spec"]["suspend"] is True

    def told(status: dict[str, Any]) -> dict[str, Any] | None:
        return next((each for each in status.get("recent", []) if each["tick"] == rfc3339(run.tick)), None)

    said = told(await_(west, namespace, told, "its verdict"))
    assert said is not None
    assert (said["verdict"], said["reason"]) == ("Missed", "StartByPassed")
    assert its_job() is not None, "and it stays taken"


@pytest.mark.parametrize("alone", [{"start_window_s": 120.0}], indirect=True, ids=["start_window_s=120"])
def test_a_job_whose_api_server_comes_back_in_time_is_made(alone: House, west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 6s", namespace=namespace))
    run = decided_ahead(alone, namespace)
    west.stop_apiserver()
    until(lambda: not alone["west-1"].kube.reachable, 20, "the word that it does not answer")
    west.start_apiserver()
    job = first_job(west, namespace)
    assert job["metadata"]["annotations"]["hacron.io/run-id"] == run.id
    assert "hacron.io/tombstone" not in job["metadata"]["labels"]
