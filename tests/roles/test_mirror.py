"""A mirror alone: what it shows while a template is being tried, and when somebody else thinks otherwise."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from hacron.core.kinds import CronJobs
from hacron.core.manifests import job_body, tombstone_body
from hacron.core.model import Key, key_of, name_of, namespace_of
from hacron.core.state import State
from hacron.core.status import Trial
from hacron.mirror import PATCHES_UNDER_WAY, SHOW_AGAIN, WAITS_FOR_TRIAL, Mirror
from hacron.ports import Answer, CreateJob, GetObject, ObjectSeen, PatchStatus, Request
from hacron.trials import AT_ONCE, TRY_AGAIN
from hacron.turn import Moment
from tests.core.ledger_story import HELLO, NOON, Story, spec


class Desk:
    """The mirror of west's worker, over a cluster that answers only when it is told to."""

    reachable = True

    def __init__(self, start_window_s: float = 20) -> None:
        self.story = Story()
        self.story.declare(spec())
        window = timedelta(seconds=start_window_s)
        self.mirror = Mirror(cluster="west", kube=self, start_window=window)  # type: ignore[arg-type]  # it only submits
        self.mirror.attach(self.story.state)
        self.sent: list[Request] = []

    def submit(self, requests: Sequence[Request]) -> None:
        self.sent += requests

    def turn(self, second: float) -> list[Request]:
        self.sent = []
        self.mirror.turn(True, moment(second))
        return self.sent

    def answer(self, request: Request, second: float, status: int = 200, **body: Any) -> None:
        self.mirror.take(Answer(request=request, status=status, body=body), moment(second))

    def see(self, status: dict[str, Any], second: float, uid: str | None = None, key: Key = HELLO) -> None:
        self.mirror.take(ObjectSeen(body=self.body(status, uid, key)), moment(second))

    def body(self, status: dict[str, Any], uid: str | None = None, key: Key = HELLO) -> dict[str, Any]:
        entry = self.story.state.definitions[key]["west"]
        metadata = {"namespace": namespace_of(key), "name": name_of(key), "uid": uid or entry.uid, "generation": entry.generation}
        metadata["creationTimestamp"] = "2026-11-24T12:00:00Z"
        return {"metadata": metadata, "spec": msgspec.json.decode(entry.spec), "status": status}

    @property
    def entry(self) -> Any:
        return self.story.state.definitions[HELLO]["west"]


LACKS_RIGHT = 'jobs.batch is forbidden: User "us" cannot create resource "jobs" in API group "batch"'
READY, REFUSED = (
    {"conditions": [{"type": "Ready", "reason": reason, "message": "no", "observedGeneration": 1}]}
    for reason in ("Ready", "TemplateRefused")
)


def moment(second: float) -> Moment:
    return Moment(NOON + timedelta(seconds=second), second)


def conditions(request: Request) -> dict[str, tuple[str, str]]:
    assert isinstance(request, PatchStatus)
    return {each["type"]: (each["status"], each["reason"]) for each in request.status["conditions"]}


def test_a_template_that_is_taken_is_told_in_one_patch() -> None:
    desk = Desk()
    (trial,) = desk.turn(0)
    assert isinstance(trial, CreateJob)
    assert trial.dry_run
    assert desk.turn(0.1) == []
    desk.answer(trial, 0.2, 201)
    (patch,) = desk.turn(0.2)
    assert conditions(patch)["Ready"] == ("True", "Ready")
    assert "Reconciling" not in conditions(patch)


def test_a_template_that_is_refused_is_told_in_one_patch() -> None:
    desk = Desk()
    (trial,) = desk.turn(0)
    desk.answer(trial, 0.2, 422, message="image: Required value")
    (patch,) = desk.turn(0.2)
    shown = conditions(patch)
    assert (shown["Ready"], shown["Stalled"]) == (("False", "TemplateRefused"), ("True", "TemplateRefused"))


def test_an_api_server_that_says_nothing_of_a_template_is_not_waited_for_long() -> None:
    desk = Desk()
    desk.turn(0)
    (patch,) = desk.turn(WAITS_FOR_TRIAL.total_seconds())
    shown = conditions(patch)
    assert shown["Ready"] == ("Unknown", "TryingTemplate")
    assert shown["Reconciling"] == ("True", "TryingTemplate")


