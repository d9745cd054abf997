"""What the custom resources have in common for whoever relays and shows them: objects in home clusters, entries in State."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec.structs import replace

from hacron.core import declaring, manifests, status
from hacron.core.demand import accounts, demanding, wanted
from hacron.core.messages import Command, CronJobDeclared, CronJobWithdrawn, Definition, DemandWithdrawn, RunsDemanded
from hacron.core.model import Home, Key, Kind, Pause, Run
from hacron.core.spec import says_the_same
from hacron.core.state import State
from hacron.core.status import Trial

Declaration = CronJobDeclared | RunsDemanded


class Known(Protocol):
    """What the ledger has of an object in one of its clusters."""

    @property
    def uid(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def created_at(self) -> datetime: ...


class Objects(Protocol):
    """A kind of objects."""

    @property
    def kind(self) -> Kind: ...

    def declared(self, cluster: str, body: dict[str, Any]) -> Declaration:
        """Say in a command what an object declares. Raises one of manifests.UNREADABLE when it is none."""

    def says(self, declared: Declaration) -> tuple[int, Pause | None]:
        """Return what of it may change while the object is the same."""

    def version(self, declared: Declaration) -> tuple[int, int]:
        """Return what grows with every change of the object."""

    def stands(self, state: State, entry: Known, declared: Declaration) -> bool:
        """Whether the ledger says what this object says, or what a newer version of it says."""

    def contradicted(self, state: State, declared: Declaration) -> datetime | None:
        """Return since when the ledger says that this object is gone, or was changed since; None when it does not."""

    def with_jobs(self, declared: Declaration, newest: datetime | None, running: Sequence[Run] | None) -> Declaration:
        """Add what the Jobs in the cluster tell: the newest tick of one, and which run; None: not all are known."""

    def remembering(self, declared: Declaration, earlier: Declaration, *, ledger_is_young: bool) -> Declaration:
        """Keep what an earlier look at the same object knew to have run: a ledger that has just begun may show less."""

    def knows_more(self, declared: Declaration, state: State) -> bool:
        """Whether this cluster knows of more that has run than the ledger does."""

    def withdrawn(self, key: Key, cluster: str, uid: str) -> Command:
        """Say in a command that an object is gone."""

    def homes(self, state: State, key: Key) -> Mapping[str, Known]:
        """Return the entries of an object, by cluster."""

    def keys(self, state: State) -> Iterable[Key]:
        """Return the keys of all that have entries."""

    def render(self, state: State, key: Key, cluster: str, now: datetime, trial: Trial) -> dict[str, Any] | None:
        """Return the whole `.status` of the object in a cluster; None when the ledger does not know it there."""

    def changes_at(self, state: State, key: Key, now: datetime) -> datetime | None:
        """Return when its `.status` is another although State stays; None if never."""


class CronJobs:
    kind = Kind.CRONJOB

    def declared(self, cluster: str, body: dict[str, Any]) -> Declaration:
        return replace(manifests.declared(cluster, body), running=status.running(body.get("status")))

    def says(self, declared: Declaration) -> tuple[int, Pause | None]:
        assert isinstance(declared, CronJobDeclared)
        return declared.generation, declared.pause

    def version(self, declared: Declaration) -> tuple[int, int]:
        assert isinstance(declared, CronJobDeclared)
        return declared.generation, declared.version

    def stands(self, state: State, entry: Known, declared: Declaration) -> bool:
        assert isinstance(entry, Definition)
        assert isinstance(declared, CronJobDeclared)
        if declared.key not in state.progress:
            return False  # the ledger has lost a part of it, and nothing fires
        return not declaring.is_newer(declared, entry)

    def contradicted(self, state: State, declared: Declaration) -> datetime | None:
        assert isinstance(declared, CronJobDeclared)
        entry, progress = state.definitions.get(declared.key, {}).get(declared.cluster), state.progress.get(declared.key)
        if entry is not None and _is_ahead(entry, declared):
            return entry.changed_at
        if entry is not None and entry.uid == declared.uid:
            return None
        return next((one.at for one in progress.gone if one.uid == declared.uid), None) if progress is not None else None

    def with_jobs(self, declared: Declaration, newest: datetime | None, running: Sequence[Run] | None) -> Declaration:
        assert isinstance(declared, CronJobDeclared)
        last = _later(declared.last_schedule_time, newest)
        if running is None:
            return replace(declared, last_schedule_time=last)
        elsewhere = [run for run in declared.running if run.cluster != declared.cluster]
        return replace(declared, last_schedule_time=last, running=(*elsewhere, *running))

    def remembering(self, declared: Declaration, earlier: Declaration, *, ledger_is_young: bool) -> Declaration:
        assert isinstance(earlier, CronJobDeclared)
        assert isinstance(declared, CronJobDeclared)
        decided = _later(declared.decided_until, earlier.decided_until)
        last = _later(declared.last_schedule_time, earlier.last_schedule_time)
        well = _later(declared.last_successful_time, earlier.last_successful_time)
        running = {run.id: run for run in (*(earlier.running if ledger_is_young else ()), *declared.running)}
        times = {"decided_until": decided, "last_schedule_time": last, "last_successful_time": well}
        return replace(declared, **times, running=tuple(running.values()))

    def knows_more(self, declared: Declaration, state: State) -> bool:
        assert isinstance(declared, CronJobDeclared)
        progress, decided = state.progress.get(declared.key), _later(declared.last_schedule_time, declared.decided_until)
        if progress is None or state.born is None:
            return False
        has_run = decided is not None and decided > progress.last_tick
        well = declared.last_successful_time
        is_lost = (
            well is not None and well <= state.born and (progress.last_successful is None or progress.last_successful < well)
        )
        return has_run or is_lost or bool(declaring.lost_runs(progress, declared.running, state.born))

    def withdrawn(self, key: Key, cluster: str, uid: str) -> Command:
        return CronJobWithdrawn(key=key, cluster=cluster, uid=uid)

    def homes(self, state: State, key: Key) -> Mapping[str, Known]:
        return state.definitions.get(key, {})

    def keys(self, state: State) -> Iterable[Key]:
        return state.definitions

    def render(self, state: State, key: Key, cluster: str, now: datetime, trial: Trial) -> dict[str, Any] | None:
        return status.render(state, key, cluster, now, trial)

    def changes_at(self, state: State, key: Key, now: datetime) -> datetime | None:
        progress = state.progress.get(key)
        return status.changes_at(progress, now) if progress is not None else None


class Demands:
    kind = Kind.DEMAND

    def declared(self, cluster: str, body: dict[str, Any]) -> Declaration:
        return wanted.demanded(cluster, body)

    def says(self, declared: Declaration) -> tuple[int, Pause | None]:
        return declared.generation, None

    def version(self, declared: Declaration) -> tuple[int, int]:
        return declared.generation, 0

    def stands(self, state: State, entry: Known, declared: Declaration) -> bool:  # noqa: ARG002 - a demand is one record
        assert isinstance(entry, Home)
        assert isinstance(declared, RunsDemanded)
        return not demanding.is_newer(declared, entry)

    def contradicted(self, state: State, declared: Declaration) -> datetime | None:
        assert isinstance(declared, RunsDemanded)
        entry = self.homes(state, declared.key).get(declared.cluster)
        if entry is None or entry.uid == declared.uid:
            return None  # what is demanded does not change, and what was done about it stays done
        return None if demanding.is_newer(declared, entry) else entry.created_at

    def with_jobs(
        self,
        declared: Declaration,
        newest: datetime | None,  # noqa: ARG002 - what ran is in the account
        running: Sequence[Run] | None,  # noqa: ARG002 - so is what runs
    ) -> Declaration:
        return declared

    def remembering(self, declared: Declaration, earlier: Declaration, *, ledger_is_young: bool) -> Declaration:  # noqa: ARG002 - an account grows
        assert isinstance(declared, RunsDemanded)
        assert isinstance(earlier, RunsDemanded)
        told, known = declared.account, earlier.account
        less = known is not None and (told is None or told.decided < known.decided)
        return replace(declared, account=known) if less else declared

    def knows_more(self, declared: Declaration, state: State) -> bool:
        assert isinstance(declared, RunsDemanded)
        demand, told = state.demands.get(declared.key), declared.account
        return demand is not None and told is not None and told.decided > demand.account.decided

    def withdrawn(self, key: Key, cluster: str, uid: str) -> Command:
        return DemandWithdrawn(key=key, cluster=cluster, uid=uid)

    def homes(self, state: State, key: Key) -> Mapping[str, Home]:
        demand = state.demands.get(key)
        return demand.homes if demand is not None and demand.withdrawn_at is None else {}

    def keys(self, state: State) -> Iterable[Key]:
        return state.demands

    def render(self, state: State, key: Key, cluster: str, now: datetime, trial: Trial) -> dict[str, Any] | None:  # noqa: ARG002 - it has no template
        return accounts.render(state, key, cluster)

    def changes_at(self, state: State, key: Key, now: datetime) -> datetime | None:  # noqa: ARG002 - each start and end is a record
        return None


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def _is_ahead(entry: Definition, declared: CronJobDeclared) -> bool:
    """Whether the ledger has a later state of an object, or another one that is as old, or an object that was made later."""
    is_same = (entry.uid, entry.generation) == (declared.uid, declared.generation)
    if is_same and not says_the_same(entry.key, entry.spec, declared.spec):
        return True
    return not declaring.is_newer(declared, entry) and not (is_same and entry.pause == declared.pause)


CRONJOBS = CronJobs()
DEMANDS = Demands()
