"""The worker: makes the Jobs that the ledger gives to its cluster, and tells what became of them.

Level-triggered: it compares the open runs in State with the Jobs in its cluster, and does what is owed to each (`errands`) until
the ledger says what is true. It never needs a message that was sent only once. One replica in each cluster holds the cluster's
worker token and does all of it; the others only make Jobs that are still missing a second after their tick.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import partial

import msgspec

from hacron.core.agenda import Agenda
from hacron.core.faults import WORKER, Faults
from hacron.core.manifests import JobView
from hacron.core.messages import ClusterSeen
from hacron.core.model import Key, Run, RunState
from hacron.core.state import State
from hacron.errand import Outgoing
from hacron.errands import Errands, WorkerTally
from hacron.jobs import Jobs
from hacron.ports import Answer, BrokerUnavailable, CreateJob, DeleteJob, JobSeen, JobsListed, Kubernetes, Outbox, Token
from hacron.tidying import Tidying
from hacron.turn import Moment

log = logging.getLogger(__name__)

LOOKS_PER_TURN = 500  # runs of cronjobs that have changed, and as many of those whose time has come; some 50 µs each
REPORT_PACE_S = 0.05  # the first goes at once; in a burst of Jobs, many go together


class Worker:
    """A replica's part in running Jobs in its cluster. Lives as long as one broker connection."""

    def __init__(
        self,
        *,
        replica: str,
        cluster: str,
        labels: dict[str, str],
        cordoned: str,
        gone: tuple[str, ...],
        forgotten: tuple[str, ...],
        state: State,
        token: Token,
        outbox: Outbox,
        kube: Kubernetes,
        uid_here: Callable[[Key], str | None],
        namespaces: Collection[str],
        seen_interval_s: float,
        token_missing_after_s: float,
        unheard_after_s: float,
        backup_after: timedelta,
        request_window: timedelta,
        tally: WorkerTally,
    ) -> None:
        self._replica = replica
        self._cluster = cluster
        self._labels = labels
        self._cordoned = cordoned
        self._gone = gone
        self._forgotten = forgotten
        self._state = state
        self._token = token
        self._outbox = outbox
        self._kube = kube
        self._seen_interval_s = seen_interval_s
        self._token_missing_after_s = token_missing_after_s
        self._unheard_after_s = unheard_after_s
        self._life: tuple[datetime, datetime | None] | None = None  # when something of this cluster last came to the executor
        self._life_at: float | None = None  # monotonic; when we read that, or could begin to
        self._put_back_at: float | None = None  # monotonic; when we put a token back, since then
        self.tally = tally
        self.active = False  # holds the cluster's worker token
        self._jobs = Jobs()
        self._outgoing = Outgoing()
        self._errands = Errands(
            cluster=cluster,
            state=state,
            uid_here=uid_here,
            namespaces=namespaces,
            reachable=lambda: kube.reachable,
            jobs=self._jobs,
            outgoing=self._outgoing,
            backup_after=backup_after,
            tally=self.tally,
        )
        self._tidying = Tidying(
            cluster=cluster, state=state, jobs=self._jobs, outgoing=self._outgoing, request_window=request_window
        )
        self._agenda: Agenda[Key] = Agenda()
        self.faults = Faults(WORKER)
        self._dirty: dict[Key, None] = {}  # in order, each once
        self._seen_at: float | None = None  # monotonic; when we last said that this cluster lives
        self._executor_at: float | None = None  # monotonic; when we last heard of an executor
        self._api_ok = True
        self._hastens = True
        self._report_at = 0.0  # monotonic; not before it the next reports go

    # --- what comes in ---

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that State has changed for these cronjobs."""
        self._dirty.update(dict.fromkeys(keys))

    def hear(self, moment: Moment) -> None:
        """Note a sign of life of the executor."""
        if not self._hears(moment):
            self._listen_anew(moment)
        self._executor_at = moment.mono

    def greet(self, moment: Moment) -> None:
        """Note that there is a new executor: it wants to hear of this cluster at once."""
        self._hastens = True
        self._listen_anew(moment)

    def take(self, arrival: Answer | JobSeen | JobsListed, moment: Moment) -> None:
        """Take in what Kubernetes says."""
        match arrival:
            case JobsListed(views=views, left_out=left_out):
                self.touch(self._jobs.list_anew(views, left_out))
            case JobSeen(view=view, gone=True):
                self._jobs.bury(view)
                self._errands.gone(view, moment)
                self.touch([view.key])
            case JobSeen(view=view):
                self.touch([view.key] if self._jobs.keep(view) else [])
            case Answer(request=CreateJob(dry_run=True)):
                pass
            case Answer(request=DeleteJob(foreground=False) as request):
                self._tidying.deleted(request, arrival, moment.wall)
                self.touch([request.key])
            case Answer():
                key = self._errands.take(arrival, moment)
                self.touch([key] if key is not None else [])

    # --- the turn ---

    def turn(self, moment: Moment, *, knows_all: bool = False) -> None:
        """Do all that is owed now. `knows_all`: what State does not say is not so. Raises BrokerUnavailable."""
        self._tidying.knows_all = knows_all
        self._hold_the_token(moment)
        if self.active:
            self._speak_up(moment)
        for key in self._first(self._dirty):
            self._look(key, moment)
        due = self._agenda.due(moment.wall, LOOKS_PER_TURN)
        now = self._first(due)
        for key in now:
            self._look(key, moment)
        for key in due[len(now) :]:
            self._agenda.put(key, moment.wall)
        if self._outgoing.requests:
            requests, self._outgoing.requests = self._outgoing.requests, []
            self._kube.submit(requests)
        if self._outgoing.reports and moment.mono >= self._report_at:
            self._report_at = moment.mono + REPORT_PACE_S
            reports, self._outgoing.reports = self._outgoing.reports, []
            self._outbox.send_reports(reports)

    def next_turn(self, moment: Moment) -> float:
        """Return in how many seconds a turn is due without anything arriving."""
        wait = self._seen_interval_s
        if self._dirty:
            return 0.0
        look = self._agenda.next()
        if look is not None:
            wait = min(wait, (look - moment.wall).total_seconds())
        if self.active and self._seen_at is not None and self._hears(moment):
            wait = min(wait, self._seen_at + self._seen_interval_s - moment.mono)
        if self._outgoing.reports:
            wait = min(wait, self._report_at - moment.mono)
        return max(0.0, wait)

    def newest_tick(self, key: Key) -> datetime | None:
        """Return the newest tick of a cronjob whose Job is known to exist in this cluster."""
        return self._jobs.newest_tick(key)

    def running(self, key: Key) -> list[Run] | None:
        """Return the runs of a cronjob whose Jobs here have not ended; None: not all Jobs are in view."""
        if not self.knows_jobs:
            return None
        return [run for job in self._jobs.running(key) if (run := self._run_of(job)) is not None]

    def _run_of(self, job: JobView) -> Run | None:
        """Return the run whose Job it seems to be; None if no run is like that: anybody may write anything into a Job."""
        told = {"id": job.run_id, "cluster": self._cluster, "job": job.name, "fencing": job.fencing, "attempt": job.attempt}
        times = {"tick": job.tick, "start_by": job.tick}
        try:
            return msgspec.convert(told | times | {"state": RunState.RUNNING}, Run)
        except msgspec.ValidationError:
            return None

    def stop(self) -> None:
        """Give the worker token back, and stop watching."""
        self._token.give_back()
        self._kube.watch_jobs(False)

    @property
    def knows_jobs(self) -> bool:
        """Whether all Jobs of this cluster are in view."""
        return self._jobs.listed

    def _first(self, keys: Iterable[Key]) -> list[Key]:
        """Return as many of these as have about LOOKS_PER_TURN open runs."""
        first: list[Key] = []
        runs = 0
        for key in keys:
            if runs >= LOOKS_PER_TURN:
                break
            progress = self._state.progress.get(key)
            runs += max(1, len(progress.open) if progress else 0)
            first.append(key)
        return first

    def _look(self, key: Key, moment: Moment) -> None:
        self._dirty.pop(key, None)
        self._agenda.put(key, self.faults.look(key, moment.wall, partial(self._see_to, key, moment)))

    def _see_to(self, key: Key, moment: Moment) -> datetime | None:
        """Do what is owed to the runs and Jobs of a cronjob now; return when to look again."""
        look = self._errands.look(key, self.active, moment)
        tidy = self._tidying.look(key, moment.wall) if self.active and self._jobs.listed else None
        return min((instant for instant in (look, tidy) if instant is not None), default=None)

    # --- the worker token ---

    def _hold_the_token(self, moment: Moment) -> None:
        self._token.compete()
        self._put_back_if_missing(moment)
        if self._token.held == self.active:
            return
        self.active = self._token.held
        self._jobs.listed = False
        self._hastens = True
        self._kube.watch_jobs(self.active)
        log.info("is the worker of its cluster" if self.active else "is no longer the worker of its cluster")
        self.touch(self._state.open_runs.get(self._cluster, {}).values())

    def _put_back_if_missing(self, moment: Moment) -> None:
        """No worker of this cluster has spoken for longer than a takeover takes: its token is gone. A second one does no harm.

        If none has for as long again, though there is an executor to hear it, and one to which no reports come would have stepped
        down, the token goes to somebody who does not get it, because his consumer is stuck; perhaps it is ours. A connection that
        is dropped takes its place in the line with it.
        """
        cluster = self._state.clusters.get(self._cluster)
        life = (cluster.seen_at, cluster.spoke_at) if cluster is not None else None
        first_look = self._life_at is None
        if first_look or self._token.held or (life is not None and life != self._life):
            self._life, self._life_at, self._put_back_at = life, moment.mono, None
        never_heard = first_look and life is None
        assert self._life_at is not None
        if self._token.held or not (never_heard or moment.mono - self._life_at > self._token_missing_after_s):
            return
        if self._put_back_at is not None:
            if self._hears(moment) and moment.mono - self._put_back_at > self._unheard_after_s:
                raise BrokerUnavailable("nobody of this cluster gets the worker token")
            return
        log.info("puts the worker token back: no sign of a worker in this cluster")
        self._life_at = self._put_back_at = moment.mono
        self._token.put_back()

    def _listen_anew(self, moment: Moment) -> None:
        """After a token was put back, count silence from now on: what was said before, no executor could write down."""
        if self._put_back_at is not None:
            self._life_at = moment.mono

    def _hears(self, moment: Moment) -> bool:
        """Whether the ledger tells of an executor. If not, nothing that is decided for this cluster now should wait for it."""
        if self._executor_at is None:
            self._executor_at = moment.mono
        return moment.mono - self._executor_at <= self._token_missing_after_s

    def _speak_up(self, moment: Moment) -> None:
        """Say that this cluster lives: every few seconds, and at once when something about it has changed."""
        if not self._hears(moment):
            return
        api_ok = self._kube.reachable
        due = self._seen_at is None or moment.mono >= self._seen_at + self._seen_interval_s  # as next_turn rounds it
        if not due and not self._hastens and api_ok == self._api_ok:
            return
        self._seen_at, self._api_ok, self._hastens = moment.mono, api_ok, False
        self._outgoing.reports.append(
            ClusterSeen(
                cluster=self._cluster,
                replica=self._replica,
                api_ok=api_ok,
                clock=moment.wall,
                labels=self._labels,
                cordoned=self._cordoned,
                gone=self._gone,
                forgotten=self._forgotten,
                uid=self._kube.uid,
            )
        )
