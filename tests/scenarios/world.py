"""Several replicas in several clusters on one broker, all in memory, and a clock that is moved by hand.

The replicas turn the real engine (`hacron.engine`) over fakes; this module stands in for their processes: when each turns, what
it does about a lost connection, how it dies, freezes and is cut off. Whoever has something to do does it, in the order of the
list, until nobody has; then the clock jumps to the next instant at which something happens. Nothing is left to chance.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hacron import timepiece
from hacron.core import faults, manifests, status
from hacron.core.demand.accounts import remembered
from hacron.core.messages import Demand, Progress
from hacron.core.model import Key, Kind, key_of, namespace_of
from hacron.core.rules import Rules
from hacron.core.runs import run_id
from hacron.engine import Engine, Session
from hacron.ports import BrokerUnavailable, FromKubernetes, SteppedDown
from hacron.replica import FIRST_BACKOFF_S, LAST_BACKOFF_S
from hacron.settings.fields import Settings
from hacron.turn import Moment
from tests.fakes.broker import COMMANDS, FakeBroker, FakeSession, Stored
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import Body, FakeCluster, Job, Made, Saved, all_made
from tests.fakes.versions import OURS, Dialect

faults.raises = True  # who meets one has failed

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
HEARTBEATS_MISSED = timedelta(seconds=10)  # after it the broker gives a silent client up
SETTLES_FOR = Rules().settle  # after it an executor with a new ledger goes by what it has been told
MOST_ROUNDS = 500  # at one instant; more, and somebody spins
MARGIN = timedelta(seconds=2)  # by which clocks may differ, unless more is said


class Died(BaseException):
    """Raised from a hook: the process ends here, in the middle of what it does. Nobody in it can catch it."""


@dataclass(slots=True)
class Named:
    """A time in which a cluster was named as one to be forgotten; until None: it still is."""

    since: datetime
    until: datetime | None = None


class Trance:
    """A turn that can be left in the middle and gone on with: it has a thread of its own, and only one of all ever moves."""

    _mine = threading.local()

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self._moves, self._rests = threading.Semaphore(0), threading.Semaphore(0)
        self._sleeps = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self) -> bool:
        """Let it move; return whether it has fallen asleep, else it has ended."""
        self._sleeps = False
        self._moves.release()
        self._rests.acquire()
        if not self._sleeps:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._sleeps

    @classmethod
    def is_mine(cls) -> bool:
        """Whether who asks is in one."""
        return getattr(cls._mine, "trance", None) is not None

    @classmethod
    def sleep(cls) -> None:
        """From within: rest until somebody lets it go on."""
        trance: Trance = cls._mine.trance
        trance._sleeps = True
        trance._rests.release()
        trance._moves.acquire()

    def _run(self) -> None:
        self._mine.trance = self
        self._moves.acquire()
        try:
            self._do()
        except BaseException as error:  # noqa: BLE001  it belongs to who lets it move
            self._error = error
        self._rests.release()


def _is_decided(made: Made, noted: dict[tuple[type, Key], Progress | Demand]) -> bool:
    """Whether the ledger says that what a Job was made for is decided: a tick, or a part of what was demanded."""
    if made.demand:
        demand = noted.get((Demand, key_of(namespace_of(made.key), made.demand)))
        if not isinstance(demand, Demand) or not demand.account.decided:
            return False
        return demand.account.next_tick is None or made.tick < demand.account.next_tick
    progress = noted.get((Progress, made.key))
    return isinstance(progress, Progress) and made.tick <= progress.last_tick


def _shows(status: Body, made: Made) -> bool:
    """Whether a `.status` tells that a Job has begun."""
    if made.demand:
        account = remembered(status)
        if account is None or account.id != made.cronjob:
            return False
        return account.next_tick is None or account.next_tick > made.tick
    last = manifests.instant(status.get("lastScheduleTime"))
    return last is not None and last >= made.tick


def _shows_running(status_shown: Body, made: Made) -> bool:
    """Whether a `.status` tells that a Job runs."""
    return any(run.id == run_id(made.cronjob, made.tick, made.attempt) for run in status.running(status_shown))


def _is_open(made: Made, noted: dict[tuple[type, Key], Progress | Demand]) -> bool:
    """Whether the ledger says that a Job may be running."""
    progress = noted.get((Progress, made.key))
    run = run_id(made.cronjob, made.tick, made.attempt)
    return isinstance(progress, Progress) and any(one.id == run for one in progress.open)


class Process:
    """One replica as the operating system has it: it turns, is frozen, or is gone."""

    def __init__(self, world: World, name: str, cluster: FakeCluster, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.alive = True
        self.frozen_since: datetime | None = None
        self.deaf_since: datetime | None = None
        self.heard_at = world.now  # when anything last came from the ledger
        self.dialect: Dialect = OURS  # of the version of the program that it is
        self.reaches_broker = True
        self.copy_ends: int | None = None  # of the ledger, at its broker node; None: it has all
        self.opens_deaf = False  # the next connection brings nothing of the ledger
        self.skew = timedelta()
        self.session: Session | None = None
        self.broker: FakeSession | None = None
        self.on_effect: Callable[[str, bool], None] = lambda _name, _done: None  # called before (False) and after (True)
        self._world = world
        self.may_fall_asleep = False  # in the middle of a turn
        self._trance: Trance | None = None
        self._dying = False
        self._due = world.now
        self._backoff_s = FIRST_BACKOFF_S
        self._connected_at = world.now
        self.kube = FakeKube(cluster, name, lambda: self.moment().wall)
        self.kube.before = lambda effect: self.on_effect(effect, False)
        self.kube.after = lambda effect: self.on_effect(effect, True)
        self.kube.heard_at = lambda: self.heard_at
        self.engine = Engine(settings, self.kube)

    def moment(self) -> Moment:
        moment = self._world.moment
        return Moment(moment.wall + self.skew, moment.mono) if self.skew else moment

    @property
    def epoch(self) -> int:
        """The one in which it decides, or is about to; 0: none."""
        return (self.session.executor.epoch or 0) if self.session is not None else 0

    @property
    def turns(self) -> bool:
        return self.alive and self.frozen_since is None

    @property
    def takes_part(self) -> bool:
        """Whether its clock is right enough for that."""
        return abs(self.skew).total_seconds() <= timepiece.MOST_S

    @property
    def has_work(self) -> bool:
        """Whether there is something to do now."""
        if not self.alive or self.frozen_since is not None:
            return False
        kube, broker = self.kube, self.broker
        if self._world.now >= self._due or kube.has_work or self._trance is not None:
            return True
        return broker is not None and (bool(kube.arrivals) or broker.has_news)

    def next_event(self) -> datetime | None:
        return self._due if self.turns else None

    def turn(self) -> None:
        """Do what there is to do now, as `hacron.replica.Replica.run` does."""
        if self._trance is not None:
            if not self._trance.go_on():
                self._trance = None
        elif self.may_fall_asleep:
            trance = Trance(self._do)
            self._trance = trance if trance.go_on() else None
        else:
            self._do()

    def fall_asleep(self) -> None:
        """Be frozen in the middle of a turn that may be; to be called from a hook. Goes on when thawed, or dies."""
        if not Trance.is_mine():
            return  # it is about to end
        self._world.freeze(self.name)
        Trance.sleep()
        if self._dying:
            raise Died

    def _do(self) -> None:
        try:
            self.kube.serve()
            if self.session is None:
                self._open()
            else:
                self._turn(self.session)
        except SteppedDown as reason:
            self._world.say(self.name, f"steps down: {reason}")
            self._backoff_s = FIRST_BACKOFF_S
            self._drop(0.0)
        except BrokerUnavailable as reason:
            if self.session is not None:
                self._world.say(self.name, f"loses the broker: {reason}")
            if (self._world.now - self._connected_at).total_seconds() > LAST_BACKOFF_S:
                self._backoff_s = FIRST_BACKOFF_S
            self._drop(self._backoff_s)
            self._backoff_s = min(LAST_BACKOFF_S, self._backoff_s * 2)
        except Died:
            self.die()

    def die(self) -> None:
        """SIGKILL: the system closes the connection."""
        if self._trance is not None and not self._dying:
            self._dying = True
            trance, self._trance = self._trance, None
            trance.go_on()
            return
        self._world.say(self.name, "dies")
        self.alive = False
        self.frozen_since = None
        if self.broker is not None:
            self.broker.connection.drop()
        self.session = self.broker = None
        self.kube.close()

    def stop(self) -> None:
        """SIGTERM."""
        self._world.say(self.name, "stops")
        try:
            if self.session is not None:
                self.session.give_back()
        except (Died, BrokerUnavailable):
            pass
        self.alive = False
        if self.broker is not None:
            self.broker.connection.drop()
        self.session = self.broker = None
        self.kube.close()

    def _open(self) -> None:
        self._connected_at = self._world.now
        if not self.reaches_broker:
            raise BrokerUnavailable("cut off")
        broker, cluster = self._world.broker, self.settings.cluster
        self.broker = broker.connect(self.name, cluster, lambda: self.moment().wall, self.copy_ends)
        self.broker.reads_nothing, self.opens_deaf = self.opens_deaf, False
        self.broker.before = lambda effect: self.on_effect(effect, False)
        self.broker.after = lambda effect: self.on_effect(effect, True)
        self.broker.dialect = self.dialect
        self.session = self.engine.begin(self.broker)
        self._due = self._world.now

    def _turn(self, session: Session) -> None:
        assert self.broker is not None
        self.broker.connection.turn(0)
        if self.broker.ledger.has_arrived:
            self.heard_at = self._world.now
        session.turn(self.moment(), self._arrived())
        for relay in (self.engine.relay, self.engine.demand_relay):
            if relay.inventory.was_put_back:
                relay.inventory.was_put_back = False
                self.kube.watch_again(relay.kind)
                self.kube.list_jobs_again()
        self.broker.wants_signs_of_life = not session.caught_up
        wait_s = 0.0 if self.kube.arrivals else session.wait(self.moment())
        self._due = self._world.now
        if wait_s > 0:
            self._due += timedelta(microseconds=max(math.ceil(round(wait_s * 1e6, 3)), 1))

    def _arrived(self) -> Iterator[FromKubernetes]:
        """Yield what has arrived by now; what a turn that breaks off does not look at waits for the next."""
        for _ in range(len(self.kube.arrivals)):
            yield self.kube.arrivals.popleft()

    def _drop(self, pause_s: float) -> None:
        if self.broker is not None:
            self.broker.connection.drop()
        self.session = self.broker = self.deaf_since = None
        self.kube.watch_jobs(False)
        self._due = self._world.now + timedelta(seconds=pause_s)


class World:
    """All of it. `say` receives every line about what somebody did: when, who, what."""

    def __init__(self, broker: FakeBroker | None = None) -> None:
        self.now = NOON
        self.moment = Moment(NOON, 0.0)  # as any right clock has it
        self.broker = broker or FakeBroker()
        self.clusters: dict[str, FakeCluster] = {}
        self.processes: dict[str, Process] = {}
        self.acting: Process | None = None
        self.turns = 0  # that any process has had
        self.wiped: list[datetime] = []  # when the broker lost everything
        self.lost_ledgers: list[list[Stored]] = []
        self._unsettled: list[datetime] = []  # of these losses, those after which it may still be told what has run
        self.saved: dict[str, dict[Kind, Saved]] = {}  # the newest backup of each cluster
        self.forgotten: dict[str, list[Named]] = {}  # when people said of a cluster that nothing of it is to be left
        self.frozen: list[tuple[str, datetime, datetime]] = []  # who was, from when until when
        self.unheard: list[tuple[datetime, datetime]] = []  # from when until when no commands were delivered
        self._unheard_since: datetime | None = None
        self._mute_since: list[tuple[FakeSession, datetime]] = []
        self.clocks_differ = MARGIN  # at most, in all that happens here
        self.say: Callable[[str, str], None] = lambda _who, _what: None

    def stall(self, queue: str, stalls: bool = True) -> None:
        """Let the broker deliver nothing of a queue until it does again."""
        if queue == COMMANDS and stalls and self._unheard_since is None:
            self._unheard_since = self.now
        elif queue == COMMANDS and not stalls and self._unheard_since is not None:
            self.unheard.append((self._unheard_since, self.now))
            self._unheard_since = None
        self.broker.stall(queue, stalls)

    # --- who there is ---

    def cluster(self, name: str) -> FakeCluster:
        """Return the cluster of this name; there is one as soon as somebody speaks of it."""
        if name not in self.clusters:
            cluster = self.clusters[name] = FakeCluster(name, self.now)
            cluster.tell = lambda what: self.say(name, what)
            cluster.on_loss = self._note_loss
        return self.clusters[name]

    def start(self, name: str, **settings: object) -> Process:
        """Start a replica; "west-1" runs in cluster "west"."""
        known = self.processes.get(name)
        assert known is None or not known.alive, f"{name} runs already"
        where = name.rsplit("-", 1)[0]
        told = Settings(**{"cluster": where, "replica": name, "broker_url": "amqp://memory"} | settings)  # type: ignore[arg-type]
        process = self.processes[name] = Process(self, name, self.cluster(where), told)
        return process

    def start_again(self, name: str) -> Process:
        """Start a replica that is gone, as it was."""
        before = self.processes[name]
        assert not before.alive, f"{name} runs already"
        process = self.processes[name] = Process(self, name, self.cluster(before.settings.cluster), before.settings)
        process.skew, process.dialect, process.reaches_broker = before.skew, before.dialect, before.reaches_broker
        process.copy_ends = before.copy_ends
        self._note_who_is_named()
        return process

    def _note_who_is_named(self) -> None:
        """Begin or end what is noted of clusters that are to be forgotten, as long as any replica is told so."""
        named = {name for process in self.processes.values() for name in process.settings.forgotten_clusters}
        for name in named | self.forgotten.keys():
            times = self.forgotten.setdefault(name, [])
            if name in named and (not times or times[-1].until is not None):
                times.append(Named(self.now))
            elif name not in named and times[-1].until is None:
                times[-1].until = self.now

    @property
    def executor(self) -> Process | None:
        """Return who decides, if there is one."""
        found = [p for p in self.processes.values() if p.turns and p.session and p.session.executor.decides]
        return max(found, key=lambda process: process.epoch, default=None)

    def worker(self, cluster: str) -> Process | None:
        """Return who makes the Jobs of a cluster, if there is one."""
        return next((p for p in self.of(cluster) if p.turns and p.session and p.session.worker.active), None)

    def of(self, cluster: str) -> Iterator[Process]:
        return (process for process in self.processes.values() if process.settings.cluster == cluster)

    # --- what happens to them ---

    def freeze(self, name: str) -> None:
        """SIGSTOP. The broker gives it up when it has missed its heartbeats."""
        self.processes[name].frozen_since = self.now

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        process = self.processes[name]
        assert process.frozen_since is not None
        self.frozen.append((name, process.frozen_since, self.now))
        process.frozen_since = None
        process._due = self.now

    def cut(self, name: str) -> None:
        """Reset its connection; it may connect again at once."""
        broker = self.processes[name].broker
        if broker is not None:
            self.broker.cut(broker)

    def wipe(self, *, only_the_ledger: bool = False) -> None:
        """Lose everything that the broker has, or only the ledger."""
        self.wiped.append(self.now)
        self._unsettled.append(self.now)
        for made in all_made(list(self.clusters.values())):
            shown_by = self._shown_by(made)
            made.shown_by |= shown_by
            if not shown_by:
                made.unshown_at = made.unshown_at or self.now
                made.forgotten_at = made.forgotten_at or (None if self._can_be_told(made) else self.now)
            made.running_by |= self._shown_by(made, _shows_running)
            if not made.running_by and not self._can_be_told(made):
                made.unwatched_at = made.unwatched_at or self.now
        self.lost_ledgers.append(list(self.broker.ledger))
        if only_the_ledger:
            self.broker.lose_ledger()
        else:
            self.broker.wipe()

    def _look_who_has_told(self) -> None:
        """When a new ledger may settle: what it does not say by then is lost for good where whoever could tell it is away."""
        while self._unsettled and self._unsettled[0] + SETTLES_FOR <= self.now:
            wiped, noted = self._unsettled.pop(0), self._noted()
            for made in all_made(list(self.clusters.values())):
                is_told = self._is_told(made)
                was_shown = self._shown_by(made) or self._was_shown(made, wiped, made.shown_by)
                is_known = _is_decided(made, noted) or was_shown or is_told
                if made.at <= wiped and not is_known:
                    made.forgotten_at = made.forgotten_at or self.now
                is_watched = _is_open(made, noted) or self._was_shown(made, wiped, made.running_by) or is_told
                if made.at <= wiped and not is_watched:
                    made.unwatched_at = made.unwatched_at or self.now

    def _noted(self) -> dict[tuple[type, Key], Progress | Demand]:
        """Return what the ledger says of each cronjob, and of what was demanded."""
        records = [record for stored in self.broker.ledger for record in stored.batch.records]
        return {(type(record), record.key): record for record in records if isinstance(record, Progress | Demand)}

    def _shown_by(self, made: Made, shows: Callable[[Body, Made], bool] = _shows) -> set[str]:
        """Return the objects, by uid, whose `.status` tells that a Job has begun, or runs, when they are told of anew."""
        shown_by = set()
        for cluster in self.clusters.values():
            body = self._origin(made, cluster)
            if body is not None and self._may_tell(cluster.name) and shows(body.get("status", {}), made):
                shown_by.add(body["metadata"]["uid"])
        return shown_by

    def _was_shown(self, made: Made, wiped: datetime, by: set[str]) -> bool:
        """Whether what showed a Job, when the broker's data was lost, is still there to be told of, even if it shows less now.

        Unless people have had it say less since, by a backup.
        """
        clusters = [one for one in self.clusters.values() if one.put_back_at is None or one.put_back_at < wiped]
        found = [(self._origin(made, cluster), cluster.name) for cluster in clusters]
        return any(body is not None and body["metadata"]["uid"] in by and self._may_tell(name) for body, name in found)

    def _origin(self, made: Made, cluster: FakeCluster) -> Body | None:
        """Return what has asked for a Job, as a cluster has it: a HACronJob or a HACronJobRun."""
        if made.demand:
            return cluster.demands.get(key_of(namespace_of(made.key), made.demand))
        return cluster.cronjobs.get(made.key)

    def _can_be_told(self, made: Made) -> bool:
        """Whether the cluster of a Job tells of it when its HACronJob is declared anew, if it is still there."""
        return made.key in self.clusters[made.cluster].cronjobs and not made.demand and self._may_tell(made.cluster)

    def _is_told(self, made: Made) -> bool:
        """Whether its cluster still has it, and its API server lets it be told as well."""
        was_taken_away = made.by_hand and made.gone_at is not None
        return not was_taken_away and self._can_be_told(made) and any(one.kube.reachable for one in self.of(made.cluster))

    def _may_tell(self, cluster: str) -> bool:
        """Whether there is a replica that can tell of a cluster, soon, if it is not hindered from now on."""
        here = (one for one in self.of(cluster) if one.turns and one.reaches_broker and one.takes_part)
        return any(one.kube.watch_is_behind_by() < SETTLES_FOR for one in here)

    def silence(self, cluster: str, silent: bool = True) -> None:
        """Cut the replicas of a cluster off from the broker, until they are not any more."""
        for process in self.of(cluster):
            process.reaches_broker = not silent
            if silent:
                self.cut(process.name)

    def deafen(self, name: str) -> None:
        """Let nothing reach it any more, while what it sends arrives; it finds out by heartbeats that do not come."""
        process = self.processes[name]
        if process.broker is not None:
            process.deaf_since = self.now
            self.broker.deafen(process.broker)

    def mute(self, name: str) -> None:
        """Let nothing of what it sends arrive, while it hears all; the broker finds out by heartbeats that do not come."""
        broker = self.processes[name].broker
        if broker is not None:
            self._mute_since.append((broker, self.now))
            self.broker.silence(broker)

    def lag(self, name: str, ends: int | None) -> None:
        """Have its broker node come back, where the ledger ends at this offset as yet (-1: it is empty); None: all is there."""
        process = self.processes[name]
        process.copy_ends = ends
        if ends is not None:
            self.cut(name)
        elif process.broker is not None:
            process.broker.copy_ends = None

    def isolate(self, name: str) -> None:
        """Cut off the broker node it is connected to: others are given what it holds, and it is not told.

        What it publishes is taken and not confirmed, and may arrive after all: see `FakeBroker.unstrand`.
        """
        broker = self.processes[name].broker
        assert broker is not None
        self.broker.strand(broker)

    def delete_job(self, cluster: FakeCluster, job: Job, foreground: bool) -> None:
        """Delete a Job by hand."""
        self._note_loss(job)
        metadata = job.body["metadata"]
        cluster.delete_job(metadata["namespace"], metadata["name"], None, "somebody", foreground=foreground)

    def _note_loss(self, job: Job) -> None:
        if job.made is not None:
            job.made.by_hand = True
            ledger = self.broker.ledger
            job.made.ledger_then = len(self.lost_ledgers), ledger[-1].offset if ledger else -1

    # --- time ---

    def at(self, instant: datetime) -> None:
        """Let time pass until then."""
        assert instant >= self.now, f"{instant:%H:%M:%S} is over"
        self.settle()
        while (following := self._next_event()) is not None and following <= instant:
            self._move(max(following, self.now))
            self.settle()
        self._move(instant)
        self.settle()

    def settle(self) -> None:
        """Let everybody do what there is to do at this instant."""
        for _ in range(MOST_ROUNDS):
            busy = [process for process in self.processes.values() if process.has_work]
            if not busy:
                return
            for process in busy:
                if process.has_work:
                    self.acting = process
                    self.turns += 1
                    process.turn()
                    self.acting = None
        names = [process.name for process in self.processes.values() if process.has_work]
        raise AssertionError(f"{', '.join(names)} never come to rest at {self.now}")

    def _next_event(self) -> datetime | None:
        events = [cluster.next_event() for cluster in self.clusters.values()]
        for process in self.processes.values():
            events.append(process.next_event())
            if process.frozen_since is not None and process.broker is not None and not process.broker.doubt:
                events.append(process.frozen_since + HEARTBEATS_MISSED)
            if process.deaf_since is not None:
                events.append(process.deaf_since + HEARTBEATS_MISSED)
        events += [since + HEARTBEATS_MISSED for _, since in self._mute_since]
        return min((event for event in events if event is not None), default=None)

    def _move(self, now: datetime) -> None:
        self.now, self.moment = now, Moment(now, (now - NOON).total_seconds())
        self._look_who_has_told()
        for cluster in self.clusters.values():
            cluster.move(now)
        for process in self.processes.values():
            if process.frozen_since is not None and process.broker and now >= process.frozen_since + HEARTBEATS_MISSED:
                self.broker.cut(process.broker)
            if process.deaf_since is not None and now >= process.deaf_since + HEARTBEATS_MISSED:
                process.deaf_since = None
                if process.broker is not None:
                    self.broker.cut(process.broker)
        while self._mute_since and now >= self._mute_since[0][1] + HEARTBEATS_MISSED:
            self.broker.cut(self._mute_since.pop(0)[0])
