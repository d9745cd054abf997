"""May a run enter a namespace here? Only if its HACronJob is declared there too, or whoever owns the namespace accepts it.

The operator has rights in every cluster that a tenant of one cluster lacks in another.
"""

from __future__ import annotations

from hacron.core.messages import Definition
from hacron.core.model import Key, namespace_of
from hacron.core.state import State
from hacron.ports import Answer, GetNamespace
from hacron.turn import Moment

ACCEPT_FROM = "hacron.io/accept-from"  # on a namespace: clusters whose HACronJobs may run in it, or "*"
BELIEVED_FOR_S = 30.0  # how long an answer about a namespace is believed


class Consent:
    """What the namespaces of this cluster accept, as last asked."""

    def __init__(self, *, cluster: str, state: State) -> None:
        self._cluster = cluster
        self._state = state
        self._accepts: dict[str, tuple[float, str]] = {}  # namespace → (monotonic, annotation)

    def to(self, key: Key, moment: Moment) -> bool | None:
        """Return whether runs of the cronjob may be made here; None: ask for its namespace first."""
        definition = self._state.winner(key)
        if definition is None or self._cluster in self._state.definitions.get(key, {}):
            return True
        at, accepts = self._accepts.get(namespace_of(key), (None, ""))
        if at is None or moment.mono - at > BELIEVED_FOR_S:
            return None
        return accepts.strip() == "*" or definition.cluster in [name.strip() for name in accepts.split(",")]

    def why_not(self, key: Key) -> str:
        """Say what could be done about it."""
        definition: Definition | None = self._state.winner(key)
        home = definition.cluster if definition else "its cluster"
        return (
            f"{key} is not declared in {self._cluster}, and namespace {namespace_of(key)} there does not accept it: "
            f'annotate it with {ACCEPT_FROM}: "{home}", or apply the HACronJob there too'
        )

    def take(self, request: GetNamespace, answer: Answer, moment: Moment) -> bool:
        """Take in what was found; return whether that is an answer."""
        if not answer.ok and answer.status != 404:
            return False
        annotations = answer.body.get("metadata", {}).get("annotations") or {}
        self._accepts[request.namespace] = (moment.mono, str(annotations.get(ACCEPT_FROM, "")))
        return True
