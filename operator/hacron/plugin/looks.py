"""What a HACronJob object says, as far as it can be read: whatever is not there or makes no sense is as good as absent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from hacron.commands.due import is_tick
from hacron.commands.files import Found
from hacron.commands.subjects import Subject, part, subject, text_of
from hacron.core import manifests, pausing
from hacron.core.manifests import instant
from hacron.core.model import VerdictKind

UNSEEN = "Unseen"  # no replica has told what it thinks of it
DELETING = "Deleting"


class Look:
    """A HACronJob as it stands in a cluster."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = {"apiVersion": manifests.API_VERSION, "kind": manifests.KIND} | body  # the items of a list do not say it
        self.metadata, self.spec, self.status = (part(body, name) for name in ("metadata", "spec", "status"))
        self.name, self.namespace = text_of(self.metadata, "name"), text_of(self.metadata, "namespace")

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def schedule(self) -> str:
        """What is due, as the operator understands it, else as it is written."""
        said = self.status.get("schedule") or self.spec.get("schedule") or self.spec.get("hashedSchedule")
        several = self.spec.get("schedules")
        return str(said) if said else "; ".join(map(str, several)) if isinstance(several, list) else ""

    @property
    def time_zone(self) -> str:
        """Its zone; empty where another cluster's schedule counts, whose zone is not known here."""
        if self.condition("Drifted").get("status") == "True" and not self._is_due_as_written:
            return ""
        return str(self.spec.get("timeZone") or "Etc/UTC")

    @property
    def _is_due_as_written(self) -> bool:
        """Whether what is told to be due is what is written here, as far as that shows."""
        here = self.subject()
        if self.status.get("schedule") not in (None, here.calendar.text if here.cronjob is not None else ""):
            return False
        return self.next is None or (here.cronjob is not None and is_tick(here, self.next))

    @property
    def guarantee(self) -> str:
        return str(self.spec.get("guarantee") or "")

    @property
    def is_leaving(self) -> bool:
        return manifests.is_leaving({"metadata": self.metadata})

    @property
    def state(self) -> tuple[str, str]:
        """In a word whether its ticks will fire and if not why; and the same in a sentence."""
        if self.is_leaving:  # what its status says is of before
            return DELETING, "it is being deleted here, and stays until its finalizers are done"
        if not entries(self.status, "conditions"):
            return UNSEEN, "no replica of the operator has told anything of it yet: is one running in this cluster?"
        if self.status.get("observedGeneration") != self.metadata.get("generation"):
            return UNSEEN, "the operator has not told anything of its newest change yet"
        for kind in ("Accepted", "Scheduled"):
            told = self.condition(kind)
            if told.get("status") == "False":
                return str(told.get("reason") or kind), str(told.get("message") or "")
        return "Scheduled", ""

    @property
    def warnings(self) -> list[str]:
        """What else its author should know."""
        said = [self.condition(kind) for kind in ("Drifted", "ClockChange")]
        return [f"{one['type']}: {one.get('message', '')}" for one in said if one.get("status") == "True"]

    @property
    def active(self) -> list[dict[str, Any]]:
        return entries(self.status, "active")

    @property
    def recent(self) -> list[dict[str, Any]]:
        """Verdicts, the newest first."""
        return entries(self.status, "recent")

    @property
    def last_result(self) -> dict[str, Any]:
        """What became of the last tick that was not skipped, if there is one."""
        results = [verdict for verdict in self.recent if verdict.get("verdict") != VerdictKind.SKIPPED]
        return next(iter([*results, *self.recent]), {})

    @property
    def next(self) -> datetime | None:
        return instant(self.status.get("nextScheduleTime")) if not self.is_leaving else None

    @property
    def pause(self) -> str:
        """By whom, until when and why it is paused here, if so."""
        found = manifests.pause_of(part(self.metadata, "annotations"))
        return f"paused{pausing.details(found)}" if found is not None else ""

    def condition(self, kind: str) -> dict[str, Any]:
        return next((one for one in entries(self.status, "conditions") if one.get("type") == kind), {})

    def subject(self) -> Subject:
        """Return it as those commands know it that need no cluster."""
        return subject(Found(f"HACronJob {self.label}", self.body, None), self.namespace)


def looks(listed: dict[str, Any]) -> Iterator[Look]:
    for body in listed.get("items") or []:
        if isinstance(body, dict):
            yield Look(body)


def entries(status: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    found = status.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
