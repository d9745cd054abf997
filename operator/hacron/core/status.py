"""The `.status` that people see: a mirror of the ledger, rendered from State alone.

The same in every cluster that declares the cronjob, but for what concerns that cluster's own object: its generation, and whether
its API server accepts the template.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from hacron.core import manifests, pausing, readiness
from hacron.core.admission import never_in_time
from hacron.core.manifests import instant, rfc3339
from hacron.core.messages import Definition, Progress
from hacron.core.model import CronJob, InvalidCronJob, Key, Run, RunState, Verdict, VerdictKind
from hacron.core.runs import is_ahead, known_again
from hacron.core.state import State, understand
from hacron.core.ticks import clockchange
from hacron.core.ticks.cron import INSTANT


@dataclass(frozen=True, slots=True)
class Trial:
    """What this cluster's API server thinks of a template."""

    refusal: str | None = None  # what it said against it
    over: bool = True  # False: it has not said anything yet


_Condition = Callable[[str, bool, str, str, datetime], dict[str, Any]]  # of a given generation
ACCEPTED: Final = Trial()
MOST_READ = 400  # results, or open runs; as many as are ever shown


@dataclass(frozen=True, slots=True)
class _Outline:
    """How a cronjob stands."""

    progress: Progress
    cronjob: CronJob | InvalidCronJob | None
    paused: Definition | None
    upcoming: datetime | None


def render(state: State, key: Key, cluster: str, now: datetime, trial: Trial = ACCEPTED) -> dict[str, Any] | None:
    """Return the whole status of the object in `cluster`; None when that cluster does not declare it.

    Fields that have no value are None: they are to be removed.
    """
    definition = state.definitions.get(key, {}).get(cluster)
    progress = state.progress.get(key)
    if definition is None or progress is None:
        return None
    cronjob = state.cronjob(key)
    paused = paused_by(state, progress)
    upcoming = next_tick(progress, cronjob, paused, now)
    active = [run for run in progress.open if not is_ahead(run, now)]
    last = _last_result(progress)
    return {
        "observedGeneration": definition.generation,
        "schedule": cronjob.schedule.text if isinstance(cronjob, CronJob) else None,
        "conditions": _conditions(state, definition, _Outline(progress, cronjob, paused, upcoming), trial, now),
        "declaredIn": sorted(state.definitions[key]),
        "paused": True if paused is not None else None,
        "pause": _pause(paused) if paused is not None else None,
        "lastScheduleTime": time_of(progress.last_scheduled),
        "lastSuccessfulTime": time_of(progress.last_successful),
        "decidedUntil": time_of(_decided_until(progress)),
        "nextScheduleTime": time_of(upcoming),
        "active": [active_run(run) for run in active] or None,
        "activeCount": len(active),
        "recent": [recent(verdict) for verdict in reversed(progress.recent)] or None,
        "lastResult": last.verdict.value if last else None,
        "lastCluster": (last.cluster or None) if last else None,
    }


def paused_by(state: State, progress: Progress) -> Definition | None:
    """The definition that pauses the cronjob; None when none does, or the executor has noted that the pause is over."""
    return pausing.in_effect(state.definitions.get(progress.key, {}), progress.pause_over)


def changes_at(progress: Progress, now: datetime) -> datetime | None:
    """When what is shown changes although nothing is decided: the tick of a run comes that was decided ahead."""
    return min((run.tick for run in progress.open if is_ahead(run, now)), default=None)


def next_tick(
    progress: Progress, cronjob: CronJob | InvalidCronJob | None, paused: Definition | None, now: datetime
) -> datetime | None:
    """The tick that comes next: one that was decided ahead, else the next that is undecided.

    Not one that is due and waits: that is told by the condition Scheduled.
    """
    if not isinstance(cronjob, CronJob) or cronjob.suspend or never_in_time(cronjob):
        return None
    if paused is not None and paused.pause is not None:
        until = paused.pause.until
        if until is None:
            return None
        return cronjob.schedule.next_after(max(until - INSTANT, progress.last_tick), base=progress.last_tick)
    newest = max((run.tick for run in progress.open if is_ahead(run, now)), default=None)
    if newest is not None and newest == progress.last_tick:
        return newest
    return cronjob.schedule.next_after(progress.held.tick if progress.held is not None else progress.last_tick)


