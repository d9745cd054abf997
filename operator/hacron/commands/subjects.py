"""What a command is asked about: cronjobs of manifests, or one schedule from the command line."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hacron.commands.calls import Misuse, complain
from hacron.commands.files import Found, Unread, named, objects
from hacron.core import manifests, spec
from hacron.core.model import CronJob, InvalidCronJob, key_of
from hacron.core.ticks.calendar import Calendar
from hacron.core.ticks.cronfields import quoted
from hacron.core.ticks.cronzone import DEFAULT_ZONE, Zone, zone

CRONJOB_VERSIONS = ("batch/v1", "batch/v1beta1")
NAMESPACE = "default"  # of objects that name none, as with kubectl unless it is told otherwise
SOME_JOB: dict[str, Any] = {"spec": {"template": {"spec": {}}}}


@dataclass(frozen=True, slots=True)
class Subject:
    """A HACronJob or a CronJob, as far as it can be read."""

    where: str
    kind: str
    namespace: str | None
    name: str
    metadata: dict[str, Any]
    fields: dict[str, Any]  # its spec
    status: dict[str, Any]
    cronjob: CronJob | None
    problem: str  # why there is no cronjob

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def calendar(self) -> Calendar:
        """When it is due, if it is valid."""
        assert self.cronjob is not None
        return self.cronjob.schedule

    @property
    def zone(self) -> Zone:
        """The zone of what is valid, as clocks on the wall know it, whatever daylightSaving says."""
        return zone(self.calendar.time_zone)

    @property
    def interval(self) -> bool:
        """Whether the wall clock does not matter to it (`@every`)."""
        return self.calendar.schedules[0].interval is not None

    @property
    def base(self) -> datetime | None:
        """What the ticks of an interval come after that are known: an interval before its origin, where that is one itself."""
        origin, interval = self.origin, self.calendar.schedules[0].interval
        return origin - interval if origin is not None and interval is not None and origin in self._ticks_told() else origin

    @property
    def origin(self) -> datetime | None:
        """From where the ticks of an interval are counted, if the object says so: a tick, or when it was made or edited."""
        following, interval = manifests.instant(self.status.get("nextScheduleTime")), self.calendar.schedules[0].interval
        if following is not None and interval is not None:
            return following - interval  # an edit of the interval moves them, too
        known = self.status.get("lastScheduleTime"), self.metadata.get("creationTimestamp")
        found = next(filter(None, map(manifests.instant, known)), None)
        if found is None and self.calendar.start is not None:
            start = self.calendar.start
            return start - min(timedelta(seconds=1), start - datetime.min.replace(tzinfo=UTC))  # startTime is the first tick
        return found

    def _ticks_told(self) -> Iterator[datetime | None]:
        """Give the ticks of the schedule that its status speaks of."""
        yield manifests.instant(self.status.get("lastScheduleTime"))
        for name in ("active", "recent"):
            told = self.status.get(name)
            for entry in told if isinstance(told, list) else ():
                if isinstance(entry, dict) and not entry.get("run"):
                    yield manifests.instant(entry.get("tick"))


def parsed(namespace: str | None, name: str, fields: object) -> CronJob:
    """Read a spec as the operator does. Raises InvalidCronJob."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))  # as long as when it is sent
    return spec.parse(key_of(namespace or NAMESPACE, name), text.encode(errors="surrogatepass"))


def of_schedule(schedule: str, time_zone: str | None) -> Subject:
    """Return a cronjob with this schedule. Raises Misuse if there can be none."""
    texts = {"schedule": schedule, "timeZone": time_zone}  # bytes that are no text come as surrogates, which JSON has not
    given = {name: text.encode(errors="replace").decode() for name, text in texts.items() if text is not None}
    fields = {**given, "jobTemplate": SOME_JOB}
    try:
        cronjob = parsed(None, "schedule", fields)
    except InvalidCronJob as invalid:
        raise Misuse(str(invalid)) from invalid
    return Subject("", manifests.KIND, None, "schedule", {}, fields, {}, cronjob, "")


def of_manifests(paths: Sequence[str], usual: str) -> tuple[list[Subject], bool]:
    """Return all HACronJobs and CronJobs in these files, and whether everything could be read; what could not is told.

    `usual` is the namespace of those that name none. Raises Misuse if there is none at all.
    """
    found: list[Subject] = []
    whole = True
    for each in objects(paths):
        if isinstance(each, Unread):
            complain(each.sentence)
            whole = False
        elif is_ours(each.body) or is_cronjob(each.body):
            found.append(subject(each, usual))
    if not found and whole:
        raise Misuse(f"no HACronJob and no CronJob is in {named(paths)}")
    return found, whole


def is_ours(body: dict[str, Any]) -> bool:
    return body.get("kind") == manifests.KIND and body.get("apiVersion") == manifests.API_VERSION


def is_cronjob(body: dict[str, Any]) -> bool:
    return body.get("kind") == "CronJob" and body.get("apiVersion") in CRONJOB_VERSIONS


def subject(found: Found, usual: str) -> Subject:
    """Read a HACronJob or a CronJob, valid or not."""
    metadata, fields, status = (part(found.body, name) for name in ("metadata", "spec", "status"))
    name, namespace = text_of(metadata, "name"), text_of(metadata, "namespace")
    cronjob, problem = None, ""
    try:
        if not name:
            raise InvalidCronJob("", "metadata.name is missing")
        cronjob = parsed(namespace or usual, name, found.body.get("spec"))
    except InvalidCronJob as invalid:
        problem = str(invalid)
    return Subject(found.where, found.body["kind"], namespace or None, name or "?", metadata, fields, status, cronjob, problem)


def part(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def text_of(metadata: dict[str, Any], name: str) -> str:
    """Return a name as it may be shown: whatever is none is as good as none."""
    value = metadata.get(name)
    return value if isinstance(value, str) and value.isprintable() and len(value) <= 253 else ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a command be given a schedule or manifests."""
    parser.add_argument("--schedule", metavar="TEXT", help='five fields such as "0 2 * * *", or @daily, or "@every 90m"')
    parser.add_argument("--time-zone", metavar="NAME", help=f"zone of --schedule, such as Europe/Prague; default: {DEFAULT_ZONE}")
    says = "HACronJobs and CronJobs: a file of YAML or JSON, a folder, or - for standard input; may be repeated"
    parser.add_argument("-f", "--filename", metavar="FILE", action="append", help=says)
    says = f"of manifests that name none; the slots of hashedSchedule depend on it; default: {NAMESPACE}"
    parser.add_argument("-n", "--namespace", metavar="NAME", default=NAMESPACE, help=says)


def asked_for(args: argparse.Namespace) -> tuple[list[Subject], bool]:
    """Return what a call is about, and whether all of it could be read. Raises Misuse."""
    if (args.schedule is None) == (args.filename is None):
        raise Misuse("either --schedule or -f is needed; --help has examples")
    if args.schedule is not None:
        return [of_schedule(args.schedule, args.time_zone)], True
    if args.time_zone is not None:
        raise Misuse("--time-zone belongs to --schedule; manifests have a timeZone of their own")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", args.namespace):
        raise Misuse(f"--namespace: {quoted(args.namespace)} is no name of a namespace; those are of a-z, 0-9 and -")
    return of_manifests(args.filename, args.namespace)


def valid(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, CronJob]]:
    """Give those that the operator would take; of the others tell why not."""
    for each in subjects:
        if each.cronjob is None:
            complain(f"{each.where}: {each.kind} {each.label}: {each.problem}")
        else:
            yield each, each.cronjob
