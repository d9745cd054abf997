"""Kopf's watch on the HACronJobs of a real cluster: everything is seen, and nothing is written."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hacron.core.manifests import declared
from hacron.core.model import Kind
from hacron.kopf_watch import KopfWatch
from hacron.kube.client import KubeClient
from hacron.ports import FromKubernetes, ObjectSeen, WatchBegan
from tests.cluster.asking import all_at_once, with_user
from tests.testbed.broker import Broker
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import await_status, condition, deepened, manifest, read, remove_all
from tests.testbed.install import install
from tests.testbed.replica import Replica
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


class Watching:
    """A watch and what has come of it."""

    def __init__(self, kubeconfig: Path) -> None:
        self._arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
        client = KubeClient(kubeconfig, self._arrivals)  # never started: it only knows the way
        self.watch = KopfWatch(client.connection, self._arrivals, lambda: None)
        self._seen: list[FromKubernetes] = []

    @property
    def seen(self) -> list[FromKubernetes]:
        while not self._arrivals.empty():
            self._seen.append(self._arrivals.get())
        return self._seen

    def beginnings(self) -> int:
        return sum(isinstance(each, WatchBegan) for each in self.seen)

    def sightings(self, name: str, namespace: str) -> list[ObjectSeen]:
        wanted = {"namespace": namespace, "name": name}
        return [each for each in self.seen if isinstance(each, ObjectSeen) and wanted.items() <= each.body["metadata"].items()]

    def newest(self, name: str, namespace: str) -> dict[str, Any]:
        """Return the newest body that was seen; nothing when there is none, or the object is gone."""
        sightings = self.sightings(name, namespace)
        return sightings[-1].body if sightings and not sightings[-1].gone else {}


@pytest.fixture
def watching(west: ControlPlane) -> Iterator[Watching]:
    found = Watching(west.operator_kubeconfig)
    yield found
    found.watch.stop()


def path(namespace: str, name: str = "") -> str:
    return f"/apis/hacron.io/v1/namespaces/{namespace}/hacronjobs" + (f"/{name}" if name else "")


def body(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest(name, "0 2 * * *", namespace=namespace, **spec))
    return found


def nobody_watches() -> bool:
    return not any(thread.name.startswith("kopf") for thread in threading.enumerate())


def started(watching: Watching, west: ControlPlane, namespace: str) -> Watching:
    """Start the watch and wait until it tells of changes."""
    west.apply(manifest("canary", "0 2 * * *", namespace=namespace))
    watching.watch.start()
    until(lambda: watching.newest("canary", namespace), 20, "an object that was there before")
    return watching


def test_what_is_there_is_seen_and_then_what_changes_and_goes(watching: Watching, west: ControlPlane, namespace: str) -> None:
    names = [f"many-{number}" for number in range(600)]  # more than one page
    all_at_once(west.admin_kubeconfig, [("POST", path(namespace), body(name, namespace)) for name in names])
    watching.watch.start()
    until(lambda: all(watching.newest(name, namespace) for name in names), 60, "all that is there")
    assert watching.newest("many-0", namespace)["spec"] == read(west, "many-0", namespace)["spec"]
    west.apply(manifest("many-0", "0 3 * * *", namespace=namespace))
    until(lambda: watching.newest("many-0", namespace)["spec"]["schedule"] == "0 3 * * *", 20, "the change")
    assert watching.newest("many-0", namespace)["metadata"]["generation"] == 2
    west.apply(manifest("new", namespace=namespace))
    until(lambda: watching.newest("new", namespace), 20, "a new one")
    west.kubectl("delete", "hacronjob", "many-1", "--namespace", namespace)
    until(lambda: watching.sightings("many-1", namespace)[-1].gone, 20, "the deletion")
    assert watching.beginnings() == 1
    all_at_once(west.admin_kubeconfig, [("DELETE", path(namespace), None)])
    until(lambda: watching.sightings("many-2", namespace)[-1].gone, 30, "the deletion of all")


@pytest.mark.parametrize("levels", [300, 2000, 9000])
def test_an_object_that_is_nested_deeper_than_python_follows_ends_no_watch(
    watching: Watching, west: ControlPlane, namespace: str, levels: int
) -> None:
    """The API server takes it: of pods the resource's schema says little."""
    west.apply(deepened(manifest("deep", namespace=namespace), levels))
    started(watching, west, namespace)
    west.apply(manifest("after", namespace=namespace))
    until(lambda: watching.newest("after", namespace), 30, "the one after it")
    assert declared("west", watching.newest("deep", namespace)).spec
    west.kubectl("annotate", "hacronjob", "deep", "--namespace", namespace, "some=news")
    west.kubectl("delete", "hacronjob", "deep", "--namespace", namespace)
    until(lambda: watching.sightings("deep", namespace)[-1].gone, 30, "its deletion")


