"""The rules of the protocol, each left out by replacing one function: what a simulation must notice.

Each takes a patcher, so that what it replaces comes back. What a rule is for stands beside it; who notices, in `noticed`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hacron import engine, errand, errands, mirror, relay, saying
from hacron.broker import ledger
from hacron.core import admission, declaring, duties, firing, kinds, live, manifests, namelock, scheduler, state, status, tending
from hacron.core.admission import Hold, Start
from hacron.core.draft import Draft
from hacron.core.duties import Create, Delete, Duty, Halt, Say, TakeName, too_late
from hacron.core.firing import Scene
from hacron.core.foreign import Stranger
from hacron.core.hearing import Hearing
from hacron.core.manifests import JobView
from hacron.core.messages import Batch, Command, CronJobDeclared, Definition, Progress, Report, RunRefused
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, Key, Kind, Run, RunState, Verdict, VerdictKind
from hacron.core.packing import Load
from hacron.core.rules import Rules
from hacron.core.scheduler import Scheduler
from hacron.core.state import State
from hacron.engine import Session
from hacron.errand import Errand
from hacron.executor import Executor, Lease
from hacron.ports import Answer, SteppedDown
from hacron.recency import Recency
from hacron.timepiece import Timepiece
from hacron.turn import Moment
from hacron.worker import Worker
from tests.fakes import broker
from tests.fakes.broker import FakeInbox, FakeToken
from tests.fakes.kubernetes import Body, FakeCluster, Reply
from tests.scenarios.world import Process

Mutation = Callable[[pytest.MonkeyPatch], None]

IMPATIENT_AFTER = timedelta(seconds=4)


def acknowledges_before_it_has_read_back(patch: pytest.MonkeyPatch) -> None:
    """What was acknowledged and not written is lost with its executor."""
    real = FakeInbox.take

    def take(self: FakeInbox) -> Sequence[Command | Report]:
        messages = real(self)
        self.acknowledge()
        return messages

    patch.setattr(FakeInbox, "take", take)


def tells_nothing_twice(patch: pytest.MonkeyPatch) -> None:
    """Relays and workers repeat what the ledger does not show, which makes good, seconds later, for whatever was lost."""
    for module in (saying, errand):
        patch.setattr(module, "TELL_AGAIN", timedelta(hours=1))


def goes_on_after_the_end(patch: pytest.MonkeyPatch) -> None:
    """A tick whose Job was heard of again, and has ended, would have another one where a later attempt was refused."""
    patch.setattr(tending, "_needing_no_more", lambda progress, _: progress)


def acts_before_it_has_written(patch: pytest.MonkeyPatch) -> None:
    """A Job would be asked for of which nobody knows, if the executor that has decided it dies right then."""
    append, turn, wait = Executor._append, Session.turn, Session.wait
    unwritten: dict[Executor, list[Any]] = {}

    def turn_first(self: Session, now: Moment, arrivals: Any) -> None:
        for said in unwritten.pop(self.executor, ()):
            self.executor._outstanding -= 1  # which has kept it from deciding anything else
            append(self.executor, *said)
        turn(self, now, arrivals)
        for loads, _ in unwritten.get(self.executor, ()):
            keys = [record.key for load in loads for record in load.records if isinstance(record, Progress)]
            for about_cronjobs in self._about_cronjobs:  # as when it is read
                about_cronjobs.touch(keys)
            self._rest = None
            self.worker.turn(now)

    def append_later(self: Executor, loads: Sequence[Load], now: datetime) -> None:
        records = [record for load in loads for record in load.records]
        progress = [record for record in records if isinstance(record, Progress)]
        starts = any(run.cluster == self._cluster and run.tick <= now for record in progress for run in record.open)
        if not starts or any(isinstance(record, Definition) for record in records):
            append(self, loads, now)  # what is declared is known when it has been read back, and nothing starts before
            return
        for record in progress:
            self._state._progress(record)
        self._outstanding += 1
        unwritten[self] = [(loads, now)]

    patch.setattr(Session, "turn", turn_first)
    patch.setattr(Session, "wait", lambda self, now: 0.0 if self.executor in unwritten else wait(self, now))
    patch.setattr(Executor, "_append", append_later)


def counts_records_of_an_old_epoch(patch: pytest.MonkeyPatch) -> None:
    """What an executor writes that does not know yet that there is another one would undo what that one decided."""

    def counts(self: State, batch: Batch, first: bool) -> bool:  # noqa: ARG001
        self.epoch = max(self.epoch, batch.epoch)
        return True

    patch.setattr(State, "_counts", counts)


def never_steps_down(patch: pytest.MonkeyPatch) -> None:
    """An executor that is cut off would decide in vain for ever, and hold what others should have."""
    real = Executor._read_back

    def read_back(self: Executor, entry: Any, applied: Any, moment: Moment) -> None:
        with contextlib.suppress(SteppedDown):
            real(self, entry, applied, moment)

    patch.setattr(Executor, "_read_back", read_back)
    patch.setattr(Executor, "_check", lambda self, moment: None)  # noqa: ARG005


def never_doubts_its_inbox(patch: pytest.MonkeyPatch) -> None:
    """An executor that is told nothing any more would keep the token, and take all clusters for silent."""
    patch.setattr(engine, "Lease", lambda **lease: Lease(**lease | {"unheard_after_s": math.inf}))


def never_doubts_its_reading(patch: pytest.MonkeyPatch) -> None:
    """Nothing would start where a worker reads nothing any more, and goes on saying that its cluster lives."""
    real = Executor._put_back_if_missing

    def put_back_if_missing(self: Executor, moment: Moment) -> None:
        self._has_read_since = True
        real(self, moment)

    patch.setattr(Executor, "_put_back_if_missing", put_back_if_missing)


def goes_on_though_nobody_gets_the_workers_token(patch: pytest.MonkeyPatch) -> None:
    """A cluster would be silent for good where the next in line does not get it."""
    real = Worker._put_back_if_missing

    def put_back_if_missing(self: Worker, moment: Moment) -> None:
        self._put_back_at = None
        real(self, moment)

    patch.setattr(Worker, "_put_back_if_missing", put_back_if_missing)


def does_not_look_what_waits_for_it(patch: pytest.MonkeyPatch) -> None:
    """What people change would never count where an executor gets no commands, though it hears of workers."""
    patch.setattr(Executor, "_check_inbox", lambda self, moment: None)  # noqa: ARG005


def waits_for_what_it_reads_first(patch: pytest.MonkeyPatch) -> None:
    """A replica would take part in nothing where its new connection brings nothing of the ledger."""
    patch.setattr(Executor, "_read_on", lambda self, moment, has_read: None)  # noqa: ARG005


def keeps_the_oldest_token(patch: pytest.MonkeyPatch) -> None:
    """The oldest may be one that the broker has lost: given back, it is gone."""

    def receive(self: FakeToken) -> None:
        while self._consumer and len(self._consumer.arrived) > 1:
            self._consumer.arrived.pop()

    patch.setattr(FakeToken, "receive", receive)


def puts_no_token_back(patch: pytest.MonkeyPatch) -> None:
    """When the broker has lost it, nobody would decide any more."""
    patch.setattr(Executor, "_missing_at", lambda self, moment: moment.mono + 1000)  # noqa: ARG005


def puts_no_workers_token_back(patch: pytest.MonkeyPatch) -> None:
    """When the broker has lost it, its cluster would have no worker any more."""
    real = Worker._put_back_if_missing

    def put_back_if_missing(self: Worker, moment: Moment) -> None:
        if self._cluster not in self._state.clusters:
            real(self, moment)

    patch.setattr(Worker, "_put_back_if_missing", put_back_if_missing)


def makes_jobs_however_late(patch: pytest.MonkeyPatch) -> None:
    """A run that was given up would start after all."""

    def owed(key: Key, run: Run, job: JobView | None, now: datetime) -> Duty:
        duty = duties.owed(key, run, job, now)
        return Create() if isinstance(duty, TakeName) and run.state is RunState.PENDING else duty

    patch.setattr(errands, "owed", owed)
    does_not_look_at_the_clock_as_a_request_leaves(patch)


def does_not_look_at_the_clock_as_a_request_leaves(patch: pytest.MonkeyPatch) -> None:
    """A replica that was frozen with the request ready would make a Job long after its time."""
    real = errands.create_request
    patch.setattr(errands, "create_request", lambda key, run, body, not_after=None: real(key, run, body))  # noqa: ARG005


def says_never_without_a_tombstone(patch: pytest.MonkeyPatch) -> None:
    """A request that is still on its way would find the name free."""

    def owed(key: Key, run: Run, job: JobView | None, now: datetime) -> Duty:
        duty = duties.owed(key, run, job, now)
        return Say(too_late(key, run)) if isinstance(duty, TakeName) else duty

    patch.setattr(errands, "owed", owed)


def says_no_without_a_look(patch: pytest.MonkeyPatch) -> None:
    """What an earlier request has made would be refused, and run again elsewhere."""

    def refuse(self: Errand, run: Run, reason: str, sentence: str) -> None:
        self.in_flight = False
        self.conclude(RunRefused(key=self.key, run_id=run.id, cluster=self.cluster, reason=reason, message=sentence))

    patch.setattr(Errand, "refuse", refuse)


def places_elsewhere_what_may_run_once(patch: pytest.MonkeyPatch) -> None:
    """A cluster that is silent may have run it."""
    patch.setattr(tending, "_at_most_once", lambda scene: False)  # noqa: ARG005


def gives_up_what_could_not_start_in_time(patch: pytest.MonkeyPatch) -> None:
    """Under AtLeastOnce a tick that was admitted would never run, only because a newer one has come."""
    patch.setattr(tending, "_gives_way", lambda scene: True)  # noqa: ARG005


def starts_however_late(patch: pytest.MonkeyPatch) -> None:
    """What is of no use after `startingDeadlineSeconds` would run all the same."""
    for module in (admission, firing):
        patch.setattr(module, "deadline", lambda cronjob, rules: None)  # noqa: ARG005


def starts_beside_another_what_may_run_again(patch: pytest.MonkeyPatch) -> None:
    """Under AtLeastOnce, `Forbid` would be no more than a word."""
    real = admission.beside

    def beside(cronjob: CronJob, blocking: Sequence[Run]) -> Start | Hold:
        return Start() if cronjob.guarantee is Guarantee.AT_LEAST_ONCE else real(cronjob, blocking)

    patch.setattr(admission, "beside", beside)
    patch.setattr(tending, "beside", beside)


def begins_anew_with_each_edit(patch: pytest.MonkeyPatch) -> None:
    """An edited cronjob would be another one, whose ticks of the last minute nobody has decided."""
    real = declaring._take_in

    def take_in(draft: Draft, command: CronJobDeclared, definition: Definition, not_before: datetime | None) -> None:
        mine = draft.homes(command.key).get(command.cluster)
        real(draft, command, definition, not_before)
        progress = draft.progress(command.key)
        if progress is not None and mine is not None and (mine.uid, progress.withdrawn_at) == (command.uid, None):
            identity, earlier = f"{command.uid}-{definition.revision}", progress.last_tick - timedelta(seconds=70)
            draft.put(replace(progress, cronjob_id=identity, last_tick=earlier))

    patch.setattr(declaring, "_take_in", take_in)


def has_each_wait_for_all_others(patch: pytest.MonkeyPatch) -> None:
    """Of several that were refused, and of which one may run at a time, none would ever run."""
    patch.setattr(tending, "_ahead_of", lambda run, runs: tuple(one for one in runs if one.id != run.id))


def tries_again_what_runs(patch: pytest.MonkeyPatch) -> None:
    """Under AtLeastOnce, if runs wait for no other, each would run in a second cluster, too, though nobody is silent."""
    real = tending._overdue

    def overdue(run: Run, scene: Scene) -> bool:
        rules = scene.cronjob.policy, scene.cronjob.guarantee
        may_run_again = rules == (ConcurrencyPolicy.ALLOW, Guarantee.AT_LEAST_ONCE) and run.attempt == 1
        runs_since = run.started if run.state is RunState.RUNNING and may_run_again else None
        return real(run, scene) or (runs_since is not None and scene.now >= runs_since + IMPATIENT_AFTER)

    def deadlines(progress: Progress, cronjob: CronJob, hearing: Hearing, rules: Rules) -> Iterator[datetime]:
        yield from tending.deadlines(progress, cronjob, hearing, rules)
        yield from (run.started + IMPATIENT_AFTER for run in progress.open if run.started and run.state is RunState.RUNNING)

    patch.setattr(tending, "_overdue", overdue)
    patch.setattr(scheduler, "deadlines", deadlines)


def decides_nothing_ahead(patch: pytest.MonkeyPatch) -> None:
    """Nobody would know of a tick that comes while there is no executor."""
    patch.setattr(engine, "Rules", lambda **rules: Rules(**rules | {"decide_ahead": timedelta()}))


def does_not_drop_the_connection(patch: pytest.MonkeyPatch) -> None:
    """Who steps down and stays connected still holds the token, and is given messages that nobody will read."""

    def drop(self: Process, pause_s: float) -> None:
        self.session = self.broker = None
        self.kube.watch_jobs(False)
        self._due = self._world.now + timedelta(seconds=pause_s)

    patch.setattr(Process, "_drop", drop)


def decides_before_its_checkpoint_is_read_back(patch: pytest.MonkeyPatch) -> None:
    """It would decide by a State of before the last word of the executor before it."""
    real = Executor._claim

    def claim(self: Executor, moment: Moment) -> None:
        real(self, moment)
        self.decides = True
        self._inbox.open()
        self._decide(moment)

    patch.setattr(Executor, "_claim", claim)


def goes_by_the_end_of_its_nodes_copy(patch: pytest.MonkeyPatch) -> None:
    """A worker would do what was owed minutes ago, and delete what is not known yet."""
    patch.setattr(Recency, "is_of_now", property(lambda _: True, lambda *_: None), raising=False)


def forgets_at_takeover_what_was_decided(patch: pytest.MonkeyPatch) -> None:
    """Ticks that have run would run again."""
    real = Executor._read_back

    def read_back(self: Executor, entry: Any, applied: Any, moment: Moment) -> None:
        real(self, entry, applied, moment)
        if applied.checkpoint is not None and self.decides:
            for key, progress in self._state.progress.items():
                earlier = progress.last_tick - timedelta(seconds=60)
                self._state.progress[key] = replace(progress, last_tick=earlier, held=None)
                self._scheduler.touch([key])

    patch.setattr(Executor, "_read_back", read_back)


def names_an_owner_of_another_cluster(patch: pytest.MonkeyPatch) -> None:
    """Where the HACronJob is not declared, its cluster would collect each Job as it is made: the tick would never run."""
    real = manifests.job_body

    def job_body(run: Run, key: Key, spec: msgspec.Raw, *, owner_uid: str | None, **others: Any) -> dict[str, Any]:
        return real(run, key, spec, owner_uid=owner_uid or run.id.split(".")[0], **others)

    patch.setattr(manifests, "job_body", job_body)


def takes_any_job_of_the_name_for_its_own(patch: pytest.MonkeyPatch) -> None:
    """The Job of another run, or of nobody's, would count as this one."""
    real = errands.Errands._got_job

    def got_job(self: errands.Errands, run: Run, errand: Errand, answer: Answer, moment: Moment) -> None:
        if answer.ok:
            known = answer.body["metadata"]
            ours = manifests.job_body(run, errand.key, msgspec.Raw(b"{}"), owner_uid=None, epoch=0)["metadata"]
            body = answer.body | {"metadata": known | {"labels": ours["labels"], "annotations": ours["annotations"]}}
            answer = Answer(request=answer.request, status=answer.status, body=body)
        real(self, run, errand, answer, moment)

    patch.setattr(errands.Errands, "_got_job", got_job)


