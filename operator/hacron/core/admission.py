"""May a tick become a run now? The deadline, then the concurrency policy over the runs in all clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hacron.core.hearing import Hearing
from hacron.core.model import CatchUpPolicy, ConcurrencyPolicy, CronJob, Guarantee, Run, RunState
from hacron.core.namelock import REQUEST_LIVES
from hacron.core.rules import Rules
from hacron.core.runs import NOT_WATCHED

REPLACING = "Replacing"  # why a tick waits until the runs have ended that were told to stop for it
DEFAULTS = Rules()  # where only matters that there is some time
MOST_OPEN = 300  # runs of one cronjob; each makes its record in the ledger longer, and a Job that never ends is open for ever


@dataclass(frozen=True, slots=True)
class Start:
    """It may start now."""


@dataclass(frozen=True, slots=True)
class Skip:
    """It will not start: the tick is over."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Hold:
    """It may not start yet. The tick stays due, as with CronJob: it starts when the earlier run has ended."""

    reason: str
    message: str
    stop: tuple[Run, ...] = ()  # runs to be stopped first (Replace)


@dataclass(frozen=True, slots=True)
class Deadline:
    """How late a tick may start, and by which field."""

    after: timedelta
    rule: str


def deadline(cronjob: CronJob, rules: Rules) -> Deadline | None:
    """Return the tightest of the bounds on how late a tick of a cronjob may start; None when it may be however late."""
    found = []
    if cronjob.starting_deadline_s is not None:
        seconds = cronjob.starting_deadline_s
        found.append(Deadline(timedelta(seconds=seconds), f"startingDeadlineSeconds is {seconds}"))
    if cronjob.catch_up.window_s is not None:
        seconds = cronjob.catch_up.window_s
        found.append(Deadline(timedelta(seconds=seconds), f"catchUp.windowSeconds is {seconds}"))
    if cronjob.catch_up.policy is CatchUpPolicy.NONE:
        found.append(Deadline(rules.start_window, "catchUp.policy is None"))
    return min(found, key=lambda bound: bound.after, default=None)


def deadline_of(run: Run, cronjob: CronJob, rules: Rules) -> Deadline | None:
    """Return how late a run, or a further attempt of it, may start; None when it may be however late."""
    return None if run.demand or run.was_in_time else deadline(cronjob, rules)


def never_in_time(cronjob: CronJob) -> Deadline | None:
    """Return the deadline that no tick meets, if a cronjob has one."""
    bound = deadline(cronjob, DEFAULTS)
    return bound if bound is not None and not bound.after else None


def admit(
    cronjob: CronJob, tick: datetime, blocking: Sequence[Run], now: datetime, bound: Deadline | None
) -> Start | Skip | Hold:
    """Decide about a due tick.

    `blocking` are the runs that may still be running anywhere (see `blocking_runs`). The window of its deadline, `bound`, is
    open at its start: a tick that is exactly so late does not start (Kubernetes, pkg/controller/cronjob/utils.go).
    """
    if bound is not None and tick <= now - bound.after:
        return Skip("DeadlineExceeded", f"found {(now - tick).total_seconds():.0f} s late; {bound.rule}")
    return beside(cronjob, blocking)


def beside(cronjob: CronJob, blocking: Sequence[Run]) -> Start | Hold:
    """Decide by the concurrency policy alone."""
    if not blocking or len(blocking) < most_at_once(cronjob):
        return Start()
    names = ", ".join(f"{run.job} in {run.cluster}" for run in blocking[:3])
    match cronjob.policy:
        case ConcurrencyPolicy.REPLACE:
            return Hold(REPLACING, f"concurrencyPolicy Replace: waiting until {names} has stopped", stop=tuple(blocking))
        case ConcurrencyPolicy.QUEUE:
            return Hold("Queued", f"concurrencyPolicy Queue, maxActive {cronjob.max_active}: {names} may still be running")
        case _:
            return Hold("JobAlreadyActive", f"concurrencyPolicy Forbid: {names} may still be running")


def most_at_once(cronjob: CronJob) -> int:
    """Return how many runs of a cronjob there may be at a time."""
    match cronjob.policy:
        case ConcurrencyPolicy.ALLOW:
            return MOST_OPEN
        case ConcurrencyPolicy.QUEUE:
            return cronjob.max_active
        case _:
            return 1


def blocking_runs(cronjob: CronJob, runs: Sequence[Run], hearing: Hearing, now: datetime, rules: Rules) -> tuple[Run, ...]:
    """Return the runs that may still be running.

    A run in a silent cluster counts, also one that is to be stopped there: until activeDeadlineSeconds and the time that its
    pods have to end are over, or, under AtLeastOnce, until `lost_after`, or until somebody declares that the cluster is gone.
    """
    return tuple(run for run in runs if run.state.is_open and not _counts_no_more(run, cronjob, hearing, now, rules))


def counts_until(run: Run, cronjob: CronJob, hearing: Hearing, rules: Rules) -> datetime | None:
    """Return until when a run that is given up, or to be stopped, counts as running; None: however long nothing is heard.

    Where its namespace is not watched, as somebody wanted it, nothing will ever be heard: at most the Job's own deadline counts.
    """
    end = latest_end(run, cronjob, rules)
    if run.reason == NOT_WATCHED:
        return end if end is not None and cronjob.guarantee is Guarantee.AT_MOST_ONCE else run.start_by
    if cronjob.guarantee is Guarantee.AT_MOST_ONCE:
        return end
    lost_at = hearing.silent_since(run.cluster) + rules.lost_after
    return lost_at if end is None else min(end, lost_at)


def latest_end(run: Run, cronjob: CronJob, rules: Rules) -> datetime | None:
    """Return when the Job of a run has ended, and its pods with it, at the latest; None: it may run however long."""
    allowed = [longest_s(cronjob), *([run.longest_s] if run.longest_s is not None else ())]  # by now; as it was decided
    return _begun_by(run) + timedelta(seconds=max(allowed)) + rules.skew_margin if all(allowed) else None


def longest_s(cronjob: CronJob) -> int:
    """Return how many seconds a Job may run, and its pods take to end then; 0: it may run however long."""
    return max(1, cronjob.active_deadline_s + cronjob.grace_s) if cronjob.active_deadline_s is not None else 0


def _begun_by(run: Run) -> datetime:
    """Return when the Job of a run has begun at the latest: one that was not seen, by a request that was sent in time."""
    return max(run.start_by, run.started) if run.started is not None else run.start_by + REQUEST_LIVES


def _counts_no_more(run: Run, cronjob: CronJob, hearing: Hearing, now: datetime, rules: Rules) -> bool:
    if run.state not in (RunState.LOST, RunState.STOPPING):
        return False
    until = counts_until(run, cronjob, hearing, rules)
    return (until is not None and now >= until) or hearing.is_gone(run.cluster, now, rules.silent_after)
