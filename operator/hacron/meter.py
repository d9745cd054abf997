"""Brings the metrics up to what the engine has done: in the engine's thread, after its turns.

The threads of the HTTP server see only the numbers that are put into the metrics here: State changes under everybody but the
engine.
"""

from __future__ import annotations

from typing import Final

from hacron.core import faults
from hacron.core.hearing import declared_gone, to_be_forgotten
from hacron.core.messages import Proof
from hacron.core.state import Incumbent, State
from hacron.core.ticks.cron import tzdata_version
from hacron.engine import Engine, Session
from hacron.lookout import Lookout
from hacron.ports import Kubernetes, Why
from hacron.settings.fields import Settings
from hacron.telemetry.census import Census
from hacron.telemetry.instruments import Totals
from hacron.telemetry.metrics import Metrics
from hacron.turn import Moment

EVERY_S: Final = 0.5  # a busy engine turns a thousand times a second


class Meter:
    """The metrics of one replica. It lives as long as the replica, and is told of each session."""

    def __init__(self, settings: Settings, metrics: Metrics, engine: Engine, kube: Kubernetes) -> None:
        self._metrics = metrics
        self._engine = engine
        self._kube = kube
        self._lookout = Lookout(
            tzdata=tzdata_version(), skew_margin_s=settings.skew_margin_s, ledger_max_bytes=settings.ledger_max_bytes
        )
        self._cluster = settings.cluster
        self._aged: set[str] = set()  # clusters whose age is told
        self._sessions = 0
        self._totals = Totals()
        self._of_session = Totals()  # these begin with zero in each
        self._census: Census | None = None
        self._proof: Proof | None = None  # newest that was looked at
        self._executor: Incumbent | None = None  # who is named
        self._is_live = False  # what is read from the ledger has just been written
        self._due_at = 0.0  # monotonic
        metrics.ledger_max.set(settings.ledger_max_bytes)
        metrics.silent_after.set(settings.silent_after_s)
        metrics.kube_reachable.set_function(lambda: float(kube.reachable))

    def begin(self, session: Session) -> None:
        """Note a new session."""
        self._sessions += 1
        self._of_session = Totals()
        self._census = Census(session.state, self._metrics)
        self._proof, self._is_live, self._due_at = None, False, 0.0
        self._metrics.broker_connected.set(1)
        self._totals.bring(self._metrics.broker_reconnects, self._sessions - 1)

    def end(self, session: Session, why: Why) -> None:
        """Note that the session is given up."""
        if session.executor.decides:
            self._metrics.step_downs.labels(why).inc()
        for gauge in (self._metrics.broker_connected, self._metrics.executor, self._metrics.worker):
            gauge.set(0)
        self._count(session)

    def turned(self, session: Session, now: Moment, took_s: float, waiting: int) -> None:
        """Note a turn, and now and then all the rest. `waiting`: what other threads have for the engine."""
        self._metrics.turn.observe(took_s)
        self._read_proof(session, now)
        if now.mono >= self._due_at:
            self._due_at = now.mono + EVERY_S
            self._metrics.queue_length.set(waiting)
            self._gauge(session, now)
            self._count(session)

    def look_at_api(self) -> None:
        """Have it logged when the API server can no longer be worked with, or can be again; also while there is no session."""
        self._lookout.see_api(self._kube.reachable, self._kube.trouble)

    def _read_proof(self, session: Session, now: Moment) -> None:
        proof = session.state.proof
        if proof is not None and proof is not self._proof and self._is_live:
            self._metrics.proof_age.set(0.0)
            ahead_s = self._lookout.see_proof(proof, now.wall)
            if ahead_s is not None:
                self._metrics.clock_skew.set(ahead_s)
        self._proof, self._is_live = proof, session.caught_up

    def _gauge(self, session: Session, now: Moment) -> None:
        metrics, state = self._metrics, session.state
        metrics.executor.set(session.executor.decides)
        metrics.worker.set(session.worker.active)
        self.look_at_api()
        relays = (self._engine.relay, self._engine.demand_relay)
        metrics.relay_behind.set(max(relay.behind_s(now) for relay in relays))
        metrics.epoch.set(state.epoch)
        self._name_executor(state.executor)
        metrics.ledger_position.set(state.position)
        metrics.ledger_floor.set(state.floor)
        metrics.ledger_span.set(state.span_bytes)
        metrics.ledger_live.set(state.live)
        self._lookout.see_forgotten(self._cluster in to_be_forgotten(state.clusters))
        self._tell_ages(state, now)
        if session.executor.decides:
            self._lookout.see_ledger(state.span_bytes)
        if session.caught_up and self._census is not None:
            self._census.go_on()

    def _tell_ages(self, state: State, now: Moment) -> None:
        """Say since when clusters are silent, but for those for which nobody is to be woken."""
        waited_for = state.clusters.keys() - declared_gone(state.clusters)
        for name in self._aged - waited_for:
            self._metrics.cluster_seen_age.forget(name)
        for name in waited_for:
            age_s = (now.wall - state.clusters[name].seen_at).total_seconds()
            self._metrics.cluster_seen_age.set(max(0.0, age_s), name)
        self._aged = waited_for

    def _name_executor(self, executor: Incumbent | None) -> None:
        before, self._executor = self._executor, executor
        if executor is before:
            return
        gauge = self._metrics.executor_began
        if executor is not None:
            gauge.labels(executor.replica, executor.cluster).set(executor.since.timestamp())
        if before is not None and (executor is None or _place(before) != _place(executor)):
            gauge.remove(*_place(before))

    def _count(self, session: Session) -> None:
        metrics, totals, did = self._metrics, self._totals, self._engine.tally
        totals.bring(metrics.takeovers, did.takeovers)
        totals.bring(metrics.proofs, did.proofs)
        totals.bring(metrics.tokens_put_back, did.tokens_put_back)
        totals.bring_each(metrics.records_written, did.records)
        totals.bring_each(metrics.commands_taken, did.commands)
        totals.bring_each(metrics.reports_taken, did.reports)
        for label, count in did.verdicts.items():
            totals.bring(metrics.verdicts, count, *label)
        totals.bring_each(metrics.demands_ended, did.demands)
        totals.bring(metrics.status_patches, self._engine.mirror.patches + self._engine.demand_mirror.patches)
        totals.bring_each(metrics.events, self._engine.herald.tally)
        totals.bring_each(metrics.faults, dict(faults.tally))  # other threads note faults, too
        for (verb, code), count in dict(self._kube.tally).items():  # copied at once: another thread adds to it
            totals.bring(metrics.kube_requests, count, verb, str(code))
        lags, self._engine.worker_tally.lag_s = self._engine.worker_tally.lag_s, []
        for lag_s in lags:
            metrics.tick_lag.observe(max(0.0, lag_s))
        broker = session.broker
        self._of_session.bring(metrics.ledger_read, session.state.entries_read)
        self._of_session.bring_each(metrics.messages_unreadable, {**broker.inbox.unreadable, "ledger": broker.ledger.unreadable})


def _place(executor: Incumbent) -> tuple[str, str]:
    return executor.replica, executor.cluster
