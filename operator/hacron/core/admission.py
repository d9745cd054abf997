"""May a tick become a run now? The deadline, then the concurrency policy over the runs in all clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hacron.core.hearing import Hearing
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, Run, RunState
from hacron.core.rules import Rules


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


def admit(cronjob: CronJob, tick: datetime, blocking: Sequence[Run], now: datetime) -> Start | Skip | Hold:
    """Decide about a due tick.

    `blocking` are the runs that may still be running anywhere (see `blocking_runs`). The deadline window is open at its start:
    a tick that is exactly startingDeadlineSeconds late does not start (Kubernetes, pkg/controller/cronjob/utils.go).
    """
    if cronjob.starting_deadline_s is not None and tick <= now - timedelta(seconds=cronjob.starting_deadline_s):
        late = (now - tick).total_seconds()
        return Skip(
            "DeadlineExceeded",
            f"found {late:.0f} s late; startingDeadlineSeconds is {cronjob.starting_deadline_s}",
        )
    if not blocking or cronjob.policy is ConcurrencyPolicy.ALLOW:
        return Start()
    names = ", ".join(f"{run.job} in {run.cluster}" for run in blocking[:3])
    if cronjob.policy is ConcurrencyPolicy.FORBID:
        return Hold("JobAlreadyActive", f"concurrencyPolicy Forbid: {names} may still be running")
    return Hold("Replacing", f"concurrencyPolicy Replace: waiting until {names} is gone", stop=tuple(blocking))


def blocking_runs(cronjob: CronJob, runs: Sequence[Run], hearing: Hearing, now: datetime, rules: Rules) -> tuple[Run, ...]:
    """Return the runs that may still be running.

    A run in a silent cluster counts, also one that is to be stopped there: until activeDeadlineSeconds are over, or, under
    AtLeastOnce, until `lost_after`.
    """
    return tuple(run for run in runs if run.state.is_open and not _given_up(run, cronjob, hearing, now, rules))


def _given_up(run: Run, cronjob: CronJob, hearing: Hearing, now: datetime, rules: Rules) -> bool:
    if run.state not in (RunState.LOST, RunState.STOPPING):
        return False
    if cronjob.active_deadline_s is not None:
        latest_end = run.start_by + timedelta(seconds=cronjob.active_deadline_s) + rules.skew_margin
        if now > latest_end:
            return True
    if cronjob.guarantee is Guarantee.AT_MOST_ONCE:
        return False
    return now >= hearing.silent_since(run.cluster) + rules.lost_after