def brings_back_what_is_gone(patch: pytest.MonkeyPatch) -> None:
    """A relay whose watch lags would have a cronjob that was deleted declared again, with ticks that have run."""
    patch.setattr(declaring, "_is_gone", lambda *_: False)


def waits_until_it_is_gone(patch: pytest.MonkeyPatch) -> None:
    """What is deleted and waits for its finalizers would go on firing."""
    real = relay.Relay._observe

    def observe(self: relay.Relay, body: Body, *args: Any) -> None:
        metadata = {name: value for name, value in body["metadata"].items() if name != "deletionTimestamp"}
        real(self, body | {"metadata": metadata}, *args)

    patch.setattr(relay.Relay, "_observe", observe)


def frees_names_at_once(patch: pytest.MonkeyPatch) -> None:
    """A request that its sender has given up would make a Job again that the history limits have deleted."""
    patch.setattr(namelock, "REQUEST_LIVES", timedelta(days=-1))


def frees_the_name_of_what_it_stops(patch: pytest.MonkeyPatch) -> None:
    """A request that waits in the API server would find it free, between the end of the Job and its tombstone."""

    def owed(key: Key, run: Run, job: JobView | None, now: datetime) -> Duty:
        duty = duties.owed(key, run, job, now)
        return Delete(duty.uid) if isinstance(duty, Halt) else duty

    patch.setattr(errands, "owed", owed)


