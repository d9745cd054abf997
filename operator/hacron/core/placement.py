"""In which cluster does a run start? Of those that the user asks for, one that is alive, takes runs, and has not refused it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hacron.core.hearing import to_be_forgotten, why_unheard
from hacron.core.model import Cluster, Key, Placement, Strategy

MOST_NAMED = 5  # clusters about which is told why they cannot be chosen
MOST_WORDS = 1000  # characters of that; a selector may be longer than what can be told of anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a choice looks at: who is wanted, and how the clusters are now."""

    wanted: Placement
    homes: Collection[str]  # the clusters that declare the cronjob
    clusters: Mapping[str, Cluster]
    now: datetime
    silent_after: timedelta

    def candidates(self) -> Sequence[str]:
        """Return the clusters that may be chosen, best first, dead or alive."""
        return [name for name in self._asked_for() if self._is_selected(name)]

    def choose(self, key: Key, load: Callable[[], Mapping[str, int]], without: Collection[str] = ()) -> str | None:
        """Return where to start; None when no candidate can be chosen now.

        With strategy Spread the one with the lowest `load` (open runs of all cronjobs). Where several have it, each cronjob has
        an order of its own that stays the same: many that are due at once do not all begin with the same cluster, and one that
        runs alone keeps to its cluster.
        """
        usable = [name for name in self.candidates() if name not in without and self.obstacle(name) is None]
        if self.wanted.strategy is not Strategy.SPREAD or len(usable) < 2:
            return usable[0] if usable else None
        open_runs = load()
        return min(usable, key=lambda name: (open_runs.get(name, 0), zlib.crc32(f"{key} {name}".encode()), name))

    def why_none(self) -> str:
        """Say in one sentence why no candidate can be chosen."""
        why = self._why_none()
        return why if len(why) <= MOST_WORDS else f"{why[:MOST_WORDS]}…"

    def _why_none(self) -> str:
        asked_for = self._asked_for()
        candidates = self.candidates()
        if asked_for and not candidates:
            among = ", ".join(asked_for[:MOST_NAMED]) + (", …" if len(asked_for) > MOST_NAMED else "")
            return f"no cluster has the labels of placement.clusterSelector ({self.wanted.selector}); looked at {among}"
        if not candidates:
            return "no cluster is named in placement.clusters and none declares it"
        return ", ".join(f"{name} {self.obstacle(name) or 'refused'}" for name in candidates[:MOST_NAMED])

    def obstacle(self, name: str) -> str | None:
        """Say why a cluster cannot be chosen now; None if it can."""
        cluster = self.clusters.get(name)
        if cluster is None:
            return "has never been heard of"
        if name in to_be_forgotten(self.clusters):
            return "is to be forgotten, as another cluster says"
        if unheard := why_unheard(cluster, self.now, self.silent_after.total_seconds()):
            return unheard
        if not cluster.api_ok:
            return "does not reach its API server"
        if cluster.cordoned:
            return f"is cordoned ({cluster.cordoned})"
        return None

    def _asked_for(self) -> Sequence[str]:
        """Return whom the user names; with a selector alone all that were ever heard of, those that declare it first."""
        if self.wanted.clusters:
            return self.wanted.clusters
        if self.wanted.selector is None:
            return sorted(self.homes)
        return sorted({*self.homes, *self.clusters}, key=lambda name: (name not in self.homes, name))

    def _is_selected(self, name: str) -> bool:
        """Whether a cluster has the labels that are wanted. One that was never heard of has none."""
        cluster, selector = self.clusters.get(name), self.wanted.selector
        return selector is None or selector.matches(cluster.labels if cluster is not None else {})


def in_words(wanted: Placement) -> str:
    """Say who is asked for, to go on after "a run goes to"."""
    some = "the one with the fewest open runs" if wanted.strategy is Strategy.SPREAD else "the first"
    labelled = f" with the labels {wanted.selector}" if wanted.selector is not None else ""
    if wanted.clusters:
        return f"{some} of {', '.join(wanted.clusters)}{labelled}"
    if labelled:
        order = "" if wanted.strategy is Strategy.SPREAD else ", those that declare it before the others, by name"
        return f"{some} of the clusters{labelled}{order}"
    order = "" if wanted.strategy is Strategy.SPREAD else ", by name"
    return f"{some} of the clusters that declare it{order}"
