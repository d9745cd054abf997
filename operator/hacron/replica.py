"""One replica: opens the way to the broker and to Kubernetes, and turns the engine between them.

The engine has one thread and a loop of small turns; it owns the broker connection, State and the roles. Kopf and the requests to
Kubernetes live in threads of their own and are reached through queues alone. A connection in doubt is dropped and everything that
was built on it is thrown away: nothing is ever resumed, State is folded afresh from the ledger.
"""

from __future__ import annotations

import gc
import logging
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime

from hacron.broker.session import Access, open_broker
from hacron.broker.tls import Tls
from hacron.core import faults
from hacron.core.model import Key, Kind
from hacron.core.ticks.cron import tzdata_version
from hacron.engine import Engine, Session
from hacron.inventory import Inventory
from hacron.meter import Meter
from hacron.page.serving import Page
from hacron.page.view import Viewfinder
from hacron.ports import Broker, BrokerUnavailable, FromKubernetes, Kubernetes, Outdated, SteppedDown, TakesNoPart, Why
from hacron.settings.fields import Settings
from hacron.settings.loading import InvalidSettings
from hacron.settings.showing import without_password
from hacron.telemetry.health import Health
from hacron.telemetry.metrics import Metrics
from hacron.telemetry.server import HttpServer
from hacron.telemetry.version import program_version
from hacron.turn import Moment

log = logging.getLogger(__name__)

ARRIVALS_PER_TURN = 2000
FAILED = 1  # exit code
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.2, 10.0
TELL_AGAIN_S = 60.0  # that the broker is still away
LOOK_AGAIN_S = 20.0  # whether what kept it from taking part is over
HEARD_WITHIN_S = 90.0  # a watch that has something to watch
TIME_IS_TOLD_WITHIN_S = 10.0  # by the API server, if it answers


def moment() -> Moment:
    """Look at the clocks: the only place that does."""
    return Moment(datetime.now(UTC), time.monotonic())