def forgets_where_a_tick_was_taken_back(patch: pytest.MonkeyPatch) -> None:
    """A worker that has not read of it would run the tick beside the cluster to which it is given next."""
    real = firing.take_back
    patch.setattr(declaring, "take_back", lambda *args: replace(real(*args), taken_back=()))


def takes_in_what_was_compared_with_another_ledger(patch: pytest.MonkeyPatch) -> None:
    """What waited in its queue when the ledger was lost would come first, and hide that more has run since."""
    patch.setattr(Scheduler, "_is_of_another_ledger", lambda *_: False)


def tells_nothing_more_to_a_young_ledger(patch: pytest.MonkeyPatch) -> None:
    """What one of a cluster's replicas knows to have run, and another did not, would run again when the ledger was lost."""
    patch.setattr(relay.Relay, "_knows_more", lambda *_: False)


def forgets_what_runs(patch: pytest.MonkeyPatch) -> None:
    """When the ledger was lost, the next run would begin beside one that is to be alone."""
    patch.setattr(declaring, "lost_runs", lambda *_: [])


def takes_what_was_to_be_forgotten_for_deleted(patch: pytest.MonkeyPatch) -> None:
    """What a cluster still declares when it is no longer named would not be known for a while."""
    real = declaring.withdraw
    patch.setattr(scheduler, "withdraw", lambda draft, command, **_: real(draft, command))


