"""`kubectl hacron why`: what became of a tick, or why none ran."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hacron.commands import due
from hacron.commands.calls import NO, OK, Commands, print_lines
from hacron.commands.explain import asked_time, both
from hacron.commands.explaining import explain
from hacron.commands.subjects import Subject
from hacron.commands.wallclock import local_text
from hacron.core.manifests import Halting, JobView, instant, rfc3339
from hacron.plugin import records
from hacron.plugin.calls import add_command, add_name
from hacron.plugin.kubectl import Kubectl, one_cronjob
from hacron.plugin.looks import DELETING, UNSEEN, Look
from hacron.plugin.output import add_output, for_programs, from_now
from hacron.plugin.records import Fate

DESCRIPTION = """\
Tell what became of a tick: whether it ran, where, how late and how it ended, or why it did not run; by .status, the Jobs and the
Events in this cluster, and the HACronJobRuns. Of a time that is no tick, or still to come, tell why it would fire or would not.
Without --at: whether it fires at present and if not why, what runs, what became of the last tick, and the next one.
"""

EPILOG = """\
--at without an offset is local time in the zone of the HACronJob.

With -o json or yaml: namespace, name, at (the instants asked about), ran (true, false, or absent: it is not known, or to come),
answer and findings (sentences), entries (of .status: verdicts and open runs), jobs (in this cluster), events.

Exit codes: 0 it ran or runs, or would; 1 it did not or would not; without --at: whether it fires at present.

Examples:

  kubectl hacron why report
  kubectl hacron why report --at 2026-03-29T02:30
