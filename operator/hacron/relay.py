"""The relay of one kind of objects: tells the executor what this cluster declares, wherever the ledger says otherwise.

Level-triggered: what was last seen of each object here is compared with this cluster's own entry in the ledger, and a command
is sent for each difference until the ledger shows it. A wiped broker, a lost message and a deletion that nobody saw heal by
themselves. Clusters that declare different things never fight: each compares only with its own entry.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from hacron.core import faults, manifests
from hacron.core.agenda import Agenda
from hacron.core.faults import Faults
from hacron.core.kinds import CRONJOBS, Declaration, Known, Objects
from hacron.core.messages import Command
from hacron.core.model import Key, Run
from hacron.core.rules import Rules
from hacron.core.state import State
from hacron.inventory import Inventory, Listing
from hacron.ports import Answer, GetObject, Kubernetes, ListInventory, ObjectSeen, Outbox, Request
from hacron.saying import Saying, What
from hacron.turn import Moment

log = logging.getLogger(__name__)

COMPARED_PER_TURN = 300
IS_YOUNG_FOR, FORGET_AFTER = Rules().settle, Rules().forget_after
DOUBTS_FOR = timedelta(seconds=5)  # another replica of the cluster may have heard of a change that much earlier
NEVER_BEEN = -1  # the version of what was seen before the API server was put back
ANY = 2**63  # later than every version
NO_TIME = timedelta()
LET_THE_WORKER_SPEAK = timedelta(seconds=1)  # other replicas of the cluster relay only what is still different after this


class LocalWorker(Protocol):
    """What the relay asks of the worker beside it in the same replica."""

    active: bool  # it is its cluster's worker

    @property
    def knows_jobs(self) -> bool:
        """Whether it knows all Jobs here: what has run is told with the declaration."""

    def newest_tick(self, key: Key) -> datetime | None:
        """Return the newest tick whose Job is known to exist here."""

    def running(self, key: Key) -> Sequence[Run] | None:
        """Return the runs whose Jobs here have not ended; None: not all Jobs are in view."""


@dataclass(slots=True)
class Seen:
    """An object of this cluster, as last seen."""

    declared: Declaration
    at: float  # monotonic
    version: int  # 0: not told; or NEVER_BEEN
    in_spite_of: datetime | None = None  # the API server was asked for it after the ledger had noted then that it was otherwise
    stood: Known | None = None  # what the ledger had when it said the same, or more


class Gone(NamedTuple):
    """An object that certainly no longer exists."""

    uid: str
    at: float  # monotonic; when that was heard


class Asked(NamedTuple):
    """A question for one object that is under way."""

    at: float  # monotonic; the answer is of then or later
    contradicted: datetime | None  # since when the ledger says otherwise than what had been seen here


class Relay:
    """A replica's part in relaying. What was seen outlives a broker connection; `attach` begins a new one."""

    def __init__(
        self,
        *,
        cluster: str,
        kube: Kubernetes,
        inventory_interval_s: float = 300.0,
        forget_after: timedelta = FORGET_AFTER,
        objects: Objects = CRONJOBS,
    ) -> None:
        self._cluster = cluster
        self._forget_after = forget_after  # so long it is known what was withdrawn
        self._kube = kube
        self._objects = objects
        self.kind = objects.kind
        self.inventory = Inventory(objects.kind, inventory_interval_s)
        self._state = State()
        self._seen: dict[Key, Seen] = {}
        self._gone: dict[Key, Gone] = {}
        self._agenda: Agenda[Key] = Agenda()
        self._saying = Saying(self._agenda)
        self.faults = Faults(faults.RELAY)
        self._dirty: dict[Key, None] = {}  # in order, each once
        self._asked: dict[Key, Asked] = {}  # GetObject under way
        self._doubts: dict[Key, tuple[datetime, datetime]] = {}  # what the ledger contradicts: since when, and until when to wait
        self._unheard: dict[Key, int] = {}  # what is to be asked for, unless the watch tells of such a version before
        self._unheard_until = 0.0  # monotonic
        self._requests: list[Request] = []
        self._worker_knew_jobs = False

    # --- what comes in ---

    def attach(self, state: State) -> None:
        """Begin with a State that is folded afresh, perhaps from nothing: everything is compared again."""
        self._state = state
        self.touch(self._saying.begin_anew())
        self._doubts.clear()
        for seen in self._seen.values():
            seen.stood = None
        self.touch(self._seen)

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that State has changed for these objects."""
        self._dirty.update(dict.fromkeys(keys))

    def take(self, arrival: ObjectSeen | Answer, moment: Moment) -> None:
        """Take in what Kubernetes says."""
        match arrival:
            case ObjectSeen(body=body, gone=gone) if arrival.kind is self.kind:
                self._observe(body, gone, moment)
            case Answer(request=GetObject(key=key, kind=self.kind, run_id="")):
                asked = self._asked.pop(key, None)
                if arrival.ok:
                    self._observe(arrival.body, False, moment, asked)
                elif arrival.status == 404:
                    self._is_not(key, moment, asked)
                elif key in self._doubts:
                    self._agenda.put(key, moment.wall + DOUBTS_FOR)
                else:
                    self._ask_later(key, ANY, moment)
            case Answer(request=ListInventory(kind=self.kind)):
                listing = self.inventory.take(arrival, moment)
                if listing is not None:
                    self._compare_with(listing, moment)
            case _:
                pass

    # --- the turn ---

    def turn(self, outbox: Outbox, worker: LocalWorker, moment: Moment) -> None:
        """Compare what has changed, and send what differs. Raises BrokerUnavailable."""
        self._look_what_runs(worker, moment)
        inventory = self.inventory.ask_when_due(self._kube.reachable, moment)
        if inventory is not None:
            self._requests.append(inventory)
        if self._unheard and moment.mono >= self._unheard_until and self._kube.reachable:
            self._ask_for_unheard(moment)
        commands: list[Command] = []
        for key in self._to_compare(moment) if self._ledger_has_begun else ():
            self._dirty.pop(key, None)
            command = self._look(key, worker, moment)
            if command is not None:
                commands.append(command)
        requests, self._requests = self._requests, []
        if requests:
            self._kube.submit(requests)
        if commands:
            outbox.send_commands(commands)

    def uid_here(self, key: Key) -> str | None:
        """Return the uid of the object here, as far as the API server has told; None: nothing was told of one."""
        seen = self._seen.get(key)
        return seen.declared.uid if seen is not None else None

    def behind_s(self, moment: Moment) -> float:
        """Return for how long the oldest change here has not been in the ledger; 0: all are."""
        return self._saying.behind_s(moment)

    def next_turn(self, moment: Moment) -> float:
        """Return in how many seconds a turn is due without anything arriving."""
        if self._dirty and self._ledger_has_begun:
            return 0.0
        wait = self.inventory.next_look_s(moment)
        if self._unheard and self._kube.reachable:
            wait = min(wait, self._unheard_until - moment.mono)
        look = self._agenda.next() if self._ledger_has_begun else None
        if look is not None:
            wait = min(wait, (look - moment.wall).total_seconds())
        return max(0.0, wait)

    # --- one object ---

    @property
    def _ledger_has_begun(self) -> bool:
        """Whether there has been an executor. What is told before would be taken for what is different from the next ledger."""
        return self._state.epoch > 0

    def _to_compare(self, moment: Moment) -> list[Key]:
        return [*islice(self._dirty, COMPARED_PER_TURN), *self._agenda.due(moment.wall, COMPARED_PER_TURN)]

    def _look(self, key: Key, worker: LocalWorker, now: Moment) -> Command | None:
        """Compare it, unless it is set aside, or comparing it fails."""
        until = self.faults.until(key, now.wall)
        if until is None:
            try:
                return self._compare(key, worker, now)
            except Exception:  # noqa: BLE001  it is told; all others are compared
                until = self.faults.set_aside(key, now.wall)
        self._agenda.put(key, until)
        return None

    def _compare(self, key: Key, worker: LocalWorker, now: Moment) -> Command | None:
        """Return the command that closes the difference, unless there is none or it is on its way."""
        seen, entry = self._seen.get(key), self._entry(key)
        if seen is None:
            return self._withdraw(key, entry, worker, now)
        declared, contradicted = seen.declared, self._objects.contradicted(self._state, seen.declared)
        if contradicted is not None and contradicted != seen.in_spite_of:
            self._doubt(key, contradicted, now)
            return None
        stands = entry is not None and entry.uid == declared.uid and self._objects.stands(self._state, entry, declared)
        if contradicted is None and stands and not self._knows_more(declared, worker, now):
            seen.stood = entry
            self._saying.take_untaken(key)
            self._settled(key)
            return None
        if not stands and entry is not None and seen.stood not in (None, entry):
            self._ask(key, now)  # it has less than it had: others of this cluster have found that the API server was put back
            self._agenda.put(key, now.wall + DOUBTS_FOR)
            return None
        if entry is None and self._may_be_forgotten(seen, now):
            self._look_whether_it_is_there(key, now)
            return None
        if not self._claim_turn(key, (declared.uid, *self._objects.says(declared)), worker, now):
            return None
        self._saying.note_declared(key, declared.uid)
        told = replace(self._with_jobs(declared, worker), ledger=self._state.born)
        if contradicted is None:
            return told
        log.warning("the API server was put back: declared as it is there", extra={"object": key, "ledger": contradicted})
        return replace(told, instead_of=contradicted)

    def _may_be_forgotten(self, seen: Seen, now: Moment) -> bool:
        """Whether what the ledger does not know may have been deleted, and forgotten since, while nothing was heard here."""
        is_old = now.mono - seen.at > self._forget_after.total_seconds()
        return is_old and not self._state.began_within(self._forget_after, now.wall)

    def _look_whether_it_is_there(self, key: Key, now: Moment) -> None:
        self._saying.note_difference(key, now)
        if self._kube.reachable:
            self._ask(key, now)
        self._agenda.put(key, now.wall + DOUBTS_FOR)

    def _doubt(self, key: Key, contradicted: datetime, now: Moment) -> None:
        """Ask for an object that is otherwise than the ledger says, unless the watch tells in time why."""
        since, until = self._doubts.get(key, (None, now.wall))
        if since != contradicted:
            until = now.wall + DOUBTS_FOR
            self._doubts[key] = (contradicted, until)
        if now.wall < until:
            self._agenda.put(key, until)
        else:
            self._ask(key, now, contradicted)

    def _withdraw(self, key: Key, entry: Known | None, worker: LocalWorker, now: Moment) -> Command | None:
        gone = self._gone.get(key)
        if entry is None:
            return self._withdraw_untaken(key, now)
        untaken = self._saying.take_untaken(key)
        if untaken not in (None, entry.uid):  # made anew, and deleted again
            self._dirty[key] = None  # for the first
            return self._objects.withdrawn(key, self._cluster, untaken)
        if gone is None or gone.uid != entry.uid:
            if gone is not None or self.inventory.lacks(key):
                self._ask(key, now)  # absence from what was seen proves nothing: it may be newer than that
            return None
        if not self._claim_turn(key, (entry.uid, 0, None), worker, now):
            return None
        return self._objects.withdrawn(key, self._cluster, entry.uid)

    def _withdraw_untaken(self, key: Key, now: Moment) -> Command | None:
        """Withdraw what is gone, and of which the ledger knows nothing, if it was declared: that may still be taken in."""
        untaken = self._saying.withdraw_untaken(key, self._state.counted_position, now)
        if untaken is not None:
            return self._objects.withdrawn(key, self._cluster, untaken)
        self._settled(key)
        self._gone.pop(key, None)
        return None

    def _knows_more(self, declared: Declaration, worker: LocalWorker, now: Moment) -> bool:
        """Whether more has run here than the ledger knows, which has only just begun and asks for nothing else."""
        return self._ledger_is_young(now) and self._objects.knows_more(self._with_jobs(declared, worker), self._state)

    def _with_jobs(self, declared: Declaration, worker: LocalWorker) -> Declaration:
        return self._objects.with_jobs(declared, worker.newest_tick(declared.key), worker.running(declared.key))

    def _look_what_runs(self, worker: LocalWorker, now: Moment) -> None:
        """Have everything compared again when the Jobs here come into view, of which a young ledger may not know."""
        if worker.knows_jobs and not self._worker_knew_jobs and self._ledger_is_young(now):
            self.touch(self._seen)
        self._worker_knew_jobs = worker.knows_jobs

    def _ledger_is_young(self, now: Moment) -> bool:
        return self._state.began_within(IS_YOUNG_FOR, now.wall)

    def _settled(self, key: Key) -> None:
        self._saying.settle(key)
        self._doubts.pop(key, None)

    def _claim_turn(self, key: Key, what: What, worker: LocalWorker, moment: Moment) -> bool:
        """Return whether it is sent now, and note that. All others give a worker that knows its Jobs a moment."""
        wait = NO_TIME if worker.active and worker.knows_jobs else LET_THE_WORKER_SPEAK
        return self._saying.claim(key, what, self._state.counted_position, moment, wait)

    def _observe(self, body: dict[str, Any], gone: bool, moment: Moment, asked: Asked | None = None) -> None:
        """Note an object, as the watch tells of it or, `asked`, as an answer has it."""
        try:
            declared = self._objects.declared(self._cluster, body)
        except manifests.UNREADABLE as error:
            log.warning(f"a {self.kind} cannot be read", extra={"why": str(error)[:200]})
            return
        version = manifests.version(body["metadata"].get("resourceVersion"))
        self.inventory.saw(version)
        known = self._seen.get(declared.key)
        if gone:
            if known is None or known.declared.uid == declared.uid:
                self._forget(declared.key, declared.uid, moment)
            return
        if manifests.is_leaving(body):
            self._let_go(declared, moment, asked)
            return
        if self._may_be_of_before(declared, version, asked):
            self._ask(declared.key, moment)
            return
        if known is not None and known.declared.uid == declared.uid:
            if self._is_older(declared, known.declared) and known.version != NEVER_BEEN:
                if asked is None:
                    self._ask(declared.key, moment)  # late, or the API server was put back to an earlier time
                    return
                if known.at > asked.at:
                    self._dirty[declared.key] = None  # it may have to be asked again
                    return
                self._put_back()
            young = self._ledger_is_young(moment)
            declared = self._objects.remembering(declared, known.declared, ledger_is_young=young)
        self._seen[declared.key] = Seen(declared, moment.mono, version, asked.contradicted if asked is not None else None)
        self._gone.pop(declared.key, None)
        self._dirty[declared.key] = None

    def _let_go(self, declared: Declaration, moment: Moment, asked: Asked | None) -> None:
        """Take an object that is being deleted for gone: finalizers may keep it for as long as they want."""
        key = declared.key
        entry, known = self._entry(key), self._seen.get(key)
        uids = {entry.uid if entry else None, known.declared.uid if known else None} - {None, declared.uid}
        if not uids:
            self._forget(key, declared.uid, moment)
        elif asked is None:
            self._ask(key, moment)  # it came before the one that is known, or after it
        else:
            self._is_not(key, moment, asked)

    def _may_be_of_before(self, declared: Declaration, version: int, asked: Asked | None) -> bool:
        """Whether what is told of an object may be older than what is known of its name: that it is gone, or was made anew.

        What is told of two objects of one name may come in any order.
        """
        gone, known = self._gone.get(declared.key), self._seen.get(declared.key)
        if gone is not None and gone.uid == declared.uid and (asked is None or gone.at > asked.at):
            return True
        if known is None or known.declared.uid == declared.uid:
            return False
        if asked is not None:
            return known.at > asked.at
        return (declared.created_at, version) < (known.declared.created_at, known.version)

    def _is_not(self, key: Key, moment: Moment, asked: Asked | None) -> None:
        """Note that the API server does not have an object, unless the watch has told of one since."""
        entry, known = self._entry(key), self._seen.get(key)
        if known is not None and asked is not None and known.at > asked.at:
            self._dirty[key] = None
        else:
            self._forget(key, entry.uid if entry else None, moment)

    def _forget(self, key: Key, uid: str | None, moment: Moment) -> None:
        self._seen.pop(key, None)
        self._dirty[key] = None
        if uid is not None:
            self._gone[key] = Gone(uid, moment.mono)

    def _is_older(self, one: Declaration, other: Declaration) -> bool:
        return self._objects.version(one) < self._objects.version(other)

    def _entry(self, key: Key) -> Known | None:
        return self._objects.homes(self._state, key).get(self._cluster)

    def _ask(self, key: Key, moment: Moment, contradicted: datetime | None = None) -> None:
        if key not in self._asked:
            self._asked[key] = Asked(moment.mono, contradicted)
            self._requests.append(GetObject(key=key, kind=self.kind))

    def _compare_with(self, listing: Listing, moment: Moment) -> None:
        """Ask about everything where a list and what was seen differ: a watch may have missed a change or a deletion."""
        was_put_back = self.inventory.was_put_back or any(self._is_of_the_past(key, listing) for key in listing.objects)
        if was_put_back:
            self._put_back()
        watch_tells_all = listing.watch_lists_too or was_put_back
        self._unheard = {}
        for key, listed in listing.objects.items():
            seen = self._seen.get(key)
            if seen is None and watch_tells_all:
                continue  # ten thousand questions whose answers are on their way
            if seen is None or (seen.declared.uid, seen.declared.generation) != (listed.uid, listed.generation):
                self._ask(key, moment)
            elif seen.version < listed.version and not watch_tells_all:
                self._ask_later(key, listed.version, moment)
        for key, seen in self._seen.items():
            if listing.lacks(key) and seen.at < listing.asked_at:
                self._ask(key, moment)
        for key in self._objects.keys(self._state):
            if self._entry(key) is not None and listing.lacks(key):
                self._ask(key, moment)

    def _is_of_the_past(self, key: Key, listing: Listing) -> bool:
        """Whether a list has an earlier version of an object than was told before it was asked for."""
        seen = self._seen.get(key)
        return seen is not None and seen.at < listing.asked_at and 0 < listing.objects[key].version < seen.version

    def _put_back(self) -> None:
        """The API server has less than it had: what was seen may be of a time that has never been."""
        self.inventory.put_back()
        for seen in self._seen.values():
            seen.version = NEVER_BEEN

    def _ask_later(self, key: Key, version: int, moment: Moment) -> None:
        """Ask for an object after a while, unless the watch has told of this version, or a later one, by then."""
        if not self._unheard:
            self._unheard_until = moment.mono + DOUBTS_FOR.total_seconds()
        self._unheard[key] = version

    def _ask_for_unheard(self, moment: Moment) -> None:
        """Ask for what the watch has still not told of (an edit or a pause, or only a status), and where no answer came."""
        unheard, self._unheard = self._unheard, {}
        for key, version in unheard.items():
            seen = self._seen.get(key)
            if seen is None or seen.version < version:
                self._ask(key, moment)
