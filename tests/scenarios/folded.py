"""What the ledger adds up to at each point, by a fold of the judge's own.

Everything that was acknowledged stands in it by then, and whoever has read it has the same in mind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hacron.broker import codec
from hacron.core.messages import (
    Batch,
    Checkpoint,
    ClusterState,
    Command,
    CronJobDeclared,
    CronJobWithdrawn,
    Definition,
    Demand,
    DemandForgotten,
    DemandWithdrawn,
    Progress,
    Proof,
    Removed,
    Report,
    RunFinished,
    RunOutOfSight,
    RunRefused,
    RunReport,
    RunsDemanded,
    RunStarted,
    RunStopped,
)
from hacron.core.model import Cluster, CronJob, InvalidCronJob, Key, RunState
from hacron.core.state import State
from tests.fakes.broker import COMMANDS, Acknowledged, Stored
from tests.fakes.versions import is_of_next
from tests.scenarios import declared
from tests.scenarios.chronicle import short
from tests.scenarios.decided import counting
from tests.scenarios.world import World

OF_RUNS = b'"Run'  # with it begin the kinds of reports, but for that of a cluster
NOT_OVER = (RunState.PENDING, RunState.RUNNING)


@dataclass(slots=True)
class Fold:
    """What counts of one ledger, up to some message."""

    has_begun: bool = False
    born: datetime | None = None  # as its executor says; who has not read its beginning says something else; None: says nothing
    definitions: dict[Key, dict[str, Definition]] = field(default_factory=dict)
    progress: dict[Key, Progress] = field(default_factory=dict)
    demands: dict[Key, Demand] = field(default_factory=dict)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)  # uids of all objects that were ever noted to be gone
    forgotten: set[Key] = field(default_factory=set)  # what was forgotten altogether
    not_heard: set[str] = field(default_factory=set)  # clusters that were to be forgotten, at any time

    def take(self, batch: Batch) -> None:
        for record in batch.records:
            match record:
                case Checkpoint():
                    self.has_begun, self.born = True, record.born if self.has_begun else record.at
                case Proof():
                    self.born = record.born or self.born
                case Definition():
                    self.definitions.setdefault(record.key, {})[record.cluster] = record
                case Progress():
                    self.progress[record.key] = record
                    self.gone.update(one.uid for one in record.gone)
                case Removed(cluster=None):
                    self.gone.update(one.uid for one in self.definitions.pop(record.key, {}).values())
                    self.progress.pop(record.key, None)
                    self.forgotten.add(record.key)
                case Removed():
                    self._remove(record.key, record.cluster)
                case Demand():
                    self.demands[record.key] = record
                case DemandForgotten():
                    self.demands.pop(record.key, None)
                    self.forgotten.add(record.key)
                case ClusterState():
                    self.clusters[record.cluster.name] = record.cluster
                    self.not_heard.update(record.cluster.forgotten)

    def _remove(self, key: Key, cluster: str | None) -> None:
        homes = self.definitions.get(key, {})
        homes.pop(cluster or "", None)
        if not homes:
            self.definitions.pop(key, None)

    def counts(self, key: Key) -> Definition | None:
        """Return what counts of that which the homes of a cronjob declare: the newest change. Changes are numbered."""
        newest: Definition | None = None
        for one in self.definitions.get(key, {}).values():
            if newest is None or one.revision > newest.revision:
                newest = one
        return newest

    def cronjob(self, key: Key) -> CronJob | InvalidCronJob | None:
        """Return what the change says that counts; None: nobody declares it."""
        newest = self.counts(key)
        return declared.read_spec(key, bytes(newest.spec)) if newest is not None else None

    def has(self, message: Command | Report) -> bool:
        """Whether it says what follows from a message, or what has made that old."""
        match message:
            case CronJobDeclared() | RunsDemanded() if self._is_not_taken_in(message):
                return True
            case CronJobDeclared():
                return self._has_declared(message)
            case CronJobWithdrawn():
                noted = self.definitions.get(message.key, {}).get(message.cluster)
                return noted is None or noted.uid != message.uid
            case RunsDemanded():
                demand = self.demands.get(message.key)
                return demand is not None or message.key in self.forgotten
            case DemandWithdrawn():
                demand = self.demands.get(message.key)
                home = demand.homes.get(message.cluster) if demand is not None and demand.withdrawn_at is None else None
                return home is None or home.uid != message.uid
            case RunStarted() | RunFinished() | RunRefused() | RunStopped() | RunOutOfSight():
                return self._has_heard(message)
            case _:
                return True

    def _is_not_taken_in(self, message: CronJobDeclared | RunsDemanded) -> bool:
        """Whether nothing is to follow from it: it was said of another ledger, of what was put back, or by who is forgotten."""
        is_anothers = None not in (message.ledger, self.born) and message.ledger != self.born
        return is_anothers or message.cluster in self.not_heard or message.instead_of is not None

    def _has_declared(self, message: CronJobDeclared) -> bool:
        noted = self.definitions.get(message.key, {}).get(message.cluster)
        if message.uid in self.gone:
            return True
        if noted is None:
            return False
        if noted.uid != message.uid:
            return (noted.created_at, noted.version) > (message.created_at, message.version)
        if noted.generation != message.generation:
            return noted.generation > message.generation
        return noted.pause == message.pause or noted.version > message.version

    def _has_heard(self, report: RunReport) -> bool:
        progress = self.progress.get(report.key)
        run = next((run for run in progress.open if run.id == report.run_id), None) if progress is not None else None
        if run is None or run.cluster != report.cluster:
            return True
        if isinstance(report, RunStarted | RunRefused):  # what has begun all the same is not refused
            return run.state is not RunState.PENDING
        return run.state not in NOT_OVER

    def differs_from(self, state: State) -> Iterator[str]:
        """Yield what a replica that has read just as much has otherwise."""
        known = {name: cluster for name, cluster in self.clusters.items() if not cluster.removed}
        for what, mine, theirs in (
            ("definitions", self.definitions, state.definitions),
            ("progress", self.progress, state.progress),
            ("demands", self.demands, state.demands),
            ("clusters", known, state.clusters),
        ):
            for name in dict.fromkeys((*mine, *theirs)):
                if mine.get(name) != theirs.get(name):
                    yield f"{what} of {name}"


class Reading:
    """Reads what counts of a ledger, up to one message after the other."""

    def __init__(self, ledger: list[Stored]) -> None:
        self._entries = counting((stored.offset, stored.batch) for stored in ledger)
        self._following = next(self._entries, None)
        self._fold = Fold()

    def up_to(self, offset: int) -> Fold:
        """Return what it adds up to there, which is no earlier than it was asked for before."""
        while self._following is not None and self._following[0] <= offset:
            self._fold.take(self._following[1])
            self._following = next(self._entries, None)
        return self._fold


def by_now(world: World) -> Fold:
    """Return what the ledger adds up to as it stands."""
    return Reading(world.broker.ledger).up_to(world.broker.end)


def unread(world: World) -> Iterator[str]:
    """Return which replica has not read all that the ledger has of more than signs of life."""
    for name, process in world.processes.items():
        session = process.session
        if session is None:
            yield f"{name} has no connection"
        elif not session.caught_up or session.state.position < world.broker.news_offset:
            yield f"{name} has not read the ledger to its end"


def unwritten(world: World) -> Iterator[str]:
    """Return what was acknowledged before what follows from it stood in the ledger: had its executor died then, it was lost."""
    for ledger, acknowledged in _ledgers(world):
        reading = Reading(ledger)
        for one in acknowledged:
            fold = reading.up_to(one.end)
            for message in _messages(one):
                if not (fold.has(message) or _asked_for_nothing(message, one, ledger)):
                    what, about = type(message).__name__, short(getattr(message, "key", message.cluster))
                    yield f"{about}: {what} of {message.cluster} was acknowledged and is not in the ledger (up to {one.end})"


def disagreeing(world: World) -> Iterator[str]:
    """Return which replica has read the ledger and has something else in mind than what counts of it."""
    sessions = {name: process.session for name, process in world.processes.items() if process.session is not None}
    states = {name: session.state for name, session in sessions.items() if session.caught_up}
    readers = sorted((state.position, name) for name, state in states.items() if state.position <= world.broker.end)
    reading = Reading(world.broker.ledger)
    for position, name in readers:
        differences = reading.up_to(position).differs_from(states[name])
        yield from (f"{name} has other {what} than the ledger" for what in differences)


def _ledgers(world: World) -> Iterator[tuple[list[Stored], list[Acknowledged]]]:
    for number, ledger in enumerate((*world.lost_ledgers, world.broker.ledger)):
        yield ledger, [one for one in world.broker.acknowledged if one.ledger == number and _asks_for_something(one)]


def _asks_for_something(one: Acknowledged) -> bool:
    """Whether anything has to follow: most reports only say that a cluster lives."""
    return one.queue == COMMANDS or OF_RUNS in one.body


def _asked_for_nothing(message: Command | Report, one: Acknowledged, ledger: list[Stored]) -> bool:
    """Whether it was about what the ledger did not know when it came. If that is noted later, it is told of anew."""
    before = Reading(ledger).up_to(one.taken)
    match message:
        case RunStarted() | RunFinished() | RunRefused() | RunStopped() | RunOutOfSight():
            progress = before.progress.get(message.key)
            return progress is None or all(run.id != message.run_id for run in progress.open)
        case CronJobWithdrawn():  # which came before its declaration, out of order
            noted = before.definitions.get(message.key, {}).get(message.cluster)
            return noted is None or noted.uid != message.uid
        case DemandWithdrawn():
            return message.key not in before.demands
        case _:
            return False


def _messages(one: Acknowledged) -> list[Command | Report]:
    decode = codec.decode_commands if one.queue == COMMANDS else codec.decode_reports
    if is_of_next(one.body):
        return []  # who did not read it is told again
    return [*decode(one.body)[0]]
