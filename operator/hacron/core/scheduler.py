"""Decide: commands, reports and the clock in, records out.

The Scheduler holds nothing that a successor would need; it remembers only whom to look at next, which follows from State. So a
standby keeps one too, in step with the ledger, and can decide the moment it becomes executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar, assert_never

from msgspec.structs import replace

from hacron.core import faults, pausing
from hacron.core.agenda import Agenda
from hacron.core.declaring import Standing, declare, end_pause, withdraw
from hacron.core.demand import demanding, demands
from hacron.core.draft import Draft
from hacron.core.faults import EXECUTOR, TRY_AGAIN, Faults
from hacron.core.firing import Scene, fire, waits
from hacron.core.forgetting import withdrawals
from hacron.core.hearing import Hearing, to_be_forgotten
from hacron.core.messages import (
    ClusterSeen,
    Command,
    CronJobDeclared,
    CronJobWithdrawn,
    DemandWithdrawn,
    Progress,
    Record,
    Report,
    RunFinished,
    RunOutOfSight,
    RunRefused,
    RunReport,
    RunsDemanded,
    RunStarted,
    RunStopped,
)
from hacron.core.model import Cluster, ConcurrencyPolicy, CronJob, Key
from hacron.core.rules import Rules
from hacron.core.runs import by_now
from hacron.core.state import LONG_AGO, State
from hacron.core.tending import awaits_cluster, deadlines, expire, give_up, give_up_silent, hear

M = TypeVar("M", bound=Command | RunReport)

MOST_LOOKS = 2000  # cronjobs looked at in one decision: keeps a turn below a second


class Scheduler:
    def __init__(self, state: State, rules: Rules) -> None:
        self._state = state
        self._rules = rules
        self._agenda: Agenda[Key] = Agenda()
        self._touched: dict[Key, None] = {}  # in order, each once
        self._waiting: dict[Key, None] = {}  # due, and no cluster would take it
        self._faults = Faults(EXECUTOR)
        self._demands_faults = Faults(EXECUTOR)  # a HACronJobRun may have the name of a HACronJob
        self._is_spoilt = False  # a fault was met: what has been decided until then is not to be written

    def put_off(self, keys: Iterable[Key], now: datetime) -> None:
        """Look at these again in a while: what was decided of them could not be written."""
        for key in keys:
            if key not in self._agenda:
                self._agenda.put(key, now + TRY_AGAIN)

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that State has changed for these cronjobs."""
        self._touched.update(dict.fromkeys(keys))

    def prepare(self, at_most: int | None = None) -> bool:
        """Bring the agenda in step with State, for so many cronjobs; what a standby does while it waits.

        Return whether it is in step. One costs some 40 µs, so 100,000 in one go would keep the broker waiting for a heartbeat.
        """
        if not self._touched:
            return True
        for key in list(islice(self._touched, at_most)):
            del self._touched[key]
            self._agenda.put(key, self._next_look_at(key))
            if key in self._waiting and not self._awaits_cluster(key):
                self._waiting.pop(key, None)
        return not self._touched

    def next_look(self) -> datetime | None:
        """Return when `decide` has something to do without any message."""
        self.prepare()
        return self._agenda.next()

    def decide(self, messages: Sequence[Command | Report], now: datetime) -> list[tuple[Record, ...]]:
        """Return the records that follow, grouped by what must count together or not at all.

        They are to be appended to the ledger in this order. Nothing is decided until they have been read back: the same
        question asked again before would be answered again.
        """
        self.prepare()
        next_look = self._agenda.next()
        if not messages and (next_look is None or next_look > now):
            return []
        due: Sequence[Key] | None = None
        while True:  # twice at most, as a rule: what has failed is set aside, and all else decided anew without it
            self._is_spoilt, draft = False, Draft(self._state, self._rules, now)
            due = self._decide(messages, due, draft)
            groups = self._written(draft)
            if not self._is_spoilt:
                return groups

    def _decide(self, messages: Sequence[Command | Report], due: Sequence[Key] | None, draft: Draft) -> Sequence[Key]:
        """Decide all that can be decided now; return who was due, which the agenda says only once."""
        keys: dict[Key, None] = {}  # in order, each once
        for message in sorted(messages, key=_is_refusal):  # last: what has begun all the same is not refused
            for key in self._hear(message, draft):
                keys[key] = None
                if self._faults.until(key, draft.now) is None:
                    with self._about(key, draft, self._faults):
                        _account_for(key, draft)
        due = self._agenda.due(draft.now, MOST_LOOKS) if due is None else due
        keys.update(dict.fromkeys(due))
        for key in keys:
            until = self._faults.until(key, draft.now)
            if until is not None:
                self._agenda.put(key, until)
                continue
            with self._about(key, draft, self._faults):
                if not self._looks(key, draft):
                    self._agenda.put(key, draft.now)
                elif not draft.changes(key):
                    self._agenda.put(key, min(self._instants(key, draft.now), default=None))
                elif key not in self._agenda:  # it comes back through touch, when it is read; otherwise then
                    self._agenda.put(key, draft.now + TRY_AGAIN)
        return due

    def _written(self, draft: Draft) -> list[tuple[Record, ...]]:
        groups = draft.written_apart()
        for key in draft.changed():
            if self._faults.until(key, draft.now) is None:
                with self._about(key, draft, self._faults):
                    groups.append(draft.group(key))
        return [group for group in groups if group]

    @contextmanager
    def _about(self, key: Key, draft: Draft, aside: Faults) -> Iterator[None]:
        """Set aside what fails here, and go on: others may fail too, and are to be found in the same pass."""
        try:
            yield
        except Exception:  # noqa: BLE001  it is told
            aside.set_aside(key, draft.now)
            self._is_spoilt = True

    def _hear(self, message: Command | Report, draft: Draft) -> list[Key]:
        """Take in one message, unless what it is about is set aside; return whom to look at because of it."""
        return self._take(message, draft) if isinstance(message, ClusterSeen) else self._apart(message, draft, self._take)

    def _apart(self, message: M, draft: Draft, take: Callable[[M, Draft], list[Key]]) -> list[Key]:
        """Take in a message about one object, unless that is set aside; return whom to look at because of it."""
        aside = self._demands_faults if isinstance(message, RunsDemanded | DemandWithdrawn) else self._faults
        if aside.until(message.key, draft.now) is None:
            with self._about(message.key, draft, aside):
                return take(message, draft)
        return []  # who sent it says it again, as long as the ledger does not show it

    def _next_look_at(self, key: Key) -> datetime | None:
        """Return when to look at it; a fault of ours shows itself when it is decided about: at once."""
        try:
            return min(self._instants(key, None), default=None)
        except Exception:
            if faults.raises:
                raise
            return LONG_AGO

    def _take(self, message: Command | Report, draft: Draft) -> list[Key]:
        """Take in one message; return whom to look at because of it."""
        match message:
            case CronJobDeclared() | RunsDemanded() if self._is_of_another_ledger(message):
                return []  # it would hide from its relay that what has run is not known here
            case CronJobDeclared() | RunsDemanded() if message.cluster in to_be_forgotten(draft.clusters):
                return []
            case CronJobDeclared():
                declare(draft, message)
                return [message.key]
            case CronJobWithdrawn():
                withdraw(draft, message)
                return [message.key]
            case RunsDemanded():
                demand = demanding.demand(draft, message)
                return [demand.cronjob] if demand is not None and demand.cronjob is not None else []
            case DemandWithdrawn():
                demand = demanding.withdraw(draft, message)
                return [demand.cronjob] if demand is not None and demand.cronjob is not None else []
            case ClusterSeen():
                return self._see(message, draft)
            case RunStarted() | RunFinished() | RunRefused() | RunStopped() | RunOutOfSight():
                progress = draft.progress(message.key)
                if progress is None:
                    return []
                draft.put(hear(progress, by_now(message, draft.now), self._scene(progress, draft)))
                return [message.key]
            case _:
                assert_never(message)

    def _see(self, seen: ClusterSeen, draft: Draft) -> list[Key]:
        """Note a sign of life. One that lay in the queue while there was no executor says nothing about now.

        Nor does one of a cluster whose clock is as far behind: that it came shows why the cluster is silent, and that
        it has a worker.
        """
        now = draft.now
        before, forgotten_at = draft.clusters.get(seen.cluster), draft.forgotten_at(seen.cluster)
        if now - seen.clock > self._rules.silent_after:
            known = before or Cluster(name=seen.cluster, seen_at=seen.clock, forgotten_at=forgotten_at)
            if known.is_silent(now, self._rules.silent_after.total_seconds()):
                known = replace(known, late_s=round((now - seen.clock).total_seconds()))
            draft.see(replace(known, spoke_at=now))
            return []
        if self._hearing(draft.clusters).is_another(seen, now, self._rules.silent_after):
            return []  # of the same name; its replicas find that out themselves
        after = Cluster(
            name=seen.cluster,
            seen_at=now,
            api_ok=seen.api_ok,
            replica=seen.replica,
            labels=seen.labels,
            cordoned=seen.cordoned,
            gone=seen.gone,
            forgotten=seen.forgotten,
            forgotten_at=now if seen.cluster in to_be_forgotten(draft.clusters) else forgotten_at,
            uid=seen.uid or (before.uid if before is not None else ""),
        )
        draft.see(after)
        held_up = self._held_up_by_gone(after, draft)
        was_heard = before is not None and not before.is_silent(now, self._rules.silent_after.total_seconds())
        if before is None or not was_heard or _is_more_useful(after, before):
            held_up += self._waiting
            self._waiting = {}
        for key in held_up:  # they may be more than one decision can look at
            self._agenda.put(key, now)
        return self._forget(after, draft)

    def _held_up_by_gone(self, cluster: Cluster, draft: Draft) -> list[Key]:
        """Return the cronjobs that have open runs where, as this cluster says, nothing will come back from."""
        hearing = self._hearing(draft.clusters)
        said = (*cluster.gone, *cluster.forgotten)
        gone = [name for name in said if hearing.is_gone(name, draft.now, self._rules.silent_after)]
        return [key for name in gone for key in self._state.open_runs.get(name, {}).values()]

    def _forget(self, cluster: Cluster, draft: Draft) -> list[Key]:
        """Forget, a part at a time, the clusters of which this one says that nothing is to be left."""
        if not cluster.forgotten:
            return []
        names, hearing, keys = to_be_forgotten(draft.clusters), self._hearing(draft.clusters), list[Key]()
        for name in cluster.forgotten:
            for message in withdrawals(draft, name, hearing) if name in names else ():
                keys += self._apart(message, draft, self._take_in_its_place)
        return keys

    def _take_in_its_place(self, message: CronJobWithdrawn | DemandWithdrawn, draft: Draft) -> list[Key]:
        """Take in what a cluster that is forgotten does not say itself; return whom to look at because of it."""
        if isinstance(message, DemandWithdrawn):
            return self._take(message, draft)
        withdraw(draft, message, may_return=True)
        return [message.key]

    def _looks(self, key: Key, draft: Draft) -> bool:
        """Decide all that can be decided about one cronjob now; say whether.

        What may begin runs is left for the next decision when this one has begun enough: its ticks and demands are still due
        then. Of what begins none, State does not say later that it was not looked at.
        """
        if draft.runs_to_begin <= 0 and isinstance(draft.cronjob(key), CronJob):
            return False
        self._look_at_ticks(key, draft)
        demands.close(draft, key)
        return True

    def _look_at_ticks(self, key: Key, draft: Draft) -> None:
        now = draft.now
        progress = draft.progress(key)
        if progress is None:
            return
        if progress.withdrawn_at is not None:
            if now - progress.withdrawn_at >= self._rules.forget_after:
                self._end(progress, draft)
            return
        scene = self._scene(progress, draft)
        if scene is None:
            progress = give_up_silent(progress, self._hearing(draft.clusters), now, self._rules)
            draft.put(demands.account_for(draft, progress))
            return
        progress = expire(progress, scene)
        progress = end_pause(progress, Standing.of(draft, key), now)
        if not draft.is_settling:
            progress = demands.resume(draft, progress, scene)
        if not scene.rests and not (draft.is_settling and self._waits_for_what_is_known(progress, scene, draft)):
            progress = fire(progress, scene)
        progress = demands.account_for(draft, progress)
        if not draft.is_settling:
            progress = demands.account_for(draft, demands.serve(draft, progress, scene))  # what has made way is told there
        draft.put(progress)
        if awaits_cluster(progress, scene.cronjob):
            self._waiting[key] = None

    def _end(self, progress: Progress, draft: Draft) -> None:
        """Forget a cronjob, but not before it is written what became of its last runs."""
        if progress.open:
            draft.put(demands.account_for(draft, give_up(progress)))
        else:
            draft.forget(progress.key)

    def _scene(self, progress: Progress, draft: Draft) -> Scene | None:
        standing = Standing.of(draft, progress.key)
        if not isinstance(standing.cronjob, CronJob) or progress.withdrawn_at is not None:
            return None
        return Scene(
            cronjob=standing.cronjob,
            homes=tuple(draft.homes(progress.key)),
            hearing=self._hearing(draft.clusters),
            rules=self._rules,
            now=draft.now,
            elsewhere=partial(draft.open_runs_beside, progress.key),
            called_off=partial(draft.is_called_off, progress.key),
            rests=standing.rests(draft.now),
        )

    def _hearing(self, clusters: Mapping[str, Cluster]) -> Hearing:
        executor = self._state.executor
        return Hearing(clusters, since=executor.since if executor else LONG_AGO)

    def _is_of_another_ledger(self, message: CronJobDeclared | RunsDemanded) -> bool:
        """Whether it was sent before the ledger was lost, and has outlived it in its queue."""
        return None not in (message.ledger, self._state.born) and message.ledger != self._state.born

    def _waits_for_what_is_known(self, progress: Progress, scene: Scene, draft: Draft) -> bool:
        """Whether ticks wait while the ledger is young: some may have run, or what they may not run beside is not watched yet."""
        return (
            self._passed_before_birth(progress, scene)
            or self._may_run_beside_what_is_lost(progress, scene, draft)
            or demands.are_to_be_resumed(draft, scene.cronjob)
        )

    def _may_run_beside_what_is_lost(self, progress: Progress, scene: Scene, draft: Draft) -> bool:
        """Whether ticks must not run beside each other, and the cronjob is older than the ledger: some of it may run."""
        if scene.cronjob.policy is ConcurrencyPolicy.ALLOW or draft.born is None:
            return False
        return any(home.created_at < draft.born for home in draft.homes(progress.key).values())

    def _passed_before_birth(self, progress: Progress, scene: Scene) -> bool:
        assert self._state.born is not None
        born = self._state.born
        return progress.last_tick < born and scene.cronjob.schedule.latest(progress.last_tick, born) is not None

    def _awaits_cluster(self, key: Key) -> bool:
        progress, cronjob = self._state.progress.get(key), self._state.cronjob(key)
        return progress is not None and isinstance(cronjob, CronJob) and awaits_cluster(progress, cronjob)

    def _instants(self, key: Key, after: datetime | None) -> Iterator[datetime]:
        """Yield when to look at a cronjob; with `after`, having looked at that instant and found nothing to write."""
        rules = self._rules
        progress = self._state.progress.get(key)
        found = self._state.cronjob(key)
        cronjob = found if isinstance(found, CronJob) else None
        runs = progress is not None and progress.withdrawn_at is None and cronjob is not None
        for demand in self._state.pending_of(key):
            yield from demands.instants(demand, runs, rules, after)
        if progress is None:
            return
        if progress.withdrawn_at is not None:
            yield progress.withdrawn_at + rules.forget_after
            return
        for instant in deadlines(progress, cronjob, self._hearing(self._state.clusters), rules):
            yield instant if after is None or instant > after else after + rules.look_again
        if cronjob is None:
            return
        paused = pausing.in_effect(self._state.definitions[key], progress.pause_over)
        if paused is not None:
            if paused.pause is not None and paused.pause.until is not None:
                yield paused.pause.until
            return
        if cronjob.suspend:
            return
        for instant in waits(progress, cronjob, rules):
            yield instant if after is None or instant > after else after + rules.look_again
        looked = progress.last_tick if after is None else max(progress.last_tick, after)
        tick = cronjob.schedule.next_after(looked, base=progress.last_tick)
        if tick is not None:
            ahead = tick - rules.decide_ahead
            yield tick if after is not None and ahead <= after else ahead
        if after is not None and self._state.born is not None and self._state.began_within(rules.settle, after):
            yield self._state.born + rules.settle
        if after is not None and awaits_cluster(progress, cronjob):
            yield after + rules.look_again


def _is_refusal(message: Command | Report) -> bool:
    return isinstance(message, RunRefused)


def _account_for(key: Key, draft: Draft) -> None:
    """Put what a message has told of demanded runs into their accounts, before anything is decided upon it."""
    progress = draft.progress(key)
    if progress is not None:
        draft.put(demands.account_for(draft, progress))


def _is_more_useful(after: Cluster, before: Cluster) -> bool:
    """Whether a cluster may take runs that it did not take before."""
    if not after.api_ok or after.cordoned:
        return False
    return not before.api_ok or bool(before.cordoned) or before.labels != after.labels
