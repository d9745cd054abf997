"""Why a cronjob would fire at a time, or would not: first whether it is due then at all, then what else would be in its way.

What runs and clusters there are is not known here; the findings about them say what it would come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from hacron.commands import due
from hacron.commands.due import Finding
from hacron.commands.subjects import Subject, part, text_of
from hacron.core import manifests, pausing
from hacron.core.admission import MOST_OPEN, Skip, admit, deadline
from hacron.core.manifests import rfc3339
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, Pause
from hacron.core.placement import in_words
from hacron.core.rules import Rules


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer about one cronjob and one time."""

    at: tuple[datetime, ...]  # the instants that were asked about: two where a local time comes twice, none where it is left out
    findings: tuple[Finding, ...]
    before: datetime | None = None  # the nearest ticks
    after: datetime | None = None

    @property
    def fires(self) -> bool:
        return not any(finding.against for finding in self.findings)


def explain(subject: Subject, asked: datetime) -> Explanation:
    """Explain what would be at a time: an instant, or, in no time zone, a local time of the cronjob's zone."""
    if subject.cronjob is None:
        at = () if asked.tzinfo is None else (asked,)
        return Explanation(at, (Finding("Invalid", f"the spec is invalid: {subject.problem}", against=True),))
    moment = due.moment_of(subject, asked)
    ticks = [instant for instant in moment.at if due.is_tick(subject, instant)]
    found = [*due.findings(subject, moment), *_rests(subject, subject.cronjob, moment.near[0])]
    if ticks:
        found += [
            _deadline(subject.cronjob, ticks[0]),
            _concurrency(subject, subject.cronjob, ticks[0]),
            _placement(subject.cronjob),
        ]
    before, after = due.last_tick(subject, moment.near[0]), due.next_tick(subject, moment.near[1])
    return Explanation(moment.at, tuple(found), before, after)


# --- does it rest? ----------------------------------------------------------------------------------------------------


def _rests(subject: Subject, cronjob: CronJob, at: datetime) -> Iterator[Finding]:
    later = "; what comes meanwhile is made up for afterwards (catchUp.afterEdits)" if cronjob.catch_up.after_edits else ""
    if cronjob.suspend:
        yield Finding("Suspended", f"it is suspended: suspend is true{later}", against=True)
    where, pause = _pause(subject)
    if pause is not None and pause.is_over(at):
        yield Finding("PauseOver", f"it is paused{where}{pausing.details(pause)}, which is over by then")
    elif pause is not None:
        yield Finding("Paused", f"it is paused{where}{pausing.details(pause)}{later}", against=True)


def _pause(subject: Subject) -> tuple[str, Pause | None]:
    """Return where it is paused, as far as that is told, and the pause; its status has the longest of those of all its homes."""
    if subject.status.get("paused") is not True:
        return "", manifests.pause_of(part(subject.metadata, "annotations"))
    told = part(subject.status, "pause")
    cluster = text_of(told, "cluster")
    pause = Pause(until=manifests.instant(told.get("until")), by=str(told.get("by") or ""), reason=str(told.get("reason") or ""))
    return f" in {cluster}" if cluster else "", pause


# --- would it start? --------------------------------------------------------------------------------------------------


def _deadline(cronjob: CronJob, tick: datetime) -> Finding:
    bound = deadline(cronjob, Rules())
    if bound is None:
        return Finding("NoDeadline", "it may start however late: startingDeadlineSeconds is not set")
    if isinstance(admit(cronjob, tick, (), tick, bound), Skip):
        return Finding("DeadlineExceeded", f"it is never in time: {bound.rule}", against=True)
    until = rfc3339(tick + bound.after)
    return Finding("Deadline", f"if nothing can be started then, it still may before {until}: {bound.rule}")


def _concurrency(subject: Subject, cronjob: CronJob, tick: datetime) -> Finding:
    policy = cronjob.policy
    previous = due.last_tick(subject, tick)
    last = f" (the tick before is {rfc3339(previous)}, {_ago(tick - previous)} earlier)" if previous else ""
    active = _active(subject)
    now = f"; active when the manifest was read: {active}" if active else ""
    match policy:
        case ConcurrencyPolicy.FORBID:
            sentence = (
                f"it waits while an earlier run may still be running in any cluster{last}; of several that wait, the latest runs"
            )
        case ConcurrencyPolicy.REPLACE:
            sentence = f"an earlier run that is still running in any cluster{last} is stopped, and it starts when that is gone"
        case ConcurrencyPolicy.QUEUE:
            sentence = f"it waits its turn while {cronjob.max_active} earlier runs may still be running in any cluster{last}"
        case _:
            return Finding(
                "Allow", f"concurrencyPolicy Allow: it runs beside earlier runs, while fewer than {MOST_OPEN} are open{now}"
            )
    return Finding(str(policy), f"concurrencyPolicy {policy}: {sentence}{now}")


def _active(subject: Subject) -> str:
    runs = subject.status.get("active")
    found = [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    names = [(text_of(run, "job") or text_of(run, "name"), text_of(run, "cluster")) for run in found]
    shown = [f"{job or 'a Job without a name'}{f' in {cluster}' if cluster else ''}" for job, cluster in names[:3]]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _placement(cronjob: CronJob) -> Finding:
    wanted = cronjob.placement
    if len(wanted.clusters) == 1 and wanted.selector is None:
        where = f"{wanted.clusters[0]}, and waits for it if it is silent or cordoned"
    else:
        where = f"{in_words(wanted)}, that is heard of, reaches its API server and is not cordoned"
    again = "; it is tried in another when that one falls silent" if cronjob.guarantee is Guarantee.AT_LEAST_ONCE else ""
    return Finding("Placement", f"it goes to {where}{again} (guarantee {cronjob.guarantee})")


def _ago(delta: timedelta) -> str:
    seconds = int(delta.total_seconds())
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and not seconds % size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