def _last_result(progress: Progress) -> Verdict | None:
    """Return what became of the last tick that was not skipped, if there is one."""
    results = [verdict for verdict in progress.recent if verdict.verdict is not VerdictKind.SKIPPED]
    return next(iter((*results[-1:], *progress.recent[-1:])), None)


def _decided_until(progress: Progress) -> datetime | None:
    """Return up to when ticks have their verdict, for a ledger that knows nothing: not beyond one that may still have to run.

    It stays while a tick is decided ahead, so that no status is written for it.
    """
    may_begin = [run for run in progress.open if run.state is not RunState.STOPPING]
    waiting = [run.tick for run in may_begin if not run.demand and not run.has_begun]
    final = [verdict.tick for verdict in progress.recent if verdict.verdict is not VerdictKind.LOST]
    known = [*final, *([progress.passed_over] if progress.passed_over is not None else [])]
    return max((instant for instant in known if not waiting or instant < min(waiting)), default=None)


def _conditions(
    state: State,
    definition: Definition,
    outline: _Outline,
    trial: Trial,
    now: datetime,
) -> list[dict[str, Any]]:
    condition = partial(condition_of, definition.generation)
    changed, cronjob = definition.changed_at, outline.cronjob
    own = _own(state, definition, cronjob)
    conditions = []
    if isinstance(own, InvalidCronJob):
        conditions.append(condition("Accepted", False, "Invalid", str(own), changed))
    elif trial.refusal is not None:
        conditions.append(condition("Accepted", False, "TemplateRefused", trial.refusal, changed))
    else:
        conditions.append(condition("Accepted", True, "Accepted", "the schedule and the template are in order", changed))
    conditions.append(_scheduled(condition, outline, max(changed, outline.progress.turned_at or changed)))
    notice = clockchange.warn(cronjob.schedule, max(outline.progress.last_tick, now)) if isinstance(cronjob, CronJob) else None
    if notice is not None:
        conditions.append(condition("ClockChange", True, notice.reason, notice.message, changed))
    homes = state.definitions.get(definition.key, {})
    others = ((home, other) for home, other in homes.items() if other is not definition)
    differing = sorted(home for home, other in others if bytes(other.spec) != bytes(definition.spec))
    said_at = max(homes[home].changed_at for home in (definition.cluster, *(differing or homes)))
    if differing:
        winner = state.winner(definition.key)
        sentence = (
            f"declared differently in {', '.join(differing)}; the newest change, in {winner.cluster if winner else '?'}, counts"
        )
        conditions.append(condition("Drifted", True, "ClustersDiffer", sentence, said_at))
    else:
        conditions.append(condition("Drifted", False, "ClustersAgree", "every cluster that declares it says the same", said_at))
    return [*conditions, *readiness.of_cronjob(conditions[0], trial.over)]


def _own(state: State, definition: Definition, cronjob: CronJob | InvalidCronJob | None) -> CronJob | InvalidCronJob | None:
    """Return what counts, or why one home's own spec would not do, if that is another and can be understood."""
    winner = state.winner(definition.key)
    if winner is None or isinstance(cronjob, InvalidCronJob) or bytes(winner.spec) == bytes(definition.spec):
        return cronjob
    own = understand(definition)
    return own if isinstance(own, InvalidCronJob) else cronjob


def _scheduled(condition: _Condition, outline: _Outline, since: datetime) -> dict[str, Any]:
    progress, cronjob, paused = outline.progress, outline.cronjob, outline.paused
    if not isinstance(cronjob, CronJob):
        found = condition("Scheduled", False, "Invalid", "nothing fires until the spec is corrected", since)
    elif cronjob.suspend:
        found = condition("Scheduled", False, "Suspended", "spec.suspend is true", since)
    elif paused is not None:
        instants = filter(None, (paused.paused_at, progress.turned_at))
        found = condition("Scheduled", False, "Paused", pausing.describe(paused), max(instants, default=since))
    elif progress.held is not None:
        found = condition("Scheduled", False, progress.held.reason, progress.held.message, progress.held.tick)
    elif outline.upcoming is None:
        found = condition("Scheduled", False, *why_never(cronjob), max(since, progress.last_tick))
    else:
        found = condition("Scheduled", True, "Scheduled", "the next tick is in nextScheduleTime", since)
    return found


