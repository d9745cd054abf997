"""What is done for the open runs of this cluster, and what follows from the answers. Asked again until the ledger shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from hacron.consent import Consent
from hacron.core import manifests
from hacron.core.duties import AskForJob, Create, Delete, Duty, Halt, Say, TakeName, Wait, finished, gone, out_of_sight, owed
from hacron.core.manifests import JobView
from hacron.core.messages import RunRefused, RunReport, RunStarted
from hacron.core.model import CronJob, Guarantee, Key, Run, RunState, namespace_of
from hacron.core.namelock import is_asked_for_no_more, may_be_made_again
from hacron.core.runs import NOT_STARTED, NOT_WATCHED
from hacron.core.state import State
from hacron.errand import (
    LAST_RETRY_S,
    PATIENT_RETRY_S,
    RARELY,
    Errand,
    Outgoing,
    create_request,
    get_request,
    halt_request,
    stop_request,
)
from hacron.jobs import Jobs
from hacron.ports import Answer, CreateJob, DeleteJob, GetJob, GetNamespace, GetObject, HaltJob
from hacron.standin import StandIn
from hacron.turn import Moment

log = logging.getLogger(__name__)

# A HACronJob is applied in one cluster after the other: after a change so recent, that it is not declared here may not be the
# last word. Later a refusal is said before the tick, so that another cluster can make the Job in time.
ON_ITS_WAY = timedelta(seconds=30)
UNSEEN_FOR = timedelta(minutes=1)  # a role may be missing for a moment, as it is replaced
FOR_CLOCKS = timedelta(seconds=2)  # so long before a tick no replica whose clock is right has taken it to have come


@dataclass(slots=True)
class WorkerTally:
    """What the worker has done."""

    lag_s: list[float] = field(default_factory=list)
    """tick → POST, of Jobs made since telemetry last looked, whose runs had nothing to wait for"""
    held_back: int = 0
    """requests of errands that had asked too often: the log tells of them, and tests see that there are none"""


class Errands:
    """The errands of one replica."""

    def __init__(
        self,
        *,
        cluster: str,
        state: State,
        uid_here: Callable[[Key], str | None],
        namespaces: Collection[str],
        reachable: Callable[[], bool],
        jobs: Jobs,
        outgoing: Outgoing,
        backup_after: timedelta,
        tally: WorkerTally,
    ) -> None:
        self._cluster = cluster
        self._state = state
        self._uid_here = uid_here
        self._namespaces = namespaces  # that are watched; none: all are
        self._reachable = reachable  # the API server, as a whole
        self._jobs = jobs
        self._outgoing = outgoing
        self._help = StandIn(backup_after)
        self._tally = tally
        self._consent = Consent(cluster=cluster, state=state, uid_here=uid_here)
        self._errands: dict[Key, dict[str, Errand]] = {}  # by run id

    def look(self, key: Key, active: bool, moment: Moment) -> datetime | None:
        """Do what is owed to the open runs of a cronjob; return when to look again."""
        runs = [run for run in self._open_runs(key) if run.cluster == self._cluster]
        runs += self._begun_all_the_same(key)
        self._drop_closed(key, runs, moment.wall)
        instants = [self._tend(key, run, active, moment) for run in runs]
        return min((instant for instant in instants if instant is not None), default=None)

    def take(self, answer: Answer, moment: Moment) -> Key | None:
        """Take in what became of a request; return the cronjob to look at."""
        request = answer.request
        if not isinstance(request, CreateJob | GetJob | HaltJob | DeleteJob | GetObject | GetNamespace) or not request.run_id:
            return None
        run = next((run for run in self._open_runs(request.key) if run.id == request.run_id), None)
        errand = self._errand(request.key, run, moment.wall) if run is not None else None
        asked = self._errands.get(request.key, {}).get(request.run_id)  # also one whose run has been taken back
        if asked is not None:
            asked.in_flight = False  # first of all: should the answer not be understood, it is asked again
        made = None
        if isinstance(request, CreateJob):
            self._help.end(request.run_id, answer.ok, answer.status == 409, moment.wall)
            made = self._note_job(answer)
        answered = not isinstance(request, GetObject | GetNamespace) or self._consent.take(request, answer, moment)
        if run is None or errand is None:
            return request.key
        if not answer.ok and self._hold_back(run, errand, moment):
            return request.key
        match request:
            case CreateJob():
                self._created(run, errand, made, answer, moment)
            case GetJob():
                self._got_job(run, errand, answer, moment)
            case HaltJob():
                self._halted(run, errand, answer, moment)
            case DeleteJob():
                self._stopped(run, errand, answer, moment)
            case GetObject() | GetNamespace() if not answered:
                errand.try_later(run, answer, moment.wall)
            case GetObject() | GetNamespace():
                errand.failure = ""  # it was about that
        return request.key

    def gone(self, view: JobView, moment: Moment) -> None:
        """Take in that a Job has been deleted, by whomever: its run is over, and must not be made a second time.

        So its name is taken first, if it is so young that a request for it may still come; before that it is told to have run.
        """
        run = next((run for run in self._open_runs(view.key) if run.id == view.run_id), None)
        if run is None or run.cluster != self._cluster or view.tombstone:
            return
        errand = self._errand(view.key, run, moment.wall)
        if view.terminal is not None:
            errand.conclude(finished(view.key, run, view))
        elif not may_be_made_again(run, moment.wall):
            errand.conclude(gone(view.key, run))
        else:
            errand.job_is_gone, errand.retry_at = True, None
            if run.state in (RunState.PENDING, RunState.LOST) and run.started is None:
                errand.conclude(RunStarted(key=view.key, run_id=run.id, cluster=self._cluster, started=view.created))

    # --- one run ---

    def _tend(self, key: Key, run: Run, active: bool, moment: Moment) -> datetime | None:
        errand = self._errand(key, run, moment.wall)
        if errand.was_told_of(run, moment.wall):
            self._help.hear(moment.wall)
        errand.enter(run.state)
        if errand.in_flight:
            return None
        if self._hold_back(run, errand, moment):
            return errand.retry_at
        if errand.job_is_gone and active:
            self._take_name(run, errand)  # before the ledger says that it had begun: who has not read of that makes it again
            return None
        if errand.conclusion is not None:
            return self._say(run, errand.conclusion, errand, moment)
        duty = owed(key, run, self._jobs.get(key, run.id), moment.wall)
        if errand.retry_at is not None and moment.wall < errand.retry_at and not isinstance(duty, Say):
            return errand.retry_at
        return self._do(run, duty, errand, moment) if active else self._stand_in(run, duty, errand, moment)

    def _do(self, run: Run, duty: Duty, errand: Errand, moment: Moment) -> datetime | None:
        match duty:
            case Wait(until):
                if run.state is RunState.PENDING:
                    self._prepare(run, errand, moment)
                elif until is None and not self._watches(errand.key):
                    errand.send(get_request(errand.key, run))  # no watch tells of it
                    return None
                return until
            case Create():
                self._create(run, errand, moment)
            case TakeName():
                self._take_name(run, errand)
            case Halt(uid):
                errand.send(halt_request(errand.key, run, uid))
            case Delete(uid):
                errand.send(stop_request(errand.key, run, uid))
            case AskForJob():
                if not self._jobs.listed:
                    return moment.wall + timedelta(seconds=LAST_RETRY_S)
                errand.send(get_request(errand.key, run))
            case Say(report):
                return self._say(run, report, errand, moment)
            case _:
                assert_never(duty)
        return None

    def _say(self, run: Run, report: RunReport, errand: Errand, moment: Moment) -> datetime:
        """Tell the executor; again rarely where it knows, and waits for another cluster: there may be thousands, for days."""
        is_known = run.reason == NOT_STARTED and isinstance(report, RunRefused)
        return errand.say(report, moment.wall, self._state.counted_position, RARELY if is_known else None)

    def _stand_in(self, run: Run, duty: Duty, errand: Errand, moment: Moment) -> datetime | None:
        """Make a Job that the worker should have made: it may be frozen. Of a pending run also tell what is seen."""
        if isinstance(duty, Say) and run.state is RunState.PENDING:
            return errand.say(duty.report, moment.wall, self._state.counted_position)
        overdue = self._help.overdue_at(run.tick, errand.since)
        if run.state is not RunState.PENDING or moment.wall > run.start_by:
            return None
        if moment.wall < overdue:
            return overdue
        if isinstance(duty, Create):
            wait_until = self._help.begin(run.id, moment.wall)
            if wait_until is not None:
                return wait_until
            if not self._create(run, errand, moment):
                self._help.forget(run.id)
        return None

    def _take_name(self, run: Run, errand: Errand) -> None:
        ran = errand.job_is_gone or run.has_begun
        errand.job_is_gone = False
        tombstone = manifests.tombstone_body(run, errand.key, ran=ran)
        errand.send(create_request(errand.key, run, manifests.as_json(tombstone)))

    def _create(self, run: Run, errand: Errand, moment: Moment) -> bool:
        """Ask for the Job; return False when something else comes first, or it is not to be made."""
        self._prepare(run, errand, moment)
        if errand.body is not None:
            errand.send(create_request(errand.key, run, errand.body, not_after=run.start_by))
        return errand.body is not None

    def _prepare(self, run: Run, errand: Errand, moment: Moment) -> None:
        """Have the Job's body at hand before the tick, and the namespace's consent; or know that there will be none."""
        key, definition = errand.key, self._state.winner(errand.key)
        mine = self._state.definitions.get(key, {}).get(self._cluster)
        # The ledger may not know yet that it was made anew, and a Job of one that is no more is collected at once.
        owner_uid = (self._uid_here(key) or mine.uid) if mine else None
        if errand.body is not None and errand.rendered_from == (definition, owner_uid):
            return
        errand.body = None  # what it was made from has changed since
        if definition is None or not isinstance(self._state.cronjob(key), CronJob):
            errand.refuse(run, "Withdrawn", "the HACronJob is gone or no longer valid")
            return
        match self._consent.to(definition, run, moment):
            case True:
                errand.rendered_from = (definition, owner_uid)
                body = manifests.job_body(
                    run, key, definition.spec, owner_uid=owner_uid, epoch=self._state.epoch, ledger=self._state.mark
                )
                manifests.keep(body)
                errand.body = manifests.as_json(body)
            case False if self._watches(key) and moment.wall < run.tick and moment.wall - definition.changed_at < ON_ITS_WAY:
                pass  # looked at again when it is declared here, and at the tick
            case False:
                unseen = f"{self._cluster} does not watch namespace {namespace_of(key)} (watchNamespaces)"
                errand.refuse(run, "NotAccepted", self._consent.why_not(definition) if self._watches(key) else unseen)
            case question:
                errand.send(question)

    # --- answers ---

    def _note_job(self, answer: Answer) -> JobView | None:
        view = manifests.job_view(answer.body) if answer.ok else None
        if view is not None:
            self._jobs.keep(view)
        return view

    def _created(self, run: Run, errand: Errand, made: JobView | None, answer: Answer, moment: Moment) -> None:
        if answer.ok:
            errand.succeed()
            if made is not None and not made.tombstone:
                self._count(run, errand, answer)
        elif answer.too_late or (errand.conclusion is not None and answer.status != 409):
            pass  # what is settled is told; the name is asked for again when the ledger shows it
        elif answer.status == 409:
            errand.send(get_request(errand.key, run))
        elif self._says_nothing(answer) and not self._does_without_tombstone(errand.key, run, moment):
            patient = moment.wall > run.start_by and self._reachable()
            errand.try_later(run, answer, moment.wall, PATIENT_RETRY_S if patient else LAST_RETRY_S)
        elif (answer.lacks_right or answer.over_quota) and moment.wall <= run.start_by:
            errand.try_later(run, answer, moment.wall)
        else:
            reason = "QuotaExceeded" if answer.over_quota else str(answer.body.get("reason") or f"Status{answer.status}")
            words = answer.body.get("message") or answer.reason or "the API server refused the Job"
            errand.refuse(run, reason if answer.status else "NoAnswer", str(words))

    def _says_nothing(self, answer: Answer) -> bool:
        """Whether that was no answer to what was asked: so says an API server that has just started, of a right, too."""
        return answer.unreachable or (answer.lacks_right and not self._reachable())

    def _does_without_tombstone(self, key: Key, run: Run, moment: Moment) -> bool:
        """Whether there is nothing left that one would keep out, where it cannot be made: a webhook may fail for days.

        What is to run at least once waits for that: the executor places it elsewhere by itself, if it can.
        """
        cronjob = self._state.cronjob(key)
        at_least_once = isinstance(cronjob, CronJob) and cronjob.guarantee is Guarantee.AT_LEAST_ONCE
        if at_least_once and run.state is not RunState.STOPPING:
            return False
        return self._reachable() and is_asked_for_no_more(run, moment.wall)

    def _count(self, run: Run, errand: Errand, answer: Answer) -> None:
        late_s = ((answer.sent_at or run.tick) - run.tick).total_seconds()
        said = {"cronjob": errand.key, "job": run.job, "tick": run.tick}
        if run.demand:  # whose tick may be of long ago
            log.info("Job made", extra=said | {"demand": run.demand})
            return
        if run.attempt == 1 and not run.waited:
            self._tally.lag_s.append(late_s)
        log.info("Job made", extra=said | {"late_ms": round(late_s * 1000)})

    def _got_job(self, run: Run, errand: Errand, answer: Answer, moment: Moment) -> None:
        never_seen = run.state in (RunState.PENDING, RunState.LOST)
        view = manifests.job_view(answer.body) if answer.ok else None
        errand.unseen_since = errand.unseen_since if answer.lacks_right else None
        if view is not None and view.run_id == run.id:
            self._jobs.keep(view)
            if not self._watches(errand.key) and isinstance(owed(errand.key, run, view, moment.wall), Wait):
                errand.retry_at = moment.wall + timedelta(seconds=PATIENT_RETRY_S)
        elif answer.ok and never_seen:
            sentence = f"a Job named {run.job} exists and is not of this run"
            taken = RunRefused(key=errand.key, run_id=run.id, cluster=self._cluster, reason="JobNameTaken", message=sentence)
            errand.conclude(taken)
        elif answer.status == 404 and not never_seen and errand.refusal is None and may_be_made_again(run, moment.wall):
            self._jobs.forget(errand.key, run.id)
            self._take_name(run, errand)
        elif answer.ok or (answer.status == 404 and not never_seen):
            self._jobs.forget(errand.key, run.id)
            errand.conclude(gone(errand.key, run))
        elif answer.status == 404 and errand.refusal is not None:
            errand.conclude(errand.refusal)
        elif answer.lacks_right and self._reachable():
            self._may_not_look(run, errand, answer, moment)
        else:
            errand.try_later(run, answer, moment.wall)

    def _may_not_look(self, run: Run, errand: Errand, answer: Answer, moment: Moment) -> None:
        """Ask again, rarely once nothing can begin in time. Where the namespace is not watched, say what that makes of the run.

        Before its tick nobody has made the Job, and without the right nobody will. Later that is not known: another replica may
        have made it when it still had the right.
        """
        if not self._watches(errand.key):
            if run.state is RunState.PENDING and errand.refusal is not None and moment.wall < run.tick - FOR_CLOCKS:
                errand.conclude(errand.refusal)
                return
            errand.unseen_since = errand.unseen_since or moment.wall
            is_unseen = moment.wall - errand.unseen_since >= UNSEEN_FOR and is_asked_for_no_more(run, moment.wall)
            if is_unseen and run.reason not in (NOT_STARTED, NOT_WATCHED):
                errand.say(out_of_sight(errand.key, run), moment.wall, self._state.counted_position)
        errand.try_later(run, answer, moment.wall, PATIENT_RETRY_S if moment.wall > run.start_by else LAST_RETRY_S)

    def _halted(self, run: Run, errand: Errand, answer: Answer, moment: Moment) -> None:
        if answer.ok:
            log.info("Job stopped", extra={"cronjob": errand.key, "job": run.job})
            self._note_job(answer)
        elif answer.status == 404:
            self._jobs.forget(errand.key, run.id)
        elif answer.unreachable:
            errand.try_later(run, answer, moment.wall)
        else:  # no right to, or a policy that does not let it be suspended; or it is another Job by now
            assert isinstance(answer.request, HaltJob)
            errand.send(stop_request(errand.key, run, answer.request.uid))

    def _stopped(self, run: Run, errand: Errand, answer: Answer, moment: Moment) -> None:
        if not answer.ok and answer.status not in (404, 409):  # gone, or another Job of that name
            errand.try_later(run, answer, moment.wall)
            return
        self._jobs.forget(errand.key, run.id)
        if answer.ok:
            log.info("Job deleted", extra={"cronjob": errand.key, "job": run.job})
            # Looked for again, in case the watch misses its end.
            errand.retry_at = None if errand.job_is_gone else moment.wall + timedelta(seconds=LAST_RETRY_S)

    # --- inside ---

    def _watches(self, key: Key) -> bool:
        return not self._namespaces or namespace_of(key) in self._namespaces

    def _open_runs(self, key: Key) -> Sequence[Run]:
        progress = self._state.progress.get(key)
        return progress.open if progress else ()

    def _begun_all_the_same(self, key: Key) -> list[Run]:
        """Return the runs that were taken back as their Job was being made: that they have begun is to be told."""
        progress = self._state.progress.get(key)
        runs = [run for run in progress.taken_back if run.cluster == self._cluster] if progress else []
        return [run for run in runs if (job := self._jobs.get(key, run.id)) is not None and not job.tombstone]

    def _errand(self, key: Key, run: Run, now: datetime) -> Errand:
        errands = self._errands.setdefault(key, {})
        if run.id not in errands:
            errands[run.id] = Errand(
                key=key, cluster=self._cluster, outgoing=self._outgoing, tick=run.tick, since=now, state=run.state
            )
        return errands[run.id]

    def _hold_back(self, run: Run, errand: Errand, moment: Moment) -> bool:
        """Return whether nothing is asked about a run for a while, noting until when: no API server is to suffer from one run."""
        if not errand.is_hasty(moment.wall):
            return False
        if errand.retry_at is None or errand.retry_at <= moment.wall:
            errand.retry_at = moment.wall + timedelta(seconds=LAST_RETRY_S)
            self._tally.held_back += 1
            log.warning("asked again and again, to no end", extra={"cronjob": errand.key, "job": run.job})
        return True

    def _drop_closed(self, key: Key, runs: Sequence[Run], now: datetime) -> None:
        """Forget what was under way for runs that are closed."""
        errands = self._errands.get(key, {})
        for run_id in errands.keys() - {run.id for run in runs}:
            if errands.pop(run_id).was_told_of(None, now):
                self._help.hear(now)
            self._help.forget(run_id)
        if not errands:
            self._errands.pop(key, None)
