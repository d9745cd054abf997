"""What is heard of the clusters, and since when anybody listens: silence before that says nothing about a cluster.

While there is no executor, or no broker, every cluster is silent. An executor that took the silence it finds for theirs would
give up runs that are well, and start them elsewhere a second before their cluster speaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from hacron.core.messages import ClusterSeen
from hacron.core.model import Cluster


def declared_gone(clusters: Mapping[str, Cluster]) -> set[str]:
    """Return the clusters of which another one says that they will not come back."""
    return {name for cluster in clusters.values() for name in cluster.gone if name != cluster.name} | to_be_forgotten(clusters)


def to_be_forgotten(clusters: Mapping[str, Cluster]) -> set[str]:
    """Return the clusters of which another one says that they are to be forgotten: kept out, and what they declare withdrawn.

    What one says that is to be forgotten itself does not count: of two that say it of each other, both stay.
    """
    said = [(cluster.name, name) for cluster in clusters.values() for name in cluster.forgotten if name != cluster.name]
    named = {name for _, name in said}
    return {name for by, name in said if by not in named}


def why_unheard(cluster: Cluster, now: datetime, silent_after_s: float) -> str | None:
    """Say why nothing is heard of a cluster, to go on after its name; None if it is heard."""
    spoke_s = (now - cluster.spoke_at).total_seconds() if cluster.spoke_at is not None else 0.0
    if cluster.late_s and spoke_s <= silent_after_s:
        return f"is not heard: what it says is {cluster.late_s} s old on arrival; is its clock behind?"
    if cluster.is_silent(now, silent_after_s):
        return f"is silent since {cluster.seen_at:%H:%M:%S} UTC"
    return None


class Hearing(NamedTuple):
    clusters: Mapping[str, Cluster]
    since: datetime  # when this executor began to listen

    def silent_since(self, name: str) -> datetime:
        """Return from when on a cluster could have been heard of, and was not."""
        cluster = self.clusters.get(name)
        return self.since if cluster is None else max(self.since, cluster.seen_at)

    def is_another(self, seen: ClusterSeen, now: datetime, silent_after: timedelta) -> bool:
        """Whether this is said by another cluster than the one that has the name and is still heard of."""
        cluster = self.clusters.get(seen.cluster)
        if cluster is None or "" in (cluster.uid, seen.uid) or cluster.uid == seen.uid:
            return False
        return now < self.silent_since(seen.cluster) + silent_after

    def is_gone(self, name: str, now: datetime, silent_after: timedelta) -> bool:
        """Whether a cluster is silent and somebody has declared that it will not come back, nor what ran there."""
        is_silent = now >= self.silent_since(name) + silent_after
        return is_silent and name in declared_gone(self.clusters)
