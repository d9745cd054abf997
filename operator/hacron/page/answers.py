"""What the page is told, as JSON: an overview, a list of cronjobs, one cronjob. docs/page.md says what the fields mean.

Instants are unix seconds: small, and in the browser a multiplication away from a Date. Every list has a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from hacron.core import reasons, status
from hacron.core.demand import accounts
from hacron.core.model import Cluster, CronJob, InvalidCronJob, Key, Run, RunState, Verdict, name_of, namespace_of
from hacron.core.placement import in_words
from hacron.core.runs import NOT_STARTED
from hacron.page.board import Board, Row, Wanted, next_ticks
from hacron.page.outlook import COLUMNS
from hacron.page.troubles import Severity, Trouble, of_cluster, of_demand, of_time, sentence_of
from hacron.page.view import View

TROUBLES: Final = 100
CLUSTERS: Final = 100
NAMESPACES: Final = 500
LONGEST_LIST: Final = 200  # cronjobs in one answer
MARKS: Final = 100  # ticks of one cronjob
COMING: Final = 60
DEMANDS: Final = 50
SHORT, LONG = 300, 4000  # characters of a sentence
EXECUTOR_MISSING_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The replica that answers, and by which durations it goes."""

    replica: str
    cluster: str
    version: str
    silent_after_s: float
    start_window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How the replica is, beside what State says."""

    ready: bool
    reasons: tuple[str, ...]
    connected: bool


def overview(board: Board, view: View | None, place: Place, condition: Condition, now: datetime, hours: int) -> dict[str, Any]:
    """Return what is asked first: is it alive, who decides, which clusters are there, and what is wrong."""
    head: dict[str, Any] = {
        "now": seconds(now),
        "seen": seconds(view.at) if view is not None else None,
        "replica": {
            "name": place.replica,
            "cluster": place.cluster,
            "version": place.version,
            "ready": condition.ready,
            "reasons": list(condition.reasons[:10]),
            "connected": condition.connected,
            "caughtUp": view is not None and view.caught_up,
            "executor": view is not None and view.executor and condition.connected,
            "worker": view is not None and view.worker and condition.connected,
        },
    }
    if view is None:
        return head
    state = view.state
    troubles = sorted(_troubles(board, view, place, now), key=lambda one: (-one.severity, -seconds(one.since or now)))
    clusters = sorted(state.clusters.values(), key=lambda cluster: cluster.name)[:CLUSTERS]
    begin = (int(now.timestamp()) // 60 // hours + 1) * hours - COLUMNS * hours  # minute
    past = _pillars(board, begin, hours)
    first, sums, uncounted = board.outlook.sums(board.to_come, view, timedelta(seconds=place.silent_after_s), now, hours)
    coming = {name: sorted(columns.items()) for name, columns in sums.items()}
    namespaces = sorted(name for name, count in board.namespaces.items() if count)
    return head | {
        "executor": _executor(view),
        "clusters": [
            _cluster(board, cluster, state.clusters, place, now)
            | {"past": past.get(cluster.name, []), "coming": coming.get(cluster.name, [])}
            for cluster in clusters
        ],
        "clustersTotal": len(state.clusters),
        "past": {"begin": begin * 60, "each": hours * 60, "nowhere": past.get("", [])},
        "coming": {"begin": first * 60, "each": hours * 60, "nowhere": coming.get("", []), "uncounted": uncounted},
        "cronjobs": {"total": len(board.rows)} | {name: count for name, count in board.conditions.items() if count},
        "runs": {kind: sum(n for (_, state), n in board.open.items() if state is kind) for kind in RunState if kind.is_open},
        "namespaces": namespaces[:NAMESPACES],
        "troubles": [trouble_of(trouble) for trouble in troubles[:TROUBLES]],
        "troublesTotal": len(troubles),
        "wrong": sum(trouble.severity is Severity.WRONG for trouble in troubles),
    }


def listing(board: Board, place: Place, wanted: Wanted, now: datetime, *, hours: int, offset: int, limit: int) -> dict[str, Any]:
    """Return the cronjobs that are wanted, the worst first, `limit` of them from `offset` on."""
    window = timedelta(seconds=place.start_window_s)
    late = {row.key for row in board.order if row.progress.open and any(of_time(row.progress, now, window))}
    found = board.find(wanted, late)
    shown = found[offset : offset + limit]
    return {
        "now": seconds(now),
        "total": len(found),
        "offset": offset,
        "limit": limit,
        "cronjobs": [row_of(row, place, now, hours) for row in shown],
    }


def row_of(row: Row, place: Place, now: datetime, hours: int) -> dict[str, Any]:
    """Return a cronjob as it stands in a list."""
    cronjob = row.cronjob if isinstance(row.cronjob, CronJob) else None
    recent = row.progress.recent
    ticks = next_ticks(row, now, now + timedelta(hours=hours), COMING)
    troubles = [*row.troubles, *of_time(row.progress, now, timedelta(seconds=place.start_window_s))]
    return {
        "key": row.key,
        "namespace": namespace_of(row.key),
        "name": name_of(row.key),
        "schedule": cronjob.schedule.text[:SHORT] if cronjob is not None else None,
        "timeZone": cronjob.schedule.time_zone if cronjob is not None else None,
        "condition": row.condition,
        "homes": sorted(row.homes)[:CLUSTERS],
        "open": [open_of(run) for run in row.progress.open[-MARKS:]],
        "recent": [verdict_of(verdict, SHORT) for verdict in recent[-MARKS:]],
        "next": [seconds(tick) for tick in ticks],
        "troubles": [trouble_of(trouble) for trouble in troubles[:20]],
    }


def details(board: Board, view: View, place: Place, key: Key, now: datetime) -> dict[str, Any] | None:
    """Return all that is known of a cronjob; None when it is not known."""
    row = board.rows.get(key)
    if row is None:
        return None
    state, progress = view.state, row.progress
    cronjob = row.cronjob if isinstance(row.cronjob, CronJob) else None
    homes = []
    for name, definition in sorted(row.homes.items())[:CLUSTERS]:
        shown = status.render(state, key, name, now) or {}
        homes.append(
            {
                "cluster": name,
                "generation": definition.generation,
                "created": seconds(definition.created_at),
                "changed": seconds(definition.changed_at),
                "counts": definition is row.winner,
                "conditions": [one for one in shown.get("conditions", []) if _is_known(one)],
            }
        )
    demands = sorted(
        (one for one in state.demands.values() if one.cronjob == key), key=lambda demand: demand.created_at, reverse=True
    )
    rules = None
    if cronjob is not None:
        rules = {
            "concurrencyPolicy": cronjob.policy.value,
            "guarantee": cronjob.guarantee.value,
            "catchUp": cronjob.catch_up.policy.value,
            "startingDeadlineSeconds": cronjob.starting_deadline_s,
            "placement": in_words(cronjob.placement)[:LONG],
            "suspend": cronjob.suspend,
        }
    return row_of(row, place, now, 24) | {
        "now": seconds(now),
        "rules": rules,
        "homes": homes,
        "recent": [verdict_of(verdict, LONG) for verdict in progress.recent[-MARKS:]],
        "lastTick": seconds(progress.last_tick),
        "lastScheduled": maybe(progress.last_scheduled),
        "lastSuccessful": maybe(progress.last_successful),
        "invalid": str(row.cronjob)[:LONG] if isinstance(row.cronjob, InvalidCronJob) else None,
        "runs": [_demand(view, demand.key) for demand in islice(demands, DEMANDS)],
        "runsTotal": len(demands),
    }


# --- parts --------------------------------------------------------------------------------------------------------------


def open_of(run: Run) -> dict[str, Any]:
    return {
        "tick": seconds(run.tick),
        "state": run.state.value,
        "cluster": run.cluster,
        "job": run.job,
        "attempt": run.attempt,
        "started": maybe(run.started),
        "run": run.demand,
        "why": (reasons.refused(run.because) if run.reason == NOT_STARTED else run.because)[:SHORT],
    }


def verdict_of(verdict: Verdict, longest: int) -> dict[str, Any]:
    return {
        "tick": seconds(verdict.tick),
        "verdict": verdict.verdict.value,
        "why": sentence_of(verdict)[:longest],
        "cluster": verdict.cluster,
        "job": verdict.job,
        "attempt": verdict.attempt,
        "count": verdict.count,
        "started": maybe(verdict.started),
        "finished": maybe(verdict.finished),
    }


def trouble_of(trouble: Trouble) -> dict[str, Any]:
    return {
        "severity": trouble.severity.value,
        "kind": trouble.kind,
        "message": trouble.message,
        "since": maybe(trouble.since),
        "cluster": trouble.cluster,
        "key": trouble.key,
        "run": trouble.demand,
    }


def seconds(when: datetime) -> int:
    return int(when.timestamp())


def maybe(when: datetime | None) -> int | None:
    return seconds(when) if when is not None else None


def _executor(view: View) -> dict[str, Any] | None:
    executor, proof = view.state.executor, view.state.proof
    if executor is None and proof is None:
        return None
    return {
        "replica": executor.replica if executor is not None else proof.replica if proof is not None else "",
        "cluster": executor.cluster if executor is not None else "",
        "since": maybe(executor.since) if executor is not None else None,
        "epoch": view.state.epoch,
        "proved": maybe(proof.at) if proof is not None else None,
    }


def _cluster(board: Board, cluster: Cluster, clusters: Mapping[str, Cluster], place: Place, now: datetime) -> dict[str, Any]:
    troubles = [trouble_of(trouble) for trouble in of_cluster(cluster, clusters, now, place.silent_after_s)]
    return {
        "name": cluster.name,
        "seen": seconds(cluster.seen_at),
        "apiReachable": cluster.api_ok,
        "worker": cluster.replica,
        "cordoned": cluster.cordoned[:LONG],
        "labels": dict(islice(sorted(cluster.labels.items()), 20)),
        "pending": board.open[cluster.name, RunState.PENDING],
        "running": board.open[cluster.name, RunState.RUNNING] + board.open[cluster.name, RunState.STOPPING],
        "lost": board.open[cluster.name, RunState.LOST],
        "troubles": troubles,
    }


def _pillars(board: Board, begin: int, hours: int) -> dict[str, list[list[int]]]:
    """Add verdicts up by cluster: [which pillar, good, bad, none] for each that is not empty."""
    sums: dict[str, dict[int, list[int]]] = {}
    for (cluster, minute, how), count in board.pillars.items():
        number = (minute - begin) // hours
        if 0 <= number < COLUMNS:
            pillar = sums.setdefault(cluster, {}).setdefault(number, [number, 0, 0, 0])
            pillar[("good", "bad", "none").index(how) + 1] += count
    return {cluster: [pillars[number] for number in sorted(pillars)] for cluster, pillars in sums.items()}


def _troubles(board: Board, view: View, place: Place, now: datetime) -> Iterable[Trouble]:
    proof = view.state.proof
    if proof is not None and (now - proof.at).total_seconds() > EXECUTOR_MISSING_AFTER_S:
        told = "no executor has proved itself: nothing new is decided"
        yield Trouble(severity=Severity.WRONG, kind="NoExecutor", message=told, since=proof.at)
    for cluster in view.state.clusters.values():
        yield from of_cluster(cluster, view.state.clusters, now, place.silent_after_s)
    window = timedelta(seconds=place.start_window_s)
    for row in board.rows.values():
        yield from row.troubles
        if row.progress.open:
            yield from of_time(row.progress, now, window)
    for demand in view.state.demands.values():
        if demand.withdrawn_at is None:
            yield from of_demand(demand)


def _is_known(condition: dict[str, Any]) -> bool:
    """Whether a condition is as in `.status` whatever an API server says of the template, which is known to the workers alone."""
    kind, holds = condition["type"], condition["status"]
    return kind in ("Scheduled", "Drifted", "ClockChange") or (kind == "Accepted" and holds == "False")


def _demand(view: View, key: Key) -> dict[str, Any]:
    demand = view.state.demands[key]
    home = next((name for name in sorted(demand.homes) if not demand.homes[name].differs), "")
    shown = accounts.render(view.state, key, home) or {}
    return {
        "name": name_of(key),
        "created": seconds(demand.created_at),
        "homes": sorted(demand.homes)[:CLUSTERS],
        "phase": shown.get("phase", "Withdrawn"),
        "total": demand.account.total,
        "decided": demand.account.decided,
        "succeeded": demand.account.succeeded,
        "failed": demand.account.failed,
        "finished": maybe(demand.account.finished),
        "why": (demand.wrong or (demand.held.message if demand.held is not None else ""))[:SHORT],
        "results": [verdict_of(verdict, SHORT) for verdict in demand.account.results[-20:]],
    }
