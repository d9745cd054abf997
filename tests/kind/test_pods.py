"""What a HACronJob is for, with real pods: they run and end, and its status says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.kind.estate import NAMESPACE, RELEASE, Estate
from tests.kind.work import cronjob
from tests.packaging.rendered import helm
from tests.testbed import judge
from tests.testbed.cronjobs import await_status, read, remove_all
from tests.testbed.kind.cluster import KindCluster
from tests.testbed.wait import until

pytestmark = pytest.mark.kind


@pytest.fixture(autouse=True)
def _clean(estate: Estate) -> Iterator[None]:
    yield
    for cluster in estate.clusters.values():
        remove_all(cluster)


def pods_of(cluster: KindCluster, job: str) -> list[dict[str, Any]]:
    """Return the pods of a Job."""
    found: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "pods", "-l", f"job-name={job}", "-o", "json"))["items"]
    return found


def exit_code(pod: dict[str, Any]) -> int:
    """Return how its container ended."""
    (container,) = pod["status"]["containerStatuses"]
    code: int = container["state"]["terminated"]["exitCode"]
    return code


def test_helm_finds_all_replicas_ready(estate: Estate) -> None:
    for cluster in estate.clusters.values():
        helm("test", RELEASE, "--namespace", NAMESPACE, kubeconfig=cluster.admin_kubeconfig)


def test_pods_run_and_end_and_the_status_says_so(estate: Estate, west: KindCluster) -> None:
    script = 'echo "$HACRON_SCHEDULED_TIME $HACRON_FENCING_TOKEN"'
    west.apply(json.dumps(cronjob("hello", "@every 5s", script)))
    status = await_status(west, "hello", lambda status: len(status.get("recent", [])) >= 2, "two verdicts", timeout=60)
    born = judge.instant(read(west, "hello")["metadata"]["creationTimestamp"])

    told = {judge.instant(entry["tick"]): entry for entry in status["recent"] if entry["verdict"] == "Succeeded"}
    ran = {one.tick: one for one in judge.of(judge.jobs([west]), "hello")}
    assert set(told) <= set(ran) & set(judge.ticks("@every 5s", born, born, datetime.now(UTC)))
    for tick, entry in told.items():
        assert (entry["cluster"], entry["job"], ran[tick].state) == ("west", ran[tick].job, "Complete")
        (pod,) = pods_of(west, ran[tick].job)
        assert exit_code(pod) == 0
        said, fencing = west.kubectl("logs", pod["metadata"]["name"]).split()
        assert (judge.instant(said), int(fencing)) == (tick, ran[tick].fencing)
    assert judge.jobs([estate.other_than(west)]) == []


def test_a_pod_that_fails_is_told_and_not_tried_again(west: KindCluster) -> None:
    west.apply(json.dumps(cronjob("failing", "@every 5s", "echo out of luck; exit 3")))

    def ran(status: dict[str, Any]) -> list[dict[str, Any]]:
        return [entry for entry in status.get("recent", []) if entry.get("reason") != "Superseded"]  # before it was heard of

    entry = ran(await_status(west, "failing", ran, "a verdict", timeout=60))[-1]
    assert entry["verdict"] == "Failed"
    (pod,) = pods_of(west, entry["job"])
    assert exit_code(pod) == 3


def test_a_pod_that_runs_for_long_holds_up_the_next_and_goes_with_its_cronjob(west: KindCluster) -> None:
    west.apply(json.dumps(cronjob("long", "@every 3s", "sleep 1000", concurrencyPolicy="Forbid")))

    def skipped(status: dict[str, Any]) -> list[dict[str, Any]]:
        return [entry for entry in status.get("recent", []) if entry.get("reason") != "Superseded"]  # before it was heard of

    status = await_status(west, "long", lambda status: len(skipped(status)) >= 2, "two skipped ticks", timeout=60)
    assert {entry["verdict"] for entry in skipped(status)} == {"Skipped"}
    (running,) = judge.of(judge.jobs([west]), "long")
    assert [each["job"] for each in status["active"]] == [running.job]
    until(lambda: [pod["status"]["phase"] for pod in pods_of(west, running.job)] == ["Running"], 60, "its pod", every=0.5)

    west.kubectl("delete", "hacronjob", "long")
    until(lambda: not pods_of(west, running.job), 60, "the end of the pod", every=0.5)
