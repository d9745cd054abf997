"""What a cluster tells of the past of a HACronJob: its status, the HACronJobRuns, the Jobs and the Events there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hacron.commands.calls import complain
from hacron.commands.due import is_tick, next_tick
from hacron.commands.subjects import Subject, part, text_of
from hacron.core import reasons
from hacron.core.demand.accounts import verdict_of
from hacron.core.events import sentence
from hacron.core.manifests import CRONJOB_LABEL, KIND, UNREADABLE, JobView, as_label, instant, job_view
from hacron.core.model import VerdictKind
from hacron.core.rules import Rules
from hacron.core.runs import NOT_STARTED, NOT_WATCHED
from hacron.plugin.kubectl import Kubectl, Refused, jobs, runs
from hacron.plugin.looks import Look, entries

MOST_COUNTED = 10_000  # ticks that one verdict speaks of


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a tick, or what is becoming of it."""

    tick: datetime
    fields: dict[str, Any]  # as the status has it
    run: str = ""  # the HACronJobRun that asked for it
    after: datetime | None = None  # of one on more ticks than are counted: up to when others speak, if that is known

    @property
    def verdict(self) -> str:
        return str(self.fields.get("verdict") or "")

    @property
    def state(self) -> str:
        """The verdict, or the state that the run is in."""
        return self.verdict or str(self.fields.get("state") or "")

    @property
    def has_run(self) -> bool:
        """Whether something was started for it, as far as that is known."""
        if self.verdict == "Stopped":
            return self.time("started") is not None
        return self.state in ("Succeeded", "Failed", "Running", "Stopping")

    @property
    def waits(self) -> bool:
        """Whether it has not begun, because it was refused, and another cluster may take it."""
        return not self.verdict and self.text("reason") == NOT_STARTED

    @property
    def sentence(self) -> str:
        if self.waits:
            return reasons.refused(self.text("message"))
        if not self.verdict:
            where = f"Job {self.text('job')} in cluster {self.text('cluster')}"
            unheard = "nobody may look" if self.text("reason") == NOT_WATCHED else "the cluster is silent"
            return {
                "Pending": f"a run has been decided, and is to be started as {where}",
                "Running": f"it runs as {where}",
                "Stopping": f"it is being stopped: {where}",
                "Lost": f"{unheard}, and it may be running still: {where}",
            }.get(self.state, f"{self.state}: {where}")
        try:
            return sentence(verdict_of(self.fields), scheduled=not self.run)
        except UNREADABLE:  # of a later version
            return f"{self.verdict}: {self.text('message') or self.text('reason')}"

    @property
    def took(self) -> timedelta | None:
        started, finished = self.time("started"), self.time("finished")
        return finished - started if started is not None and finished is not None else None

    def text(self, name: str) -> str:
        return str(self.fields.get(name) or "")

    def time(self, name: str) -> datetime | None:
        return instant(self.fields.get(name))

    @property
    def is_uncounted(self) -> bool:
        """Whether it is about more ticks than are counted."""
        count = self.fields.get("count")
        return isinstance(count, int) and count > reasons.MANY

    def speaks_of(self, tick: datetime, subject: Subject) -> bool:
        """Whether it is about this tick: a verdict may be about many, and names the last of them."""
        count = self.fields.get("count")
        if tick == self.tick or not isinstance(count, int) or count < 2 or tick > self.tick or subject.cronjob is None:
            return tick == self.tick
        interval = subject.calendar.schedules[0].interval
        if interval is not None:
            between, rest = divmod(self.tick - tick, interval)
            return not rest and (between < count if self.after is None else tick > self.after)
        if self.after is not None:
            return tick > self.after and is_tick(subject, tick)
        following: datetime | None = tick
        for _ in range(min(count, MOST_COUNTED) - 1):
            following = next_tick(subject, following) if following is not None else None
            if following == self.tick:
                return is_tick(subject, tick)
        return False


def of_schedule(look: Look) -> list[Fate]:
    """Return what the status says of ticks and open runs, the latest tick first."""
    found = latest_first([*_entries(look.active), *_entries(look.recent)])
    return [replace(one, after=_before(one, found)) if one.is_uncounted else one for one in found]


def _before(one: Fate, found: list[Fate]) -> datetime | None:
    """Return the tick of the entry before, if no verdict between the two can have been forgotten: the oldest goes first."""
    earlier = [entry for entry in found if not entry.run and entry.tick < one.tick]
    is_whole = len(found) < Rules().recent_limit or any(entry.verdict == VerdictKind.SKIPPED for entry in earlier)
    return max((entry.tick for entry in earlier), default=None) if is_whole else None


def of_demands(kubectl: Kubectl, look: Look) -> list[Fate]:
    """Return what became of the runs that HACronJobRuns asked for. What cannot be had is told."""
    found: list[Fate] = []
    for body in _asked(kubectl, runs(kubectl.namespace), "HACronJobRuns"):
        if part(body, "spec").get("cronJob") == look.name:
            found += of_demand(body)
    return latest_first(found)


def of_demand(body: dict[str, Any]) -> list[Fate]:
    """Return what a HACronJobRun tells of its runs that have ended, the earliest tick first."""
    return latest_first(_entries(entries(part(body, "status"), "runs"), text_of(part(body, "metadata"), "name")))[::-1]


def jobs_here(kubectl: Kubectl, look: Look) -> list[JobView]:
    """Return the Jobs of the HACronJob in this cluster. What cannot be had is told."""
    listed = _asked(kubectl, jobs(kubectl.namespace), "Jobs", labelSelector=f"{CRONJOB_LABEL}={as_label(look.name)}")
    views = [job_view(body) for body in listed]
    return [view for view in views if view is not None and view.key == look.label]


def events(kubectl: Kubectl, look: Look) -> list[dict[str, Any]]:
    """Return the Events on the HACronJob in this cluster, the oldest first. What cannot be had is told."""
    on_it = f"involvedObject.kind={KIND},involvedObject.name={look.name}"
    listed = _asked(kubectl, f"/api/v1/namespaces/{kubectl.namespace}/events", "Events", fieldSelector=on_it)
    return sorted(listed, key=lambda event: str(event.get("lastTimestamp") or ""))


def _asked(kubectl: Kubectl, path: str, what: str, **query: str) -> list[dict[str, Any]]:
    try:
        listed = kubectl.get(path, **query).get("items") or []
    except Refused as refused:
        complain(f"{what} are left out: {refused}")
        return []
    return [body for body in listed if isinstance(body, dict)]


def _entries(told: list[dict[str, Any]], run: str = "") -> list[Fate]:
    ticks = [(instant(fields.get("tick")), fields) for fields in told]
    return [Fate(tick, fields, run or str(fields.get("run") or "")) for tick, fields in ticks if tick is not None]


def latest_first(entries: list[Fate]) -> list[Fate]:
    return sorted(entries, key=lambda entry: (entry.tick, int(entry.fields.get("attempt") or 1)), reverse=True)
