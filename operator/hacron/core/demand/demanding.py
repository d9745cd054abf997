"""What HACronJobRuns ask for, taken in: runs beside the schedule of a cronjob, demanded in one of their home clusters.

The same demand may come from several clusters: the first counts, and what any `.status` knows of it is believed if that is more.
It ends when no cluster has that object any more, and is then remembered for a while, so that nothing that is late brings it back.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from hacron.core.admission import MOST_OPEN
from hacron.core.demand.wanted import MOST, read
from hacron.core.draft import Draft
from hacron.core.messages import Demand, DemandWithdrawn, RunsDemanded
from hacron.core.model import Account, Home, InvalidCronJob, Key, Run, RunState, key_of, namespace_of, sentence
from hacron.core.runs import known_again

MAY_HAVE_RUN = "its cluster was to be forgotten while it was there, so it may have run already: ask for it anew, by another name"


def demand(draft: Draft, command: RunsDemanded) -> Demand | None:
    """Take in what a HACronJobRun asks for; return the demand, unless nothing follows from it."""
    known = draft.demand(command.key)
    if known is None:
        return _note(draft, command)
    home = known.homes.get(command.cluster)
    if known.withdrawn_at is not None:
        if home is None or home.uid != command.uid:
            return _note(draft, command)
        return _go_on(draft, known, command) if _was_forgotten_since(draft, command, known.withdrawn_at) else None
    if home is not None and not is_newer(command, home) and command.instead_of != home.created_at:
        if draft.is_settling and home.uid == command.uid and not home.differs:
            draft.put_demand(replace(known, account=_fuller(known.account, command)), apart=True)
        return None
    others = known.homes.keys() - {command.cluster}
    if home is not None and home.uid != command.uid and not others:
        return _note(draft, command)  # deleted and made anew: another demand of the same name
    said = _understand(draft, command)
    differs = bool(others) and (said.cronjob, said.wanted) != (known.cronjob, known.wanted)
    homes = known.homes | {command.cluster: _home(command, differs)}
    account = known.account if differs else _fuller(known.account, command)
    demand = replace(known, homes=homes, account=account)
    draft.put_demand(demand, apart=True)
    return demand


def withdraw(draft: Draft, command: DemandWithdrawn) -> Demand | None:
    """Take in that a cluster no longer has the object with this uid: without any that says the same, nothing more is started.

    Those that say something else are told of once more, and are then a demand of their own.
    """
    known = draft.demand(command.key)
    home = known.homes.get(command.cluster) if known else None
    if known is None or home is None or home.uid != command.uid or known.withdrawn_at is not None:
        return None
    others = {name: one for name, one in known.homes.items() if name != command.cluster}
    if not all(one.differs for one in others.values()):
        demand = replace(known, homes=others)
    elif known.cronjob is None:
        draft.forget_demand(known.key)
        return None
    else:
        homes = {command.cluster: home}  # what it said may come once more
        demand = replace(known, homes=homes, withdrawn_at=draft.now, held=None)
    draft.put_demand(demand, apart=True)
    return demand


def is_newer(declared: RunsDemanded, known: Home) -> bool:
    """Whether a home says something newer than what the ledger has of it: a later generation, or a later object.

    Creation times are whole seconds: of two objects of one second, the later has the greater version.
    """
    if declared.uid == known.uid:
        return declared.generation > known.generation
    return (declared.created_at, declared.version) >= (known.created_at, known.version)


def _note(draft: Draft, command: RunsDemanded) -> Demand:
    demand = _understand(draft, command)
    known_until = draft.forgotten_at(command.cluster)
    if known_until is not None and command.created_at <= known_until and not demand.is_over:
        demand = replace(demand, wrong=MAY_HAVE_RUN)
    if demand.cronjob is not None and _is_taken(draft, demand.cronjob, demand):
        demand = replace(demand, account=replace(demand.account, id=command.uid))  # a copy of another one, status and all
    draft.put_demand(demand, apart=True)
    return demand


def _go_on(draft: Draft, known: Demand, command: RunsDemanded) -> Demand:
    """Let a demand count again that was withdrawn in the place of its cluster: it is still known what has run."""
    demand = replace(known, homes={command.cluster: _home(command)}, account=_fuller(known.account, command), withdrawn_at=None)
    draft.put_demand(demand, apart=True)
    return demand


def _was_forgotten_since(draft: Draft, command: RunsDemanded, withdrawn_at: datetime) -> bool:
    """Whether it may have been withdrawn in the place of its cluster, which has it still."""
    forgotten_at = draft.forgotten_at(command.cluster)
    return forgotten_at is not None and forgotten_at >= withdrawn_at


def _is_taken(draft: Draft, cronjob: Key, demand: Demand) -> bool:
    """Whether runs of others bear this identity."""
    progress, other = draft.progress(cronjob), draft.demand_of_run(cronjob, demand.account.id)
    is_anothers = other is not None and other.key != demand.key
    return is_anothers or (progress is not None and progress.cronjob_id == demand.account.id)


def _understand(draft: Draft, command: RunsDemanded) -> Demand:
    demand = Demand(
        key=command.key,
        created_at=min(command.created_at, draft.now),
        homes={command.cluster: _home(command)},
        account=_told(command) or Account(id=command.uid),
    )
    try:
        name, wanted = read(command.spec)
    except InvalidCronJob as invalid:
        return replace(demand, wrong=sentence(str(invalid)))
    return replace(demand, cronjob=key_of(namespace_of(command.key), name), wanted=wanted)


def _told(command: RunsDemanded) -> Account | None:
    """Return what its status says, if that is possible."""
    told = command.account
    if told is None or not told.succeeded + told.failed <= told.decided <= told.total <= MOST:
        return None
    if len(told.results) > MOST or len(told.open) > MOST_OPEN or not all(run.job for run in told.open):
        return None
    return replace(told, open=tuple(map(_as_read_back, told.open)))


def _as_read_back(run: Run) -> Run:
    """Keep what is read of an open run in a status: more would be in each record of its cronjob."""
    bare = known_again(run)
    return replace(bare, state=run.state, reason=run.reason, started=run.started) if run.state is RunState.LOST else bare


def _fuller(known: Account, command: RunsDemanded) -> Account:
    told = _told(command)
    return told if told is not None and told.decided > known.decided else known


def _home(command: RunsDemanded, differs: bool = False) -> Home:
    return Home(
        uid=command.uid,
        generation=command.generation,
        created_at=command.created_at,
        differs=differs,
        version=command.version,
    )
