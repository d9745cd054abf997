"""Jobs of which the ledger knows nothing: whether it has been read so far that it must. And Jobs that may not be deleted."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from hacron.core.messages import Definition, Demand, Outcome, Progress, Proof
from hacron.core.model import Account, Run, Uid, key_of
from hacron.core.state import LONG_AGO, State
from hacron.errand import Outgoing
from hacron.jobs import Jobs
from hacron.ports import Answer, DeleteJob
from hacron.tidying import Tidying
from tests.core.ledger_story import Story, spec
from tests.roles.views import HELLO, NOON, YOUNG


def state(proof_at: datetime, born: datetime | None = NOON - timedelta(days=1)) -> State:
    found = State()
    found.born = born
    found.proof = Proof(replica="west-1", at=proof_at)
    return found


def deleted(read: State, now: datetime, ledger: str, of: Uid = "uid") -> tuple[int, datetime | None]:
    """Return how many Jobs, of a cronjob's object, are asked to be deleted, and when to look again."""
    jobs, outgoing = Jobs(), Outgoing()
    jobs.keep(replace(YOUNG, ledger=ledger, run_id=f"{of}.1.1"))
    tidying = Tidying(cluster="east", state=read, jobs=jobs, outgoing=outgoing, request_window=timedelta(seconds=22))
    tidying.knows_all = True
    again = tidying.look(HELLO, now)
    return len(outgoing.requests), again


def test_its_run_may_not_have_been_read_yet() -> None:
    read = state(NOON + timedelta(minutes=9))
    assert deleted(read, NOON + timedelta(hours=1), read.mark) == (0, NOON + timedelta(hours=1, seconds=6))


def test_ten_minutes_later_it_is_deleted() -> None:
    read = state(NOON + timedelta(minutes=11))
    assert deleted(read, NOON + timedelta(minutes=11), read.mark) == (1, None)


@pytest.mark.parametrize("born", [None, LONG_AGO])
def test_a_ledger_that_does_not_know_when_it_began_deletes_nothing(born: datetime | None) -> None:
    read = state(NOON + timedelta(minutes=11), born)
    assert deleted(read, NOON + timedelta(minutes=11), read.mark) == (0, None)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        pytest.param({"west": "new", "east": "uid"}, 0, id="the ledger had lost how far it has come"),
        pytest.param({"west": "new"}, 1, id="it was deleted and made anew"),
    ],
)
def test_what_runs_goes_when_no_object_that_is_declared_has_given_it(declared: dict[str, Uid], found: int) -> None:
    read = state(NOON + timedelta(minutes=11))
    read.progress[HELLO] = Progress(key=HELLO, cronjob_id="new", last_tick=NOON)
    read.definitions[HELLO] = {cluster: definition(cluster, uid) for cluster, uid in declared.items()}
    assert deleted(read, NOON + timedelta(minutes=11), read.mark, of="uid")[0] == found


@pytest.mark.parametrize(("deleting", "asked"), [(False, 1), (True, 0)], ids=["left", "being deleted by somebody"])
def test_a_tombstone_that_somebody_is_deleting_keeps_nobody_awake(deleting: bool, asked: int) -> None:
    read, jobs, outgoing = state(NOON), Jobs(), Outgoing()
    jobs.keep(replace(YOUNG, tombstone=True, deleting=deleting))
    tidying = Tidying(cluster="east", state=read, jobs=jobs, outgoing=outgoing, request_window=timedelta(seconds=22))
    assert (tidying.look(HELLO, NOON + timedelta(days=1)), len(outgoing.requests)) == (None, asked)


def definition(cluster: str, uid: Uid) -> Definition:
    spec = msgspec.Raw(b"{}")
    return Definition(key=HELLO, cluster=cluster, uid=uid, generation=1, created_at=NOON, revision=1, changed_at=NOON, spec=spec)


