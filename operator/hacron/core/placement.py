"""In which cluster does a run start? The first candidate, in the user's order, that is alive and has not refused it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from hacron.core.model import Cluster


def candidates(preferred: Sequence[str], homes: Collection[str]) -> Sequence[str]:
    """Return the clusters that may be chosen, best first: those the user named, else those that declare the cronjob."""
    return preferred or sorted(homes)


def choose(
    candidates: Sequence[str],
    clusters: Mapping[str, Cluster],
    now: datetime,
    silent_after: timedelta,
    without: Collection[str] = (),
) -> str | None:
    """Return the first candidate that is heard of and whose worker reaches its API server; None when there is none."""
    for name in candidates:
        cluster = clusters.get(name)
        if cluster is None or name in without:
            continue
        if cluster.api_ok and not cluster.is_silent(now, silent_after.total_seconds()):
            return name
    return None


def why_none(candidates: Sequence[str], clusters: Mapping[str, Cluster], now: datetime, silent_after: timedelta) -> str:
    """Say in one sentence why no candidate can be chosen."""
    if not candidates:
        return "no cluster is named in placement.clusters and none declares it"
    causes = []
    for name in candidates[:5]:
        cluster = clusters.get(name)
        if cluster is None:
            causes.append(f"{name} has never been heard of")
        elif cluster.late_s:
            causes.append(f"{name} is not heard: what it says is {cluster.late_s} s old on arrival; is its clock behind?")
        elif cluster.is_silent(now, silent_after.total_seconds()):
            causes.append(f"{name} is silent since {cluster.seen_at:%H:%M:%S} UTC")
        elif not cluster.api_ok:
            causes.append(f"{name} does not reach its API server")
        else:
            causes.append(f"{name} refused")
    return ", ".join(causes)
