"""How far a Job is that is to stop and to keep its name: read from what Kubernetes' Job controller writes of it."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from hacron.core.duties import Delete, Duty, Halt, Say, Wait, gone, owed
from hacron.core.manifests import halt_patch, job_body, job_view
from hacron.core.messages import RunFinished
from hacron.core.model import Run, RunState, key_of
from hacron.core.namelock import REQUEST_LIVES

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = key_of("default", "hello")
RUN = Run(
    id="hello.1",
    tick=NOON,
    cluster="west",
    start_by=NOON + timedelta(seconds=20),
    fencing=1,
    job="hello-1",
    state=RunState.STOPPING,
    started=NOON,
)
SPEC = msgspec.Raw(b'{"jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": []}}}}}')
RUNS: dict[str, Any] = {"active": 1, "ready": 1, "terminating": 0}
RESTS: dict[str, Any] = {"conditions": [{"type": "Suspended", "status": "True"}], "ready": 0, "terminating": 0}
ENDED: dict[str, Any] = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-24T12:01:00Z"}]}


def job(status: dict[str, Any], *, halted: bool, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    body = copy.deepcopy(job_body(RUN, KEY, SPEC, owner_uid=None, epoch=1))
    body["metadata"] |= {"uid": "u1", "creationTimestamp": "2026-11-24T12:00:00Z"}
    if halted:
        patch = halt_patch("u1")
        body["metadata"]["labels"] |= patch["metadata"]["labels"]
        body["metadata"]["annotations"] |= patch["metadata"]["annotations"]
        body["spec"] |= patch["spec"]
    body["spec"] |= spec or {}
    return body | {"status": status}


def owed_to(body: dict[str, Any], after: timedelta = timedelta(seconds=30)) -> Duty:
    return owed(KEY, RUN, job_view(body), NOON + after)


def test_while_a_request_for_it_may_come_a_job_is_halted_and_later_deleted() -> None:
    last = RUN.start_by + REQUEST_LIVES - NOON
    assert owed_to(job(RUNS, halted=False)) == Halt("u1")
    assert owed_to(job({}, halted=False)) == Halt("u1")
    assert owed_to(job(RUNS, halted=False), last) == Halt("u1")
    assert owed_to(job(RUNS, halted=False), last + timedelta(seconds=1)) == Delete("u1")


@pytest.mark.parametrize(
    "status",
    [
        {},
        RUNS,
        {"terminating": 1},
        RESTS | {"terminating": 1},
        RESTS | {"active": 1},
        RESTS | {"conditions": [{"type": "Suspended", "status": "False"}]},
    ],
)
def test_it_is_waited_for_until_none_of_its_pods_is_left(status: dict[str, Any]) -> None:
    assert owed_to(job(status, halted=True)) == Wait(None)
    view = job_view(job(status, halted=True))
    assert view is not None
    assert not view.tombstone


def test_then_it_is_a_tombstone_of_a_run_that_has_run() -> None:
    assert owed_to(job(RESTS, halted=True)) == Say(gone(KEY, RUN))
    view = job_view(job(RESTS, halted=True))
    assert view is not None
    assert view.tombstone
    assert view.ran


def test_one_that_ended_before_it_was_stopped_has_ended() -> None:
    duty = owed_to(job(ENDED, halted=True))
    assert isinstance(duty, Say)
    assert isinstance(duty.report, RunFinished)
    view = job_view(job(ENDED, halted=True))
    assert view is not None
    assert not view.tombstone, "it counts for the history limits"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(job(RESTS, halted=False), id="it waits for somebody to resume it"),
        pytest.param(
            job(RUNS | {"conditions": [{"type": "Suspended", "status": "False"}]}, halted=False),
            id="somebody has resumed it before",
        ),
        pytest.param(job(RUNS, halted=True, spec={"suspend": False}), id="somebody has resumed it"),
        pytest.param(job({}, halted=False, spec={"managedBy": "kueue.x-k8s.io/multikueue"}), id="another controller sees to it"),
        pytest.param(job({"conditions": RESTS["conditions"]}, halted=True), id="nothing tells of pods on their way out"),
    ],
)
def test_what_cannot_be_halted_is_deleted(body: dict[str, Any]) -> None:
    assert owed_to(body) == Delete("u1")
