"""A cluster is forgotten: what it declares is withdrawn in its place, and in the end nothing of it is left in the ledger.

People say so in another cluster, of one that was lost or retired. It must have been silent for as long as it takes to give up
what ran there. As long as they say it, nothing that it declares is taken in, and no run is placed there, should it come back:
what it says then is old, and would count as the newest change. When it is no longer named, what it has declared before begins
anew: ticks and demands of the past may have been decided, and nobody knows it any more.
"""

from __future__ import annotations

from itertools import islice

from msgspec.structs import replace

from hacron.core.declaring import withdraw
from hacron.core.demand import demanding
from hacron.core.draft import Draft
from hacron.core.hearing import Hearing
from hacron.core.messages import CronJobWithdrawn, DemandWithdrawn
from hacron.core.model import Key

AT_ONCE = 300  # objects that are withdrawn in one decision: some tenths of a millisecond each


def forget(draft: Draft, name: str, hearing: Hearing) -> list[Key]:
    """Withdraw a part of what a cluster declares; when nothing is left, forget the cluster. Return whom to look at.

    Asked again with every sign of life of the cluster that wants it so.
    """
    cluster = draft.clusters.get(name)
    if cluster is None or draft.now < hearing.silent_since(name) + draft.rules.lost_after:
        return []
    keys: list[Key] = []
    for definition in list(islice(draft.declared_in(name), AT_ONCE)):
        withdraw(draft, CronJobWithdrawn(key=definition.key, cluster=name, uid=definition.uid), may_return=True)
        keys.append(definition.key)
    demands = list(islice(draft.demanded_in(name), AT_ONCE))
    for demand in demands:
        demanding.withdraw(draft, DemandWithdrawn(key=demand.key, cluster=name, uid=demand.homes[name].uid))
        keys += [demand.cronjob] if demand.cronjob is not None else []
    if keys or demands:
        draft.see(replace(cluster, forgotten_at=draft.now))
    elif not draft.has_open_runs_in(name):
        draft.see(replace(cluster, removed=True, forgotten_at=draft.now))
    return keys
