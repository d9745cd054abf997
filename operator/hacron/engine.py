"""The engine: the roles of one replica on one broker connection, and what one turn of them is.

No clock, no threads, no I/O of its own: the broker, Kubernetes and the time are handed in, so that tests turn the same engine
over fakes. When to turn, what to do about a lost connection, and what others see of it is `replica`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple, Protocol, TypeVar, assert_never

from hacron.core.faults import Faults
from hacron.core.kinds import CRONJOBS, DEMANDS
from hacron.core.messages import VERSION
from hacron.core.model import Key
from hacron.core.rules import Rules
from hacron.core.scheduler import Scheduler
from hacron.core.state import Applied, State
from hacron.errands import WorkerTally
from hacron.executor import REWRITE_AFTER_BYTES, Executor, Lease, Tally
from hacron.herald import Herald
from hacron.mirror import Mirror
from hacron.namesake import Namesake
from hacron.ports import (
    Answer,
    Broker,
    FromKubernetes,
    JobSeen,
    JobsListed,
    Kubernetes,
    ObjectSeen,
    Outdated,
    WatchBegan,
    WatchResumed,
    about,
)
from hacron.recency import Recency
from hacron.relay import Relay
from hacron.settings.fields import Settings
from hacron.timepiece import Timepiece
from hacron.turn import Folded, Moment
from hacron.worker import Worker

LONGEST_WAIT_S = 1.0  # the engine looks around at least so often
READING_WAIT_S = 0.05  # while the ledger is still being read
OF_THE_WORKER = (Answer, JobSeen, JobsListed)

A = TypeVar("A", bound=FromKubernetes)
A_contra = TypeVar("A_contra", bound=FromKubernetes, contravariant=True)


class _Role(Protocol[A_contra]):
    """Who takes in what arrives from Kubernetes."""

    faults: Faults

    def take(self, arrival: A_contra, moment: Moment) -> None: ...

    def touch(self, keys: Iterable[Key]) -> None: ...


class _Standing(NamedTuple):
    """What the roles that watch Kubernetes go by, beside what they are told."""

    is_worker: bool
    knows_jobs: bool
    reaches_api: bool
    has_begun: bool  # the ledger


class _Rest(NamedTuple):
    """So long these roles have nothing to do, unless they are told something, or how things stand has changed."""

    until: Moment  # by whichever clock it comes first
    standing: _Standing


class Engine:
    """The roles of one replica. What was seen in Kubernetes outlives a connection; all else is made anew for each."""

    def __init__(self, settings: Settings, kube: Kubernetes) -> None:
        self._settings = settings
        self._kube = kube
        self.relay, self.demand_relay = (
            Relay(
                cluster=settings.cluster,
                kube=kube,
                inventory_interval_s=settings.inventory_interval_s,
                forget_after=timedelta(seconds=settings.forget_after_s),
                objects=objects,
            )
            for objects in (CRONJOBS, DEMANDS)
        )
        self.herald = Herald(cluster=settings.cluster, replica=settings.replica, kube=kube, which=settings.events)
        self.mirror, self.demand_mirror = (
            Mirror(
                cluster=settings.cluster,
                kube=kube,
                start_window=timedelta(seconds=settings.start_window_s),
                objects=objects,
                tell=self.herald.template_refused,
            )
            for objects in (CRONJOBS, DEMANDS)
        )
        self.tally = Tally()
        self.worker_tally = WorkerTally()
        self._timepiece = Timepiece(kube)
        self._namesake = Namesake(cluster=settings.cluster, kube=kube)

    def begin(self, broker: Broker) -> Session:
        """Begin on a new connection, with a State that is folded afresh."""
        settings = self._settings
        state = State()
        scheduler = Scheduler(state, rules_of(settings))
        lease = lease_of(settings)
        executor = Executor(
            replica=settings.replica,
            cluster=settings.cluster,
            state=state,
            scheduler=scheduler,
            token=broker.token,
            ledger=broker.ledger,
            inbox=broker.inbox,
            lease=lease,
            may_execute=settings.may_execute,
            tally=self.tally,
        )
        worker = Worker(
            replica=settings.replica,
            cluster=settings.cluster,
            labels=dict(settings.cluster_labels),
            cordoned=settings.cordoned,
            gone=settings.gone_clusters,
            forgotten=settings.forgotten_clusters,
            state=state,
            token=broker.worker_token,
            outbox=broker.outbox,
            kube=self._kube,
            uid_here=self.relay.uid_here,
            namespaces=settings.watch_namespaces,
            seen_interval_s=settings.seen_interval_s,
            token_missing_after_s=settings.token_missing_after_s,
            unheard_after_s=lease.unheard_after_s,
            backup_after=timedelta(seconds=settings.backup_after_s),
            request_window=timedelta(seconds=settings.start_window_s + settings.skew_margin_s),
            tally=self.worker_tally,
        )
        for role in (self.relay, self.mirror, self.demand_relay, self.demand_mirror, self.herald):
            role.attach(state)
        of_cronjobs, of_demands = (self.relay, self.mirror), (self.demand_relay, self.demand_mirror)
        return Session(
            broker=broker,
            kube=self._kube,
            state=state,
            recency=Recency(settings.token_missing_after_s, settings.proof_lease_s),
            scheduler=scheduler,
            executor=executor,
            worker=worker,
            of_cronjobs=of_cronjobs,
            of_demands=of_demands,
            herald=self.herald,
            timepiece=self._timepiece,
            namesake=self._namesake,
        )

    def absorb(self, arrivals: Iterable[FromKubernetes], now: Moment) -> None:
        """Take in what Kubernetes says while there is no connection: it must not pile up, and the newest will be needed.

        Jobs are listed afresh with the next connection.
        """
        for arrival in arrivals:
            _note((self.relay, self.mirror, self.demand_relay, self.demand_mirror), self.herald, arrival, now)


class Session:
    """The roles on one broker connection. Thrown away with it: nothing is ever resumed."""

    def __init__(
        self,
        *,
        broker: Broker,
        kube: Kubernetes,
        state: State,
        recency: Recency,
        scheduler: Scheduler,
        executor: Executor,
        worker: Worker,
        of_cronjobs: tuple[Relay, Mirror],
        of_demands: tuple[Relay, Mirror],
        herald: Herald,
        timepiece: Timepiece,
        namesake: Namesake,
    ) -> None:
        self.broker = broker
        self.state = state
        self.executor = executor
        self.worker = worker
        self._kube = kube
        self._recency = recency
        self._of_cronjobs = of_cronjobs
        self._of_demands = of_demands
        self._watchers = (*of_cronjobs, *of_demands)
        self._about_cronjobs = (scheduler, worker, *of_cronjobs)
        self._herald = herald
        self._timepiece = timepiece
        self._namesake = namesake
        self._rest: _Rest | None = None  # of the watchers and the herald; None: they are to be turned
        self._stood = self._standing()  # when they were turned

    @property
    def caught_up(self) -> bool:
        """Whether State is of now, and not still of the past."""
        return self.broker.ledger.caught_up and self._recency.is_of_now

    def turn(self, now: Moment, arrivals: Iterable[FromKubernetes]) -> None:
        """Do all that can be done now. Raises SteppedDown, BrokerUnavailable, TakesNoPart."""
        folded = self._fold(now)
        self._timepiece.look(now)
        if self.broker.ledger.caught_up:  # as soon as the executor may compete
            self._namesake.look(self.state, now)
        for arrival in arrivals:
            self._rest = None
            if isinstance(arrival, OF_THE_WORKER):
                _hand(self.worker, arrival, now)
            _note(self._watchers, self._herald, arrival, now)
        self.executor.turn(now, folded)
        if self.caught_up:  # before that State is of the past, and nothing follows from it
            self.worker.turn(now, knows_all=self.broker.ledger.is_whole)
            if not self._watchers_rest(now):
                self._turn_watchers(now)

    def wait(self, now: Moment) -> float:
        """Return in how many seconds a turn is due without anything arriving."""
        if not self.broker.ledger.caught_up:
            return READING_WAIT_S
        wait_s = min(LONGEST_WAIT_S, self.executor.next_turn(now))
        if not self.caught_up:
            return wait_s
        if self._rest is None:
            rest_s = min(LONGEST_WAIT_S, self._herald.next_turn(now), *(role.next_turn(now) for role in self._watchers))
            self._rest = _Rest(Moment(now.wall + timedelta(seconds=rest_s), now.mono + rest_s), self._stood)
        return max(0.0, min(wait_s, self.worker.next_turn(now), self._rest.until.mono - now.mono))

    def give_back(self) -> None:
        """On stop: no more decisions, then the tokens, then goodbye."""
        self.executor.stop()
        self.worker.stop()
        self.broker.connection.close()

    def _turn_watchers(self, now: Moment) -> None:
        self._rest, self._stood = None, self._standing()
        for relay, mirror in (self._of_cronjobs, self._of_demands):
            relay.turn(self.broker.outbox, self.worker, now)
            mirror.turn(self.worker.active, now)
        self._herald.turn(self.worker.active, now)

    def _watchers_rest(self, now: Moment) -> bool:
        """Whether those that watch Kubernetes, and the herald, have nothing to do: most turns are about signs of life alone."""
        rest = self._rest
        if rest is None or now.mono >= rest.until.mono or now.wall >= rest.until.wall:
            return False
        return rest.standing == self._standing()

    def _standing(self) -> _Standing:
        worker = self.worker
        return _Standing(worker.active, worker.knows_jobs, self._kube.reachable, self.state.epoch > 0)

    def _fold(self, now: Moment) -> list[Folded]:
        """Take in what the ledger has brought, and tell the roles which cronjobs it was about."""
        live = self.caught_up
        folded = []
        for entry in self.broker.ledger.read():
            applied = self.state.apply(entry)
            if applied.counts and entry.later is not None:  # State is not what is so from here on: nothing may follow from it
                raise Outdated(
                    f"the ledger is written in message version {entry.later.v}, and this program knows {VERSION}: upgrade it"
                    " (docs/operations.md#upgrading)"
                )
            folded.append(Folded(entry, applied))
            self._herald.note(entry, applied, live, now)
            if applied.keys or applied.demands:
                self._rest = None
            if applied.keys:
                for about_cronjobs in self._about_cronjobs:
                    about_cronjobs.touch(applied.keys)
            for about_demands in self._of_demands if applied.demands else ():
                about_demands.touch(applied.demands)
            self._look_for_life(applied, now)
        return folded

    def _look_for_life(self, applied: Applied, now: Moment) -> None:
        """Note what an entry says of an executor, if it does: that there is one, or a new one."""
        proof = self.state.proof if applied.proof else None
        sign = applied.checkpoint or proof
        if sign is not None:
            self._recency.note(sign.at, now)
            self._timepiece.hear(sign.at, self._recency.is_of_now, now)
            self.worker.hear(now)
        if applied.checkpoint is not None:
            self.worker.greet(now)


def _note(roles: Iterable[Relay | Mirror], herald: Herald, arrival: FromKubernetes, now: Moment) -> None:
    match arrival:
        case ObjectSeen() | Answer():
            for role in roles:
                _hand(role, arrival, now)
            if isinstance(arrival, Answer):
                herald.take(arrival, now)
        case WatchBegan(kind=kind) | WatchResumed(kind=kind):
            for role in roles:
                if isinstance(role, Relay) and role.kind is kind:
                    role.inventory.hear_of_watch(arrival, now)
        case JobSeen() | JobsListed():
            pass
        case _:
            assert_never(arrival)


def _hand(role: _Role[A], arrival: A, now: Moment) -> None:
    """Have a role take in an arrival. Where it fails, what that is about is set aside; what is about many ends the process."""
    try:
        role.take(arrival, now)
    except Exception:
        key = about(arrival)
        if key is None:
            raise
        role.faults.set_aside(key, now.wall)
        role.touch([key])


def lease_of(settings: Settings) -> Lease:
    """Return how long the executor may believe in itself, and how far the floor may lag."""
    return Lease(
        proof_interval_s=settings.proof_interval_s,
        proof_lease_s=settings.proof_lease_s,
        token_missing_after_s=settings.token_missing_after_s,
        # Until then a cluster has another worker. Who waits in vain for a worker token connects anew only after that.
        unheard_after_s=2 * max(settings.silent_after_s, settings.token_missing_after_s),
        # In a small ledger the default would be more than the broker keeps.
        rewrite_after_bytes=min(REWRITE_AFTER_BYTES, settings.ledger_max_bytes // 8),
        rewrite_before_bytes=settings.ledger_max_bytes // 4,
    )


def rules_of(settings: Settings) -> Rules:
    """Return the durations that decisions depend on."""
    return Rules(
        decide_ahead=timedelta(seconds=settings.decide_ahead_s),
        start_window=timedelta(seconds=settings.start_window_s),
        skew_margin=timedelta(seconds=settings.skew_margin_s),
        silent_after=timedelta(seconds=settings.silent_after_s),
        lost_after=timedelta(seconds=settings.lost_after_s),
        forget_after=timedelta(seconds=settings.forget_after_s),
        recent_limit=settings.recent_limit,
    )
