"""A cluster is forgotten: what it declares is withdrawn in its place, and in the end nothing of it is left in the ledger.

People say so in another cluster, of one that was lost or retired. It must have been silent for as long as it takes to give up
what ran there. As long as they say it, nothing that it declares is taken in, and no run is placed there, should it come back:
what it says then is old, and would count as the newest change. When it is no longer named, what it has declared before begins
anew: ticks and demands of the past may have been decided, and nobody knows it any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec.structs import replace

from hacron.core.draft import Draft
from hacron.core.hearing import Hearing
from hacron.core.messages import CronJobWithdrawn, DemandWithdrawn

AT_ONCE = 300  # objects that are withdrawn in one decision: some tenths of a millisecond each


def withdrawals(draft: Draft, name: str, hearing: Hearing) -> Iterator[CronJobWithdrawn | DemandWithdrawn]:
    """Yield a part of what is withdrawn in the place of a cluster, each to be taken in; when nothing is left, forget it.

    Asked again with every sign of life of the cluster that wants it so.
    """
    cluster = draft.clusters.get(name)
    if cluster is None or draft.now < hearing.silent_since(name) + draft.rules.lost_after:
        return
    definitions = list(islice(draft.declared_in(name), AT_ONCE))
    for definition in definitions:
        yield CronJobWithdrawn(key=definition.key, cluster=name, uid=definition.uid)
    demands = list(islice(draft.demanded_in(name), AT_ONCE))
    for demand in demands:
        yield DemandWithdrawn(key=demand.key, cluster=name, uid=demand.homes[name].uid)
    if definitions or demands:
        draft.see(replace(cluster, forgotten_at=draft.now))
    elif not draft.has_open_runs_in(name):
        draft.see(replace(cluster, removed=True, forgotten_at=draft.now))
