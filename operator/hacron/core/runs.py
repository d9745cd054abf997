"""The life of a run: what its cluster reports moves it along TRANSITIONS, by `advance`; the executor decides the rest, elsewhere.

```
 reported   PENDING ── started ──▶ RUNNING ── succeeded, failed, stopped ──▶ SUCCEEDED | FAILED | STOPPED
            PENDING ── refused ──▶ REFUSED
            STOPPING ── its Job is gone, or had ended before ──▶ STOPPED | SUCCEEDED | FAILED
            LOST ── any report tells the truth ──▶ RUNNING | SUCCEEDED | FAILED | STOPPED | REFUSED

 decided    PENDING | RUNNING ── its cluster is silent ──▶ LOST                                     tending.expire, give_up_silent
            PENDING | RUNNING ── its namespace is not watched there, nor to be seen ──▶ LOST        tending.hear
            PENDING | LOST ── refused, under AtLeastOnce; waits for a cluster ──▶ LOST (NotStarted)  tending.hear
            PENDING | RUNNING ── replaced ──▶ STOPPING                                              firing.stop_runs
            PENDING | RUNNING | LOST ── withdrawn ──▶ STOPPING; of NotStarted: no more              tending.stop_all
            PENDING ── taken back before its tick ──▶ no more                                       firing.take_back
            no more ── taken back, and has begun all the same ──▶ as PENDING; if withdrawn: STOPPING tending.hear
            LOST (NotStarted) ── its tick has ended, or nobody wants it any more ──▶ no more        tending.hear, expire
            LOST | STOPPING ── nothing depends on it, or it must be over ──▶ no more                tending.expire, give_up
```
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from msgspec.structs import replace

from hacron.core.messages import Outcome, Progress, RunFinished, RunOutOfSight, RunRefused, RunReport, RunStarted, RunStopped
from hacron.core.model import Guarantee, Run, RunState, Verdict, VerdictKind, sentence
from hacron.core.namelock import REQUEST_LIVES

MOST_ATTEMPTS = 9  # the Job's name has room for one more digit
TIMES = 3  # as long as after the attempt before, until who has refused a run is asked again: 1, 3, 9, 27 minutes

# Why a run is LOST under AtLeastOnce:
NOT_STARTED = "NotStarted"  # refused, and waits for a cluster, or for its turn
PLACED_ELSEWHERE = "PlacedElsewhere"  # silent, and there is a further attempt, or was

NOT_WATCHED = "NotWatched"
"""Why nobody can say what becomes of a run: its cluster does not watch its namespace, and we have no right to look into it."""

P, R, S, L = RunState.PENDING, RunState.RUNNING, RunState.STOPPING, RunState.LOST

TRANSITIONS: dict[tuple[RunState, str], RunState] = {
    (P, "started"): R,
    (P, "succeeded"): RunState.SUCCEEDED,
    (P, "failed"): RunState.FAILED,
    (P, "refused"): RunState.REFUSED,
    (P, "stopped"): RunState.STOPPED,
    (R, "succeeded"): RunState.SUCCEEDED,
    (R, "failed"): RunState.FAILED,
    (R, "stopped"): RunState.STOPPED,
    (S, "started"): S,  # it has yet to be deleted
    (S, "succeeded"): RunState.SUCCEEDED,  # it ended before the deletion reached it
    (S, "failed"): RunState.FAILED,
    (S, "refused"): RunState.STOPPED,
    (S, "stopped"): RunState.STOPPED,
    (L, "started"): R,
    (L, "succeeded"): RunState.SUCCEEDED,
    (L, "failed"): RunState.FAILED,
    (L, "refused"): RunState.REFUSED,
    (L, "stopped"): RunState.STOPPED,
}
"""(state, what is reported) → state. A pair that is not here changes nothing: late duplicates are normal."""


def run_id(cronjob_id: str, tick: datetime, attempt: int) -> str:
    """Name a run the same way in every replica and for ever."""
    return f"{cronjob_id}.{int(tick.timestamp())}.{attempt}"


def known_again(run: Run) -> Run:
    """Return a run as a ledger has it that has lost it, and is told that it runs: its worker says what has become of it."""
    return Run(
        id=run.id,
        tick=run.tick,
        cluster=run.cluster,
        start_by=run.tick,
        fencing=run.fencing,
        attempt=run.attempt,
        job=run.job,
        state=R,
        was_in_time=True,
    )


def to_try_again(run: Run, refused_by: tuple[str, ...], because: str) -> Run:
    """Return a run that was refused, and waits for another cluster, or for its turn."""
    return replace(run, state=RunState.LOST, reason=NOT_STARTED, refused_by=refused_by, because=because)


def is_unplaced(run: Run, guarantee: Guarantee) -> bool:
    """Whether a run was given up, or refused, and its next attempt has found no cluster yet."""
    may_follow = guarantee is Guarantee.AT_LEAST_ONCE and run.attempt < MOST_ATTEMPTS and not run.tried_again
    return may_follow and run.state is RunState.LOST and run.reason != PLACED_ELSEWHERE


def asked_again_at(run: Run) -> datetime:
    """Return from when on those that have refused a run may be asked again, where nobody else can be.

    Not while a request for this attempt may yet be carried out.
    """
    pause: timedelta = REQUEST_LIVES * TIMES ** (run.attempt - 1)
    return run.start_by + pause


def never_begun(run: Run, reason: str, when: str) -> Verdict:
    """Return the verdict on a run that was refused, when it waits no more for a further attempt."""
    return Verdict(
        tick=run.tick,
        verdict=VerdictKind.SKIPPED,
        reason=reason,
        message=sentence(f"waited for its next attempt when {when}", run.because),
        attempt=run.attempt,
        run=run.id if run.demand else "",
    )


def identity_of(run: str) -> str:
    """Return the identity of the cronjob, or of what was demanded, that the id of a run begins with."""
    return run.rsplit(".", 2)[0]


def is_of_an_earlier(run: Run, progress: Progress) -> bool:
    """Whether a run of the schedule is of an earlier cronjob of that name, which was deleted."""
    return not run.demand and identity_of(run.id) != progress.cronjob_id


def is_ahead(run: Run, now: datetime) -> bool:
    """Whether a run was decided before its tick, and that has not come."""
    return run.state is RunState.PENDING and run.tick > now and not run.demand


def by_now(report: RunReport, now: datetime) -> RunReport:
    """Return a report in which nothing has happened later than it is heard of, whatever clock its cluster goes by."""
    match report:
        case RunStarted():
            return replace(report, started=min(report.started, now))
        case RunFinished():
            started = min(report.started, now) if report.started is not None else None
            return replace(report, started=started, finished=min(report.finished, now))
        case _:
            return report


def advance(run: Run, report: RunReport) -> Run | None:
    """Return the run as the report makes it; None when the report changes nothing.

    A report counts only from the cluster that the run was given to.
    """
    if report.run_id != run.id or report.cluster != run.cluster:
        return None
    state = TRANSITIONS.get((run.state, _arrow(report)))
    if state is None:
        return None
    started = report.started if isinstance(report, RunStarted | RunFinished) else None
    reason = "" if run.state is L or run.reason == NOT_WATCHED else run.reason  # why it was given up is no longer true
    tried_again = run.tried_again or run.reason == PLACED_ELSEWHERE
    after = replace(run, state=state, started=run.started or started, reason=reason, tried_again=tried_again)
    return None if after == run else after


def _arrow(report: RunReport) -> str:
    match report:
        case RunStarted():
            return "started"
        case RunFinished(outcome=Outcome.SUCCEEDED):
            return "succeeded"
        case RunFinished():
            return "failed"
        case RunRefused():
            return "refused"
        case RunStopped():
            return "stopped"
        case RunOutOfSight():
            return "out of sight"
        case _:
            assert_never(report)


_VERDICTS = {
    RunState.SUCCEEDED: VerdictKind.SUCCEEDED,
    RunState.FAILED: VerdictKind.FAILED,
    RunState.STOPPED: VerdictKind.STOPPED,
    RunState.REFUSED: VerdictKind.REFUSED,
    RunState.LOST: VerdictKind.LOST,
}


_SENTENCES = {
    "Replaced": "it made way for a later tick (concurrencyPolicy Replace)",
    "Withdrawn": "the HACronJob was deleted",
    "JobGone": "its Job was deleted before it had ended",
    NOT_WATCHED: "its cluster does not watch its namespace, and may not look into it; whether it ran, or runs on, is not known",
}


def verdict_of(run: Run, *, reason: str = "", message: str = "", finished: datetime | None = None) -> Verdict:
    """Say what became of the tick of a run that is closed, or given up as LOST."""
    reason = reason or run.reason
    return Verdict(
        tick=run.tick,
        verdict=_VERDICTS[run.state],
        reason=reason,
        message=sentence(message or _SENTENCES.get(reason, ""), run.because),
        cluster=run.cluster,
        job=run.job,
        attempt=run.attempt,
        started=run.started,
        finished=finished,
        run=run.id if run.demand else "",
    )