def goes_on_where_the_forgotten_were(patch: pytest.MonkeyPatch) -> None:
    """What is demanded in a cluster that was forgotten would go by its `.status` there: what has run since would run again."""
    patch.setattr(Draft, "forgotten_at", lambda *_: None)


def never_doubts_the_ledger(patch: pytest.MonkeyPatch) -> None:
    """What came after a backup from which a cluster was put back would count for ever."""
    patch.setattr(kinds.CronJobs, "contradicted", lambda *_: None)


def lets_anything_begin_a_ledger(patch: pytest.MonkeyPatch) -> None:
    """What the executor of a lost ledger had sent would make the next one look as old: nobody would wait for what has run."""
    real = State._counts
    patch.setattr(State, "_counts", lambda self, batch, first: real(self, batch, first or self.epoch == 0))


def goes_by_the_floor_of_the_last_message(patch: pytest.MonkeyPatch) -> None:
    """What an earlier executor had sent would name a floor of a ledger that is lost, and a reader miss what stands before it."""
    real = ledger.floor_named
    patch.setattr(broker, "floor_named", lambda last: real(list(last)[-1:]))


def jumps_to_the_floor_of_a_young_ledger(patch: pytest.MonkeyPatch) -> None:
    """All that stands there may be what the executor of a lost ledger had sent: the reader would take that for the past."""
    patch.setattr(broker, "start_for", lambda floor, _: floor)


