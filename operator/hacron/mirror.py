"""The mirror of one kind of objects: shows the ledger in the `.status` of those in this cluster.

Only the cluster's worker writes, coalesced and newest only. What is shown is never read back as a decision; what stands in the
objects is looked at only so as not to write it again. It also has templates tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from hacron.core import manifests
from hacron.core.agenda import Agenda
from hacron.core.faults import MIRROR, Faults
from hacron.core.kinds import CRONJOBS, Known, Objects
from hacron.core.lanes import Lanes
from hacron.core.model import Key, Kind, namespace_of
from hacron.core.state import State
from hacron.ports import Answer, CreateJob, GetObject, Kubernetes, ObjectSeen, PatchStatus, Request
from hacron.retries import Retries
from hacron.trials import Tell, Trials, version_of
from hacron.turn import Moment

WAITS_FOR_TRIAL = timedelta(seconds=2)
SHOW_AGAIN = timedelta(seconds=1)  # the same object is patched at most so often
RETRY = timedelta(seconds=3)  # what is refused, ever more rarely
PATCHES_UNDER_WAY = 40  # namespaces take turns
LOOKS_PER_TURN = 100
LOOKS_ANEW = timedelta(hours=1)  # at each, for what is different only because time has passed
NOTHING_TO_DO_S = 5.0  # an answer wakes us


class Mirror:
    """A replica's part in showing status. What was seen outlives a broker connection; `attach` begins a new one.

    A status is worked out again when the ledger has something new of its object, or somebody else has written into it; otherwise
    once an hour. `start_window`: so long after its tick a run that has not started is shown. A start is told by the ledger.
    """

    def __init__(
        self, *, cluster: str, kube: Kubernetes, start_window: timedelta, objects: Objects = CRONJOBS, tell: Tell | None = None
    ) -> None:
        self._cluster = cluster
        self._kube = kube
        self._start_window = start_window
        self._objects = objects
        self._kind = objects.kind
        self._state = State()
        self._here: dict[Key, str] = {}  # uid of the object as last seen here
        self._shown: dict[Key, int] = {}  # hash of what stands in the object, as far as known
        self._trials = Trials(cluster=cluster, start_window=start_window, tell=tell)
        self._waits: dict[Key, tuple[str, datetime]] = {}  # uid/generation → not shown before, unless the trial is over
        self._under_way: dict[Key, int] = {}
        self._touched_meanwhile: set[Key] = set()  # of those that are under way
        self._written_meanwhile: set[Key] = set()  # of these, into which somebody else has written something else
        self._again_at: dict[Key, datetime] = {}  # not to be patched before
        self._retries = Retries(RETRY, refused="status not written", over="no status is refused any more")
        self._agenda: Agenda[Key] = Agenda()
        self.faults = Faults(MIRROR)
        self._dirty: set[Key] = set()  # those to be looked at, each once in the lanes
        self._lanes: Lanes[Key] = Lanes(PATCHES_UNDER_WAY)
        self._was_active = False
        self.patches = 0

    def attach(self, state: State) -> None:
        """Begin with a State that is folded afresh."""
        self._state = state
        self._trials.attach(state)
        self._was_active = False
        self._again_at.clear()  # by a clock that may have been wrong

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that State has changed for these cronjobs."""
        for key in keys:
            self._touch(key)

    def take(self, arrival: ObjectSeen | Answer, moment: Moment) -> None:
        """Take in what Kubernetes says."""
        match arrival:
            case ObjectSeen(body=body, gone=gone) if arrival.kind is self._kind:
                self._observe(body, gone, moment.wall)
            case Answer(request=GetObject(kind=self._kind, run_id="")) if arrival.ok:
                self._observe(arrival.body, False, moment.wall)
            case Answer(request=PatchStatus(key=key, kind=self._kind)):
                self._lanes.end(namespace_of(key), answered=arrival.answered)
                self._patched(key, self._under_way.pop(key, None), arrival, moment)
            case Answer(request=CreateJob(key=key)) if self._kind is Kind.CRONJOB:
                look_at = self._trials.take(arrival, moment.wall)
                if look_at is not None:
                    self._agenda.put(key, look_at)
            case _:
                pass

    def turn(self, active: bool, moment: Moment) -> None:
        """Patch what differs, if this replica is its cluster's worker."""
        if not active:
            self._was_active = False
            self._dirty.clear()
            self._lanes.drain()
            self._retries.forget()
            return
        if not self._was_active:
            self._was_active = True
            self.touch(key for key in self._objects.keys(self._state) if self._entry(key) is not None)
        self.touch(self._agenda.due(moment.wall, LOOKS_PER_TURN))
        requests = self._trials.try_again(moment.wall)
        for _ in range(LOOKS_PER_TURN):
            key = self._lanes.take()
            if key is None:
                break
            self._dirty.discard(key)
            shown = self._show(key, moment.wall)
            if not any(isinstance(request, PatchStatus) for request in shown):
                self._lanes.end(namespace_of(key), answered=None)
            requests += shown
        if requests:
            self._kube.submit(requests)

    def next_turn(self, moment: Moment) -> float:
        """Return in how many seconds a turn is due without anything arriving."""
        if not self._was_active:
            return NOTHING_TO_DO_S
        if self._dirty and self._lanes.may_take():
            return 0.05
        looks = [look for look in (self._agenda.next(), self._trials.next_look()) if look is not None]
        return max(0.0, min([NOTHING_TO_DO_S, *((look - moment.wall).total_seconds() for look in looks)]))

    # --- one object ---

    def _touch(self, key: Key) -> None:
        if key not in self._dirty:
            self._dirty.add(key)
            self._lanes.put(namespace_of(key), key)

    def _show(self, key: Key, now: datetime) -> list[Request]:
        entry = self._entry(key)
        if key in self._under_way:
            self._touched_meanwhile.add(key)
            return []
        if entry is None or self._is_another(key, entry):
            return []
        again_at = self.faults.until(key, now) or self._again_at.get(key)
        if again_at is not None and now < again_at:
            self._agenda.put(key, again_at)
            return []
        present = version_of(entry)
        requests = self._trials.try_new(key, now) if self._kind is Kind.CRONJOB else []
        trial = self._trials.of(key, present)
        if not trial.over and self._trials.is_under_way(key) and (until := self._patience(key, present, now)) > now:
            self._agenda.put(key, until)  # one patch that says what there is to say is better than two
            return requests
        try:
            status = self._objects.render(self._state, key, self._cluster, now, trial)
            changes_at = self._objects.changes_at(self._state, key, now)
        except Exception:  # noqa: BLE001  it is logged; all others are shown
            self._agenda.put(key, self.faults.set_aside(key, now))
            return requests
        anew = now + LOOKS_ANEW
        self._agenda.put(key, min(anew, changes_at + self._start_window) if changes_at is not None else anew)
        if status is None or (digest := _digest(status)) == self._shown.get(key):
            return requests
        self._under_way[key] = digest
        self.patches += 1
        return [*requests, PatchStatus(key=key, uid=entry.uid, status=status, kind=self._kind)]

    def _patience(self, key: Key, version: str, now: datetime) -> datetime:
        """Return until when a status waits for what the API server says of a template."""
        known, until = self._waits.get(key, ("", now))
        if known != version:
            until = now + WAITS_FOR_TRIAL
            self._waits[key] = (version, until)
        return until

    def _entry(self, key: Key) -> Known | None:
        return self._objects.homes(self._state, key).get(self._cluster)

    def _is_another(self, key: Key, entry: Known) -> bool:
        """Whether what is here has only the name of what the ledger speaks of: what became of that is not to be shown in it."""
        return self._here.get(key, entry.uid) != entry.uid

    def _patched(self, key: Key, digest: int | None, answer: Answer, moment: Moment) -> None:
        if answer.ok or answer.status == 404:
            self._retries.end(key)
        was_touched, was_written = key in self._touched_meanwhile, key in self._written_meanwhile
        self._touched_meanwhile.discard(key)
        self._written_meanwhile.discard(key)
        if answer.status == 404:
            if was_touched:  # it may have been made anew
                self._agenda.put(key, moment.wall)
            return
        shown = digest if answer.ok else None
        if shown is None:
            again_at = moment.wall + self._retries.wait(key, answer, reachable=self._kube.reachable)
        else:
            again_at = moment.wall + SHOW_AGAIN
            if was_written:  # before or after: nobody knows which stands there
                self._shown.pop(key, None)
            else:
                self._shown[key] = shown
        self._again_at[key] = again_at
        if was_touched or was_written or shown is None:
            self._agenda.put(key, again_at)

    def _observe(self, body: dict[str, Any], gone: bool, now: datetime) -> None:
        """Note what stands in the object, so that a new worker does not write ten thousand statuses that are right."""
        try:
            one = manifests.identity(body)
        except manifests.UNREADABLE:
            return  # the relay tells
        key = one.key
        if gone and self._here.get(key, one.uid) != one.uid:
            return  # of the one before
        if gone or self._here.get(key) != one.uid:
            self._again_at.pop(key, None)
            self._retries.end(key)
        if gone:
            for known in (self._here, self._shown, self._waits):
                known.pop(key, None)
            self._trials.forget(key)
            return
        status = body.get("status") or {}
        digest = _digest(status)
        under_way = self._under_way.get(key)
        is_new = self._here.get(key) != one.uid or digest not in (self._shown.get(key), under_way)
        if digest == under_way:
            self._written_meanwhile.discard(key)
        elif is_new and under_way is not None:
            self._written_meanwhile.add(key)
        self._here[key], self._shown[key] = one.uid, digest
        self._trials.read(key, version_of(one), status, now, ours=self._was_active)
        if is_new:
            self._touch(key)


def _digest(status: dict[str, Any]) -> int:
    """Hash what a status says; a field that is absent, null or empty says the same."""
    said = {name: value for name, value in status.items() if value not in (None, [], "")}
    return hash(msgspec.json.encode(said, order="deterministic"))
