"""What people are told in Events on a HACronJob or a HACronJobRun: one before and after an entry of the ledger in, sentences out.

Each sentence stands alone: which tick, in which cluster, how late, and why. The same change is told in the same words by every
replica, under the same name, so that it stands there once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from hacron.core import pausing, reasons
from hacron.core.admission import never_in_time
from hacron.core.draft import new_results, new_verdicts
from hacron.core.firing import how_many
from hacron.core.manifests import API_VERSION, rfc3339
from hacron.core.messages import Definition, Demand, Progress
from hacron.core.model import CronJob, Held, InvalidCronJob, Key, Kind, Run, RunState, Verdict, VerdictKind, name_of, namespace_of
from hacron.core.state import Was
from hacron.core.status import why_never

COMPONENT = "hacron"
MOST_CHARACTERS = 1000  # an API server takes 1024 bytes


class Event(NamedTuple):
    subject: str  # what it tells of, the same in every replica
    reason: str  # CamelCase, for machines
    message: str
    problem: bool = False


def tell(
    was: Was,
    progress: Progress | None,
    homes: Mapping[str, Definition],
    winner: Definition | None,
    cronjob: CronJob | InvalidCronJob | None,
) -> Iterator[Event]:
    """Yield what an entry of the ledger means to whoever looks at the HACronJob, in the order in which it happened.

    `progress`, `homes`, `winner` and `cronjob` are what the ledger says after it.
    """
    if winner is not None and (was.winner is None or was.winner.revision != winner.revision):
        yield from _declared(winner, progress, cronjob)
    yield from _paused(was, progress, homes)
    if progress is None or progress is was.progress:
        return
    before = was.progress
    old_runs = {run.id: run for run in before.open if not run.demand} if before else {}
    already = {run.id for run in before.open if run.started is not None} if before else set()
    old_verdicts = before.recent if before else ()
    for verdict in new_verdicts(progress, before):
        if verdict.started is not None and _has_not_started(old_runs.values(), verdict):
            yield _started(verdict.job, verdict.cluster, verdict.tick, verdict.attempt, verdict.started)
        yield _became(verdict, again=any(_same(verdict, old) for old in old_verdicts))
    yield from _taken_back(was, progress, homes, cronjob)
    for run in progress.open:
        if run.demand:  # what becomes of it is told on its HACronJobRun
            if run.started is not None and run.id not in already:
                yield _demanded(run)
            continue
        old = old_runs.get(run.id)
        if old is None and run.attempt > 1:
            yield _placed_elsewhere(run)
        if run.started is not None and (old is None or old.started is None):
            yield _started(run.job, run.cluster, run.tick, run.attempt, run.started)
    held = progress.held
    if held is not None and (before is None or before.held is None or _waits(before.held) != _waits(held)):
        yield _held(held)


def refused_template(generation: int, words: str) -> Event:
    """What an API server has against the template of an object of its own, as it said in a dry run."""
    return Event(f"template.{generation}", "TemplateRefused", f"No Job can be made of the template here: {words}", True)


def tell_demand(before: Demand | None, after: Demand | None) -> Iterator[Event]:
    """Yield what an entry of the ledger means to whoever looks at the HACronJobRun."""
    if after is None or after.withdrawn_at is not None:
        return
    if after.wrong and (before is None or before.wrong != after.wrong):
        yield Event(f"wrong.{after.account.id}.{after.wrong}", "InvalidSpec", f"Nothing will run: {after.wrong}", True)
    for verdict in new_results(after, before):
        again = before is not None and any(one.tick == verdict.tick for one in before.account.results)
        yield _became(verdict, again, scheduled=False)
    account = after.account
    if before is not None and account.finished is not None and before.account.finished is None:
        sentence = f"All runs have ended; succeeded: {account.succeeded} of {account.total}"
        yield Event(f"finished.{account.id}", "Completed", sentence, account.failed > 0)


def body(event: Event, kind: Kind, key: Key, uid: str, replica: str, at: datetime) -> dict[str, Any]:
    """Return the Event as an object, on the object of ours with this uid. Its name is made of what it tells."""
    name = name_of(key)
    hashed = hashlib.sha256(f"{uid} {event.subject}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name[:200].rstrip('-.')}.{hashed}", "namespace": namespace_of(key)},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind.value,
            "namespace": namespace_of(key),
            "name": name,
            "uid": uid,
        },
        "type": "Warning" if event.problem else "Normal",
        "reason": event.reason,
        "message": _cut(event.message),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": replica[:128],
        "firstTimestamp": rfc3339(at),
        "lastTimestamp": rfc3339(at),
        "count": 1,
    }


# --- the spec -------------------------------------------------------------------------------------------------------------------


def _declared(winner: Definition, progress: Progress | None, cronjob: CronJob | InvalidCronJob | None) -> Iterator[Event]:
    subject = f"spec.{winner.revision}"
    if isinstance(cronjob, InvalidCronJob):
        yield Event(subject, _what_is_wrong(cronjob.field), f"Nothing runs until spec is corrected: {cronjob}", True)
    elif isinstance(cronjob, CronJob) and progress is not None and _never_runs(cronjob, progress):
        reason, sentence = why_never(cronjob)
        told = "InvalidSchedule" if reason == "NeverFires" else reason
        yield Event(subject, told, f"Nothing will run: {sentence}", reason != "Ended")


def _never_runs(cronjob: CronJob, progress: Progress) -> bool:
    return never_in_time(cronjob) is not None or cronjob.schedule.next_after(progress.last_tick) is None


def _paused(was: Was, progress: Progress | None, homes: Mapping[str, Definition]) -> Iterator[Event]:
    """Yield that a pause has begun, has changed or is over, whichever home says so."""
    before = pausing.in_effect(was.homes, was.progress.pause_over if was.progress is not None else None)
    after = pausing.in_effect(homes, progress.pause_over if progress is not None else None)
    if after is not None and (before is None or (before.cluster, before.pause) != (after.cluster, after.pause)):
        reason, verb = ("PauseBegan", "") if before is None else ("PauseChanged", "Now ")
        told = f"{verb}{pausing.describe(after)}"
        yield Event(f"{reason}.{_pause(after)}", reason, f"{told[0].upper()}{told[1:]}; no tick fires in any cluster")
    elif before is not None and after is None:
        by_itself = before.pause is not None and progress is not None and before.pause.until == progress.pause_over is not None
        why = "its time has come" if by_itself else "it was taken away"
        yield Event(f"PauseEnded.{_pause(before)}", "PauseEnded", f"The pause is over, because {why}: {pausing.describe(before)}")


def _pause(definition: Definition) -> str:
    """Name a pause as the ledger does: the same in every replica, and another one for each that begins or is changed."""
    began = definition.paused_at
    return f"{definition.cluster}.{definition.version}.{began.timestamp() if began is not None else 0}"


def _what_is_wrong(field: str) -> str:
    if field == "timeZone":
        return "UnknownTimeZone"
    return "UnparseableSchedule" if "schedule" in field.lower() else "InvalidSpec"


# --- runs -----------------------------------------------------------------------------------------------------------------------


def _started(job: str, cluster: str, tick: datetime, attempt: int, started: datetime) -> Event:
    again = f", attempt {attempt}" if attempt > 1 else ""
    sentence = f"Created job {job} in cluster {cluster} for the tick of {rfc3339(tick)}{again}, {_late(tick, started)}"
    return Event(f"started.{_number(tick)}.{attempt}.{cluster}", "SuccessfulCreate", sentence)


def _demanded(run: Run) -> Event:
    why = f"for the HACronJobRun {run.demand}, with the time {rfc3339(run.tick)}"
    return Event(f"started.{run.id}.{run.cluster}", "SuccessfulCreate", f"Created job {run.job} in cluster {run.cluster} {why}")


def _placed_elsewhere(run: Run) -> Event:
    why = f": {run.because}" if run.because else ""
    sentence = f"The tick of {rfc3339(run.tick)} is tried again, in cluster {run.cluster}, attempt {run.attempt}{why}"
    return Event(f"placed.{run.id}", "PlacedElsewhere", sentence)


def _taken_back(
    was: Was, progress: Progress, homes: Mapping[str, Definition], cronjob: CronJob | InvalidCronJob | None
) -> Iterator[Event]:
    """Yield the runs that were decided ahead and are no more; their ticks had not come, so they have no verdict."""
    old = was.progress.open if was.progress is not None else ()
    kept = {(run.tick, run.attempt) for run in progress.open} | {(verdict.tick, verdict.attempt) for verdict in progress.recent}
    tried_again = {(run.tick, run.attempt - 1) for run in progress.open}
    known = {run.id for run in old}
    demanded = next((run.demand for run in progress.open if run.demand and run.id not in known), "")
    if demanded:
        why = f"HACronJobRun {demanded} begins a run"
    elif was.homes == homes:
        why = "a HACronJobRun is to begin a run"
    else:
        why = f"the HACronJob was {'suspended' if isinstance(cronjob, CronJob) and cronjob.suspend else 'changed'}"
    for run in old:
        if not run.demand and run.state is RunState.PENDING and (run.tick, run.attempt) not in kept | tried_again:
            sentence = f"The run of {rfc3339(run.tick)} in cluster {run.cluster} was taken back: {why} before"
            yield Event(f"taken-back.{run.fencing}", "TakenBack", sentence)


def _held(held: Held) -> Event:
    reason, problem = reasons.WAITING.get(held.reason, reasons.Told(held.reason, False))
    return Event(
        f"held.{_number(held.tick)}.{held.reason}", reason, f"The tick of {rfc3339(held.tick)} waits: {held.message}", problem
    )


# --- verdicts -------------------------------------------------------------------------------------------------------------------


def _became(verdict: Verdict, again: bool, scheduled: bool = True) -> Event:
    reason, problem = reasons.told(verdict)
    said = sentence(verdict, scheduled)
    subject = f"verdict.{_number(verdict.tick)}.{verdict.attempt}.{verdict.verdict}.{verdict.reason}"
    return Event(subject, reason, f"After all: {said}" if again else said, problem)


def sentence(verdict: Verdict, scheduled: bool = True) -> str:
    """Say what became of a tick, or of a run beside the schedule, which may begin when it likes."""
    again = f", attempt {verdict.attempt}," if verdict.attempt > 1 else ""
    tick = f"the tick of {rfc3339(verdict.tick)}{again}"
    there = f" in cluster {verdict.cluster}" if verdict.cluster else ""
    why = f": {verdict.message or verdict.reason}" if verdict.message or verdict.reason else ""
    whose = f": {verdict.reason}{why if verdict.message else ''}" if verdict.reason else why  # in the words of others
    also = f"; {verdict.message}" if verdict.message else ""
    match verdict.verdict:
        case VerdictKind.SUCCEEDED:
            return f"Saw completed job: {verdict.job}, condition: Complete; {tick} ran{there}{_course(verdict, scheduled)}{also}"
        case VerdictKind.FAILED:
            return f"Saw completed job: {verdict.job}, condition: Failed; {tick} ran{there}{_course(verdict, scheduled)}{whose}"
        case VerdictKind.STOPPED if verdict.reason == "JobGone":
            return f"Active job went missing: {verdict.job}, of {tick}{there}{why}"
        case VerdictKind.STOPPED:
            return f"Deleted job {verdict.job}, of {tick}{there}{why}"
        case VerdictKind.REFUSED:
            return f"Error creating job{there}; {tick} did not run{whose}"
        case VerdictKind.LOST:
            return f"The run of {tick}{there} was given up{why}"
        case VerdictKind.SKIPPED | VerdictKind.MISSED:
            which = f"{how_many(verdict.count)} up to {rfc3339(verdict.tick)}" if verdict.count > 1 else tick
            return f"{which[0].upper()}{which[1:]} did not run{there}{why}"


def _course(verdict: Verdict, scheduled: bool) -> str:
    """Say how late it began, where that says anything, and how long it took."""
    if verdict.started is None:
        return ""
    began = f", began {_late(verdict.tick, verdict.started)}" if scheduled else ""
    took = f"took {_seconds(verdict.started, verdict.finished)} s" if verdict.finished is not None else ""
    return f"{began} and {took}" if began and took else f"{began}{took and f', {took}'}"


# --- inside ---------------------------------------------------------------------------------------------------------------------


def _has_not_started(runs: Iterable[Run], verdict: Verdict) -> bool:
    """Whether nothing was said of a run's start yet: it is told of when it has ended."""
    return any((run.tick, run.attempt) == (verdict.tick, verdict.attempt) and run.started is None for run in runs)


def _same(verdict: Verdict, other: Verdict) -> bool:
    return (verdict.tick, verdict.attempt) == (other.tick, other.attempt)


def _waits(held: Held) -> tuple[datetime, str]:
    return held.tick, held.reason


def _late(tick: datetime, started: datetime) -> str:
    late_s = _seconds(tick, started)
    return f"{late_s} s late" if late_s > 0 else "on time"


def _seconds(begin: datetime, end: datetime) -> int:
    return max(0, round((end - begin).total_seconds()))


def _number(instant: datetime) -> int:
    return int(instant.timestamp())


def _cut(message: str) -> str:
    return message.encode()[:MOST_CHARACTERS].decode(errors="ignore")