def leaves_out_the_fields_that_it_does_not_know(patch: pytest.MonkeyPatch) -> None:
    """What a newer version has noted would be lost with each record that an executor of an older one writes anew."""
    patch.setattr(State, "as_written", lambda *_: None)


def leaves_out_the_kinds_that_it_does_not_know(patch: pytest.MonkeyPatch) -> None:
    """The same, of whole records: who begins to read at the floor that an older version names would not find them."""
    real = live.subject_of
    patch.setattr(live, "subject_of", lambda record: None if isinstance(record, Stranger) else real(record))


def leaves_missed_ticks_without_a_verdict(patch: pytest.MonkeyPatch) -> None:
    """Nobody would hear of what has not run."""
    real = firing.with_verdict

    def with_verdict(progress: Progress, verdict: Verdict) -> Progress:
        return progress if verdict.verdict is VerdictKind.MISSED else real(progress, verdict)

    patch.setattr(firing, "with_verdict", with_verdict)


def gives_a_number_twice(patch: pytest.MonkeyPatch) -> None:
    """What a run writes to could not refuse the one before."""
    real = firing.start

    def start(progress: Progress, *args: Any, **more: Any) -> Progress:
        after = real(progress, *args, **more)
        run = replace(after.open[-1], fencing=progress.fencing or after.fencing)
        return replace(after, open=(*after.open[:-1], run), fencing=run.fencing)

    patch.setattr(firing, "start", start)


