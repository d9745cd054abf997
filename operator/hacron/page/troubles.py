"""What is wrong with a cronjob, a demand or a cluster, in sentences, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from hacron.core import pausing, reasons
from hacron.core.firing import how_many
from hacron.core.hearing import declared_gone, to_be_forgotten, why_unheard
from hacron.core.messages import Definition, Demand, Progress
from hacron.core.model import Cluster, CronJob, InvalidCronJob, RunState, Verdict
from hacron.core.runs import NOT_STARTED, NOT_WATCHED

LATE_AFTER: Final = timedelta(seconds=5)
LONGEST_MESSAGE: Final = 400


class Severity(IntEnum):
    """How soon somebody should look."""

    NOTE = 1  # as somebody wanted it, and it may have been forgotten
    WAITS = 2  # goes on by itself
    WRONG = 3  # something did not run, or will not


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is wrong."""

    severity: Severity
    kind: str  # one word, for machines and for the eye
    message: str
    since: datetime | None = None
    cluster: str = ""
    key: str = ""  # of the cronjob that it is about
    demand: str = ""  # name of the HACronJobRun


def of_cronjob(
    progress: Progress,
    winner: Definition | None,
    cronjob: CronJob | InvalidCronJob | None,
    paused: Definition | None,
    drifted: bool,
    never: tuple[str, str] | None = None,
) -> Iterator[Trouble]:
    """Yield what is wrong with a cronjob, whatever time it is."""

    def trouble(severity: Severity, kind: str, message: str, since: datetime | None, cluster: str = "") -> Trouble:
        message = message[:LONGEST_MESSAGE]
        return Trouble(severity=severity, kind=kind, message=message, since=since, cluster=cluster, key=progress.key)

    changed = winner.changed_at if winner is not None else None
    if isinstance(cronjob, InvalidCronJob):
        yield trouble(Severity.WRONG, "Invalid", f"nothing fires until the spec is corrected: {cronjob}", changed)
    if never is not None:
        kind, why = never
        yield trouble(Severity.NOTE if kind == "Ended" else Severity.WRONG, kind, why, changed)
    for run in progress.open:
        if run.reason == NOT_STARTED:
            yield trouble(Severity.WRONG, NOT_STARTED, reasons.refused(run.because), run.tick, run.cluster)
        elif run.state is RunState.LOST:
            why = "its cluster may not look into its namespace" if run.reason == NOT_WATCHED else "its cluster is silent"
            told = f"{why}: nobody knows whether the run of this tick {'ended' if run.started else 'started'}"
            yield trouble(Severity.WRONG, "Lost", told, run.tick, run.cluster)
    if progress.held is not None:
        waits = reasons.WAITING.get(progress.held.reason)
        severity = Severity.WRONG if waits is not None and waits.problem else Severity.WAITS
        yield trouble(severity, "Held", f"{progress.held.reason}: {progress.held.message}", progress.held.tick)
    last = next((verdict for verdict in reversed(progress.recent) if verdict.verdict.value != "Skipped"), None)
    if last is not None and is_problem(last):
        yield trouble(Severity.WRONG, last.verdict.value, sentence_of(last), last.finished or last.tick, last.cluster)
    if paused is not None:
        yield trouble(Severity.NOTE, "Paused", pausing.describe(paused), paused.paused_at or changed)
    if isinstance(cronjob, CronJob) and cronjob.suspend:
        yield trouble(Severity.NOTE, "Suspended", "spec.suspend is true", changed)
    if drifted and winner is not None:
        told = f"its clusters declare it differently; the newest change, in {winner.cluster}, counts"
        yield trouble(Severity.NOTE, "Drifted", told, changed, winner.cluster)


def of_time(progress: Progress, now: datetime, start_window: timedelta) -> Iterator[Trouble]:
    """Yield what is wrong with a cronjob because of what time it is."""
    for run in progress.open:
        due = run.start_by - start_window  # the tick, or the decision where that came later
        if run.state is RunState.PENDING and now - due > LATE_AFTER:
            told = "decided, and no Job of it has been heard of"
            about = {"cluster": run.cluster, "key": progress.key}
            yield Trouble(severity=Severity.WRONG, kind="Late", message=told, since=run.tick, **about)


def of_demand(demand: Demand) -> Iterator[Trouble]:
    """Yield what is wrong with a HACronJobRun."""
    about = {"key": demand.cronjob or demand.key, "demand": demand.key.split("/", 1)[1]}
    if demand.wrong:
        message = demand.wrong[:LONGEST_MESSAGE]
        yield Trouble(severity=Severity.WRONG, kind="Refused", message=message, since=demand.created_at, **about)
    elif demand.account.failed and demand.account.finished is None:
        message = f"{demand.account.failed} of its runs did not succeed so far"
        yield Trouble(severity=Severity.WRONG, kind="Failed", message=message, since=demand.created_at, **about)


def of_cluster(cluster: Cluster, clusters: Mapping[str, Cluster], now: datetime, silent_after_s: float) -> Iterator[Trouble]:
    """Yield what is wrong with one of the clusters. What is declared gone may be silent."""
    if cluster.name in to_be_forgotten(clusters) and not cluster.is_silent(now, silent_after_s):
        told = "it speaks, and another cluster says that it is to be forgotten: nothing that it declares counts, and no run comes"
        yield Trouble(severity=Severity.WRONG, kind="Forgotten", message=told, cluster=cluster.name)
    elif cluster.name in declared_gone(clusters):
        told = "declared gone: while it is silent, nothing waits for what ran there"
        yield Trouble(severity=Severity.NOTE, kind="Gone", message=told, since=cluster.seen_at, cluster=cluster.name)
    elif unheard := why_unheard(cluster, now, silent_after_s):
        message = f"no run is placed there; it {unheard}"
        yield Trouble(severity=Severity.WRONG, kind="Silent", message=message, since=cluster.seen_at, cluster=cluster.name)
    elif not cluster.api_ok:
        message = "its worker cannot work with its API server; no run is placed there"
        yield Trouble(severity=Severity.WRONG, kind="Unreachable", message=message, cluster=cluster.name)
    elif cluster.cordoned:
        message = f"cordoned: {cluster.cordoned}; no new run is placed there"
        yield Trouble(severity=Severity.NOTE, kind="Cordoned", message=message[:LONGEST_MESSAGE], cluster=cluster.name)


def is_problem(verdict: Verdict) -> bool:
    return reasons.told(verdict).problem


def sentence_of(verdict: Verdict) -> str:
    """Say why a verdict is what it is."""
    many = f"{how_many(verdict.count)}: " if verdict.count > 1 else ""
    return many + ": ".join(dict.fromkeys(part for part in (verdict.reason, verdict.message) if part))
