"""A namespace is taken from `watchNamespaces` of west, or only the rights in it: what becomes of the runs that are open there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from hacron.core.manifests import job_body
from hacron.core.messages import Report, RunRefused
from hacron.core.model import Run
from hacron.ports import Answer, CreateJob, GetJob, GetNamespace, GetObject, JobsListed, Request
from hacron.turn import Moment
from tests.core.ledger_story import HELLO, NOON, Story, spec
from tests.fakes.broker import FakeBroker
from tests.roles.test_worker import Kube, made

FORBIDDEN = {"message": 'jobs.batch is forbidden: User "hacron" cannot get resource "jobs" in API group "batch"'}
NOT_FOUND: dict[str, Any] = {"message": "not found"}
Says = Callable[[Request], tuple[int, dict[str, Any]]]


def without_rights(request: Request) -> tuple[int, dict[str, Any]]:
    return (404, NOT_FOUND) if isinstance(request, GetObject | GetNamespace) else (403, FORBIDDEN)


class Outbox:
    """Notes what the executor is to be told."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def send_reports(self, reports: Sequence[Report]) -> None:
        self.reports += reports


class West:
    """The worker of west, which began at noon, and an executor that hears of it and of east. The cronjob's home is east."""

    def __init__(self, namespaces: Sequence[str], says: Says = without_rights, **fields: Any) -> None:
        self.says = says
        self.asked: list[Request] = []
        self.told: list[Report] = []
        self.story = Story(clusters=("west", "east"))
        fields = {"concurrencyPolicy": "Forbid", "placement": {"clusters": ["west", "east"]}} | fields
        self.story.declare(spec(**fields), cluster="east")
        self._namespaces = namespaces

    def begin(self) -> None:
        """Begin now: a worker that was told these namespaces."""
        story, session = self.story, FakeBroker().connect("west-1", "west", lambda: self.story.now)
        self._outbox, self._kube = Outbox(), Kube()
        session.outbox = self._outbox  # type: ignore[assignment]  # commands are not sent
        self._worker = made(story, session, self._kube, self._namespaces)
        session.worker_token.put_back()
        for _ in range(2):
            self._worker.turn(self._moment)
            session.connection.turn(0)
        self._worker.take(JobsListed(views=()), self._moment)

    def at(self, seconds: float) -> None:
        """Let time pass: the API server answers and the executor hears within half a second."""
        while self.story.now < NOON + timedelta(seconds=seconds):
            self.story.at((self.story.now - NOON).total_seconds() + 0.5)
            self._worker.hear(self._moment)
            self._worker.touch([HELLO])
            self._worker.turn(self._moment)
            waiting, self._kube.waiting = self._kube.waiting, []
            for request in waiting:
                self.asked.append(request)
                status, body = self.says(request)
                self._worker.take(Answer(request=request, status=status, body=body, sent_at=self.story.now), self._moment)
            reports, self._outbox.reports = self._outbox.reports, []
            self.told += reports
            self.story.tell(*reports)

    @property
    def _moment(self) -> Moment:
        return Moment(self.story.now, (self.story.now - NOON).total_seconds())


def job_of(west: West, run: Run) -> dict[str, Any]:
    definition = west.story.state.winner(HELLO)
    assert definition is not None
    body = job_body(run, HELLO, definition.spec, owner_uid=None, epoch=1, ledger="")
    metadata = body["metadata"] | {"uid": "uid-job", "creationTimestamp": f"{run.tick:%Y-%m-%dT%H:%M:%SZ}"}
    return body | {"metadata": metadata}


def running(namespaces: Sequence[str], says: Says = without_rights, **fields: Any) -> West:
    """The run of 12:01 has begun, the worker begins anew twenty seconds later. The next tick is at 12:10."""
    west = West(namespaces, says, schedule="1,10 12 * * *", **fields)
    west.story.at(61)
    west.story.started(west.story.run)
    west.story.at(80)
    west.begin()
    return west


