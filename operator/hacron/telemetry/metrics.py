"""The numbers of one replica, by Prometheus' conventions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from hacron.telemetry.version import program_version

_MS: Final = 0.001
TICK_LAG_BUCKETS_S: Final = (
    *(n * _MS for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 60.0),
)
TURN_BUCKETS_S: Final = (
    *(n * _MS for n in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(1.0, 2.0, 5.0),
)


class Age:
    """A gauge of seconds that grows by itself, also when nobody is left to set it. May have one label."""

    def __init__(self, gauge: Gauge, monotonic: Callable[[], float]) -> None:
        self._gauge = gauge
        self._monotonic = monotonic

    def set(self, age_s: float, label: str | None = None) -> None:
        """Say how old it is now."""
        child = self._gauge if label is None else self._gauge.labels(label)
        began = self._monotonic() - age_s
        child.set_function(lambda: self._monotonic() - began)


class Metrics:
    """All numbers of one replica, in a registry of their own. Times are seconds, sizes bytes."""

    def __init__(self, *, replica: str, cluster: str, tzdata: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        about = {"version": program_version(), "replica": replica, "cluster": cluster, "tzdata": tzdata}
        Info("hacron", "Which replica of which version this is.", registry=self.registry).info(about)

        # the executor
        self.executor = self._gauge("executor", "1 while this replica is the executor, the one that decides.")
        self.epoch = self._gauge("epoch", "Epoch of the newest checkpoint that counts; the same everywhere.")
        self.proof_age = Age(
            self._gauge("proof_age_seconds", "Since an executor's proof, anybody's, was last read from the ledger."),
            monotonic,
        )
        self.proof_age.set(0.0)  # never yet: since the start, so that an alert on the age sees that too
        self.proofs = self._counter("proofs", "Proofs written by this replica.")
        self.takeovers = self._counter("takeovers", "How often this replica became executor.")
        self.step_downs = self._counter("step_downs", "How often this replica ceased to be executor.", "reason")
        self.tokens_put_back = self._counter("tokens_put_back", "Tokens published because none seemed to be left.")

        # cronjobs and runs
        self.cronjobs = self._gauge("cronjobs", "Cronjobs by condition: valid, invalid, suspended.", "condition")
        self.ticks_due = self._gauge("ticks_due", "Ticks that are due and not yet decided.")
        self.ticks_held = self._gauge("ticks_held", "Ticks that are due and wait for a run or a cluster.")
        self.runs_open = self._gauge("runs_open", "Runs that may still start or be running, by state.", "state")
        self.runs = self._counter("runs", "Ticks that this executor wrote a verdict for.", "verdict")
        self.tick_lag = self._histogram(
            "tick_lag_seconds", "From a tick to the POST of its Job by this replica.", TICK_LAG_BUCKETS_S
        )

        # the engine
        self.queue_length = self._gauge("engine_queue_length", "What other threads have for the engine.")
        self.turn = self._histogram("engine_turn_duration_seconds", "One turn of the engine.", TURN_BUCKETS_S)

        # the ledger and the queues
        self.ledger_position = self._gauge("ledger_position", "Offset of the last ledger message read.")
        self.ledger_floor = self._gauge("ledger_floor", "Offset of the oldest ledger message that matters.")
        self.ledger_span = self._gauge("ledger_span_bytes", "Ledger from floor to position; must stay well below its retention.")
        self.ledger_live = self._gauge("ledger_live_records", "Records that no newer record replaces.")
        self.ledger_read = self._counter("ledger_messages_read", "Ledger messages read by this replica.")
        self.records_written = self._counter("records_written", "Records written by this replica.", "kind")
        self.commands_taken = self._counter("commands_taken", "Commands taken by this executor.", "kind")
        self.reports_taken = self._counter("reports_taken", "Reports taken by this executor.", "kind")
        self.messages_unreadable = self._counter(
            "messages_unreadable", "Messages set aside because nobody here can read them.", "queue"
        )
        self.broker_connected = self._gauge("broker_connected", "1 while the broker is connected.")
        self.broker_reconnects = self._counter("broker_reconnects", "Connections opened after the first one.")

        # the cluster
        self.worker = self._gauge("worker", "1 while this replica is its cluster's worker.")
        self.kube_requests = self._counter("kube_requests", "Requests to the API server; code 0: no answer came.", "verb", "code")
        self.kube_reachable = self._gauge("kube_reachable", "1 while the API server answers.")
        self.cluster_seen_age = Age(
            self._gauge("cluster_seen_age_seconds", "Since a cluster was last heard of.", "cluster"),
            monotonic,
        )
        self.status_patches = self._counter("status_patches", "HACronJobs whose status was patched.")

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"hacron_{name}", says, labels, registry=self.registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"hacron_{name}", says, labels, registry=self.registry)  # shown as <name>_total

    def _histogram(self, name: str, says: str, buckets_s: tuple[float, ...]) -> Histogram:
        return Histogram(f"hacron_{name}", says, buckets=buckets_s, registry=self.registry)