def shows_no_past(patch: pytest.MonkeyPatch) -> None:
    """What became of ticks would stand in the ledger alone."""
    real = status.render

    def render(*args: Any, **more: Any) -> dict[str, Any] | None:
        shown = real(*args, **more)
        return shown | {"recent": []} if shown is not None else None

    patch.setattr(status, "render", render)


def lets_one_more_run_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """What `concurrencyPolicy` and `maxActive` say."""
    real = admission.most_at_once
    for module in (admission, firing):
        patch.setattr(module, "most_at_once", lambda cronjob: real(cronjob) + 1)


def takes_part_whatever_its_clock_shows(patch: pytest.MonkeyPatch) -> None:
    """An executor whose clock is hours ahead would pass over all ticks until then, for good; a worker would refuse its runs."""
    patch.setattr(Timepiece, "look", lambda *_: None)


def looks_at_no_uid_before_it_shows(patch: pytest.MonkeyPatch) -> None:
    """An object that was made anew by the name of another would be told to have run."""
    patch.setattr(mirror.Mirror, "_is_another", lambda *_: False)


def writes_into_whatever_has_the_name(patch: pytest.MonkeyPatch) -> None:
    """The same, where that is not seen in time."""
    real = FakeCluster.patch_status

    def patch_status(self: FakeCluster, kind: Kind, key: Key, uid: str, status: Body) -> Reply:
        present = self.objects(kind).get(key)
        return real(self, kind, key, present["metadata"]["uid"] if present else uid, status)

    patch.setattr(FakeCluster, "patch_status", patch_status)


def goes_on_beside_what_it_cannot_read(patch: pytest.MonkeyPatch) -> None:
    """Who knows an earlier message version believes that there is no executor, and decides from what was so before."""
    patch.setattr(state, "UNREAD", state.SKIPPED)