def pending(namespaces: Sequence[str], **fields: Any) -> West:
    """The run of 12:01 was to begin, and nobody knows whether it has: the worker begins anew two seconds after its tick."""
    west = West(namespaces, schedule="1,10 12 * * *", **fields)
    west.story.at(62)
    west.begin()
    return west


@pytest.mark.parametrize("begun", [running, pending])
def test_once_its_namespace_is_not_watched_a_run_is_lost_and_the_next_tick_runs(begun: Callable[..., West]) -> None:
    west = begun(["shop"])
    west.at(260)  # until then a request to make the Job may be on its way
    assert len(west.story.runs) == 1
    west.at(290)
    assert (west.story.runs, west.story.verdicts) == ([], ["60 Lost NotWatched"])
    west.at(601)
    assert west.story.runs == ["600 Pending east #2"], "west has refused it"


@pytest.mark.parametrize("begun", [running, pending])
def test_while_its_namespace_is_watched_nothing_is_known_and_it_is_asked_for_now_and_then(begun: Callable[..., West]) -> None:
    west = begun(["default", "shop"])
    west.at(500)
    before = len(west.asked)
    west.at(600)
    assert len(west.story.runs) == 1
    assert west.story.verdicts == []
    assert 5 <= len(west.asked) - before <= 10


def test_where_it_is_to_run_at_least_once_it_is_tried_elsewhere_and_holds_up_nothing() -> None:
    west = running(["shop"], guarantee="AtLeastOnce")
    while west.story.run.cluster == "west" and west.story.now < NOON + timedelta(seconds=300):
        west.at((west.story.now - NOON).total_seconds() + 1)
    assert timedelta(seconds=260) < west.story.now - NOON < timedelta(seconds=290)
    west.story.finished(west.story.run)
    west.at(400)
    assert (west.story.runs, west.story.verdicts) == ([], ["60 Lost NotWatched", "60 Succeeded"])


def test_a_run_of_a_namespace_that_is_not_watched_goes_to_another_cluster_before_its_tick() -> None:
    west = West(["shop"], schedule="1 12 * * *", concurrencyPolicy="Allow")
    west.begin()
    west.at(59)
    assert west.story.runs == ["60 Pending east #2"]
    assert not [request for request in west.asked if isinstance(request, CreateJob)]


def test_where_its_job_can_still_be_seen_it_is_waited_for() -> None:
    west = running(["shop"])
    run, ended = west.story.run, False

    def says(request: Request) -> tuple[int, dict[str, Any]]:
        assert isinstance(request, GetJob)
        conditions = [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-24T12:08:00Z"}] if ended else []
        return 200, job_of(west, run) | {"status": {"conditions": conditions}}

    west.says = says
    west.at(480)
    assert west.story.runs == ["60 Running west #1"]
    assert len(west.asked) <= 21
    ended = True
    west.at(502)
    assert (west.story.runs, west.story.verdicts) == ([], ["60 Succeeded"])


def test_what_the_executor_knows_and_waits_with_is_said_again_only_now_and_then() -> None:
    """Of runs that were refused, and wait for another cluster, there may be thousands, for days."""

    def says(request: Request) -> tuple[int, dict[str, Any]]:
        if not isinstance(request, CreateJob):
            return 404, NOT_FOUND
        body = msgspec.json.decode(request.body)
        return 201, body | {"metadata": body["metadata"] | {"uid": "uid-job", "creationTimestamp": "2026-11-24T12:01:21Z"}}

    west = West((), says, schedule="1 12 * * *", guarantee="AtLeastOnce")
    west.story.alive = {"west"}
    west.story.at(40)
    west.begin()
    west.at(120)
    assert west.story.runs == ["60 Lost west #1"]
    assert {type(request) for request in west.asked} >= {CreateJob}, "a tombstone"
    west.told.clear()
    west.at(420)
    assert 0 < len([report for report in west.told if isinstance(report, RunRefused)]) <= 300 / 15 + 1
    west.story.declare(spec("1 12 * * *", placement={"clusters": ["west", "east"]}), cluster="east", generation=2)
    assert west.story.runs == []
