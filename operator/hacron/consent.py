"""May a run enter a namespace here? Only if its HACronJob is declared there too, or whoever owns the namespace accepts it.

The operator has rights in every cluster that a tenant of one cluster lacks in another. So that a HACronJob is declared here is
not taken from the ledger alone, which others write: this cluster's own API server must have shown it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from hacron.core import manifests
from hacron.core.messages import Definition
from hacron.core.model import Key, Run, namespace_of
from hacron.core.state import State
from hacron.ports import Answer, GetNamespace, GetObject
from hacron.turn import Moment

ACCEPT_FROM = "hacron.io/accept-from"  # on a namespace: clusters whose HACronJobs may run in it, or "*"
BELIEVED_FOR_S = 30.0  # how long an answer is believed

What = TypeVar("What")


class Said(NamedTuple, Generic[What]):
    """What the API server has answered."""

    what: What
    at: float  # monotonic
    asked_at: datetime

    def is_old(self, moment: Moment) -> bool:
        return moment.mono - self.at > BELIEVED_FOR_S

    def is_of_before(self, tick: datetime, moment: Moment) -> bool:
        """Whether it was asked for before a tick that has come: a no may be a yes by now."""
        return self.asked_at < tick <= moment.wall


class Consent:
    """What this cluster's API server has last said of HACronJobs and namespaces. `uid_here`: of one that its watch shows."""

    def __init__(self, *, cluster: str, state: State, uid_here: Callable[[Key], str | None]) -> None:
        self._cluster = cluster
        self._state = state
        self._uid_here = uid_here
        self._found: dict[Key, Said[bool]] = {}  # whether there is one
        self._accepts: dict[str, Said[str]] = {}  # the annotation of a namespace

    def to(self, definition: Definition, run: Run, moment: Moment) -> bool | GetObject | GetNamespace:
        """Return whether this run of the cronjob may be made here, or what is to be asked first.

        A no of before its tick is not believed at the tick: somebody may have declared or accepted it since.
        """
        key = definition.key
        if self._cluster in self._state.definitions.get(key, {}):
            found = self._found.get(key)
            if self._uid_here(key) is not None:
                return True
            if found is None or found.is_old(moment) or (not found.what and found.is_of_before(run.tick, moment)):
                return GetObject(key=key, run_id=run.id)
            if found.what:
                return True
        said = self._accepts.get(namespace_of(key))
        accepted = said is not None and _accepts(said.what, definition.cluster)
        if said is None or said.is_old(moment) or (not accepted and said.is_of_before(run.tick, moment)):
            return GetNamespace(key=key, run_id=run.id, namespace=namespace_of(key))
        return accepted

    def why_not(self, definition: Definition) -> str:
        """Say what could be done about it."""
        key = definition.key
        return (
            f"{key} is not declared in {self._cluster}, and namespace {namespace_of(key)} there does not accept it: "
            f'annotate it with {ACCEPT_FROM}: "{definition.cluster}", or apply the HACronJob there too'
        )

    def take(self, request: GetObject | GetNamespace, answer: Answer, moment: Moment) -> bool:
        """Take in what was found; return whether that is an answer."""
        if not answer.ok and answer.status != 404:
            return False
        asked_at = answer.sent_at or moment.wall
        match request:
            case GetObject(key=key):
                found = answer.ok and "metadata" in answer.body and not manifests.is_leaving(answer.body)
                self._found[key] = Said(found, moment.mono, asked_at)
            case GetNamespace(namespace=namespace):
                annotations = answer.body.get("metadata", {}).get("annotations") or {}
                self._accepts[namespace] = Said(str(annotations.get(ACCEPT_FROM, "")), moment.mono, asked_at)
        return True


def _accepts(annotation: str, cluster: str) -> bool:
    return annotation.strip() == "*" or cluster in [name.strip() for name in annotation.split(",")]