def test_nothing_is_written_to_the_objects(watching: Watching, west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", namespace=namespace))
    before = whole(west, namespace)
    started(watching, west, namespace)
    until(lambda: watching.newest("hello", namespace), 20, "the object")
    west.kubectl("delete", "hacronjob", "canary", "--namespace", namespace)
    until(lambda: watching.sightings("canary", namespace)[-1].gone, 20, "a deletion, which no finalizer holds up")
    after = whole(west, namespace)
    assert after == before, "nobody has touched it, not even in managedFields"


def whole(west: ControlPlane, namespace: str) -> dict[str, Any]:
    shown = west.kubectl("get", "hacronjob", "hello", "--namespace", namespace, "--output=json", "--show-managed-fields")
    found: dict[str, Any] = json.loads(shown)
    assert found["metadata"]["managedFields"]
    return found


def test_the_newest_of_a_thousand_changes_arrives(watching: Watching, west: ControlPlane, namespace: str) -> None:
    started(watching, west, namespace)
    all_at_once(west.admin_kubeconfig, [("POST", path(namespace), body("hello", namespace))])
    changes = [("PATCH", path(namespace, "hello"), {"spec": {"failedJobsHistoryLimit": number}}) for number in range(1, 1001)]
    # More than a few at a time would only get into each other's way at the API server.
    assert set(all_at_once(west.admin_kubeconfig, changes, kind="application/merge-patch+json", width=2)) == {200}
    newest = read(west, "hello", namespace)["metadata"]["generation"]
    until(lambda: watching.newest("hello", namespace)["metadata"]["generation"] == newest, 30, "the newest change")
    west.apply(manifest("next", namespace=namespace))
    until(lambda: watching.newest("next", namespace), 60, "what comes behind them")


def test_the_watch_survives_an_api_server_that_goes_and_comes(watching: Watching, west: ControlPlane, namespace: str) -> None:
    started(watching, west, namespace)
    west.stop_apiserver()
    west.start_apiserver()
    west.apply(manifest("after", namespace=namespace))
    until(lambda: watching.newest("after", namespace), 60, "what was applied afterwards")
    west.kubectl("delete", "hacronjob", "canary", "--namespace", namespace)
    until(lambda: not watching.newest("canary", namespace), 20, "a deletion")


def test_objects_at_the_limits_are_seen_as_they_are(watching: Watching, west: ControlPlane, namespace: str) -> None:
    name = "n" * 52
    west.apply(manifest(name, " ".join(["*/5" + ",1" * 150] + ["*"] * 4), namespace=namespace))
    huge = {
        "status": {
            "observedGeneration": 1,
            "recent": [{"tick": "2026-11-24T12:00:00Z", "verdict": "Failed", "message": "x" * 1_000_000}],
        }
    }
    written = [("PATCH", f"{path(namespace, name)}/status", huge)]
    assert all_at_once(west.admin_kubeconfig, written, kind="application/merge-patch+json") == [200]
    started(watching, west, namespace)
    until(lambda: watching.newest(name, namespace), 20, "the object")
    assert watching.newest(name, namespace)["status"] == huge["status"]


def test_the_watch_stops_at_once(watching: Watching, west: ControlPlane, namespace: str) -> None:
    started(watching, west, namespace)
    watching.watch.stop()  # waits for two seconds at most
    until(nobody_watches, 20, "the end of its thread")


def test_the_watch_stops_at_once_also_when_nobody_answers(watching: Watching, west: ControlPlane, namespace: str) -> None:
    started(watching, west, namespace)
    west.freeze_apiserver()
    try:
        watching.watch.begin_again()
        until(lambda: watching.beginnings() == 2, 20, "another beginning")
        watching.watch.stop()
        until(nobody_watches, 20, "the end of its thread")
    finally:
        west.thaw_apiserver()


# --- a whole replica ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def replica(broker: Broker, east: ControlPlane, prefix: str, tmp_path: Path) -> Iterator[Replica]:
    """A replica of east that the test starts; afterwards the CRD is there again."""
    env = {"HACRON_BROKER_PREFIX": prefix, "HACRON_INVENTORY_INTERVAL_S": "600"}
    found = Replica(
        "east-1",
        cluster="east",
        kubeconfig=east.operator_kubeconfig,
        broker_url=broker.url,
        log=tmp_path / "east-1.log",
        env=env,
    )
    try:
        yield found
    finally:
        found.kill()
        install(east)
        remove_all(east)


def is_scheduled(status: dict[str, Any]) -> bool:
    return condition(status, "Scheduled").get("status") == "True"


def complaints(replica: Replica, kind: Kind = Kind.CRONJOB) -> list[str]:
    return [str(line["why"]) for line in replica.lines(f"{kind}s cannot be listed")]


@pytest.mark.broker
def test_a_replica_waits_for_the_resource_and_takes_it_up_whenever_it_comes(replica: Replica, east: ControlPlane) -> None:
    east.kubectl("delete", "crd", "hacronjobs.hacron.io")
    replica.start()
    until(lambda: complaints(replica), 60, "a word about what is missing")
    assert "apply crds/hacronjob.yaml" in complaints(replica)[0]
    install(east)
    east.apply(manifest("first", "0 2 * * *"))
    await_status(east, "first", is_scheduled, "a HACronJob that came with its resource", timeout=60)
    east.kubectl("delete", "crd", "hacronjobs.hacron.io")
    until(lambda: len(complaints(replica)) == 2, 60, "another word about what is missing")
    install(east)
    east.apply(manifest("second", "0 2 * * *"))
    await_status(east, "second", is_scheduled, "a HACronJob of the resource that came again", timeout=60)
    assert replica.alive
    assert len(complaints(replica)) == 2, "each time one line"


@pytest.mark.broker
def test_without_the_resource_of_runs_everything_else_goes_on_until_it_comes(replica: Replica, east: ControlPlane) -> None:
    """As after an upgrade by Helm, which leaves custom resources as they are."""
    east.kubectl("delete", "crd", "hacronjobruns.hacron.io")
    replica.start()
    replica.wait_ready()
    east.apply(manifest("first", "0 2 * * *"))
    await_status(east, "first", is_scheduled, "a HACronJob", timeout=60)
    until(lambda: complaints(replica, Kind.DEMAND), 60, "a word about what is missing")
    assert "apply crds/hacronjobrun.yaml" in complaints(replica, Kind.DEMAND)[0]
    install(east)
    asked = {"apiVersion": "hacron.io/v1", "kind": "HACronJobRun", "metadata": {"name": "now"}, "spec": {"cronJob": "first"}}
    east.apply(json.dumps(asked))
    until(lambda: "Complete" in east.kubectl("get", "hacronjobrun", "now"), 60, "a run that was asked for")
    assert complaints(replica) == []
    assert len(complaints(replica, Kind.DEMAND)) == 1


@pytest.mark.broker
def test_a_replica_without_rights_says_which_and_takes_up_work_when_it_has_them(
    broker: Broker, east: ControlPlane, prefix: str, tmp_path: Path
) -> None:
    east.kubectl("create", "serviceaccount", "stranger")
    token = east.kubectl("create", "token", "stranger").strip()
    replica = Replica(
        "east-1",
        cluster="east",
        kubeconfig=with_user(east, tmp_path / "kubeconfig", token=token),
        broker_url=broker.url,
        log=tmp_path / "east-1.log",
        env={"HACRON_BROKER_PREFIX": prefix},
    )
    try:
        replica.start()
        missing = 'cannot list resource "hacronjobs" in API group "hacron.io" at the cluster scope'
        until(lambda: any(missing in each for each in complaints(replica)), 60, "a word about what is missing")
        until(lambda: missing in str(replica.told().get("reasons")), 60, "the same from its readiness")
        east.apply(manifest("hello", "0 2 * * *"))
        rights = ("--clusterrole=hacron", "--serviceaccount=default:stranger")
        east.kubectl("create", "clusterrolebinding", "stranger", *rights)
        await_status(east, "hello", is_scheduled, "a HACronJob", timeout=60)
        replica.wait_ready()
    finally:
        replica.kill()
        east.kubectl("delete", "--ignore-not-found", "clusterrolebinding/stranger", "serviceaccount/stranger")
        east.kubectl("delete", "hacronjobs", "--all")