class Replica:
    """Turns the engine of one replica. `run` returns after `stop`."""

    def __init__(
        self, settings: Settings, kube: Kubernetes, arrivals: queue.SimpleQueue[FromKubernetes], metrics: Metrics
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._arrivals = arrivals
        self._engine = Engine(settings, kube)
        self._meter = Meter(settings, metrics, self._engine, kube)
        self.finder = Viewfinder()
        self.finder.wake = self.wake
        self._stopping = threading.Event()
        self._broker: Broker | None = None
        self._said_unavailable = "", 0.0  # why, and when (monotonic)
        self._complained: set[Kind] = set()  # what could not be listed
        self.health: Callable[[Health], None] = lambda _: None
        self._left_out: dict[Kind, frozenset[str]] = {}  # namespaces in which it could not
        self.watch_again: Callable[[Kind, Collection[str]], None] = lambda *_: None
        self._was_deaf: dict[Kind, float] = {}  # when a watch began that was told to begin again, having heard nothing
        self.never_heard_since: Callable[[Kind], float | None] = lambda _: None  # its watch, see KopfWatch

    def stop(self) -> None:
        """End after the present turn. From any thread; not from a signal handler, which may have interrupted whoever wakes it."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """Something has arrived for the engine. From any thread."""
        broker = self._broker
        if broker is not None:
            broker.connection.wake()

    def run(self) -> None:
        """Turn until stopped. The broker going away is waited out, with growing pauses."""
        self._wait_for_the_time()
        backoff_s = FIRST_BACKOFF_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._live()
            except SteppedDown:
                backoff_s = FIRST_BACKOFF_S
            except TakesNoPart as reason:
                self._stay_out(reason)
            except BrokerUnavailable as reason:
                self._drop()  # before the pause: what it held is free for others
                if time.monotonic() - began > LAST_BACKOFF_S:
                    backoff_s = FIRST_BACKOFF_S
                pause_s = backoff_s * random.uniform(0.5, 1.0)
                self._say_unavailable(str(reason), pause_s)
                self._stopping.wait(pause_s)
                self._absorb()
                backoff_s = min(LAST_BACKOFF_S, backoff_s * 2)
            finally:
                self._drop()

    def _wait_for_the_time(self) -> None:
        """Let the API server tell what time it is, for as long as it may take: a replica whose clock is wrong decides nothing."""
        began = time.monotonic()
        while self._kube.time_at(time.monotonic()) is None and time.monotonic() - began < TIME_IS_TOLD_WITHIN_S:
            if self._stopping.wait(0.05):
                return

    def _stay_out(self, reason: TakesNoPart) -> None:
        """Wait, without a connection, before looking again whether it may take part."""
        self._say(None, f"{reason.about}: {reason}")
        log.error("takes no part", extra={"why": str(reason)})
        self._drop()
        self._stopping.wait(LOOK_AGAIN_S)
        self._absorb()

    # --- one connection ---

    def _live(self) -> None:
        session = self._open()
        self._meter.begin(session)
        try:
            while not self._stopping.is_set():
                self._turn(session, moment())
                session.broker.connection.turn(self._wait(session, moment()))
            log.info("stops")
            session.give_back()
        except (SteppedDown, BrokerUnavailable) as error:
            why = error.why if isinstance(error, SteppedDown | Outdated) else Why.CONNECTION_LOST
            said = {"epoch": session.executor.epoch, "reason": why, "why": str(error)}
            if session.executor.decides:
                log.warning("steps down", extra=said)
            elif session.executor.epoch is not None:
                log.warning("lets the token go before it was the executor", extra=said)
            self._meter.end(session, why)
            raise

    def _open(self) -> Session:
        settings = self._settings
        access = Access(
            urls=settings.broker_urls,
            prefix=settings.broker_prefix,
            cluster=settings.cluster,
            replica=settings.replica,
            declares=settings.broker_declare,
            executes=settings.may_execute,
            users=settings.broker_users,
            heartbeat_s=int(settings.heartbeat_s),
            ledger_max_bytes=settings.ledger_max_bytes,
            ledger_segment_bytes=settings.ledger_segment_bytes,
            tls=Tls(
                authority=settings.broker_ca_file,
                certificate=settings.broker_cert_file,
                key=settings.broker_key_file,
                user=settings.broker_cert_user,
            ),
        )
        self._say(None, "broker: connecting")
        broker = self._broker = open_broker(access, lambda: datetime.now(UTC), self._patient)
        self._said_unavailable = "", 0.0
        log.info("connected to the broker")
        return self._engine.begin(broker)

    def _patient(self, blocked: str) -> bool:
        """Say whether to wait on for a broker that is blocked; take in meanwhile what arrives."""
        self._say_unavailable(f"blocked by the broker, {blocked}")
        self._absorb()
        return not self._stopping.is_set()

    def _turn(self, session: Session, now: Moment) -> None:
        began = time.perf_counter()
        session.turn(now, self._arrived())
        self._meter.turned(session, now, time.perf_counter() - began, self._arrivals.qsize())
        self.finder.turned(session, now)
        for relay in (self._engine.relay, self._engine.demand_relay):
            self._watch_as_lists_tell(relay.kind, relay.inventory)
        self._say(session, *shortcomings(session, self._engine.relay.inventory, self._kube))

    def _watch_as_lists_tell(self, kind: Kind, inventory: Inventory) -> None:
        """Have the watch on a kind begin again where it would not by itself do, or not see, what lists do."""
        was_missing = kind in self._complained and not inventory.complaint  # perhaps when the watch looked for the resource
        (self._complained.add if inventory.complaint else self._complained.discard)(kind)
        rights_differ = inventory.left_out != self._left_out.get(kind, frozenset())
        self._left_out[kind] = inventory.left_out
        if was_missing or rights_differ or self._hears_nothing(kind, inventory) or inventory.was_put_back:
            self.watch_again(kind, inventory.left_out)
        if inventory.was_put_back:  # what watches go by is of the future
            inventory.was_put_back = False
            self._kube.list_jobs_again()

    def _hears_nothing(self, kind: Kind, inventory: Inventory) -> bool:
        """Whether a watch has found nothing to watch, although there is something, as a list says; said once of each."""
        began = self.never_heard_since(kind)
        if began is None or inventory.came_at < began + HEARD_WITHIN_S or self._was_deaf.get(kind) == began:
            return False
        self._was_deaf[kind] = began
        log.warning("the watch has heard nothing yet, though a list has: it begins again", extra={"kind": kind})
        return True

    def _arrived(self) -> Iterator[FromKubernetes]:
        for _ in range(ARRIVALS_PER_TURN):
            try:
                yield self._arrivals.get_nowait()
            except queue.Empty:
                return

    def _absorb(self) -> None:
        """Take in what has arrived while there is no broker to tell it to."""
        self._meter.look_at_api()
        while not self._arrivals.empty():
            self._engine.absorb(self._arrived(), moment())

    def _wait(self, session: Session, now: Moment) -> float:
        return session.wait(now) if self._arrivals.empty() else 0.0

    def _drop(self) -> None:
        broker, self._broker = self._broker, None
        self.finder.lost()
        if broker is not None:
            broker.connection.drop()
        self._kube.watch_jobs(False)

    # --- what others see ---

    def _say_unavailable(self, why: str, pause_s: float | None = None) -> None:
        self._say(None, f"broker: {why}" if pause_s is None else f"broker: {why}, trying again in {pause_s:.1f} s")
        said, at = self._said_unavailable
        is_news = why != said or time.monotonic() - at > TELL_AGAIN_S
        fields = {"why": why} if pause_s is None else {"why": why, "again_in_s": round(pause_s, 1)}
        log.log(logging.WARNING if is_news else logging.DEBUG, "broker unavailable", extra=fields)
        if is_news:
            self._said_unavailable = why, time.monotonic()

    def _say(self, session: Session | None, *reasons: str) -> None:
        self.health(
            Health(
                ready=session is not None and not reasons,
                reasons=reasons,
                executor=session is not None and session.executor.decides,
                worker=session is not None and session.worker.active,
                epoch=session.state.epoch if session else 0,
                position=session.state.position if session else -1,
                turned_at=time.monotonic(),
            )
        )


def shortcomings(session: Session, inventory: Inventory, kube: Kubernetes) -> Iterator[str]:
    """Yield why a replica is not ready, though connected to the broker.

    A replica that cannot work with its API server may still be executor, and decides as well as any other. It is not ready all
    the same: readiness moves no traffic here, but it holds up a rollout, and a new replica that cannot reach its cluster (wrong
    credentials, a missing right, no CRD) must not take the place of one that can. Nor must one that has not read the ledger yet:
    standbys have State in hand.
    """
    if not session.broker.ledger.caught_up:
        yield "ledger: still being read"
    elif not session.caught_up:
        yield "ledger: no sign of an executor that is of now"
    if inventory.complaint:
        yield f"kubernetes: HACronJobs cannot be listed: {inventory.complaint}"
    elif not kube.reachable:
        yield f"kubernetes: the API server cannot be worked with: {kube.trouble}"
    elif not inventory.complete:
        yield "kubernetes: HACronJobs are still being listed"
    elif not kube.hears_of_jobs:
        yield "kubernetes: nothing is heard of Jobs"


def run(settings: Settings) -> int:
    """Run one replica until SIGTERM or SIGINT; return the exit code. Raises InvalidSettings."""
    from hacron.kopf_watch import KopfWatch
    from hacron.kube.client import KubeClient

    metrics = Metrics(replica=settings.replica, cluster=settings.cluster, tzdata=tzdata_version())
    arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
    kube = KubeClient(
        settings.kubeconfig,
        arrivals,
        concurrency=settings.kube_concurrency,
        timeout_s=settings.kube_timeout_s,
        namespaces=settings.watch_namespaces,
    )
    faults.tell[:] = [_tell_fault]
    http = _listen(metrics, settings)
    replica = Replica(settings, kube, arrivals, metrics)
    watches = {
        kind: KopfWatch(kube.connection, arrivals, replica.wake, kind, settings.watch_namespaces, lambda: kube.reachable)
        for kind in Kind
    }

    def watch_anew() -> None:
        for watch in watches.values():  # Kopf reads certificates only when it starts
            watch.begin_again()

    kube.on_arrival = replica.wake
    kube.on_new_connections = watch_anew
    replica.watch_again = lambda kind, left_out: watches[kind].begin_again(left_out)
    replica.never_heard_since = lambda kind: watches[kind].never_heard_since
    replica.health = lambda health: setattr(http, "health", health)
    if settings.page:
        http.page = Page(settings, replica.finder, lambda: http.health, lambda: moment().wall).respond
    _when_asked_to_end(replica.stop)
    introduce(settings)
    _favour_the_engine()
    http.start()
    kube.start()
    for watch in watches.values():
        watch.start()
    try:
        replica.run()
    except Exception:
        log.critical("fails", exc_info=True)  # a fault of ours: another replica takes over, and this one is to be started again
        return FAILED
    finally:
        _stop_together(*(watch.stop for watch in watches.values()), kube.stop)
        http.stop()
    return 0


def _tell_fault(role: str, key: Key) -> None:
    """Log the exception that is being handled."""
    said = {"object": key, "role": role}
    log.critical("a fault of this program: this one is set aside, all others go on", extra=said, exc_info=True)


def _stop_together(*stops: Callable[[], None]) -> None:
    """Call all of them at once: each waits for its thread for a bounded time, and a Pod has not long to end."""
    threads = [threading.Thread(target=stop, daemon=True) for stop in stops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _when_asked_to_end(stop: Callable[[], None]) -> None:
    """Call it at SIGTERM and SIGINT, in a thread of its own.

    A handler runs in the engine's thread, between any two of its steps: it may hold the very lock that is needed to stop it.
    """
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()  # a handler may put into this kind, whatever it interrupts

    def wait() -> None:
        while True:
            asked.get()
            stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.put(number))


def _listen(metrics: Metrics, settings: Settings) -> HttpServer:
    try:
        return HttpServer(metrics, settings.http_host, settings.http_port)
    except OSError as error:
        where = f"HACRON_HTTP_HOST ({settings.http_host}) and HACRON_HTTP_PORT ({settings.http_port})"
        raise InvalidSettings((f"{where}: cannot listen there: {error.strerror}",)) from error


def _favour_the_engine() -> None:
    """Keep the other threads, and the garbage of Kopf's, from holding up the engine in the wrong moment."""
    # By default the young are looked at after every 700 objects more, and everything every few seconds while HACronJobs come
    # in: with 10,000 of them for 75 ms at a time, in which no tick is started and no token taken.
    gc.set_threshold(20_000, 50, 100)
    # A thread that computes gives way within so many seconds, not 5 ms: the engine needs its turn several times in one turn.
    sys.setswitchinterval(0.001)


def introduce(settings: Settings) -> None:
    """Say who is there: the first line of a log."""
    said = {
        "version": program_version(),
        "cluster": settings.cluster,
        "replica": settings.replica,
        "broker": ",".join(map(without_password, settings.broker_urls)),
        "prefix": settings.broker_prefix,
        "kubeconfig": str(settings.kubeconfig or "in-cluster"),
        "tzdata": tzdata_version(),
    }
    log.info("starts", extra=said)
