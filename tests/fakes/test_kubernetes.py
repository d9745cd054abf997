"""The cluster in memory does what a real one does, as far as the replicas depend on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hacron.core.manifests import Halting, as_json, job_body
from hacron.core.messages import Outcome
from hacron.core.model import Run, key_of
from hacron.ports import Answer, CreateJob, DeleteJob, GetJob, HaltJob, JobSeen, JobsListed, ObjectSeen, PatchStatus, WatchResumed
from tests.core.ledger_story import spec
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FakeCluster

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HELLO = key_of("default", "hello")
RUN = Run(
    id="west1.1795521600.1", tick=NOON, cluster="west", start_by=NOON + timedelta(seconds=20), fencing=7, job="hello-29925360"
)


class Desk:
    """A cluster, a client of it, and a clock."""

    def __init__(self) -> None:
        self.cluster = FakeCluster("west", NOON)
        self.kube = FakeKube(self.cluster, "west-1", lambda: self.cluster.now)
        self.kube.watch_jobs(True)
        self.told()

    def ask(self, request: Any) -> Answer:
        self.kube.submit([request])
        self.kube.serve()
        return next(arrival for arrival in self.told() if isinstance(arrival, Answer))

    def told(self) -> list[Any]:
        """What has arrived since the last time; the answer may come before or after what the watch tells."""
        arrived = list(self.kube.arrivals)
        self.kube.arrivals.clear()
        self.seen = [arrival for arrival in arrived if not isinstance(arrival, Answer)]
        return arrived

    def create(self, owner_uid: str | None = None, **changes: Any) -> Answer:
        body = as_json(job_body(RUN, HELLO, spec(), owner_uid=owner_uid, epoch=1))
        fields = {"key": HELLO, "run_id": RUN.id, "namespace": "default", "body": body} | changes
        return self.ask(CreateJob(**fields))

    def delete(self, uid: str | None = None, *, foreground: bool = False) -> Answer:
        return self.ask(DeleteJob(key=HELLO, run_id=RUN.id, namespace="default", name=RUN.job, uid=uid, foreground=foreground))

    def get(self) -> Answer:
        return self.ask(GetJob(key=HELLO, run_id=RUN.id, namespace="default", name=RUN.job))

    def halt(self, uid: str) -> Answer:
        return self.ask(HaltJob(key=HELLO, run_id=RUN.id, namespace="default", name=RUN.job, uid=uid))

    def pass_time(self, seconds: float) -> None:
        self.cluster.move(self.cluster.now + timedelta(seconds=seconds))
        self.told()


def test_a_name_is_taken_once() -> None:
    desk = Desk()
    assert desk.create().status == 201
    assert desk.create().status == 409
    assert len(desk.cluster.made) == 1


def test_a_dry_run_makes_nothing() -> None:
    desk = Desk()
    assert desk.create(dry_run=True).status == 201
    assert desk.cluster.made == []
    desk.cluster.denies = "no"
    assert desk.create(dry_run=True).status == 403


def test_what_admission_and_quota_say_comes_before_the_name() -> None:
    desk = Desk()
    desk.create()
    desk.cluster.quota = 1
    assert "exceeded quota" in desk.create().body["message"]
    desk.cluster.denies = "not any more"
    assert "not any more" in desk.create().body["message"]
    assert desk.create(namespace="nowhere").status == 404


def test_a_job_ends_after_its_time_and_is_told_first_as_ending_then_as_ended() -> None:
    desk = Desk()
    desk.create()
    desk.pass_time(1)
    assert [seen.view.terminal for seen in desk.seen] == [None, Outcome.SUCCEEDED]
    conditions = desk.get().body["status"]["conditions"]
    assert [condition["type"] for condition in conditions] == ["SuccessCriteriaMet", "Complete"]
    assert desk.cluster.made[0].how == "Complete"


def test_who_owns_it_must_be_in_this_cluster() -> None:
    desk = Desk()
    assert desk.create(owner_uid="east5").status == 201
    assert desk.cluster.jobs == {}
    owner = desk.cluster.apply(HELLO, {})["metadata"]["uid"]
    desk.create(owner_uid=owner)
    assert len(desk.cluster.jobs) == 1
    desk.cluster.delete(HELLO)
    assert desk.cluster.jobs == {}


def test_a_foreground_deletion_takes_a_moment_and_a_background_one_none() -> None:
    desk = Desk()
    desk.create()
    assert desk.delete(foreground=True).status == 200
    assert desk.get().body["metadata"]["deletionTimestamp"]
    desk.pass_time(2)
    assert [seen.gone for seen in desk.seen] == [True]
    desk.create()
    assert desk.delete().ok
    assert desk.delete().status == 404


def test_a_job_that_is_halted_takes_a_moment_and_keeps_its_name() -> None:
    desk = Desk()
    uid = desk.create().body["metadata"]["uid"]
    assert desk.halt("another").status == 422
    assert desk.halt(uid).body["spec"]["suspend"]
    assert desk.cluster.made[0].over is None
    desk.pass_time(2)
    assert [seen.view.halt for seen in desk.seen] == [Halting.DONE]
    assert (desk.cluster.made[0].how, desk.cluster.made[0].gone_at) == ("halted", None)
    assert desk.create().status == 409
    assert desk.delete(uid).ok
    assert desk.halt(uid).status == 404


def test_a_deletion_may_name_the_very_object() -> None:
    desk = Desk()
    uid = desk.create().body["metadata"]["uid"]
    assert desk.delete(uid="another").status == 409
    assert desk.delete(uid=uid).ok


def test_a_status_is_merged_kept_and_told_and_changes_no_generation() -> None:
    desk = Desk()
    desk.cluster.apply(HELLO, {"schedule": "x"})
    uid = desk.cluster.cronjobs[HELLO]["metadata"]["uid"]
    desk.told()
    desk.ask(PatchStatus(key=HELLO, uid=uid, status={"a": 1, "b": 2}))
    assert [type(seen) for seen in desk.seen] == [ObjectSeen]
    desk.ask(PatchStatus(key=HELLO, uid=uid, status={"b": None}))
    body = desk.cluster.cronjobs[HELLO]
    assert (body["status"], body["metadata"]["generation"]) == ({"a": 1}, 1)
    desk.ask(PatchStatus(key=HELLO, uid=uid, status={"a": 1}))
    assert desk.seen == []
    assert desk.ask(PatchStatus(key=HELLO, uid="another", status={"a": 2})).status == 422
    assert desk.cluster.cronjobs[HELLO]["status"] == {"a": 1}


def test_a_cluster_that_is_down_does_nothing_and_one_that_is_mute_does_it_unheard() -> None:
    desk = Desk()
    desk.cluster.up = False
    assert (desk.create().status, desk.cluster.made) == (0, [])
    desk.cluster.start()
    assert [type(seen) for seen in (desk.told(), desk.seen)[1]] == [JobsListed, WatchResumed, WatchResumed]
    desk.cluster.mute = True
    assert (desk.create().status, len(desk.cluster.made)) == (0, 1)


def test_what_comes_too_late_is_not_sent() -> None:
    desk = Desk()
    answer = desk.create(not_after=NOON - timedelta(seconds=1))
    assert (answer.status, answer.reason, desk.cluster.made) == (0, "TooLate", [])


def test_what_is_held_on_its_way_arrives_later_even_if_the_process_has_died() -> None:
    desk = Desk()
    desk.kube.held = True
    body = as_json(job_body(RUN, HELLO, spec(), owner_uid=None, epoch=1))
    desk.kube.submit([CreateJob(key=HELLO, run_id=RUN.id, namespace="default", body=body)])
    desk.kube.serve()
    desk.kube.close()
    assert desk.cluster.made == []
    desk.kube.release()
    assert len(desk.cluster.made) == 1


def test_only_who_watches_is_told_of_jobs() -> None:
    desk = Desk()
    desk.kube.watch_jobs(False)
    desk.create()
    assert not [seen for seen in desk.seen if isinstance(seen, JobSeen)]
    desk.kube.watch_jobs(True)
    assert [len(listed.views) for listed in desk.told()] == [1]
