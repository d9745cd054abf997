"""A replica that is told some namespaces: with the Roles that the chart gives it, and no other right, it does its work there."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from hacron.core.manifests import CRONJOB_LABEL
from hacron.core.messages import Outcome
from hacron.core.model import Kind, key_of
from hacron.kopf_watch import KopfWatch
from hacron.ports import FromKubernetes, GetNamespace, GetObject, ListInventory, ObjectSeen, PostEvent
from tests.cluster.asking import Asking, asking, create, job, some_key, with_user
from tests.packaging.rendered import LEAST, NAMESPACE, from_chart
from tests.testbed.broker import Broker
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import await_status, manifest
from tests.testbed.replica import Replica
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Place:
    """Two namespaces that are watched, one that is not, and who the replica is."""

    watched: tuple[str, str]
    other: str
    kubeconfig: Path
    rights: str


@pytest.fixture(scope="module")
def place(west: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    mark = secrets.token_hex(3)
    one, two, other = (f"{name}-{mark}" for name in ("shop", "billing", "other"))
    for namespace in (one, two, other):
        west.kubectl("create", "namespace", namespace)
        west.apply(manifest("hello", "0 2 * * *", namespace=namespace))
    account = f"limited-{mark}"
    values = {**LEAST, "watchNamespaces": [one, two], "fullnameOverride": account, "rbac": {"aggregate": False}}
    manifests = [each for each in from_chart(values) if each["kind"] in ("ServiceAccount", "Role", "RoleBinding")]
    assert len(manifests) == 5
    west.apply(yaml.safe_dump_all(manifests))
    token = west.kubectl("-n", NAMESPACE, "create", "token", account).strip()
    kubeconfig = with_user(west, tmp_path_factory.mktemp("limited") / "kubeconfig", token=token)
    yield Place((one, two), other, kubeconfig, yaml.safe_dump_all(manifests))
    west.kubectl("delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(manifests))
    west.kubectl("delete", "namespace", one, two, other, "--wait=false")


@pytest.fixture
def told(place: Place) -> Iterator[Asking]:
    with asking(place.kubeconfig, namespaces=place.watched) as kube:
        yield kube


def test_nothing_that_the_chart_renders_reaches_beyond_these_namespaces() -> None:
    values = {**LEAST, "watchNamespaces": ["shop"], "rbac": {"aggregate": False}}
    assert not [each["kind"] for each in from_chart(values) if each["kind"].startswith("Cluster")]


def test_what_is_declared_there_is_listed_and_nothing_else(told: Asking, place: Place) -> None:
    answer = told.ask(ListInventory())
    assert answer.ok
    assert sorted(item["namespace"] for item in answer.body["items"]) == sorted(place.watched)
    assert told.ask(ListInventory(kind=Kind.DEMAND)).ok


def test_who_is_not_told_them_may_list_nothing(place: Place) -> None:
    with asking(place.kubeconfig) as kube:
        answer = kube.ask(ListInventory())
    assert answer.lacks_right


def test_changes_there_are_seen_by_the_watch_and_no_others(told: Asking, place: Place, west: ControlPlane) -> None:
    arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
    watch = KopfWatch(told.client.connection, arrivals, lambda: None, namespaces=place.watched)
    seen: set[tuple[str, str]] = set()

    def look() -> set[tuple[str, str]]:
        while not arrivals.empty():
            arrival = arrivals.get()
            if isinstance(arrival, ObjectSeen):
                metadata = arrival.body["metadata"]
                seen.add((metadata["namespace"], metadata["name"]))
        return seen

    watch.start()
    try:
        until(lambda: {(namespace, "hello") for namespace in place.watched} <= look(), 20, "what is there")
        for namespace in (place.other, *place.watched):
            west.apply(manifest("later", "0 2 * * *", namespace=namespace))
        until(lambda: {(namespace, "later") for namespace in place.watched} <= look(), 20, "what comes")
    finally:
        watch.stop()
    assert not [name for namespace, name in seen if namespace == place.other]


def test_jobs_there_are_made_and_seen_to_their_end(told: Asking, place: Place) -> None:
    told.client.watch_jobs(True)
    until(lambda: len(told.lists()) == 1, 20, "one list of the Jobs of all of them")
    for number, namespace in enumerate(place.watched):
        assert told.ask(create(f"job-{number}", namespace)).status == 201
    for number in range(2):
        until(lambda number=number: is_complete(told, f"job-{number}"), 30, "a Job's end")  # type: ignore[misc]
    assert len(told.lists()) == 1
    refused = told.ask(create("job-3", place.other, job("job-3", place.other)))
    assert refused.lacks_right


def is_complete(told: Asking, name: str) -> bool:
    return any(seen.view.terminal is Outcome.SUCCEEDED for seen in told.sightings(name))


def test_statuses_and_events_are_written_there(told: Asking, place: Place) -> None:
    namespace = place.watched[0]
    assert told.show({"observedGeneration": 1}, some_key(namespace)).ok
    about = {"apiVersion": "hacron.io/v1", "kind": "HACronJob", "name": "hello", "namespace": namespace}
    event = {"metadata": {"name": "hello.1"}, "involvedObject": about, "reason": "Tried", "message": "-", "type": "Normal"}
    assert told.ask(PostEvent(key=some_key(namespace), body=event)).ok


def test_namespaces_there_are_asked_for_their_consent(told: Asking, place: Place) -> None:
    assert told.ask(GetNamespace(key=some_key(place.watched[0]), run_id="", namespace=place.watched[0])).ok


def test_what_is_elsewhere_counts_as_not_there_and_nobody_is_asked(told: Asking, place: Place) -> None:
    key = key_of(place.other, "hello")
    for request in (GetObject(key=key), GetNamespace(key=key, run_id="", namespace=place.other)):
        answer = told.ask(request)
        assert (answer.status, answer.body["message"]) == (404, f"namespace {place.other} is not watched")


@pytest.fixture
def replica(place: Place, broker: Broker, prefix: str, tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(
        "west-1",
        cluster="west",
        kubeconfig=place.kubeconfig,
        broker_url=broker.url,
        log=tmp_path / "west-1.log",
        env={"HACRON_BROKER_PREFIX": prefix, "HACRON_WATCH_NAMESPACES": ",".join(place.watched)},
    )
    yield replica
    replica.kill()


@pytest.mark.broker
def test_a_replica_is_ready_and_stays_so_and_runs_what_is_declared_there(
    place: Place, west: ControlPlane, replica: Replica
) -> None:
    for namespace in (*place.watched, place.other):
        west.apply(manifest("steady", namespace=namespace))
    replica.start()
    replica.wait_ready()
    for namespace in place.watched:
        await_success(west, "steady", namespace)
    until(replica.is_ready, 30, "a replica that is ready still, or again")
    assert replica.lines("the API server cannot be worked with") == []
    assert west.kubectl("-n", place.other, "get", "jobs", "-o", "name") == ""


@pytest.mark.broker
def test_without_rights_in_one_of_them_the_others_go_on_and_with_them_it_goes_on_too(
    place: Place, west: ControlPlane, replica: Replica
) -> None:
    """A Role is gone with its namespace, which may be the one where the API server is probed."""
    lost, kept = place.watched
    bindings = west.kubectl("-n", lost, "get", "rolebindings", "-o", "name").split()
    west.kubectl("-n", lost, "delete", *bindings)
    for namespace in place.watched:
        west.apply(manifest("alone", namespace=namespace))
    replica.start()
    until(lambda: f"in namespace {lost} we lack the right to" in str(replica.told().get("reasons")), 30, "why it is not ready")
    await_success(west, "alone", kept)
    west.apply(manifest("later", namespace=kept))
    await_success(west, "later", kept)
    until(lambda: replica.metrics()["hacron_kube_reachable"] == 1, 30, "an API server that can be worked with")
    assert west.kubectl("-n", lost, "get", "jobs", "-l", f"{CRONJOB_LABEL}=alone", "-o", "name") == ""
    west.apply(place.rights)
    replica.wait_ready()
    await_success(west, "alone", lost)


def await_success(west: ControlPlane, name: str, namespace: str) -> None:
    await_status(west, name, lambda said: said.get("lastResult") == "Succeeded", "a Job's end", namespace=namespace)