"""

SHOWN = 5  # Events
# Other reasons hold up one tick.
RESTS = ("Suspended", "Paused", "Invalid", "TemplateRefused", "Ended", "NeverFires", "NeverStarts", DELETING, UNSEEN)


@dataclass(slots=True)
class Answer:
    """What is known of the question."""

    yes: bool
    answer: str
    findings: list[str] = field(default_factory=list)
    at: tuple[datetime, ...] = ()
    ran: bool | None = None
    entries: list[Fate] = field(default_factory=list)
    jobs: list[JobView] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


def register(commands: Commands) -> None:
    parser = add_command(commands, "why", call, help="tell what became of a tick", description=DESCRIPTION, epilog=EPILOG)
    add_name(parser)
    parser.add_argument("--at", metavar="TIME", help="2026-03-29T00:30:00Z, or local time such as 2026-03-29T02:30")
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    kubectl = Kubectl(args)
    asked = None if args.at is None else asked_time(args.at)
    look = Look(one_cronjob(kubectl, args.name))
    found = at_present(kubectl, look) if asked is None else at_a_time(kubectl, look, asked)
    if not for_programs(args, _described(look, found)):
        print_lines(_text(look, asked, found))
        _print_events(found)
    return OK if found.yes else NO


def at_present(kubectl: Kubectl, look: Look) -> Answer:
    state, why = look.state
    fires = state == "Scheduled"
    entries = records.of_schedule(look)
    runs = [entry for entry in entries if not entry.verdict]
    last = next((entry for entry in entries if entry.verdict), None)
    findings = [f"{_when(entry)}: {entry.sentence}" for entry in runs]
    findings += [f"last: {last.sentence}"] if last is not None else ["nothing is known to have become of any tick"]
    findings += look.warnings
    findings.append(f"the next tick is {rfc3339(look.next)}, {from_now(look.next)}" if look.next else "no tick is to come")
    answer = "it fires" if fires else f"{'it does not fire' if state in RESTS else 'a tick waits'}: {state}: {why}"
    told = records.events(kubectl, look)[-SHOWN:]
    return Answer(fires, answer, findings, entries=[*runs, *([last] if last else [])], events=told)


def at_a_time(kubectl: Kubectl, look: Look, asked: datetime) -> Answer:
    subject = look.subject()
    at = due.moment_of(subject, asked).at if subject.cronjob is not None else (asked,) if asked.tzinfo else ()
    entries = [
        entry
        for entry in [*records.of_schedule(look), *records.of_demands(kubectl, look)]
        if any(entry.speaks_of(tick, subject) for tick in at)
    ]
    jobs = [job for job in records.jobs_here(kubectl, look) if job.tick in at]
    told = [event for event in records.events(kubectl, look) if any(rfc3339(tick) in str(event.get("message")) for tick in at)]
    found = what_became(entries, jobs) or _held(look, at) or _explained(look, asked, at)
    found.findings += look.warnings
    found.at, found.entries, found.jobs, found.events = at, entries, jobs, told
    return found


# --- what may be known of a time ------------------------------------------------------------------------------------------------


def what_became(entries: list[Fate], jobs: list[JobView]) -> Answer | None:
    """Go by the status, else by the Jobs that are still there."""
    told = [f"{f'by HACronJobRun {entry.run}: ' if entry.run else ''}{entry.sentence}" for entry in entries]
    told += [f"the Job {job.name} is in this cluster: {_state(job)}" for job in jobs]
    ran = any(entry.has_run for entry in entries) or any(job.ran or not job.tombstone for job in jobs)
    if entries:
        states = " and ".join(sorted({entry.state for entry in entries}))
        if not ran and any(entry.state == "Pending" for entry in entries):
            return Answer(True, "it is about to run", told)
        if not ran and any(entry.waits for entry in entries):
            return Answer(False, "it has not run yet", told)
        if not ran and any(entry.state == "Lost" for entry in entries):
            return Answer(False, f"it may have run: {states}", told)
        return Answer(ran, f"it {'ran' if ran else 'did not run'}: {states}", told, ran=ran)
    if jobs:
        return Answer(ran, "it ran" if ran else "it did not run", told, ran=ran)
    return None


def _held(look: Look, at: tuple[datetime, ...]) -> Answer | None:
    """A tick that waits is in no list; since when, its condition says."""
    told = look.condition("Scheduled")
    since = instant(told.get("lastTransitionTime"))
    if told.get("status") != "False" or told.get("reason") in RESTS or since not in at:
        return None
    return Answer(False, f"it is due, and waits: {told.get('reason')}", [str(told.get("message") or "")], ran=False)


def _explained(look: Look, asked: datetime, at: tuple[datetime, ...]) -> Answer:
    """Nothing is told of it: say whether it was or would be due, and why nothing may be known."""
    subject = look.subject()
    now = datetime.now(UTC)
    told = explain(subject, asked)
    findings = [finding.message for finding in sorted(told.findings, key=lambda finding: not finding.against)]
    for what, tick in (("before", told.before), ("after", told.after)):
        findings += [f"tick {what}: {both(subject, tick)}"] if tick is not None else []
    past = bool(at) and at[-1] <= now
    state, why = look.state
    never = state in (DELETING, "TemplateRefused") or (
        state == "Invalid" and look.condition("Scheduled").get("status") == "False"
    )
    if not past and never:
        return Answer(False, "it would not fire", [f"at present: {state}: {why}", *findings])
    if not past:
        return Answer(told.fires, f"it would {'' if told.fires else 'not '}fire", findings)
    unknown = _why_unknown_then(look, subject, at[-1])
    if subject.cronjob is not None and not unknown and not any(due.is_tick(subject, tick) for tick in at):
        return Answer(False, "it did not fire", findings, ran=False)
    if unknown:
        return Answer(False, "nothing is known of it", [unknown, *_why_unknown(look, at[-1])])
    return Answer(False, "nothing is known of it", [*_why_unknown(look, at[-1]), *findings])


def _why_unknown_then(look: Look, subject: Subject, at: datetime) -> str:
    """Say why it cannot be told what the schedule of now has to do with a time; empty: it can."""
    since = instant(look.condition("Accepted").get("lastTransitionTime"))
    if since is None:
        return "what its spec was then is not known"
    if at < since:
        return f"what its spec was then is not known, only since {rfc3339(since)}"
    if subject.cronjob is not None and subject.interval and (subject.origin is None or at < subject.origin):
        return f"{subject.calendar.text} is counted from a tick after it"
    return ""


def _why_unknown(look: Look, at: datetime) -> Iterator[str]:
    made = instant(look.metadata.get("creationTimestamp"))
    ticks = [entry.tick for entry in records.of_schedule(look)]
    if made is not None and at < made:
        yield f"the HACronJob was made in this cluster after it, at {rfc3339(made)}"
    elif ticks and at < min(ticks):
        yield f"the verdicts that are kept begin with {rfc3339(min(ticks))}, and no Job of it is left in this cluster"
    elif ticks and at < max(ticks):
        yield "of ticks that were skipped only the newest verdicts are kept, and no Job of it is left in this cluster"
    state, why = look.state
    if state != "Scheduled":
        yield f"at present: {state}: {why}"


def _state(job: JobView) -> str:
    if job.tombstone and job.halt is Halting.DONE:
        return "it was stopped, and stands for a while so that nothing is started under its name any more"
    if job.tombstone:
        return "it only takes the name, so that nothing is started under it any more"
    if job.terminal is None:
        return "being deleted" if job.deleting else "it has not ended"
    return f"{job.terminal.value}{f', {job.reason}: {job.message}' if job.reason else ''}"


# --- how it is told -------------------------------------------------------------------------------------------------------------


def _text(look: Look, asked: datetime | None, found: Answer) -> Iterator[str]:
    yield f"HACronJob {look.label}: {', '.join(filter(None, (look.schedule, look.time_zone)))}"
    subject = look.subject()
    times = " and ".join(both(subject, tick) for tick in found.at) or (local_text(asked) if asked is not None else "")
    yield f"at {times}: {found.answer}" if times else found.answer
    yield from (f"  - {finding}" for finding in found.findings)


def _print_events(found: Answer) -> None:
    if found.events:
        print_lines(["Events in this cluster:"])
    for event in found.events:
        when = from_now(instant(event.get("lastTimestamp")))
        print_lines([f"  {when:>9}  {event.get('reason')}  {event.get('message')}"])


def _described(look: Look, found: Answer) -> dict[str, Any]:
    jobs = [{"name": job.name, "tick": rfc3339(job.tick), "attempt": job.attempt, "state": _state(job)} for job in found.jobs]
    events = [{name: event.get(name) for name in ("lastTimestamp", "type", "reason", "message")} for event in found.events]
    return {
        "namespace": look.namespace,
        "name": look.name,
        "at": [rfc3339(tick) for tick in found.at],
        **({"ran": found.ran} if found.ran is not None else {}),
        "answer": found.answer,
        "findings": found.findings,
        "entries": [entry.fields | ({"run": entry.run} if entry.run else {}) for entry in found.entries],
        "jobs": jobs,
        "events": events,
    }


def _when(entry: Fate) -> str:
    return f"of the tick {rfc3339(entry.tick)}" if not entry.run else f"of HACronJobRun {entry.run}"