def test_what_a_status_says_of_a_trial_that_is_over_is_believed_and_of_one_that_is_not_is_tried() -> None:
    believing, trying = Desk(), Desk()
    for desk, reason in ((believing, "Ready"), (trying, "TryingTemplate")):
        desk.see({"conditions": [{"type": "Ready", "reason": reason, "observedGeneration": desk.entry.generation}]}, 0)
    assert [type(request) for request in believing.turn(0)] == [PatchStatus]
    assert [type(request) for request in trying.turn(0)] == [CreateJob]


def test_two_that_think_differently_do_not_write_against_each_other_without_a_pause() -> None:
    desk = Desk()
    (trial,) = desk.turn(0)
    desk.answer(trial, 0, 201)
    patches = 0
    for tenth in range(100):
        for request in desk.turn(tenth / 10):
            patches += isinstance(request, PatchStatus)
            desk.answer(request, tenth / 10)
        desk.see({"conditions": [{"type": "Ready", "reason": "Other"}], "activeCount": tenth}, tenth / 10)
    assert 5 <= patches <= 11


def test_what_became_of_one_object_is_not_shown_in_another_of_its_name() -> None:
    desk = Desk()
    desk.see({}, 0, uid="made anew")
    assert desk.turn(WAITS_FOR_TRIAL.total_seconds()) == []
    desk.story.declare(spec(), uid="made anew")
    desk.mirror.touch([HELLO])
    desk.turn(3)
    (patch,) = desk.turn(3 + WAITS_FOR_TRIAL.total_seconds())
    assert isinstance(patch, PatchStatus)
    assert patch.uid == "made anew"


def test_an_object_that_the_watch_has_missed_is_shown_when_it_has_been_asked_for() -> None:
    desk = Desk()
    desk.see({}, 0, uid="before")
    assert desk.turn(WAITS_FOR_TRIAL.total_seconds()) == []
    desk.mirror.take(Answer(request=GetObject(key=HELLO), status=200, body=desk.body({})), moment(3))
    desk.turn(3)
    (patch,) = desk.turn(3 + WAITS_FOR_TRIAL.total_seconds())
    assert isinstance(patch, PatchStatus)
    assert patch.uid == desk.entry.uid


# --- a template that was refused ---


def refused_at_noon(words: str = "a webhook says no") -> Desk:
    desk = Desk()
    (trial,) = desk.turn(0)
    desk.answer(trial, 0, 403, message=words)
    (patch,) = desk.turn(0)
    desk.answer(patch, 0)
    return desk


def test_a_template_that_was_refused_is_tried_again_and_the_status_says_when_it_is_taken() -> None:
    desk = refused_at_noon()
    soon, later = TRY_AGAIN.total_seconds() - 1, TRY_AGAIN.total_seconds()
    assert desk.turn(soon) == []
    (trial,) = desk.turn(later)
    assert isinstance(trial, CreateJob)
    desk.answer(trial, later, 403, message="a webhook says no")
    assert desk.turn(later) == [], "the status says so already"
    (trial,) = desk.turn(2 * later)
    desk.answer(trial, 2 * later, 201)
    (patch,) = desk.turn(2 * later)
    assert conditions(patch)["Ready"] == ("True", "Ready")
    desk.answer(patch, 2 * later)
    assert desk.turn(10 * later) == []


def test_a_full_quota_is_nothing_against_a_template() -> None:
    desk = Desk()
    (trial,) = desk.turn(0)
    desk.answer(trial, 0, 403, message='jobs.batch "hello" is forbidden: exceeded quota: jobs, used: 5, limited: 5')
    (patch,) = desk.turn(0)
    assert conditions(patch)["Ready"] == ("True", "Ready")


def test_however_many_templates_were_refused_one_is_tried_again_in_a_second() -> None:
    desk = Desk()
    for number in range(100):
        key = Key(f"default/hello-{number}")
        desk.story.declare(spec(), key=key)
        desk.see(REFUSED, 0, key=key)
    later = TRY_AGAIN.total_seconds()
    trials = []
    for tenth in range(100):
        for request in desk.turn(later + tenth / 10):
            if isinstance(request, CreateJob) and request.key != HELLO:
                trials.append(request.key)
                desk.answer(request, later + tenth / 10, 403, message="a webhook says no")
    assert len(trials) == len(set(trials)) == 10


