"""Relay, executor, worker and mirror over real clusters: from a HACronJob that is applied to Jobs, verdicts and a status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from hacron.core import namelock
from hacron.core.manifests import rfc3339
from hacron.core.ticks import hashed
from tests.cluster.house import House, house
from tests.cluster.seen import await_, first_job, jobs, newest
from tests.testbed.api import Api
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import condition, manifest, read
from tests.testbed.judge import instant
from tests.testbed.wait import until


@pytest.fixture(scope="module")
def running(west: ControlPlane, east: ControlPlane) -> Iterator[House]:
    """Two replicas in west, one in east."""
    with house({"west": west, "east": east}, "west-1", "west-2", "east-1") as found:
        yield found


@pytest.fixture(autouse=True)
def names_are_free_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not only after more than a minute."""
    monkeypatch.setattr(namelock, "REQUEST_LIVES", timedelta(seconds=-25))


pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("running")]


# --- runs -----------------------------------------------------------------------------------------------------------------------


def test_a_job_carries_all_that_its_run_is_known_by(west: ControlPlane, namespace: str) -> None:
    body = json.loads(manifest("hello", "@every 5s", namespace=namespace, timeZone="Europe/Berlin"))
    template = body["spec"]["jobTemplate"]
    template["metadata"] = {"labels": {"team": "ours"}, "annotations": {"for": "us"}}
    pod = template["spec"]["template"]["spec"]
    pod["containers"][0]["env"] = [{"name": "MINE", "value": "1"}]
    pod["initContainers"] = [{"name": "first", "image": "none"}]
    west.apply(json.dumps(body))
    uid = read(west, "hello", namespace)["metadata"]["uid"]
    job = first_job(west, namespace)
    metadata, annotations = job["metadata"], job["metadata"]["annotations"]
    tick = instant(annotations["hacron.io/tick"])
    seconds = int(tick.timestamp())
    assert metadata["name"] == (f"hello-{seconds // 60}" if seconds % 60 == 0 else f"hello-{seconds}")
    assert {"team": "ours", "hacron.io/managed": "true", "hacron.io/cronjob": "hello"}.items() <= metadata["labels"].items()
    assert annotations["for"] == "us"
    assert annotations["hacron.io/cluster"] == "west"
    assert annotations["hacron.io/attempt"] == "1"
    assert int(annotations["hacron.io/epoch"]) > 0
    assert int(annotations["hacron.io/fencing-token"]) > 0
    scheduled = annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert datetime.fromisoformat(scheduled) == tick
    assert scheduled.endswith(("+01:00", "+02:00"))
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("HACronJob", "hello", uid, True)
    handed = {
        "HACRON_SCHEDULED_TIME": rfc3339(tick),
        "HACRON_RUN_ID": annotations["hacron.io/run-id"],
        "HACRON_FENCING_TOKEN": annotations["hacron.io/fencing-token"],
    }
    made = job["spec"]["template"]["spec"]
    assert {each["name"]: each["value"] for each in made["containers"][0]["env"]} == {"MINE": "1", **handed}
    assert {each["name"]: each["value"] for each in made["initContainers"][0]["env"]} == handed
    created = instant(metadata["creationTimestamp"])
    assert tick <= created, "not before its tick"


