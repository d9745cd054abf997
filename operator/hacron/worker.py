"""The worker: makes the Jobs that the ledger gives to its cluster, and tells what became of them.

Level-triggered: it compares the open runs in State with the Jobs in its cluster, and asks `duties.owed` what to do about each,
until the ledger says what is true. It never needs a message that was sent only once. One replica in each cluster holds the
cluster's worker token and does all of it; the others only make Jobs that are still missing a second after their tick.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hacron.core import manifests
from hacron.core.agenda import Agenda
from hacron.core.duties import AskForJob, Create, Delete, Duty, Say, TakeName, Wait, owed
from hacron.core.history import outlived, surplus
from hacron.core.manifests import JobView
from hacron.core.messages import ClusterSeen, Report, RunRefused, RunReport, RunStopped
from hacron.core.model import CronJob, Key, Run, RunState, namespace_of
from hacron.core.state import State
from hacron.ports import (
    Answer,
    CreateJob,
    DeleteJob,
    GetJob,
    GetNamespace,
    JobSeen,
    JobsListed,
    Kubernetes,
    Outbox,
    Request,
    Token,
)
from hacron.turn import TELL_AGAIN, Moment

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 0.2, 2.0
ACCEPT_FROM = "hacron.io/accept-from"  # on a namespace: clusters whose HACronJobs may run in it, or "*"
ACCEPT_FOR_S = 30.0  # how long an answer about a namespace is believed
LOOKS_PER_TURN = 500


@dataclass(slots=True)
class Errand:
    """What this replica has under way for one open run."""

    in_flight: bool = False
    retry_at: datetime | None = None
    delay_s: float = FIRST_RETRY_S
    refusal: RunRefused | None = None  # what the API server said; holds if the Job is found not to exist
    conclusion: RunReport | None = None  # what an answer settled; told until the ledger shows it
    told: RunReport | None = None
    told_at: datetime | None = None
    body: dict[str, Any] | None = None  # rendered before the tick
    state: RunState = RunState.PENDING


@dataclass(slots=True)
class WorkerTally:
    """What the worker has done; telemetry reads it."""

    created: int = 0
    lag_s: list[float] = field(default_factory=list)  # tick → POST, of Jobs made since telemetry last looked


class Worker:
    """A replica's part in running Jobs in its cluster. Lives as long as one broker connection."""

    def __init__(
        self,
        *,
        replica: str,
        cluster: str,
        labels: dict[str, str],
        state: State,
        token: Token,
        outbox: Outbox,
        kube: Kubernetes,
        seen_interval_s: float = 5.0,
        token_missing_after_s: float = 12.0,
        backup_after: timedelta = timedelta(seconds=1),
        tally: WorkerTally | None = None,
    ) -> None:
        self._replica = replica
        self._cluster = cluster
        self._labels = labels
        self._state = state
        self._token = token
        self._outbox = outbox
        self._kube = kube
        self._seen_interval_s = seen_interval_s
        self._token_missing_after_s = token_missing_after_s
        self._life: datetime | None = None  # when the executor last heard of this cluster
        self._life_at: float | None = None  # monotonic; when we read that
        self._backup_after = backup_after
        self.tally = tally or WorkerTally()
        self.active = False  # holds the cluster's worker token
        self._listed = False  # all Jobs have been listed since it became active
        self._jobs: dict[Key, dict[str, JobView]] = {}  # by run id
        self._errands: dict[Key, dict[str, Errand]] = {}
        self._agenda: Agenda[Key] = Agenda()
        self._dirty: dict[Key, None] = {}  # in order, each once
        self._accepts: dict[str, tuple[float, str]] = {}  # namespace → (monotonic, annotation)
        self._requests: list[Request] = []
        self._reports: list[Report] = []
        self._seen_at: float | None = None
        self._api_ok = True
        self._hastens = True

    # --- what comes in ---

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that State has changed for these cronjobs."""
        self._dirty.update(dict.fromkeys(keys))

    def greet(self) -> None:
        """Note that there is a new executor: it wants to hear of this cluster at once."""
        self._hastens = True

    def take(self, arrival: Answer | JobSeen | JobsListed, moment: Moment) -> None:
        """Take in what Kubernetes says."""
        match arrival:
            case JobsListed(items=items):
                self._listed = True
                self.touch(self._jobs)
                self._jobs.clear()
                for body in items:
                    self._see_job(body)
            case JobSeen(body=body, gone=True):
                self._unsee_job(body)
            case JobSeen(body=body):
                self._see_job(body)
            case Answer(request=CreateJob() as request):
                self._created(request, arrival, moment)
            case Answer(request=GetJob() as request):
                self._got_job(request, arrival, moment)
            case Answer(request=DeleteJob() as request):
                self._deleted(request, arrival, moment)
            case Answer(request=GetNamespace() as request):
                self._got_namespace(request, arrival, moment)
            case _:
                pass

    # --- the turn ---

    def turn(self, moment: Moment) -> None:
        """Do all that is owed now. Raises BrokerUnavailable."""
        self._hold_the_token(moment)
        if self.active:
            self._speak_up(moment)
        for key in [*self._dirty, *self._agenda.due(moment.wall, LOOKS_PER_TURN)]:
            self._dirty.pop(key, None)
            self._look(key, moment.wall, moment.mono)
        requests, self._requests = self._requests, []
        if requests:
            self._kube.submit(requests)
        if self._reports:
            self._outbox.send_reports(self._reports)
            self._reports = []

    def next_turn(self, moment: Moment) -> float:
        """Return in how many seconds a turn is due without anything arriving."""
        wait = self._seen_interval_s
        if self._dirty:
            return 0.0
        look = self._agenda.next()
        if look is not None:
            wait = min(wait, (look - moment.wall).total_seconds())
        if self.active and self._seen_at is not None:
            wait = min(wait, self._seen_at + self._seen_interval_s - moment.mono)
        return max(0.0, wait)

    def newest_tick(self, key: Key) -> datetime | None:
        """Return the newest tick of a cronjob whose Job is known to exist in this cluster."""
        ticks = [job.tick for job in self._jobs.get(key, {}).values() if not job.tombstone]
        return max(ticks, default=None)

    def stop(self) -> None:
        """Give the worker token back, and stop watching."""
        self._token.give_back()
        self._kube.watch_jobs(False)

    @property
    def knows_jobs(self) -> bool:
        """Whether all Jobs of this cluster are in view."""
        return self._listed

    def _hold_the_token(self, moment: Moment) -> None:
        self._token.compete()
        self._put_back_if_missing(moment)
        if self._token.held == self.active:
            return
        self.active = self._token.held
        self._listed = False
        self._hastens = True
        self._kube.watch_jobs(self.active)
        log.info("is the worker of its cluster" if self.active else "is no longer the worker of its cluster")
        self.touch(self._state.open_runs.get(self._cluster, {}).values())

    def _put_back_if_missing(self, moment: Moment) -> None:
        """No worker of this cluster has spoken for longer than a takeover takes: its token is gone. A second one does no harm."""
        heard = self._state.clusters.get(self._cluster)
        first_look = self._life_at is None
        if first_look or self._token.held or (heard is not None and heard.seen_at != self._life):
            self._life, self._life_at = heard.seen_at if heard else None, moment.mono
        never_heard = first_look and heard is None
        assert self._life_at is not None
        if self._token.held or not (never_heard or moment.mono - self._life_at > self._token_missing_after_s):
            return
        log.info("puts the worker token back: no sign of a worker in this cluster")
        self._life_at = moment.mono
        self._token.put_back()

    def _speak_up(self, moment: Moment) -> None:
        """Say that this cluster lives: every few seconds, and at once when something about it has changed."""
        api_ok = self._kube.reachable
        due = self._seen_at is None or moment.mono >= self._seen_at + self._seen_interval_s  # as next_turn rounds it
        if not due and not self._hastens and api_ok == self._api_ok:
            return
        if api_ok != self._api_ok:
            log.log(
                logging.INFO if api_ok else logging.WARNING,
                "API server answers again" if api_ok else "API server does not answer",
            )
        self._seen_at, self._api_ok, self._hastens = moment.mono, api_ok, False
        self._reports.append(
            ClusterSeen(
                cluster=self._cluster,
                replica=self._replica,
                api_ok=api_ok,
                clock=moment.wall,
                labels=self._labels,
            )
        )

    def _look(self, key: Key, now: datetime, mono: float) -> None:
        progress = self._state.progress.get(key)
        mine = [run for run in progress.open if run.cluster == self._cluster] if progress else []
        self._drop_errands(key, mine)
        instants = [self._tend(key, run, now, mono) for run in mine]
        instants.append(self._clear_up(key, now))
        self._agenda.put(key, min((instant for instant in instants if instant is not None), default=None))

    def _drop_errands(self, key: Key, runs: list[Run]) -> None:
        """Forget what was under way for runs that are closed, and what was settled about a state they have left."""
        errands = self._errands.get(key)
        if not errands:
            return
        states = {run.id: run.state for run in runs}
        for run_id in list(errands):
            if run_id not in states:
                del errands[run_id]
            elif errands[run_id].state is not states[run_id]:
                errand = errands[run_id]
                errand.state, errand.told, errand.told_at, errand.body = states[run_id], None, None, None
                if not isinstance(errand.conclusion, RunStopped):
                    errand.conclusion = None
        if not errands:
            del self._errands[key]

    # --- one run ---

    def _tend(self, key: Key, run: Run, now: datetime, mono: float) -> datetime | None:
        """Do what is owed to one run; return when to look again."""
        errand = self._errands.setdefault(key, {}).setdefault(run.id, Errand(state=run.state))
        if errand.in_flight:
            return None
        if errand.conclusion is not None:
            return self._say(errand, errand.conclusion, now)
        if errand.retry_at is not None and now < errand.retry_at:
            return errand.retry_at
        duty = owed(key, run, self._jobs.get(key, {}).get(run.id), now)
        if not self.active:
            return self._stand_in(key, run, duty, errand, now, mono)
        match duty:
            case Wait(until):
                if run.state is RunState.PENDING:
                    self._prepare(key, run, errand, mono)
                return until
            case Create():
                return self._create(key, run, errand, mono)
            case TakeName():
                self._send(errand, _create_request(key, run, manifests.tombstone_body(run, key)))
            case Delete(uid):
                self._send(errand, _delete_request(key, run.id, run.job, uid, foreground=True))
            case AskForJob():
                if not self._listed:
                    return now + timedelta(seconds=LAST_RETRY_S)
                self._send(errand, _get_request(key, run))
            case Say(report):
                return self._say(errand, report, now)
        return None

    def _stand_in(self, key: Key, run: Run, duty: Duty, errand: Errand, now: datetime, mono: float) -> datetime | None:
        """Make a Job that the worker should have made: it may be frozen. Everything else is left to it."""
        if isinstance(duty, Say) and errand.state is RunState.PENDING:
            return self._say(errand, duty.report, now)
        overdue = run.tick + self._backup_after
        if run.state is not RunState.PENDING or now > run.start_by:
            return None
        if now < overdue:
            return overdue
        if isinstance(duty, Create):
            return self._create(key, run, errand, mono)
        return None

    def _prepare(self, key: Key, run: Run, errand: Errand, mono: float) -> None:
        """Have the Job's body at hand before the tick, and the namespace's consent."""
        if errand.body is None and self._may_enter(key, run, errand, mono):
            errand.body = self._render(key, run, errand)

    def _create(self, key: Key, run: Run, errand: Errand, mono: float) -> datetime | None:
        if errand.body is None:
            self._prepare(key, run, errand, mono)
        if errand.body is None:
            return None  # asked for the namespace, or about to refuse
        self._send(errand, _create_request(key, run, errand.body, not_after=run.start_by))
        return None

    def _render(self, key: Key, run: Run, errand: Errand) -> dict[str, Any] | None:
        definition = self._state.winner(key)
        if definition is None or not isinstance(self._state.cronjob(key), CronJob):
            self._refuse(key, run, errand, "Withdrawn", "the HACronJob is gone or no longer valid")
            return None
        mine = self._state.definitions.get(key, {}).get(self._cluster)
        owner_uid = mine.uid if mine else None
        return manifests.job_body(run, key, definition.spec, owner_uid=owner_uid, epoch=self._state.epoch)

    def _may_enter(self, key: Key, run: Run, errand: Errand, mono: float) -> bool:
        """Whether a Job may be made in this namespace: declared there, or accepted by whoever owns the namespace.

        The operator has rights in every cluster that a tenant of another cluster lacks in this one.
        """
        definition = self._state.winner(key)
        if definition is None or self._cluster in self._state.definitions.get(key, {}):
            return True
        namespace = namespace_of(key)
        at, accepts = self._accepts.get(namespace, (None, ""))
        if at is None or mono - at > ACCEPT_FOR_S:
            self._send(errand, GetNamespace(key=key, run_id=run.id, namespace=namespace))
            return False
        if accepts.strip() == "*" or definition.cluster in [name.strip() for name in accepts.split(",")]:
            return True
        sentence = (
            f"{key} is not declared in {self._cluster}, and namespace {namespace} there does not accept it: "
            f'annotate it with {ACCEPT_FROM}: "{definition.cluster}", or apply the HACronJob there too'
        )
        self._refuse(key, run, errand, "NotAccepted", sentence)
        return False

    def _refuse(self, key: Key, run: Run, errand: Errand, reason: str, sentence: str) -> None:
        """Say no, if a look shows that the Job does not exist: an earlier try, or another replica, may have made it."""
        self._send(errand, _get_request(key, run))
        errand.refusal = RunRefused(key=key, run_id=run.id, cluster=self._cluster, reason=reason, message=sentence[:500])

    def _conclude(self, errand: Errand, refusal: RunRefused) -> None:
        said = {"cronjob": refusal.key, "run": refusal.run_id, "reason": refusal.reason, "why": refusal.message[:300]}
        log.warning("run refused", extra=said)
        errand.conclusion = refusal

    def _say(self, errand: Errand, report: RunReport, now: datetime) -> datetime:
        """Tell the executor, once in a while, until the ledger shows it."""
        if errand.told == report and errand.told_at is not None and now - errand.told_at < TELL_AGAIN:
            return errand.told_at + TELL_AGAIN
        errand.told, errand.told_at = report, now
        self._reports.append(report)
        return now + TELL_AGAIN

    def _send(self, errand: Errand, request: Request) -> None:
        errand.in_flight = True
        errand.retry_at = None
        if isinstance(request, CreateJob):
            errand.refusal = None
        self._requests.append(request)

    # --- answers ---

    def _settle(self, key: Key, run_id: str) -> tuple[Run | None, Errand]:
        """Note that a request has been answered; return its run, if that is still open."""
        self._dirty[key] = None
        errand = self._errands.get(key, {}).get(run_id, Errand())
        errand.in_flight = False
        progress = self._state.progress.get(key)
        run = next((run for run in progress.open if run.id == run_id), None) if progress else None
        return run, errand

    def _created(self, request: CreateJob, answer: Answer, moment: Moment) -> None:
        if request.dry_run:
            return
        run, errand = self._settle(request.key, request.run_id)
        view = manifests.job_view(answer.body) if answer.ok else None
        if view is not None:
            self._keep(view)
            errand.delay_s = FIRST_RETRY_S
            if run is not None and not view.tombstone:
                self._made(request, run, answer)
        if run is None or answer.ok or answer.reason == "TooLate":
            return
        if answer.status == 409:
            self._send(errand, _get_request(request.key, run))
        elif answer.unreachable or (_over_quota(answer) and moment.wall <= run.start_by):
            self._retry_later(request.key, run, errand, answer, moment)
        else:
            reason = "QuotaExceeded" if _over_quota(answer) else str(answer.body.get("reason") or f"Status{answer.status}")
            sentence = str(answer.body.get("message") or "the API server refused the Job")
            self._refuse(request.key, run, errand, reason, sentence)

    def _made(self, request: CreateJob, run: Run, answer: Answer) -> None:
        self.tally.created += 1
        sent_at = answer.sent_at or run.tick
        late_s = (sent_at - run.tick).total_seconds()
        self.tally.lag_s.append(late_s)
        said = {"cronjob": request.key, "job": run.job, "tick": run.tick, "late_ms": round(late_s * 1000)}
        log.info("Job made", extra=said)

    def _got_job(self, request: GetJob, answer: Answer, moment: Moment) -> None:
        run, errand = self._settle(request.key, request.run_id)
        if run is None:
            return
        if answer.ok:
            view = manifests.job_view(answer.body)
            if view is not None and view.run_id == run.id:
                self._keep(view)
            elif run.state in (RunState.PENDING, RunState.LOST):
                sentence = f"a Job named {run.job} exists and is not of this run"
                refusal = RunRefused(
                    key=request.key, run_id=run.id, cluster=self._cluster, reason="JobNameTaken", message=sentence
                )
                self._conclude(errand, refusal)
            else:
                self._gone(request.key, run, errand)
        elif answer.status == 404:
            self._jobs.get(request.key, {}).pop(run.id, None)
            if run.state in (RunState.RUNNING, RunState.STOPPING):
                self._gone(request.key, run, errand)
            elif errand.refusal is not None:
                self._conclude(errand, errand.refusal)
            else:
                self._retry_later(request.key, run, errand, answer, moment)
        else:
            self._retry_later(request.key, run, errand, answer, moment)

    def _gone(self, key: Key, run: Run, errand: Errand) -> None:
        errand.conclusion = RunStopped(key=key, run_id=run.id, cluster=self._cluster, reason="JobGone")

    def _deleted(self, request: DeleteJob, answer: Answer, moment: Moment) -> None:
        run, errand = self._settle(request.key, request.run_id)
        if answer.status in (404, 409):  # gone, or another Job of that name
            self._jobs.get(request.key, {}).pop(request.run_id, None)
        elif answer.ok:
            log.info("Job deleted", extra={"cronjob": request.key, "job": request.name})
            if run is not None:  # looked for again in case the watch misses its end
                errand.retry_at = moment.wall + timedelta(seconds=LAST_RETRY_S)
                self._jobs.get(request.key, {}).pop(request.run_id, None)
        elif run is not None:
            self._retry_later(request.key, run, errand, answer, moment)

    def _got_namespace(self, request: GetNamespace, answer: Answer, moment: Moment) -> None:
        run, errand = self._settle(request.key, request.run_id)
        if answer.ok or answer.status == 404:
            annotations = answer.body.get("metadata", {}).get("annotations") or {}
            self._accepts[request.namespace] = (moment.mono, str(annotations.get(ACCEPT_FROM, "")))
        elif run is not None:
            self._retry_later(request.key, run, errand, answer, moment)

    def _retry_later(self, key: Key, run: Run, errand: Errand, answer: Answer, moment: Moment) -> None:
        errand.retry_at = moment.wall + timedelta(seconds=errand.delay_s)
        errand.delay_s = min(LAST_RETRY_S, errand.delay_s * 2)
        what = answer.reason or str(answer.body.get("message", ""))[:200]
        log.info("tries again", extra={"cronjob": key, "job": run.job, "status": answer.status, "why": what})

    # --- Jobs as seen ---

    def _see_job(self, body: dict[str, Any]) -> None:
        view = manifests.job_view(body)
        if view is not None:
            self._keep(view)

    def _unsee_job(self, body: dict[str, Any]) -> None:
        view = manifests.job_view(body)
        if view is not None:
            self._jobs.get(view.key, {}).pop(view.run_id, None)
            self._dirty[view.key] = None

    def _keep(self, view: JobView) -> None:
        known = self._jobs.setdefault(view.key, {})
        if known.get(view.run_id) != view:
            known[view.run_id] = view
            self._dirty[view.key] = None

    def _clear_up(self, key: Key, now: datetime) -> datetime | None:
        """Delete finished Jobs beyond the history limits, those of withdrawn cronjobs, and old tombstones."""
        jobs = self._jobs.get(key)
        if not jobs or not self.active or not self._listed:
            return None
        progress, cronjob = self._state.progress.get(key), self._state.cronjob(key)
        doomed = outlived(jobs.values(), now)
        if progress is not None and progress.withdrawn_at is not None:
            open_ids = {run.id for run in progress.open}
            doomed += [job for job in jobs.values() if job.run_id not in open_ids and not job.deleting and not job.tombstone]
        elif progress is not None and isinstance(cronjob, CronJob):
            doomed += surplus(jobs.values(), progress, cronjob, self._cluster)
        for job in doomed:
            self._requests.append(_delete_request(key, job.run_id, job.name, job.uid, foreground=False))
            jobs.pop(job.run_id, None)
        tombstones = [job.created for job in jobs.values() if job.tombstone]
        return min(tombstones) + timedelta(hours=1, seconds=1) if tombstones else None


def _create_request(key: Key, run: Run, body: dict[str, Any], not_after: datetime | None = None) -> CreateJob:
    return CreateJob(key=key, run_id=run.id, namespace=namespace_of(key), body=body, not_after=not_after)


def _get_request(key: Key, run: Run) -> GetJob:
    return GetJob(key=key, run_id=run.id, namespace=namespace_of(key), name=run.job)


def _delete_request(key: Key, run_id: str, name: str, uid: str, *, foreground: bool) -> DeleteJob:
    return DeleteJob(key=key, run_id=run_id, namespace=namespace_of(key), name=name, uid=uid, foreground=foreground)


def _over_quota(answer: Answer) -> bool:
    """A full quota empties again; every other 403 is a refusal."""
    return answer.status == 403 and "exceeded quota" in str(answer.body.get("message", ""))
