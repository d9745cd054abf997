"""Runs beside the schedule: a HACronJobRun applied with kubectl becomes Jobs, once, whichever replica decides."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.testbed import judge
from tests.testbed.broker import Broker
from tests.testbed.cluster import Cluster
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import condition, manifest
from tests.testbed.fleet import Fleet
from tests.testbed.wait import until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.cluster]


def run_of(cronjob: str, name: str, **spec: Any) -> str:
    body = {"apiVersion": "hacron.io/v1", "kind": "HACronJobRun", "metadata": {"name": name, "namespace": "default"}}
    return json.dumps(body | {"spec": {"cronJob": cronjob, **spec}})


def outcome(cluster: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("get", "hacronjobrun", name, "-o", "json"))
    return found.get("status", {})


def is_told(cluster: Cluster, name: str) -> bool:
    """Whether kubectl shows how its run ended."""
    told = cluster.kubectl("describe", "hacronjobrun", name).partition("Events:")[2]
    return "Saw completed job" in told and "All runs have ended" in told


def await_phase(cluster: Cluster, name: str, phase: str, timeout: float = 40) -> dict[str, Any]:
    until(lambda: outcome(cluster, name).get("phase") == phase, timeout, f"{name} in {cluster.name} to be {phase}", every=0.3)
    return outcome(cluster, name)


def test_a_run_that_is_asked_for_where_no_executor_is_starts_once_and_is_told_everywhere(
    fleet: Fleet, west: ControlPlane, east: ControlPlane
) -> None:
    for cluster in (west, east):
        cluster.apply(manifest("yearly", "0 0 1 1 *", run_seconds=10))  # it ends when it is asked for in both
    for cluster in (east, west):  # the executor is west-1
        cluster.apply(run_of("yearly", "now"))
    for cluster in (east, west):
        status = await_phase(cluster, "now", "Complete")
        assert (status["succeeded"], status["failed"], status["progress"]) == (1, 0, "1/1")
        assert condition(status, "Complete")["status"] == "True"
        until(partial(is_told, cluster, "now"), 20, f"its Events in {cluster.name}", every=0.5)
    east.apply(run_of("yearly", "now"))
    jobs = judge.of(judge.jobs(fleet.clusters.values()), "yearly")
    assert [one.state for one in jobs] == ["Complete"]


def test_a_backfill_goes_on_when_the_executor_is_killed_in_the_middle(
    fleet: Fleet, west: ControlPlane, east: ControlPlane
) -> None:
    west.apply(manifest("hourly", "0 * * * *", run_seconds=1, concurrencyPolicy="Forbid"))
    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    ticks = [last - timedelta(hours=hours) for hours in range(4, -1, -1)]
    east.apply(run_of("hourly", "backfill", range={"from": ticks[0].isoformat(), "to": ticks[-1].isoformat()}))
    until(lambda: outcome(east, "backfill").get("succeeded", 0) >= 1, 40, "the first run of the backfill", every=0.1)
    fleet["west-1"].kill()
    status = await_phase(east, "backfill", "Complete", 60)
    assert (status["succeeded"], status["failed"]) == (5, 0)
    jobs = judge.of(judge.jobs(fleet.clusters.values()), "hourly")
    assert [one.tick for one in jobs if one.tick in ticks] == ticks
    assert judge.doubled(jobs) == []


def test_one_that_is_made_anew_while_no_executor_is_there_runs_and_shows_nothing_of_the_first(
    fleet: Fleet, east: ControlPlane
) -> None:
    east.apply(manifest("yearly", "0 0 1 1 *"))
    east.apply(run_of("yearly", "again"))
    first = await_phase(east, "again", "Complete")
    fleet["west-1"].freeze()  # east's worker knows of both, and goes on
    east.kubectl("delete", "hacronjobrun", "again")
    east.apply(run_of("yearly", "again"))
    shown = []

    def is_complete() -> bool:
        shown.append(outcome(east, "again"))
        return bool(shown[-1].get("phase") == "Complete")

    until(is_complete, 60, "the second run", every=0.1)
    assert first["id"] not in [status.get("id") for status in shown]
    jobs = judge.of(judge.jobs(fleet.clusters.values()), "yearly")
    assert [one.state for one in jobs] == ["Complete", "Complete"]


def test_when_the_broker_has_lost_everything_nothing_that_was_over_or_open_starts_again(
    fleet: Fleet, west: ControlPlane, broker: Broker
) -> None:
    west.apply(manifest("quick", "0 0 1 1 *"))
    west.apply(manifest("slow", "0 0 1 1 *", run_seconds=20))
    west.apply(run_of("quick", "over"))
    await_phase(west, "over", "Complete")
    west.apply(run_of("slow", "open"))
    await_phase(west, "open", "Running")
    broker.wipe()
    for replica in fleet:
        replica.wait_ready(60)
    for name in ("over", "open"):
        status = await_phase(west, name, "Complete", 90)
        assert (status["succeeded"], status["failed"]) == (1, 0)
    jobs = judge.jobs(fleet.clusters.values())
    assert [len(judge.of(jobs, name)) for name in ("quick", "slow")] == [1, 1]