def test_jobs_come_soon_after_their_ticks(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 2s", namespace=namespace))

    def late() -> list[timedelta]:
        made = (job["metadata"] for job in jobs(west, namespace))
        return [instant(each["creationTimestamp"]) - instant(each["annotations"]["hacron.io/tick"]) for each in made]

    until(lambda: len(late()) >= 3, 30, "three Jobs")
    assert min(late()) >= timedelta(0)
    assert min(late()) <= timedelta(seconds=3), "but for what a stalled machine does to one"


def test_each_tick_has_one_job_and_a_verdict(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 2s", namespace=namespace, catchUp={"policy": "All"}))
    status = await_(west, namespace, lambda status: len(status.get("recent", [])) >= 3, "three verdicts")
    assert {verdict["verdict"] for verdict in status["recent"]} == {"Succeeded"}
    ticks = [instant(verdict["tick"]) for verdict in reversed(status["recent"])]
    assert {later - earlier for earlier, later in pairwise(ticks)} == {timedelta(seconds=2)}
    made = {job["metadata"]["name"]: job for job in jobs(west, namespace)}
    assert len({job["metadata"]["annotations"]["hacron.io/tick"] for job in made.values()}) == len(made)
    for verdict in status["recent"]:
        assert verdict["cluster"] == "west"
        assert instant(verdict["finished"]) >= instant(verdict["started"]) >= instant(verdict["tick"])
        assert made[verdict["job"]]["metadata"]["annotations"]["hacron.io/tick"] == verdict["tick"]
    assert instant(status["lastScheduleTime"]) >= ticks[-1]
    assert status["lastResult"] == "Succeeded"
    assert status["lastSuccessfulTime"]


def test_a_run_that_fails_says_why(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 3s", namespace=namespace, fail=True))
    status = await_(west, namespace, lambda status: newest(status).get("verdict") not in (None, "Missed"), "a verdict")
    assert (newest(status)["verdict"], newest(status)["reason"]) == ("Failed", "BackoffLimitExceeded")
    assert "backoff limit" in newest(status)["message"]
    assert "lastSuccessfulTime" not in status


def test_old_jobs_go_and_their_verdicts_stay(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 1s", namespace=namespace, run_seconds=0.1, successfulJobsHistoryLimit=1))
    await_(west, namespace, lambda status: len(status.get("recent", [])) >= 3, "three verdicts")
    west.kubectl(
        "patch", "hacronjob", "hello", "--namespace", namespace, "--type=merge", "--patch", '{"spec": {"suspend": true}}'
    )
    await_(west, namespace, lambda status: condition(status, "Scheduled")["reason"] == "Suspended", "its suspension")
    until(lambda: len(jobs(west, namespace)) == 1, 30, "one Job left")
    left = jobs(west, namespace)[0]["metadata"]["name"]
    status = await_(west, namespace, lambda status: newest(status).get("job") == left, "the verdict on the newest")
    assert len(status["recent"]) >= 3


@pytest.mark.parametrize("soon", [True, False], ids=["soon", "later"])
def test_a_run_that_is_replaced_is_gone_before_the_next_begins(
    west: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch, soon: bool
) -> None:
    if soon:  # a request to make it may still be on its way: the Job keeps its name
        monkeypatch.setattr(namelock, "REQUEST_LIVES", timedelta(minutes=10))
    body = json.loads(manifest("hello", "@every 3s", namespace=namespace, run_seconds=600, concurrencyPolicy="Forbid"))
    pod = body["spec"]["jobTemplate"]["spec"]["template"]
    pod["metadata"]["finalizers"] = ["tests/hold"]
    west.apply(json.dumps(body))
    old = first_job(west, namespace)["metadata"]["name"]
    until(lambda: jobs(west, namespace)[0].get("status", {}).get("active") == 1, 30, "its pod")
    body["spec"]["concurrencyPolicy"] = "Replace"
    west.apply(json.dumps(body))
    await_(west, namespace, lambda status: [run["state"] for run in status.get("active", [])] == ["Stopping"], "it being stopped")
    (held,) = json.loads(west.kubectl("get", "pods", "--namespace", namespace, "--output", "json"))["items"]
    if soon:
        until(lambda: jobs(west, namespace)[0]["spec"]["suspend"], 20, "its Job suspended")
        until(lambda: jobs(west, namespace)[0]["status"].get("terminating") == 1, 20, "its pod on its way out")
    else:
        until(lambda: "deletionTimestamp" in jobs(west, namespace)[0]["metadata"], 20, "its Job on its way out")
    del pod["metadata"]["finalizers"]
    west.apply(json.dumps(body))
    waits = await_(west, namespace, lambda status: condition(status, "Scheduled")["reason"] == "Replacing", "a tick that waits")
    assert old in condition(waits, "Scheduled")["message"]
    assert "recent" not in waits or old not in [verdict.get("job") for verdict in waits["recent"]], "not while its pod may run"
    assert [job["metadata"]["name"] for job in jobs(west, namespace)] == [old], "and nothing beside it"
    freed, name = '{"metadata": {"finalizers": null}}', held["metadata"]["name"]
    west.kubectl("patch", "pod", name, "--namespace", namespace, "--type=merge", "--patch", freed)
    status = await_(west, namespace, lambda status: old in [each.get("job") for each in status.get("recent", [])], "its verdict")
    assert next(each["verdict"] for each in status["recent"] if each.get("job") == old) == "Stopped"
    until(lambda: [job["metadata"]["name"] for job in jobs(west, namespace)] not in ([], [old]), 20, "the next Job")
    left = [job for job in jobs(west, namespace) if job["metadata"]["name"] == old]
    assert [job["metadata"]["labels"]["hacron.io/tombstone"] for job in left] == (["true"] if soon else [])


def test_a_job_of_somebody_else_is_never_adopted(west: ControlPlane, namespace: str) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=12)
    seconds = int(start.timestamp())
    name = f"hello-{seconds // 60}" if seconds % 60 == 0 else f"hello-{seconds}"
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    theirs = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": namespace}}
    west.apply(json.dumps({**theirs, "spec": {"suspend": True, "template": {"spec": pod}}}))
    only = {"startTime": rfc3339(start), "endTime": rfc3339(start + timedelta(seconds=1))}
    west.apply(manifest("hello", "@every 6s", namespace=namespace, **only))
    status = await_(west, namespace, lambda status: newest(status), "a verdict")
    assert (newest(status)["verdict"], newest(status)["reason"]) == ("Refused", "JobNameTaken")
    assert name in newest(status)["message"]
    left = json.loads(west.kubectl("get", "job", name, "--namespace", namespace, "--output", "json"))
    assert "hacron.io/managed" not in left["metadata"].get("labels", {})
    assert "deletionTimestamp" not in left["metadata"]


def test_when_a_cronjob_goes_its_jobs_go(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 2s", namespace=namespace, run_seconds=600))
    first_job(west, namespace)
    west.kubectl("delete", "hacronjob", "hello", "--namespace", namespace)
    until(lambda: not jobs(west, namespace), 30, "the end of its Jobs")


# --- placed in another cluster --------------------------------------------------------------------------------------------------


@pytest.fixture
def accepting(east: ControlPlane, namespace: str) -> Iterator[str]:
    """The namespace is in east too, and takes what west declares."""
    east.kubectl("create", "namespace", namespace)
    east.kubectl("annotate", "namespace", namespace, "hacron.io/accept-from=west")
    yield namespace
    east.kubectl("delete", "namespace", namespace, "--wait=false")


def test_a_run_goes_to_another_cluster_whose_namespace_accepts_it_and_ends_with_its_cronjob(
    west: ControlPlane, east: ControlPlane, accepting: str
) -> None:
    west.apply(manifest("hello", "@every 3s", namespace=accepting, run_seconds=600, placement={"clusters": ["east"]}))
    job = first_job(east, accepting)
    assert "ownerReferences" not in job["metadata"], "an owner that is not there would get it collected as garbage"
    assert job["metadata"]["annotations"]["hacron.io/cluster"] == "east"
    assert jobs(west, accepting) == []
    await_(
        west, accepting, lambda status: "east" in [run["cluster"] for run in status.get("active", [])], "the run in its status"
    )
    west.kubectl("delete", "hacronjob", "hello", "--namespace", accepting)
    until(lambda: not jobs(east, accepting), 30, "the end of its Jobs")


def test_a_namespace_that_does_not_accept_gets_nothing_and_the_verdict_says_what_to_do(
    west: ControlPlane, east: ControlPlane, accepting: str
) -> None:
    east.kubectl("annotate", "--overwrite", "namespace", accepting, "hacron.io/accept-from=north,south")
    west.apply(manifest("hello", "@every 3s", namespace=accepting, placement={"clusters": ["east"]}))
    status = await_(west, accepting, lambda status: newest(status), "a verdict")
    assert (newest(status)["verdict"], newest(status)["reason"]) == ("Refused", "NotAccepted")
    assert 'annotate it with hacron.io/accept-from: "west"' in newest(status)["message"]
    assert jobs(east, accepting) == jobs(west, accepting) == []


# --- status ---------------------------------------------------------------------------------------------------------------------


def test_a_template_that_the_api_server_refuses_is_told_in_its_own_words(west: ControlPlane, namespace: str) -> None:
    body = json.loads(manifest("hello", "0 2 1 1 *", namespace=namespace))
    container = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    container["image"] = ""
    west.apply(json.dumps(body))
    status = await_(west, namespace, lambda status: condition(status, "Accepted").get("status") == "False", "a refusal")
    accepted = condition(status, "Accepted")
    assert accepted["reason"] == "TemplateRefused"
    assert "spec.template.spec.containers[0].image: Required value" in accepted["message"]
    container["image"] = "none"
    west.apply(json.dumps(body))
    status = await_(west, namespace, lambda status: condition(status, "Accepted").get("status") == "True", "its acceptance")
    assert condition(status, "Accepted")["observedGeneration"] == 2


def test_a_schedule_that_makes_no_sense_is_told_and_disturbs_nobody(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "0 2 31 2 *", namespace=namespace))
    west.apply(manifest("lost", "0 2 * * *", namespace=namespace, timeZone="Europe/Atlantis"))
    west.apply(manifest("fine", "@every 2s", namespace=namespace))
    status = await_(west, namespace, lambda status: condition(status, "Scheduled"), "a word")
    assert condition(status, "Scheduled")["reason"] == "NeverFires"
    status = await_(west, namespace, lambda status: condition(status, "Accepted"), "a word", "lost")
    assert condition(status, "Accepted")["reason"] == "Invalid"
    assert "Europe/Atlantis" in condition(status, "Accepted")["message"]
    first_job(west, namespace, "fine")


def test_between_start_and_end_it_fires_and_then_has_ended(west: ControlPlane, namespace: str) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=10)
    end = start + timedelta(seconds=5)
    bounds = {"startTime": rfc3339(start), "endTime": rfc3339(end)}
    west.apply(manifest("hello", "@every 2s", namespace=namespace, catchUp={"policy": "All"}, **bounds))
    status = await_(west, namespace, lambda status: len(status.get("recent", [])) == 3 and ended(status), "three verdicts")
    assert [each["tick"] for each in reversed(status["recent"])] == [rfc3339(start + timedelta(seconds=n)) for n in (0, 2, 4)]
    assert "nextScheduleTime" not in status


def test_what_h_comes_to_and_a_change_of_clocks_are_shown(west: ControlPlane, namespace: str) -> None:
    body = json.loads(manifest("hello", namespace=namespace, timeZone="Europe/Berlin"))
    del body["spec"]["schedule"]
    body["spec"] |= {"hashedSchedule": "H 2 * * *", "daylightSaving": {"repeat": "First"}}
    west.apply(json.dumps(body))
    status = await_(west, namespace, lambda status: "schedule" in status, "the schedule")
    assert status["schedule"] == hashed.resolve("H 2 * * *", f"{namespace}/hello")
    assert condition(status, "ClockChange")["reason"] == "LocalTimeLeftOut"


def ended(status: dict[str, Any]) -> bool:
    return bool(condition(status, "Scheduled").get("reason") == "Ended")


def test_kubectl_shows_what_people_look_for(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 2s", namespace=namespace, concurrencyPolicy="Forbid"))
    await_(west, namespace, lambda status: status.get("lastResult") == "Succeeded", "a run that ended")
    head, row = west.kubectl("get", "hacj", "--namespace", namespace).splitlines()
    assert " ".join(head.split()) == "NAME SCHEDULE SUSPEND PAUSED ACTIVE LAST SCHEDULE LAST RESULT CLUSTER NEXT AGE"
    assert {"hello", "@every", "2s", "false", "Succeeded", "west"} <= set(row.split())


def test_kubectl_describe_tells_what_became_of_each_tick(west: ControlPlane, east: ControlPlane, accepting: str) -> None:
    body = manifest("hello", "@every 4s", namespace=accepting, placement={"clusters": ["west"]})
    west.apply(body)
    east.apply(body)  # the same cronjob, as GitOps would apply it
    for home in (west, east):
        await_(home, accepting, lambda status: status.get("nextScheduleTime"), "the declaration")
    declared = rfc3339(datetime.now(UTC))  # what was made before, nobody tells in the home that was not known yet

    def succeeded(status: dict[str, Any]) -> bool:
        return newest(status).get("verdict") == "Succeeded" and newest(status)["tick"] > declared

    status = await_(west, accepting, succeeded, "a verdict")
    tick, job = newest(status)["tick"], newest(status)["job"]
    for home in (west, east):

        def shown(home: ControlPlane = home) -> bool:
            described = home.kubectl("describe", "hacronjob", "hello", "--namespace", accepting)
            told = described.partition("Events:")[2]
            return f"Created job {job} in cluster west for the tick of {tick}" in told and f"Saw completed job: {job}" in told

        until(shown, 60, f"its Events in {home.name}")


def test_a_run_that_is_refused_is_told_in_an_event_in_the_api_servers_words(west: ControlPlane, namespace: str) -> None:
    body = json.loads(manifest("hello", "@every 3s", namespace=namespace))
    body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    west.apply(json.dumps(body))
    on_it = ("get", "events", "--namespace", namespace, "--field-selector", "involvedObject.kind=HACronJob,reason=FailedCreate")
    until(lambda: "containers[0].image: Required value" in west.kubectl(*on_it), 30, "a refusal in its Events")


def test_a_storm_of_changes_is_shown_in_few_patches(running: House, west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "0 2 1 1 *", namespace=namespace))
    await_(west, namespace, lambda status: condition(status, "Scheduled"), "a status")
    before = patches(running)
    path = f"/apis/hacron.io/v1/namespaces/{namespace}/hacronjobs/hello"
    Api(west).patch(path, ({"spec": {"failedJobsHistoryLimit": number}} for number in range(1, 31)))
    began = datetime.now(UTC)
    await_(west, namespace, lambda status: status["observedGeneration"] == 31, "the newest generation in the status")
    assert datetime.now(UTC) - began < timedelta(seconds=20)
    assert patches(running) - before < 30


def patches(running: House) -> int:
    tallies = [dict(replica.kube.tally) for replica in running.replicas.values()]
    return sum(count for tally in tallies for (verb, _), count in tally.items() if verb == "PATCH")


def test_an_annotation_pauses_until_it_is_taken_away(west: ControlPlane, namespace: str) -> None:
    west.apply(manifest("hello", "@every 2s", namespace=namespace))
    await_(west, namespace, lambda status: newest(status).get("verdict") == "Succeeded", "a run that ended")
    west.kubectl("annotate", "hacj", "hello", "-n", namespace, "hacron.io/pause=moving house", "hacron.io/pause-by=ann")
    status = await_(
        west, namespace, lambda status: status.get("paused") is True and not status["activeCount"], "paused, and at rest"
    )
    assert (status["pause"]["by"], status["pause"]["reason"], status["pause"]["cluster"]) == ("ann", "moving house", "west")
    assert condition(status, "Scheduled")["reason"] == "Paused"
    west.kubectl("annotate", "hacj", "hello", "-n", namespace, "hacron.io/pause-")
    ran = status["lastScheduleTime"]
    await_(west, namespace, lambda status: "paused" not in status and status["lastScheduleTime"] != ran, "another run")
    assert read(west, "hello", namespace)["metadata"]["generation"] == 1
