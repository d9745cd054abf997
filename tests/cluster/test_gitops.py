"""What GitOps tools rely on, at a real API server: a new object is not taken for one that is ready, and nothing of ours stands
in the way of who has applied it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.house import House
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import manifest
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def house(west: ControlPlane) -> Iterator[House]:
    found = House({"west": west}, ("west-0",))
    yield found
    found.stop()


def read(cluster: ControlPlane, namespace: str, name: str = "hello") -> dict[str, Any]:
    text = cluster.kubectl("-n", namespace, "get", "hacronjob", name, "-o", "json", "--show-managed-fields")
    found: dict[str, Any] = json.loads(text)
    return found


def newest_tick(cluster: ControlPlane, namespace: str) -> str:
    """Return the newest tick that has a verdict; of these a status has room for ten."""
    return max((said["tick"] for said in read(cluster, namespace)["status"].get("recent") or []), default="")


def await_run(cluster: ControlPlane, namespace: str) -> None:
    """Wait until a newer tick than now has a verdict."""
    before = newest_tick(cluster, namespace)
    until(lambda: newest_tick(cluster, namespace) > before, 30, "a run")


def test_an_object_that_nobody_has_looked_at_says_so(west: ControlPlane, namespace: str) -> None:
    """By its default: kstatus takes an object without observedGeneration for one that is as it should be."""
    west.apply(manifest("hello", "0 2 * * *", namespace=namespace))
    assert read(west, namespace)["status"] == {"observedGeneration": -1}
    run = {"apiVersion": "hacron.io/v1", "kind": "HACronJobRun", "metadata": {"name": "now", "namespace": namespace}}
    west.apply(json.dumps({**run, "spec": {"cronJob": "nobody"}}))
    shown = west.kubectl("-n", namespace, "get", "hacronjobrun", "now", "-o", "jsonpath={.status.observedGeneration}")
    assert shown == "-1"


@pytest.mark.usefixtures("house")
class TestBesideTheOperator:
    def test_kubectl_waits_until_it_is_ready(self, west: ControlPlane, namespace: str) -> None:
        west.apply(manifest("hello", "0 2 * * *", namespace=namespace))
        west.kubectl("-n", namespace, "wait", "--for=condition=Ready", "hacronjob/hello", "--timeout=30s")
        status = read(west, namespace)["status"]
        assert status["observedGeneration"] == 1
        assert not [each for each in status["conditions"] if each["type"] in ("Reconciling", "Stalled")]

    def test_kubectl_sees_that_it_never_will_be(self, west: ControlPlane, namespace: str) -> None:
        west.apply(manifest("hello", "0 2 * * *", namespace=namespace, timeZone="Europe/Atlantis"))
        west.kubectl("-n", namespace, "wait", "--for=condition=Stalled", "hacronjob/hello", "--timeout=30s")
        with pytest.raises(KubectlFailed, match="timed out"):
            west.kubectl("-n", namespace, "wait", "--for=condition=Ready", "hacronjob/hello", "--timeout=1s")

    def test_nothing_but_status_is_ever_written(self, west: ControlPlane, namespace: str) -> None:
        """After runs, and a change: whoever compares what was applied with what is there finds no difference."""
        desired = manifest("hello", "@every 1s", namespace=namespace)
        for text in (desired, manifest("hello", "@every 2s", namespace=namespace)):
            west.apply(text)
            west.kubectl("-n", namespace, "wait", "--for=condition=Ready", "hacronjob/hello", "--timeout=30s")
            await_run(west, namespace)
            found = read(west, namespace)
            elsewhere = [each["manager"] for each in found["metadata"]["managedFields"] if each.get("subresource") != "status"]
            assert elsewhere == ["kubectl-client-side-apply"]
            assert set(found["metadata"]["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}
            assert "finalizers" not in found["metadata"]
            assert west.kubectl("diff", "-f", "-", input=text) == ""
        assert read(west, namespace)["metadata"]["generation"] == 2
