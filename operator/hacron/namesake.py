"""Another cluster of the same name: a copied setting would let the Jobs of two clusters be made now here, now there.

Clusters are told apart by the uid of the namespace kube-system; the ledger says under which uid a name is heard of. Whoever has
the name goes on, and whoever comes later with another uid stays out of everything until nobody has heard of the first for a
while: a new cluster takes over for an old one that is gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from hacron.core.state import State
from hacron.ports import Kubernetes, NameTaken
from hacron.turn import Moment

GONE_AFTER_S: Final = 60.0
"""Without news of the other: a cluster that lives is heard of every few seconds, even after a takeover of the executor."""


class Namesake:
    """A replica's look at who else has the name of its cluster. Outlives a broker connection."""

    def __init__(self, *, cluster: str, kube: Kubernetes) -> None:
        self._cluster = cluster
        self._kube = kube
        self._heard: tuple[str, datetime] | None = None  # the other's uid, and when the executor heard of it last
        self._heard_at = 0.0  # monotonic; when that was read first

    def look(self, state: State, moment: Moment) -> None:
        """Compare with a State that is of now, as far as can be known without an executor. Raises NameTaken."""
        known, uid = state.clusters.get(self._cluster), self._kube.uid
        if known is None or not known.uid or not uid or known.uid == uid:
            self._heard = None
            return
        heard = (known.uid, known.seen_at)
        if heard != self._heard:
            self._heard, self._heard_at = heard, moment.mono
        if moment.mono - self._heard_at < GONE_AFTER_S:
            raise NameTaken(
                f"another cluster is called {self._cluster}, too: set another HACRON_CLUSTER in one of them"
                f" (uid of the namespace kube-system there: {known.uid}, here: {uid})"
            )
