"""What one decision changes, over a State that it leaves alone.

Steps of a decision read their own earlier steps through the draft; what comes out is at most one record per subject, however
often it was touched. State itself changes only when the records come back from the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec.structs import replace

from hacron.core.messages import ClusterState, Definition, Demand, DemandForgotten, Progress, Record, Removed
from hacron.core.model import Cluster, CronJob, InvalidCronJob, Key, Verdict, VerdictKind
from hacron.core.rules import Rules
from hacron.core.state import State, understand, winner_of

TICKS_COUNTED = 500  # in one decision: a tick may cost a third of a millisecond, and a turn must stay far below a second
RUNS_BEGUN = 2000  # in one decision, or a few more: with what becomes of the record, each costs a tenth of a millisecond


class Draft:
    def __init__(self, state: State, rules: Rules, now: datetime) -> None:
        self._state = state
        self.rules = rules
        self.now = now  # when it is decided
        self.born = state.born
        self.is_settling = state.began_within(rules.settle, now)  # what clusters know to have run may not be known here yet
        self._homes: dict[Key, dict[str, Definition]] = {}
        self._parsed: dict[Key, CronJob | InvalidCronJob | None] = {}
        self._progress: dict[Key, Progress | None] = {}
        self._more_open: Counter[str] = Counter()  # runs, by cluster
        self._clusters: dict[str, Cluster] = {}
        self._demands: dict[Key, Demand | None] = {}
        self._by_identity: dict[tuple[Key, str], Key] = {}  # cronjob, what the ids of runs begin with → demand that changes
        self._apart: set[Key] = set()  # demands that are written for themselves
        self._asked: dict[Key | None, dict[Key, None]] = {}  # cronjob → those of its demands that change
        self.revision = state.revision
        self.ticks_to_count = TICKS_COUNTED  # of ranges that are demanded; what is left goes on in the next decision
        self.runs_to_begin = RUNS_BEGUN

    # --- reading ---

    def homes(self, key: Key) -> Mapping[str, Definition]:
        """Return what each home cluster declares."""
        return self._homes.get(key, self._state.definitions.get(key, {}))

    def cronjob(self, key: Key) -> CronJob | InvalidCronJob | None:
        if key not in self._homes:
            return self._state.cronjob(key)
        if key not in self._parsed:
            winner = winner_of(self._homes[key])
            self._parsed[key] = understand(winner) if winner else None
        return self._parsed[key]

    def progress(self, key: Key) -> Progress | None:
        return self._progress[key] if key in self._progress else self._state.progress.get(key)

    def demand(self, key: Key) -> Demand | None:
        return self._demands[key] if key in self._demands else self._state.demands.get(key)

    def pending_of(self, cronjob: Key) -> list[Demand]:
        """Return what is demanded of a cronjob and not settled: single runs before ranges, and the oldest first."""
        keys = dict.fromkeys([*self._state.pending_keys_of(cronjob), *self._asked.get(cronjob, ())])
        if not keys:
            return []
        found = [demand for demand in map(self.demand, keys) if demand is not None and demand.cronjob == cronjob]
        found = [demand for demand in found if not demand.is_settled]
        return sorted(found, key=lambda demand: (demand.wanted.begin is not None, demand.created_at, demand.key))

    def untold(self, progress: Progress) -> tuple[Verdict, ...]:
        """Return the verdicts that no record has yet."""
        return tuple(new_verdicts(progress, self._state.progress.get(progress.key)))

    def demand_of_run(self, cronjob: Key, identity: str) -> Demand | None:
        """Return the demand whose runs bear this identity, settled or not."""
        key = self._by_identity.get((cronjob, identity), self._state.demand_of_run(cronjob, identity))
        found = self.demand(key) if key is not None else None
        return found if found is not None and found.account.id == identity else None

    def is_called_off(self, cronjob: Key, identity: str) -> bool:
        """Whether nobody demands the runs of this identity any more."""
        demand = self.demand_of_run(cronjob, identity)
        return demand is None or demand.withdrawn_at is not None

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        return {**self._state.clusters, **self._clusters} if self._clusters else self._state.clusters

    def forgotten_at(self, cluster: str) -> datetime | None:
        """Return until when what a cluster declares may have been decided, and is no longer known."""
        known = self.clusters.get(cluster) or self._state.former.get(cluster)
        return known.forgotten_at if known is not None else None

    def open_runs_beside(self, key: Key) -> Mapping[str, int]:
        """Return how many runs of other cronjobs are open, by cluster, with what has been decided until now."""
        count = Counter({name: len(runs) for name, runs in self._state.open_runs.items()})
        count.update(self._more_open)
        own = self.progress(key)
        count.subtract(run.cluster for run in (own.open if own else ()))
        return count

    def changes(self, key: Key) -> bool:
        """Whether anything about this cronjob will be written."""
        return key in self._progress or key in self._homes or key in self._asked

    def declared_in(self, cluster: str) -> Iterator[Definition]:
        """Yield what a cluster declares."""
        for key, homes in self._state.definitions.items():
            if cluster in homes and (mine := self.homes(key).get(cluster)) is not None:
                yield mine

    def demanded_in(self, cluster: str) -> Iterator[Demand]:
        """Yield what is demanded there, and not withdrawn."""
        for key, before in self._state.demands.items():
            demand = self.demand(key) if cluster in before.homes else None
            if demand is not None and cluster in demand.homes and demand.withdrawn_at is None:
                yield demand

    def has_open_runs_in(self, cluster: str) -> bool:
        return bool(self._state.open_runs.get(cluster))

    # --- writing ---

    def define(self, definition: Definition) -> None:
        self._homes[definition.key] = {**self.homes(definition.key), definition.cluster: definition}
        self._parsed.pop(definition.key, None)
        self.revision = max(self.revision, definition.revision)

    def undefine(self, key: Key, cluster: str) -> None:
        self._homes[key] = {home: definition for home, definition in self.homes(key).items() if home != cluster}
        self._parsed.pop(key, None)

    def put(self, progress: Progress) -> None:
        before = self.progress(progress.key)
        if before is not None and before.held is not None and progress.held is None:
            progress = replace(progress, turned_at=self.now)
        if progress != before:
            if before is None or progress.open != before.open:
                self._more_open.update(run.cluster for run in progress.open)
                self._more_open.subtract(run.cluster for run in (before.open if before else ()))
                known = {run.id for run in before.open} if before else set()
                self.runs_to_begin -= sum(run.id not in known for run in progress.open)
            if progress == self._state.progress.get(progress.key):
                self._progress.pop(progress.key, None)  # one step has undone the other: there is nothing to write
            else:
                self._progress[progress.key] = progress

    def forget(self, key: Key) -> None:
        """Drop the cronjob altogether."""
        self._progress[key] = None

    def put_demand(self, demand: Demand, *, apart: bool = False) -> None:
        """Write a demand down, with what else is said of its cronjob; `apart`: that needs nothing of it."""
        if demand == self.demand(demand.key):
            return
        if apart and demand.key not in self._demands:
            self._apart.add(demand.key)
        elif not apart:
            self._apart.discard(demand.key)
        self._demands[demand.key] = demand
        self._asked.setdefault(demand.cronjob, {})[demand.key] = None
        if demand.cronjob is not None:
            self._by_identity[demand.cronjob, demand.account.id] = demand.key

    def forget_demand(self, key: Key) -> None:
        """Drop a demand altogether."""
        before = self.demand(key)
        self._asked.setdefault(before.cronjob if before else None, {})[key] = None
        self._demands[key] = None
        self._apart.add(key)

    def see(self, cluster: Cluster) -> None:
        self._clusters[cluster.name] = cluster

    # --- what comes out ---

    def written_apart(self) -> list[tuple[Record, ...]]:
        """Return the records that count whatever becomes of others, each as a group."""
        groups: list[tuple[Record, ...]] = [(ClusterState(cluster=cluster),) for cluster in self._clusters.values()]
        groups += [(self._demands[key] or DemandForgotten(key=key),) for key in self._demands if key in self._apart]
        return groups

    def changed(self) -> list[Key]:
        """Return the cronjobs of which something is written."""
        return list(dict.fromkeys([*self._homes, *self._progress, *(key for key in self._asked if key is not None)]))

    def group(self, key: Key) -> tuple[Record, ...]:
        """Return what is written of a cronjob: runs that were demanded together with where they come from and go."""
        demands = [self._demands[asked] for asked in self._asked.get(key, ()) if asked not in self._apart]
        return (*(demand for demand in demands if demand is not None), *self._cronjob_group(key))

    def _cronjob_group(self, key: Key) -> tuple[Record, ...]:
        if key in self._progress and self._progress[key] is None:
            return (Removed(key=key),)
        before = self._state.definitions.get(key, {})
        after = self.homes(key)
        records: list[Record] = [Removed(key=key, cluster=home) for home in before if home not in after]
        records += [definition for home, definition in after.items() if definition != before.get(home)]
        progress = self._progress.get(key)
        if progress is not None:
            records.append(self._shortened(progress))
        return tuple(records)

    def _shortened(self, progress: Progress) -> Progress:
        """Leave out the oldest verdicts that are too many, but none that is new: a run that took long has an old tick.

        Half of the room is for what is not Skipped: each of many ticks that wait for a long run is.
        """
        before, limit = self._state.progress.get(progress.key), self.rules.recent_limit
        surplus = len(progress.recent) - limit
        if surplus <= 0 or before is None:
            return progress
        results = [verdict for verdict in progress.recent if verdict.verdict is not VerdictKind.SKIPPED]
        known = set(before.recent) - set(results[max(0, len(results) - limit // 2) :])
        dropped = set([verdict for verdict in progress.recent if verdict in known][:surplus])
        return replace(progress, recent=tuple(verdict for verdict in progress.recent if verdict not in dropped))


def new_verdicts(after: Progress, before: Progress | None) -> list[Verdict]:
    """Return the verdicts that were not there before, in the order of ticks."""
    known = set(before.recent) if before else set()
    return [verdict for verdict in after.recent if verdict not in known]


def new_results(after: Demand, before: Demand | None) -> list[Verdict]:
    """Return what is new of the runs of a demand; what it brought along when it became known is not."""
    if before is None or before.account.id != after.account.id:
        return []
    known = set(before.account.results)
    return [verdict for verdict in after.account.results if verdict not in known]


def how_ended(after: Demand, before: Demand | None) -> str | None:
    """Return how a demand has ended by this record, one of reasons.DEMANDS_END; None when it goes on, or was over before."""
    if before is not None and before.account.id != after.account.id:
        before = None  # of one that was deleted, and made anew
    if before is not None and before.is_over:
        return None
    if after.wrong:
        return "Refused"
    if before is None:
        return None  # what it brought along when it became known
    if after.account.finished is not None:
        return "Succeeded" if after.account.succeeded == after.account.total else "SomeFailed"
    return "Withdrawn" if after.withdrawn_at is not None else None


def with_verdict(progress: Progress, verdict: Verdict) -> Progress:
    """Add a verdict, in the order of ticks; a later word on the same attempt of the same tick replaces the earlier one.

    One on a run that was demanded says nothing of the tick: it goes into the demand's account.
    """
    if verdict.run:
        return replace(progress, told=(*progress.told, verdict))
    others = [v for v in progress.recent if (v.tick, v.attempt) != (verdict.tick, verdict.attempt)]
    return replace(progress, recent=tuple(sorted([*others, verdict], key=lambda v: (v.tick, v.attempt))))
