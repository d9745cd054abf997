"""Requests to a real API server, with the rights that people give the operator."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hacron.core import events, manifests
from hacron.core.events import Event
from hacron.core.manifests import Halting
from hacron.core.model import Key, Kind, key_of
from hacron.ports import DeleteJob, GetJob, GetNamespace, GetObject, HaltJob, ListInventory, PatchStatus, PostEvent
from tests.cluster.asking import Asking, all_at_once, asking, create, job, some_key, with_user
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import manifest
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def kube(west: ControlPlane) -> Iterator[Asking]:
    with asking(west.operator_kubeconfig) as found:
        yield found


def get(name: str, namespace: str) -> GetJob:
    return GetJob(key=some_key(namespace), run_id=name, namespace=namespace, name=name)


def delete(name: str, namespace: str, **how: Any) -> DeleteJob:
    return DeleteJob(key=some_key(namespace), run_id=name, namespace=namespace, name=name, **how)


def halt(name: str, namespace: str, uid: str) -> HaltJob:
    return HaltJob(key=some_key(namespace), run_id=name, namespace=namespace, name=name, uid=uid)


def pods_of(west: ControlPlane, namespace: str, name: str) -> list[Any]:
    listed = west.kubectl("get", "pods", "--namespace", namespace, "--selector", f"job-name={name}", "--output", "json")
    pods: list[Any] = json.loads(listed)["items"]
    return pods


# --- Jobs -----------------------------------------------------------------------------------------------------------------------


def test_a_job_is_created_as_it_was_written(kube: Asking, namespace: str) -> None:
    """Also with what typed clients refuse: a number where the API takes a quantity."""
    body = job("hello", namespace)
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": 1}}
    body["metadata"]["annotations"] = {"for": "us"}
    before = datetime.now(UTC)
    answer = kube.ask(create("hello", namespace, body))
    assert answer.status == 201, answer
    assert answer.body["metadata"]["annotations"] == {"for": "us"}
    assert answer.body["spec"]["template"]["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}
    assert answer.sent_at is not None
    assert before <= answer.sent_at <= datetime.now(UTC)


def test_a_name_is_taken_once(kube: Asking, namespace: str) -> None:
    assert kube.ask(create("hello", namespace)).status == 201
    answer = kube.ask(create("hello", namespace))
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")
    assert not answer.ok
    assert not answer.unreachable


def test_a_template_is_refused_in_the_words_of_the_api_server(kube: Asking, namespace: str) -> None:
    body = job("hello", namespace)
    body["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    answer = kube.ask(create("hello", namespace, body))
    assert answer.status == 422
    assert 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"' in answer.body["message"]


@pytest.mark.parametrize("indexes", [10, 11, 100_000])
def test_the_longest_name_of_an_indexed_job_is_one_that_is_taken(kube: Asking, namespace: str, indexes: int) -> None:
    tick = datetime(2026, 11, 24, 12, 1, 30, tzinfo=UTC)
    longest, without_room = (manifests.job_name("x" * 52, tick, 9, "asked", given) for given in (indexes, 0))

    def tried(name: str) -> int:
        body = job(name, namespace)
        body["spec"] |= {"completionMode": "Indexed", "completions": indexes, "parallelism": 1}
        return kube.ask(create(name, namespace, body, dry_run=True)).status

    assert (tried(longest), tried(without_room)) == (201, 422)


def test_nothing_is_created_in_a_namespace_that_is_not_there(kube: Asking) -> None:
    answer = kube.ask(create("hello", "nowhere"))
    assert answer.status == 404
    assert 'namespaces "nowhere" not found' in answer.body["message"]


def test_a_dry_run_says_what_would_happen_and_creates_nothing(kube: Asking, namespace: str) -> None:
    body = job("bad", namespace)
    del body["spec"]["template"]["spec"]["containers"]
    assert kube.ask(create("hello", namespace, dry_run=True)).status == 201
    assert "containers: Required value" in kube.ask(create("bad", namespace, body, dry_run=True)).body["message"]
    assert kube.ask(get("hello", namespace)).status == 404


def test_a_full_quota_says_no_to_a_dry_run_only_if_nothing_else_is_wrong(
    kube: Asking, west: ControlPlane, namespace: str
) -> None:
    full = {"count/jobs.batch": "0"}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": namespace}}
    west.apply(json.dumps(body | {"spec": {"hard": full}}))
    counted = json.dumps({"status": {"hard": full, "used": full}})
    west.kubectl("patch", "quota", "full", "--namespace", namespace, "--subresource=status", "--type=merge", "--patch", counted)
    until(lambda: kube.ask(create("hello", namespace, dry_run=True)).over_quota, 20, "a full quota")
    broken = job("hello", namespace)
    broken["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    assert kube.ask(create("hello", namespace, broken, dry_run=True)).status == 422


def test_a_job_that_is_late_is_not_sent(kube: Asking, namespace: str) -> None:
    now = datetime.now(UTC)
    posts = kube.count("POST")
    late = kube.ask(create("late", namespace, not_after=now - timedelta(seconds=1)))
    assert (late.status, late.reason, late.sent_at) == (0, "TooLate", None)
    assert kube.count("POST") == posts
    assert kube.ask(create("soon", namespace, not_after=now + timedelta(minutes=1))).status == 201
    assert kube.ask(get("late", namespace)).status == 404


def test_what_time_it_is_there_is_known_from_its_answers(kube: Asking, namespace: str) -> None:
    kube.ask(get("none", namespace))
    told = kube.client.time_at(time.monotonic())
    assert told is not None
    assert abs(told - datetime.now(UTC)) < timedelta(seconds=8)  # it is this machine's, and answers take time


def test_a_job_is_found_by_its_name(kube: Asking, namespace: str) -> None:
    made = kube.ask(create("hello", namespace)).body
    found = kube.ask(get("hello", namespace))
    assert found.status == 200
    assert found.body["metadata"]["uid"] == made["metadata"]["uid"]
    assert kube.ask(get("other", namespace)).status == 404


def test_a_job_goes_with_its_pods(kube: Asking, west: ControlPlane, namespace: str) -> None:
    kube.ask(create("long", namespace, job("long", namespace, run_seconds=600)))
    until(lambda: pods_of(west, namespace, "long"), 20, "a pod")
    assert kube.ask(delete("long", namespace)).ok
    until(lambda: kube.ask(get("long", namespace)).status == 404, 20, "the end of the Job")
    until(lambda: not pods_of(west, namespace, "long"), 20, "the end of its pods")


def test_a_job_that_is_deleted_in_the_foreground_stays_until_its_pods_are_gone(
    kube: Asking, west: ControlPlane, namespace: str
) -> None:
    body = job("long", namespace, run_seconds=600)
    body["spec"]["template"]["metadata"]["finalizers"] = ["tests/hold"]
    kube.ask(create("long", namespace, body))
    (pod,) = until(lambda: pods_of(west, namespace, "long"), 20, "a pod")
    assert kube.ask(delete("long", namespace, foreground=True)).ok
    until(lambda: "deletionTimestamp" in pods_of(west, namespace, "long")[0]["metadata"], 20, "the pod on its way out")
    waits = kube.ask(get("long", namespace))
    assert waits.status == 200
    assert waits.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    gone = '{"metadata": {"finalizers": null}}'
    west.kubectl("patch", "pod", pod["metadata"]["name"], "--namespace", namespace, "--type=merge", "--patch", gone)
    until(lambda: kube.ask(get("long", namespace)).status == 404, 20, "the end of the Job")


def marked(name: str, namespace: str) -> dict[str, Any]:
    """A Job of ours, as far as its marks go."""
    body = job(name, namespace, run_seconds=600)
    marks = {"cronjob": "hello", "run-id": "hello.1", "tick": "2026-11-24T12:00:00Z"}
    body["metadata"]["annotations"] = {f"hacron.io/{mark}": text for mark, text in marks.items()}
    return body


def test_a_job_that_is_halted_loses_its_pods_and_keeps_its_name(kube: Asking, west: ControlPlane, namespace: str) -> None:
    body = marked("long", namespace)
    body["spec"]["template"]["metadata"]["finalizers"] = ["tests/hold"]
    made = kube.ask(create("long", namespace, body)).body
    (pod,) = until(lambda: pods_of(west, namespace, "long"), 20, "a pod")

    def how_far() -> Halting:
        view = manifests.job_view(kube.ask(get("long", namespace)).body)
        assert view is not None
        return view.halt

    assert how_far() is Halting.NONE
    answer = kube.ask(halt("long", namespace, made["metadata"]["uid"]))
    assert answer.ok, answer
    assert answer.body["spec"]["suspend"] is True
    until(lambda: "deletionTimestamp" in pods_of(west, namespace, "long")[0]["metadata"], 20, "the pod on its way out")
    assert how_far() is Halting.UNDER_WAY
    gone = '{"metadata": {"finalizers": null}}'
    west.kubectl("patch", "pod", pod["metadata"]["name"], "--namespace", namespace, "--type=merge", "--patch", gone)
    until(lambda: how_far() is Halting.DONE, 20, "the end of its pods")
    assert pods_of(west, namespace, "long") == []
    assert kube.ask(create("long", namespace, body)).status == 409


def test_only_the_job_that_was_meant_is_halted(kube: Asking, namespace: str) -> None:
    kube.ask(create("long", namespace, marked("long", namespace)))
    assert kube.ask(halt("long", namespace, "another-uid")).status == 422
    assert not kube.ask(get("long", namespace)).body["spec"]["suspend"]
    assert kube.ask(halt("other", namespace, "another-uid")).status == 404


def test_only_the_job_that_was_meant_is_deleted(kube: Asking, namespace: str) -> None:
    made = kube.ask(create("hello", namespace)).body
    other = kube.ask(delete("hello", namespace, uid="another-uid"))
    assert (other.status, other.body["reason"]) == (409, "Conflict")
    assert kube.ask(get("hello", namespace)).status == 200
    assert kube.ask(delete("hello", namespace, uid=made["metadata"]["uid"])).ok


def test_what_is_not_there_cannot_be_deleted(kube: Asking, namespace: str) -> None:
    assert kube.ask(delete("hello", namespace)).status == 404


# --- HACronJobs -----------------------------------------------------------------------------------------------------------------


def applied(west: ControlPlane, namespace: str, kind: Kind = Kind.CRONJOB) -> Key:
    """Have an object of this kind, and return its key."""
    body = json.loads(manifest("hello", namespace=namespace))
    west.apply(json.dumps(body if kind is Kind.CRONJOB else body | {"kind": kind.value, "spec": {"cronJob": "hello"}}))
    return key_of(namespace, "hello")


def test_a_status_is_merged_and_what_is_none_goes(kube: Asking, west: ControlPlane, namespace: str) -> None:
    key = applied(west, namespace)
    first = {"lastResult": "Failed", "lastCluster": "west", "schedule": None, "pause": {"reason": "a", "by": "me"}}
    assert kube.show(first, key).status == 200
    second = {"lastResult": "Succeeded", "lastCluster": None, "pause": {"by": "you"}, "activeCount": 2}
    answer = kube.show(second, key)
    assert answer.body["status"] == {
        "observedGeneration": -1,
        "lastResult": "Succeeded",
        "pause": {"by": "you"},
        "activeCount": 2,
    }, "what is nested is said anew as a whole"
    assert kube.ask(GetObject(key=key)).body["metadata"]["generation"] == 1


@pytest.mark.parametrize("kind", list(Kind))
def test_a_status_is_not_written_into_another_object_of_that_name(
    kube: Asking, west: ControlPlane, namespace: str, kind: Kind
) -> None:
    key = applied(west, namespace, kind)
    refused = kube.ask(PatchStatus(key=key, uid="another", status={"observedGeneration": 7}, kind=kind))
    assert (refused.status, refused.unreachable) == (422, False), refused.body
    assert kube.ask(GetObject(key=key, kind=kind)).body["status"] == {"observedGeneration": -1}
    assert kube.show({"observedGeneration": 1}, key, kind).ok


def test_a_status_of_what_is_gone_is_not_written(kube: Asking, namespace: str) -> None:
    key = key_of(namespace, "gone")
    assert kube.ask(PatchStatus(key=key, uid="gone", status={"activeCount": 1})).status == 404
    assert kube.ask(GetObject(key=key)).status == 404


def event(namespace: str, subject: str = "verdict.1") -> PostEvent:
    key = some_key(namespace)
    told = Event(subject, "FailedCreate", "Error creating job in cluster west: in these words", True)
    return PostEvent(key=key, body=events.body(told, Kind.CRONJOB, key, "some-uid", "west-1", datetime.now(UTC)))


def test_an_event_is_posted_once_with_the_rights_that_people_give(kube: Asking, west: ControlPlane, namespace: str) -> None:
    assert kube.ask(event(namespace)).status == 201
    assert kube.ask(event(namespace)).status == 409, "whoever tells it again finds it there"
    assert kube.ask(event(namespace, "verdict.2")).status == 201
    found = west.kubectl(
        "get", "events", "--namespace", namespace, "--field-selector", "involvedObject.uid=some-uid,type=Warning"
    )
    assert found.count("FailedCreate") == 2
    assert "hacronjob/hello" in found


def test_an_event_in_a_namespace_that_is_not_there_is_refused(kube: Asking) -> None:
    answer = kube.ask(event("nowhere"))
    assert answer.status == 404
    assert not answer.unreachable


def test_a_namespace_shows_whom_it_accepts(kube: Asking, west: ControlPlane, namespace: str) -> None:
    west.kubectl("annotate", "namespace", namespace, "hacron.io/accept-from=east")
    answer = kube.ask(GetNamespace(key=some_key(namespace), run_id="", namespace=namespace))
    assert answer.body["metadata"]["annotations"]["hacron.io/accept-from"] == "east"
    assert kube.ask(GetNamespace(key=some_key("nowhere"), run_id="", namespace="nowhere")).status == 404


def test_the_inventory_has_every_page(kube: Asking, west: ControlPlane, namespace: str) -> None:
    body = json.loads(manifest("x", namespace=namespace))
    path = f"/apis/hacron.io/v1/namespaces/{namespace}/hacronjobs"
    bodies = [{**body, "metadata": {"name": f"many-{number}", "namespace": namespace}} for number in range(510)]
    assert set(all_at_once(west.admin_kubeconfig, [("POST", path, each) for each in bodies])) == {201}
    try:
        inventory = kube.ask(ListInventory()).body["items"]
    finally:
        all_at_once(west.admin_kubeconfig, [("DELETE", path, None)])
    ours = [item for item in inventory if item["namespace"] == namespace]
    assert {item["name"] for item in ours} == {f"many-{number}" for number in range(510)}
    assert len({item["uid"] for item in ours}) == len(ours) == 510
    assert {item["generation"] for item in ours} == {1}


def test_an_inventory_of_nothing_is_empty(east: ControlPlane) -> None:
    east.kubectl("delete", "hacronjobs", "--all", "--all-namespaces")
    with asking(east.operator_kubeconfig) as kube:
        body = kube.ask(ListInventory()).body
        assert body == {"items": [], "version": body["version"], "left_out": {}}
        assert int(body["version"]) > 0


# --- many at once ---------------------------------------------------------------------------------------------------------------


def test_every_request_gets_exactly_one_answer(kube: Asking, namespace: str) -> None:
    names = [f"many-{number}" for number in range(60)]
    requests = [
        *(create(name, namespace) for name in names),
        *(create(name, namespace, dry_run=True) for name in names),
        *(get(name, namespace) for name in names),
        *(delete(name, "nowhere") for name in names),
        *(PatchStatus(key=key_of(namespace, name), uid=name, status={}) for name in names),
        *(GetNamespace(key=some_key(namespace), run_id=name, namespace=namespace) for name in names),
        *(create(name, namespace, not_after=datetime(2020, 1, 1, tzinfo=UTC)) for name in names),
    ]
    answers = kube.ask_all(requests)
    assert sorted(id(answer.request) for answer in answers) == sorted(map(id, requests))
    again = kube.ask(GetNamespace(key=some_key(namespace), run_id="", namespace=namespace))
    assert kube.answers()[-1] is again, "nothing has come behind the answers"


def test_a_missing_right_is_told_in_the_words_of_the_api_server(west: ControlPlane, namespace: str, tmp_path: Path) -> None:
    until(lambda: "default" in west.kubectl("get", "serviceaccounts", "--namespace", namespace), 20, "an account without rights")
    token = west.kubectl("create", "token", "default", "--namespace", namespace).strip()
    with asking(with_user(west, tmp_path / "kubeconfig", token=token)) as other:
        answer = other.ask(create("hello", namespace))
        assert answer.status == 403
        assert 'cannot create resource "jobs" in API group "batch"' in answer.body["message"]
        assert answer.lacks_right
        assert not answer.unreachable
        until(lambda: not other.client.reachable, 20, "the word that nothing can be done there")