class Desk:
    """The tidying of west's worker, in a cluster where many Jobs of a cronjob have ended that keeps none."""

    def __init__(self, jobs: int) -> None:
        story = Story(clusters=("west",))
        story.declare(spec("1 12 * * *", successfulJobsHistoryLimit=0))
        self.jobs, self.outgoing = Jobs(), Outgoing()
        ended = replace(YOUNG, terminal=Outcome.SUCCEEDED, finished=NOON, created=NOON - timedelta(minutes=5))
        for number in range(jobs):
            self.jobs.keep(replace(ended, run_id=f"run-{number}", uid=f"uid-{number}", name=f"job-{number}"))
        window = timedelta(seconds=22)
        self.tidying = Tidying(cluster="west", state=story.state, jobs=self.jobs, outgoing=self.outgoing, request_window=window)
        self.protected = {job.name for job in self.jobs.of(HELLO)}
        self.why = "a policy says no"
        self.status = 403
        self.asked: list[str] = []  # names of Jobs, as their deletion was asked for

    def pass_seconds(self, begin: int, end: int) -> None:
        for second in range(begin, end):
            now = NOON + timedelta(seconds=second)
            self.tidying.look(HELLO, now)
            while self.outgoing.requests:
                requests, self.outgoing.requests = self.outgoing.requests, []
                for request in requests:
                    assert isinstance(request, DeleteJob)
                    self.asked.append(request.name)
                    refused = request.name in self.protected
                    answer = Answer(request=request, status=self.status if refused else 200, body={"message": self.why})
                    self.tidying.deleted(request, answer, now)
                self.tidying.look(HELLO, now)


def test_where_no_job_may_be_deleted_one_is_tried_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(jobs=20)
    with caplog.at_level(logging.INFO):
        desk.pass_seconds(0, 3600)
    assert len(desk.asked) <= 20 + 18
    assert len(set(desk.asked[20:])) > 10, "each time another"
    assert [(each.message, getattr(each, "why", "")) for each in caplog.records] == [("Job not deleted", "a policy says no")]


def test_jobs_are_deleted_one_after_the_other_when_it_is_allowed_again(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(jobs=20)
    desk.pass_seconds(0, 600)
    desk.protected.clear()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        desk.pass_seconds(600, 900)
    assert list(desk.jobs.of(HELLO)) == []
    assert [record.message for record in caplog.records] == ["no deletion of a Job is refused any more"]


def test_a_job_that_is_protected_keeps_no_others() -> None:
    desk = Desk(jobs=20)
    desk.protected = {"job-3", "job-7"}
    desk.pass_seconds(0, 60)
    assert {job.name for job in desk.jobs.of(HELLO)} == desk.protected


def test_an_api_server_that_cannot_delete_now_is_asked_again_as_often_as_ever() -> None:
    desk = Desk(jobs=2)
    desk.status = 503
    desk.pass_seconds(0, 60)
    assert len(desk.asked) == 2 * 60 / 5


@pytest.mark.parametrize(("is_awaited", "born_s", "many"), [(True, -86_400, 0), (False, -86_400, 1), (False, 270, 0)])
def test_a_job_of_a_demand_is_kept_until_its_demand_knows_what_became_of_it(is_awaited: bool, born_s: float, many: int) -> None:
    """As after the loss of the ledger: the run stands in what the demand's own status says, and not among the open ones yet."""
    story, jobs, outgoing = Story(), Jobs(), Outgoing()
    story.state.born = NOON + timedelta(seconds=born_s)
    story.declare(spec(successfulJobsHistoryLimit=0))
    run = Run(id="asked.1.1", tick=NOON, cluster="west", start_by=NOON, fencing=1, job=YOUNG.name)
    account = Account(id="asked", open=(run,) if is_awaited else ())
    story.write([(Demand(key=key_of("default", "again"), created_at=NOON, homes={}, cronjob=HELLO, account=account),)])
    jobs.keep(replace(YOUNG, run_id=run.id, demand="again", terminal=Outcome.SUCCEEDED, finished=NOON))
    tidying = Tidying(cluster="west", state=story.state, jobs=jobs, outgoing=outgoing, request_window=timedelta(seconds=22))
    tidying.look(HELLO, NOON + timedelta(minutes=5))
    assert len(outgoing.requests) == many