def tried(desk: Desk, second: float) -> list[CreateJob]:
    return [request for request in desk.turn(second) if isinstance(request, CreateJob)]


def test_few_templates_are_tried_at_a_time_and_a_namespace_that_hangs_holds_up_no_other() -> None:
    desk = Desk()
    (hello,) = tried(desk, 0)
    desk.answer(hello, 0, 201)
    for namespace in ("bad", "good"):
        for number in range(5):
            desk.story.declare(spec(), key=key_of(namespace, f"{number}"), uid=f"{namespace}-{number}")
            desk.mirror.touch([key_of(namespace, f"{number}")])
    found = tried(desk, 1)
    names = [request.key for request in found]
    while good := [request for request in found if request.namespace == "good"]:
        for request in good:
            desk.answer(request, 2, 201)
        found = tried(desk, 2)
        names += [request.key for request in found]
    assert names.count(Key("bad/0")) == 1
    assert len([key for key in names if namespace_of(key) == "bad"]) == AT_ONCE
    assert [key for key in names if namespace_of(key) == "good"] == [key_of("good", f"{number}") for number in range(5)]


@pytest.mark.parametrize("answer", [{"status": 0}, {"status": 500}, {"status": 403, "message": LACKS_RIGHT}])
def test_what_gets_no_answer_is_tried_again_after_a_pause_that_grows(answer: dict[str, Any]) -> None:
    desk = Desk()
    asked_at = []
    for second in range(400):
        for request in tried(desk, second):
            asked_at.append(second)
            desk.answer(request, second, **answer)
        desk.mirror.touch([HELLO])
    assert asked_at == [0, 3, 9, 21, 45, 93, 189, 381]


def test_what_gets_no_answer_is_tried_also_where_the_spec_that_counts_was_not_valid_when_it_was_due() -> None:
    desk = Desk()
    (trial,) = tried(desk, 0)
    desk.answer(trial, 0, 500)
    desk.story.declare(spec(schedule="nonsense"), cluster="east")
    desk.mirror.touch([HELLO])
    (patch,) = desk.turn(60)
    assert isinstance(patch, PatchStatus)
    desk.answer(patch, 60)
    desk.story.declare(spec(), cluster="east", generation=2)
    desk.mirror.touch([HELLO])
    (trial,) = tried(desk, 61)
    desk.answer(trial, 61, 500)
    assert tried(desk, 66) == [], "the pause goes on growing"
    assert len(tried(desk, 67)) == 1


def test_a_template_that_has_changed_is_tried_at_once() -> None:
    desk = Desk()
    (trial,) = tried(desk, 0)
    desk.answer(trial, 0, 500)
    assert tried(desk, 1) == []
    desk.story.declare(spec(suspend=True), generation=2)
    desk.mirror.touch([HELLO])
    assert len(tried(desk, 2)) == 1


@pytest.mark.parametrize(
    ("sent_s", "tombstone", "is_yes"),
    [(60, False, True), (60, True, False), (20, False, False)],
    ids=["a Job", "a tombstone", "a Job that may be of the template before"],
)
def test_a_job_that_was_made_of_a_template_that_was_refused_is_a_yes(sent_s: float, tombstone: bool, is_yes: bool) -> None:
    desk = refused_at_noon("admission webhook does not support dry run")
    desk.story.at(60)
    desk.mirror.touch([HELLO])
    run, spec_here = desk.story.run, desk.entry.spec
    body = tombstone_body(run, HELLO, ran=False) if tombstone else job_body(run, HELLO, spec_here, owner_uid=None, epoch=1)
    made = body | {"metadata": body["metadata"] | {"uid": "made", "creationTimestamp": "2026-11-24T12:01:00Z"}}
    request = CreateJob(key=HELLO, run_id=run.id, namespace="default", body=body)
    sent_at = NOON + timedelta(seconds=sent_s)
    desk.mirror.take(Answer(request=request, status=201, body=made, sent_at=sent_at), moment(60))
    (patch,) = desk.turn(60)
    assert conditions(patch)["Ready"] == ("True" if is_yes else "False", "Ready" if is_yes else "TemplateRefused")


