"""What a worker owes to a run, given what it sees of the Job: a function of values, asked again until nothing is owed.

The Job's name is the lock. Before a worker says that a run will never start, it takes the name itself with a tombstone, so that a
replica that was frozen on its way to create the Job finds the name taken. The same before it says that a Job is gone so soon
after it was made that a request for it may still be on its way. A Job that is to be stopped so soon becomes its own tombstone
and keeps its name throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hacron.core import manifests
from hacron.core.manifests import JobView
from hacron.core.messages import RunFinished, RunOutOfSight, RunRefused, RunReport, RunStarted, RunStopped
from hacron.core.model import Key, Run, RunState
from hacron.core.namelock import is_asked_for_no_more, may_be_made_again
from hacron.core.runs import NOT_STARTED

TOO_LATE = "StartByPassed"


@dataclass(frozen=True, slots=True)
class Create:
    """The Job is to be made, now."""


@dataclass(frozen=True, slots=True)
class TakeName:
    """The Job must not be made any more: its name is to be taken by a tombstone."""


@dataclass(frozen=True, slots=True)
class Halt:
    """The Job's pods are to go, and it is to keep the name: a request to make it may still be on its way."""

    uid: str


@dataclass(frozen=True, slots=True)
class Delete:
    """The Job is to be deleted, and waited for."""

    uid: str


@dataclass(frozen=True, slots=True)
class AskForJob:
    """The Job is not among those seen, and should be: ask the API server before saying that it is gone."""


@dataclass(frozen=True, slots=True)
class Say:
    """The executor is to be told, because the ledger does not say it yet."""

    report: RunReport


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is owed until then; None: until something changes."""

    until: datetime | None


Duty = Create | TakeName | Halt | Delete | AskForJob | Say | Wait


def owed(key: Key, run: Run, job: JobView | None, now: datetime) -> Duty:
    """Return what the worker of the run's cluster owes to an open run.

    `job` is the Job that carries the run's id, as last seen; None when none was seen.
    """
    if job is not None and job.tombstone:
        return Say(gone(key, run) if job.ran or run.has_begun else too_late(key, run))
    if job is not None and job.terminal is not None:
        return Say(finished(key, run, job))
    if job is not None:
        return _owed_to_living(key, run, job, now)
    match run.state:
        case RunState.PENDING if now < run.tick:
            return Wait(run.tick)
        case RunState.PENDING if now <= run.start_by:
            return Create()
        case RunState.LOST if now <= run.start_by:
            return Wait(run.start_by + timedelta(milliseconds=1))
        case RunState.LOST if run.reason == NOT_STARTED and is_asked_for_no_more(run, now):
            return Wait(None)  # it waits for another cluster, and keeps no name here from hour to hour
        case RunState.PENDING | RunState.LOST:
            return TakeName()
        case RunState.STOPPING if run.started is None and now >= run.tick:
            return TakeName()  # a request that is still on its way would make it after the run is over
        case _:
            return AskForJob()


def _owed_to_living(key: Key, run: Run, job: JobView, now: datetime) -> Duty:
    match run.state:
        case RunState.STOPPING if job.deleting or job.halt is manifests.Halting.UNDER_WAY:
            return Wait(None)
        case RunState.STOPPING if job.halt is manifests.Halting.NONE and may_be_made_again(run, now):
            return Halt(job.uid)
        case RunState.STOPPING:
            return Delete(job.uid)
        case RunState.PENDING | RunState.LOST:
            return Say(RunStarted(key=key, run_id=run.id, cluster=run.cluster, started=job.created))
        case _:
            return Wait(None)


def finished(key: Key, run: Run, job: JobView) -> RunFinished:
    assert job.terminal is not None
    return RunFinished(
        key=key,
        run_id=run.id,
        cluster=run.cluster,
        outcome=job.terminal,
        started=job.created,
        finished=job.finished or job.created,
        reason=job.reason,
        message=job.message,
    )


def gone(key: Key, run: Run) -> RunStopped:
    return RunStopped(key=key, run_id=run.id, cluster=run.cluster, reason="JobGone")


def out_of_sight(key: Key, run: Run) -> RunOutOfSight:
    """Say that nobody will tell what becomes of a run, nor of its Job, if there is one."""
    return RunOutOfSight(key=key, run_id=run.id, cluster=run.cluster)


def too_late(key: Key, run: Run) -> RunRefused:
    sentence = f"the Job could not be made by {run.start_by:%H:%M:%S} UTC"
    return RunRefused(key=key, run_id=run.id, cluster=run.cluster, reason=TOO_LATE, message=sentence, too_late=True)
