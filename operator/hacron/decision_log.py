"""What the log says of decisions: a line for each that a person would ask about."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from hacron.core import faults, pausing
from hacron.core.draft import new_results, new_verdicts
from hacron.core.faults import EXECUTOR
from hacron.core.messages import Checkpoint, ClusterState, Definition, Demand, Progress, Proof, Written
from hacron.core.model import InvalidCronJob, Key, Run, RunState, Verdict, VerdictKind
from hacron.core.packing import SetAside
from hacron.core.runs import NOT_STARTED
from hacron.core.state import State, understand

log = logging.getLogger(__name__)

MOST_WORDS = 300
NOT_RUN = (VerdictKind.REFUSED, VerdictKind.MISSED, VerdictKind.LOST)  # or so it seems, and by nobody's wish


def tell(records: Iterable[Written], state: State) -> None:
    """Log each decision that a person would ask about."""
    for record in records:
        if isinstance(record, Definition | Progress | Demand):
            with faults.confined(EXECUTOR, record.key):
                _tell(record, state)


def tell_set_aside(groups: Iterable[SetAside]) -> None:
    """Log what is not written, because nobody could read it; what has caused it is set aside with it."""
    for group, why in groups:
        about = sorted({f"{type(record).__name__} {_subject(record)}" for record in group})
        said = {"about": about[:5], "why": why}
        log.error("cannot stand in the ledger: set aside, and what it was about stays as it is", extra=said)


def _subject(record: Written) -> str:
    match record:
        case ClusterState():
            return record.cluster.name
        case Checkpoint() | Proof():
            return record.replica
        case _:
            return record.key


def _tell(record: Definition | Progress | Demand, state: State) -> None:
    match record:
        case Definition():
            _tell_definition(record, state.definitions.get(record.key, {}).get(record.cluster))
        case Progress():
            _tell_progress(record, state.progress.get(record.key))
        case Demand():
            _tell_demand(record, state.demands.get(record.key))


def _tell_definition(after: Definition, before: Definition | None) -> None:
    if before is None or before.revision != after.revision:
        said = {"cronjob": after.key, "cluster": after.cluster, "generation": after.generation}
        found = understand(after)
        wrong = {"wrong": str(found)} if isinstance(found, InvalidCronJob) else {}
        log.info("cronjob declared" if before is None else "cronjob changed", extra=said | wrong)
    if after.pause != (before.pause if before is not None else None):
        _tell_pause(after)


def _tell_pause(definition: Definition) -> None:
    if definition.pause is None:
        log.info("cronjob no longer paused", extra={"cronjob": definition.key, "cluster": definition.cluster})
    else:
        log.info("cronjob paused", extra={"cronjob": definition.key, "why": pausing.describe(definition)})


def _tell_progress(after: Progress, before: Progress | None) -> None:
    if before is after:
        return  # only written again
    known = {run.id: (run.state, run.reason) for run in before.open} if before else {}
    for run in after.open:
        if run.id not in known:
            said = {"cronjob": after.key, "tick": run.tick, "cluster": run.cluster, "job": run.job, "attempt": run.attempt}
            what = "run decided" if run.state is RunState.PENDING else "run known again"  # whose ledger was lost
            log.info(what, extra=said | ({"why": run.because} if run.because else {}))
        elif known[run.id] != (run.state, run.reason) and run.reason:
            _tell_change(after.key, run)
    for verdict in new_verdicts(after, before):
        level = logging.WARNING if verdict.verdict in NOT_RUN else logging.INFO
        log.log(level, "verdict", extra={"cronjob": after.key} | _said(verdict))
    if after.pause_over is not None and (before is None or before.pause_over != after.pause_over):
        log.info("the pause is over", extra={"cronjob": after.key, "since": after.pause_over})
    if after.withdrawn_at is not None and (before is None or before.withdrawn_at is None):
        log.info("cronjob withdrawn", extra={"cronjob": after.key})


def _tell_change(key: Key, run: Run) -> None:
    """Log that a run is to stop, or was refused and waits. One that is lost in any other way has a verdict."""
    said = {"cronjob": key, "job": run.job, "cluster": run.cluster, "reason": run.reason}
    if run.reason == NOT_STARTED:
        log.warning("run refused, waits for another cluster", extra=said | {"tick": run.tick, "why": run.because})
    elif run.state is not RunState.LOST:
        log.info(f"run is {run.state.lower()}", extra=said)


def _tell_demand(after: Demand, before: Demand | None) -> None:
    if before is after:
        return  # only written again
    said: dict[str, object] = {"run": after.key, "cronjob": after.cronjob}
    if before is None or before.account.id != after.account.id:
        log.info("runs demanded", extra=said | ({"wrong": after.wrong} if after.wrong else {}))
    elif after.wrong and not before.wrong:
        log.info("demand refused", extra=said | {"wrong": after.wrong})
    for verdict in new_results(after, before):
        level = logging.WARNING if verdict.verdict in NOT_RUN else logging.INFO
        log.log(level, "verdict", extra=said | _said(verdict))
    if after.account.finished is not None and (before is None or before.account.finished is None):
        log.info("demand met", extra=said | {"succeeded": after.account.succeeded, "failed": after.account.failed})
    if after.withdrawn_at is not None and (before is None or before.withdrawn_at is None):
        log.info("demand withdrawn", extra=said)


def _said(verdict: Verdict) -> dict[str, object]:
    """Return what a line says of a verdict; what is empty is left out."""
    said: dict[str, object] = {
        "tick": verdict.tick,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "cluster": verdict.cluster,
        "job": verdict.job,
        "why": verdict.message[:MOST_WORDS],
    }
    return {name: value for name, value in said.items() if value} | ({"ticks": verdict.count} if verdict.count > 1 else {})
