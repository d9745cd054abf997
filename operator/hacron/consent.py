"""May a run enter a namespace here? Only if its HACronJob is declared there too, or whoever owns the namespace accepts it.

The operator has rights in every cluster that a tenant of one cluster lacks in another. So that a HACronJob is declared here is
not taken from the ledger alone, which others write: this cluster's own API server must have shown it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hacron.core import manifests
from hacron.core.messages import Definition
from hacron.core.model import Key, namespace_of
from hacron.core.state import State
from hacron.ports import Answer, GetNamespace, GetObject
from hacron.turn import Moment

ACCEPT_FROM = "hacron.io/accept-from"  # on a namespace: clusters whose HACronJobs may run in it, or "*"
BELIEVED_FOR_S = 30.0  # how long an answer is believed

What = TypeVar("What")


class Consent:
    """What this cluster's API server has last said of HACronJobs and namespaces. `uid_here`: of one that its watch shows."""

    def __init__(self, *, cluster: str, state: State, uid_here: Callable[[Key], str | None]) -> None:
        self._cluster = cluster
        self._state = state
        self._uid_here = uid_here
        self._found: dict[Key, tuple[float, bool]] = {}  # asked for: (monotonic, there is one)
        self._accepts: dict[str, tuple[float, str]] = {}  # namespace → (monotonic, annotation)

    def to(self, definition: Definition, run_id: str, moment: Moment) -> bool | GetObject | GetNamespace:
        """Return whether this run of the cronjob may be made here, or what is to be asked first."""
        key = definition.key
        if self._cluster in self._state.definitions.get(key, {}):
            declared = self._uid_here(key) is not None or _believed(self._found.get(key), moment)
            if declared is None:
                return GetObject(key=key, run_id=run_id)
            if declared:
                return True
        accepts = _believed(self._accepts.get(namespace_of(key)), moment)
        if accepts is None:
            return GetNamespace(key=key, run_id=run_id, namespace=namespace_of(key))
        return accepts.strip() == "*" or definition.cluster in [name.strip() for name in accepts.split(",")]

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
        match request:
            case GetObject(key=key):
                self._found[key] = (
                    moment.mono,
                    answer.ok and "metadata" in answer.body and not manifests.is_leaving(answer.body),
                )
            case GetNamespace(namespace=namespace):
                annotations = answer.body.get("metadata", {}).get("annotations") or {}
                self._accepts[namespace] = (moment.mono, str(annotations.get(ACCEPT_FROM, "")))
        return True


def _believed(answer: tuple[float, What] | None, moment: Moment) -> What | None:
    """Return what was answered; None when there is no answer, or one too old to be believed."""
    return answer[1] if answer is not None and moment.mono - answer[0] <= BELIEVED_FOR_S else None
