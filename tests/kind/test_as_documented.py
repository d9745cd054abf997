"""docs/quickstart.md does what it says. By its name the first of these tests: later ones change how the operator is set."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.kind.quick_start import QuickStart, section
from tests.testbed import judge
from tests.testbed.cluster import KubectlFailed
from tests.testbed.cronjobs import await_status, read, remove_all
from tests.testbed.judge import Ran
from tests.testbed.kind.cluster import KindCluster
from tests.testbed.wait import until

pytestmark = [pytest.mark.kind, pytest.mark.timeout(900)]  # with the making of the clusters

SILENT_S = 15 + 5  # as the page says, and what is decided ahead
BACK_S = 60
AFTER_A_MINUTE = 60 + 15  # seconds: also for a pod to end, and for that to be told


def now() -> datetime:
    return datetime.now(UTC)


def await_run(cluster: KindCluster, after: datetime, told: KindCluster, timeout: float = AFTER_A_MINUTE) -> Ran:
    """Return the first Job of hello in a cluster of a tick after `after`, once it has ended well and another tells so."""

    def found() -> Ran | None:
        try:
            ran = judge.of(judge.jobs([cluster]), "hello")
        except KubectlFailed:  # it is still starting
            return None
        return next((one for one in ran if one.tick > after and one.state == "Complete"), None)

    ran = until(found, timeout, f"a run in {cluster.name} of a tick after {after:%H:%M:%S}", every=0.5)
    wanted = ("Succeeded", ran.job)
    await_status(told, "hello", lambda status: wanted in verdicts(status), f"a verdict on {ran.job} in {told.name}")
    return ran


def verdicts(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what became of ticks, and the Jobs."""
    return [(entry["verdict"], entry.get("job", "")) for entry in status.get("recent", [])]


def await_same_status(west: KindCluster, east: KindCluster) -> None:
    """Wait until the status of hello says the same in both; since when, each tells for itself."""

    def told(cluster: KindCluster) -> dict[str, Any]:
        status: dict[str, Any] = read(cluster, "hello")["status"]
        conditions = [{**each, "lastTransitionTime": None} for each in status["conditions"]]
        return {**status, "conditions": conditions}

    until(lambda: told(west) == told(east), 60, "the same status in both clusters", every=0.5)


def test_the_quick_start_does_what_it_says(quick_start: QuickStart) -> None:
    west, east = (quick_start.clusters[name] for name in ("west", "east"))
    try:
        declare, look = section(4)
        # For a tick within the next seconds, the first of the two clusters to be told of it may be the only one that declares it.
        until(lambda: now().second < 20, 60, "a while without a tick", every=0.5)
        declared = now()
        assert quick_start.run(declare).count("hacronjob.hacron.io/hello created") == 2
        first = await_run(east, declared, west)
        assert first.job in quick_start.run(look)
        assert judge.jobs([west]) == []
        await_same_status(west, east)

        (ask,) = section(5)
        said = quick_start.run(ask)
        for told in ("hello   * * * * *   Scheduled", f"{first.job}, condition: Complete", "executor: hacron-"):
            assert told in said

        stop, where, start, history = section(6)
        quick_start.run(stop)
        stopped = now()
        second = await_run(west, stopped, west, SILENT_S + AFTER_A_MINUTE)
        assert (second.tick - stopped).total_seconds() < SILENT_S + 60
        assert re.search(r"^west .* 1 Succeeded$", quick_start.run(where), re.MULTILINE)
        quick_start.run(start)
        third = await_run(east, second.tick, west, BACK_S + AFTER_A_MINUTE)
        rows = quick_start.run(history).splitlines()
        told = [[number for number, row in enumerate(rows) if one.job in row] for one in (third, second, first)]
        assert [len(found) for found in told] == [1, 1, 1]
        assert told == sorted(told), "the latest first"
        await_same_status(west, east)
    finally:
        for cluster in (west, east):
            remove_all(cluster)