def test_what_another_worker_has_found_since_is_believed_and_of_ones_own_words_the_last() -> None:
    desk = refused_at_noon()
    desk.see(READY, 1)
    (patch,) = desk.turn(2)
    assert conditions(patch)["Ready"] == ("False", "TemplateRefused"), "as long as this replica is the worker"
    desk.answer(patch, 2)
    desk.mirror.turn(False, moment(3))
    desk.see(READY, 4)
    (patch,) = desk.turn(5)
    assert conditions(patch)["Ready"] == ("True", "Ready")


# --- a status that is refused ---


def patched_at(desk: Desk, status: int, message: str, minutes: int = 60) -> list[float]:
    """Return when a status was tried to be written while all are answered so."""
    desk.see(READY, 0)
    second, tried = 0.0, []
    while second < 60 * minutes:
        for request in desk.turn(second):
            assert isinstance(request, PatchStatus)
            tried.append(second)
            desk.answer(request, second, status, message=message)
        second += 0.5
    return tried


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param(403, 'User "hacron" cannot patch resource "hacronjobs/status"', id="a right is missing"),
        pytest.param(422, "status.phase: Unsupported value", id="an older custom resource"),
        pytest.param(400, 'admission webhook "rules" denied the request: no', id="a webhook says no"),
        pytest.param(500, 'failed calling webhook "rules": connection refused', id="a webhook is away"),
    ],
)
def test_a_status_that_is_refused_is_tried_ever_more_rarely(status: int, message: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tried = patched_at(Desk(), status, message)
    between = [after - before for before, after in pairwise(tried)]
    assert between == [3, 6, 12, 24, 48, 96, 192] + [300] * 10
    assert [(each.message, getattr(each, "why", "")) for each in caplog.records] == [("status not written", message)]


@pytest.mark.parametrize("status", [0, 429, 500])
def test_an_api_server_that_cannot_take_a_status_now_is_asked_again_as_often_as_ever(status: int) -> None:
    tried = patched_at(Desk(), status, "etcdserver: request timed out", minutes=1)
    assert {after - before for before, after in pairwise(tried)} == {3}


def test_what_an_api_server_says_that_cannot_be_worked_with_is_nothing_against_a_status() -> None:
    desk = Desk()
    desk.reachable = False
    tried = patched_at(desk, 403, 'User "hacron" cannot patch resource "hacronjobs/status"', minutes=1)
    assert {after - before for before, after in pairwise(tried)} == {3}


def test_one_that_was_made_anew_does_not_wait_for_what_the_one_before_was_refused() -> None:
    desk = Desk()
    patched_at(desk, 422, "testing value /metadata/uid failed: test failed", minutes=2)
    desk.story.declare(spec(), uid="made anew")
    desk.see(READY, 121)
    (trial,) = desk.turn(121)
    desk.answer(trial, 121, 201)
    (patch,) = desk.turn(121)
    assert isinstance(patch, PatchStatus)
    assert patch.uid == "made anew"


def test_that_statuses_are_refused_is_said_once_for_a_namespace_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    many = [HELLO, *(Key(f"default/hello-{number}") for number in range(3))]
    for key in many:
        if key != HELLO:
            desk.story.declare(spec(), key=key)
        desk.see(READY, 0, key=key)
    with caplog.at_level(logging.INFO):
        for request in desk.turn(0):
            desk.answer(request, 0, 403, message="no")
        *others, last = desk.turn(3)
        for request in others:
            desk.answer(request, 3)
        assert [record.message for record in caplog.records] == ["status not written"]
        desk.answer(last, 3)
    assert [record.message for record in caplog.records] == ["status not written", "no status is refused any more"]


# --- a run that was decided ahead ---


def shown_from(desk: Desk, second: float, until: float) -> list[dict[str, Any]]:
    """Return the statuses that are written while nothing is told but what the story says."""
    written = []
    while second < until:
        for request in desk.turn(second):
            desk.answer(request, second, 201 if isinstance(request, CreateJob) else 200)
            written += [request.status] if isinstance(request, PatchStatus) else []
        second += 0.5
    return written


def test_a_run_that_begins_in_time_is_written_once_when_it_begins() -> None:
    desk = Desk()
    assert len(shown_from(desk, 0, 50)) == 1
    desk.story.at(57)
    desk.mirror.touch([HELLO])
    assert shown_from(desk, 57, 60) == []
    desk.story.at(60)
    desk.story.started(desk.story.run)
    desk.mirror.touch([HELLO])
    assert [status["activeCount"] for status in shown_from(desk, 60.1, 100)] == [1]
    assert desk.mirror.next_turn(moment(100)) == 5.0, "it is not looked at again"


@pytest.mark.parametrize("start_window_s", [20, 40])
def test_a_run_of_whose_start_nothing_is_heard_is_written_once_when_it_is_late(start_window_s: int) -> None:
    desk = Desk(start_window_s)
    shown_from(desk, 0, 50)
    desk.story.at(57)
    desk.mirror.touch([HELLO])
    assert shown_from(desk, 57, 60 + start_window_s) == []
    (status,) = shown_from(desk, 60 + start_window_s, 110)
    assert [run["state"] for run in status["active"]] == ["Pending"]
    assert status["nextScheduleTime"] == "2026-11-24T12:02:00Z"


# --- one that is under way ---


@pytest.mark.parametrize("answer_first", [True, False], ids=["the answer comes first", "the watch is first"])
def test_what_has_been_written_is_not_worked_out_again_when_the_watch_tells_of_it(answer_first: bool) -> None:
    desk, patch = writing_at(1)
    news = [lambda: desk.answer(patch, 1.1), lambda: desk.see(as_it_stands(patch), 1.1)]
    for tell in news if answer_first else reversed(news):
        tell()
    worked_out = count_renderings(desk)
    for tenths in range(12, 40):
        assert desk.turn(tenths / 10) == []
    assert worked_out == []


def test_what_changes_while_it_is_being_written_is_shown_next() -> None:
    desk, patch = writing_at(1)
    desk.story.declare(spec(suspend=True), generation=2)
    desk.mirror.touch([HELLO])
    assert desk.turn(1.1) == []
    desk.answer(patch, 1.2)
    assert desk.mirror.next_turn(moment(1.2)) == pytest.approx(SHOW_AGAIN.total_seconds())
    after = [one for tenths in range(22, 50) for one in desk.turn(tenths / 10) if isinstance(one, PatchStatus)]
    assert after[-1].status["observedGeneration"] == 2


def test_what_somebody_else_writes_over_it_is_written_again() -> None:
    desk, patch = writing_at(1)
    desk.answer(patch, 1.1)
    desk.see({"conditions": []}, 1.5)
    (again,) = [one for tenths in range(16, 30) for one in desk.turn(tenths / 10)]
    assert isinstance(again, PatchStatus)
    assert again.status == patch.status


@pytest.mark.parametrize("ours_last", [True, False], ids=["before ours, as the watch tells", "after ours, as far as is known"])
def test_what_somebody_else_writes_while_it_is_under_way_is_written_over(ours_last: bool) -> None:
    desk, patch = writing_at(1)
    desk.see({"lastCluster": "nowhere"}, 1.1)
    if ours_last:
        desk.see(as_it_stands(patch), 1.1)
    assert desk.turn(1.2) == []
    desk.answer(patch, 1.3)
    again = [one for tenths in range(14, 40) for one in desk.turn(tenths / 10)]
    assert [one.status for one in again if isinstance(one, PatchStatus)] == ([] if ours_last else [patch.status])


def test_one_that_was_made_anew_while_the_one_before_was_written_is_shown() -> None:
    desk, patch = writing_at(1)
    desk.story.declare(spec(), uid="anew")
    desk.mirror.touch([HELLO])
    desk.see({}, 1.1)
    assert desk.turn(1.1) == []
    desk.answer(patch, 1.2, 404)
    assert [type(one) for one in desk.turn(1.2)] != []
    desk.mirror.take(ObjectSeen(body=desk.body({}, uid=patch.uid), gone=True), moment(1.3))
    shown = [one for tenths in range(30, 60) for one in desk.turn(tenths / 10) if isinstance(one, PatchStatus)]
    assert [one.uid for one in shown] == ["anew"], "the news that the one before is gone is late, and is not about it"


def test_a_status_that_nothing_happens_to_is_looked_at_once_an_hour() -> None:
    desk, patch = writing_at(1)
    desk.answer(patch, 1)
    desk.see(as_it_stands(patch), 1)
    worked_out = count_renderings(desk)
    times = []
    for second in range(2, 3 * 3600):
        desk.turn(second)
        times += [second] * len(worked_out)
        worked_out.clear()
    assert [later - earlier for earlier, later in pairwise([1, *times])] == [3600] * 2


def as_it_stands(patch: PatchStatus) -> dict[str, Any]:
    return {name: value for name, value in patch.status.items() if value is not None}


def writing_at(second: float) -> tuple[Desk, PatchStatus]:
    """Return a desk, and the status that it has just sent."""
    desk = Desk()
    desk.see({}, 0)
    (trial,) = desk.turn(0)
    desk.answer(trial, second, 201)
    (patch,) = desk.turn(second)
    assert isinstance(patch, PatchStatus)
    return desk, patch


def count_renderings(desk: Desk) -> list[Key]:
    """Return whose status is worked out from now on."""
    keys: list[Key] = []

    class Counted(CronJobs):
        def render(self, state: State, key: Key, cluster: str, now: datetime, trial: Trial) -> dict[str, Any] | None:
            keys.append(key)
            return super().render(state, key, cluster, now, trial)

    desk.mirror._objects = Counted()
    return keys


# --- many ---


def test_of_many_that_differ_none_is_looked_at_twice_and_an_answer_makes_room_for_the_next() -> None:
    desk = Desk()
    desk.mirror.turn(True, moment(0))
    many = [Key(f"default/hello-{number}") for number in range(3 * PATCHES_UNDER_WAY)]
    for key in many:
        desk.story.declare(spec(), key=key)
        desk.see(READY, 0, key=key)
    under_way = [request for request in desk.turn(0) if isinstance(request, PatchStatus)]
    assert len(under_way) == PATCHES_UNDER_WAY
    assert desk.turn(0.1) == []
    assert desk.mirror.next_turn(moment(0.1)) >= 1, "there is nothing to do until there is room"
    written = set()
    for hundredth in range(1, 30):
        for request in under_way:
            desk.answer(request, hundredth / 100)
            written.add(request.key)
        under_way = [request for request in desk.turn(hundredth / 100) if isinstance(request, PatchStatus)]
    assert written >= set(many), "in less than a second"


def test_namespaces_in_which_statuses_hang_hold_up_no_other() -> None:
    desk = Desk()
    desk.mirror.turn(True, moment(0))
    hanging = [key_of(namespace, f"hello-{number}") for namespace in ("bad", "worse") for number in range(3 * PATCHES_UNDER_WAY)]
    fine = [key_of("fine", f"hello-{number}") for number in range(3)]
    for key in hanging:
        desk.story.declare(spec(), key=key)
        desk.see(READY, 0, key=key)
    stuck = [request for request in desk.turn(0) if isinstance(request, PatchStatus)]
    for second in range(10, 40, 10):  # each time all that hang are given up, others take their places
        for request in stuck:
            desk.answer(request, second, 0)
        stuck = [request for request in desk.turn(second) if isinstance(request, PatchStatus)]
        assert len(stuck) == PATCHES_UNDER_WAY
    for key in fine:
        desk.story.declare(spec(), key=key)
        desk.see(READY, 40, key=key)
    patched = [request.key for request in desk.turn(40) if isinstance(request, PatchStatus)]
    assert patched == fine


@pytest.mark.parametrize("status", [200, 422])
def test_a_clock_that_was_hours_ahead_keeps_no_status_from_being_shown(status: int) -> None:
    """Answers came while it was; a replica with such a clock takes no part, and begins again when it is right."""
    desk = Desk()
    (trial,) = desk.turn(0)
    desk.answer(trial, 0.2, 503 if status == 200 else 422, message="no")
    (patch,) = desk.turn(WAITS_FOR_TRIAL.total_seconds())
    desk.answer(patch, 7200, status)
    desk.mirror.attach(desk.story.state)
    desk.story.declare(spec("*/2 * * * *"), generation=2)
    desk.mirror.touch([HELLO])
    shown = desk.turn(10) + desk.turn(16)
    assert [request.status["observedGeneration"] for request in shown if isinstance(request, PatchStatus)] == [2]


def test_a_clock_that_was_hours_ahead_keeps_no_template_from_being_tried() -> None:
    desk = Desk()
    (trial,) = desk.turn(0)
    desk.answer(trial, 7200, 422, message="no")
    desk.mirror.attach(desk.story.state)
    again = desk.turn(10)
    assert [request.dry_run for request in again if isinstance(request, CreateJob)] == [True]