def never(progress: Progress, cronjob: CronJob) -> tuple[str, str] | None:
    """Return why nothing is to come of a cronjob that neither rests nor waits, as why_never(); None when something is.

    Whatever time it is: a run that was decided ahead is to come until its Job is heard of.
    """
    to_come = any(run.state is RunState.PENDING and run.tick == progress.last_tick and not run.demand for run in progress.open)
    if not never_in_time(cronjob) and (to_come or cronjob.schedule.next_after(progress.last_tick) is not None):
        return None
    return why_never(cronjob)


def why_never(cronjob: CronJob) -> tuple[str, str]:
    """Say in a word and a sentence why no tick is to come, or none that starts."""
    bound, calendar = never_in_time(cronjob), cronjob.schedule
    if bound is not None:
        return "NeverStarts", f"no tick is ever in time: {bound.rule}"
    if calendar.end is not None and calendar.canonical != "never":
        return "Ended", f"no tick is left before endTime, {rfc3339(calendar.end)}"
    return "NeverFires", "the schedule has no tick within five years"


def condition_of(generation: int, kind: str, status: bool, reason: str, message: str, since: datetime) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True" if status else "False",
        "reason": reason,
        "message": message[:1000],
        "observedGeneration": generation,
        "lastTransitionTime": rfc3339(since),
    }


def _pause(paused: Definition) -> dict[str, Any]:
    pause = paused.pause
    assert pause is not None
    fields = {"cluster": paused.cluster, "by": pause.by, "reason": pause.reason, "until": time_of(pause.until)}
    return {name: value for name, value in ({"since": time_of(paused.paused_at)} | fields).items() if value}


def active_run(run: Run) -> dict[str, Any]:
    return {
        "cluster": run.cluster,
        "job": run.job,
        "tick": rfc3339(run.tick),
        "state": run.state.value,
        "runId": run.id,
        **({"run": run.demand} if run.demand else {}),
        **({"attempt": run.attempt} if run.attempt != 1 else {}),
        **({"reason": run.reason} if run.reason else {}),
        **({"message": run.because} if run.because else {}),
    }


def running(status: object) -> tuple[Run, ...]:
    """Return the runs of the schedule that a `.status` shows to have begun, as `active_run` has written them."""
    entries = status.get("active") if isinstance(status, dict) else None
    found = []
    for entry in entries[:MOST_READ] if isinstance(entries, list) else ():
        with suppress(*manifests.UNREADABLE):
            if entry["state"] in (RunState.RUNNING, RunState.STOPPING) and not entry.get("run") and entry["job"]:
                found.append(read_run(entry, entry["runId"]))
    return tuple(found)


def read_run(entry: dict[str, Any], identity: str) -> Run:
    """Read what `active_run` has written, as a run that goes on. Raises KeyError, TypeError, ValueError, AttributeError."""
    told = {"id": identity, "cluster": entry["cluster"], "job": entry["job"], "attempt": int(entry.get("attempt") or 1)}
    times = {"tick": instant(entry["tick"]), "start_by": instant(entry["tick"])}
    return known_again(msgspec.convert(told | times | {"fencing": 0}, Run))


def recent(verdict: Verdict) -> dict[str, Any]:
    fields = {
        "tick": rfc3339(verdict.tick),
        "verdict": verdict.verdict.value,
        "reason": verdict.reason,
        "message": verdict.message,
        "cluster": verdict.cluster,
        "job": verdict.job,
        "attempt": _unless_one(verdict.attempt),
        "count": _unless_one(verdict.count),
        "started": time_of(verdict.started),
        "finished": time_of(verdict.finished),
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _unless_one(number: int) -> int | None:
    """Leave out what is as usual: `kubectl describe` shows ten verdicts below each other."""
    return None if number == 1 else number


def time_of(when: datetime | None) -> str | None:
    return rfc3339(when) if when is not None else None
