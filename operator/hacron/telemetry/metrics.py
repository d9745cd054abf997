"""The numbers of one replica, by Prometheus' conventions: what each is called, and what it means.

They are brought up to date by whoever knows (see `meter`), and read by threads of the HTTP server at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, disable_created_metrics

from hacron.core import reasons
from hacron.core.faults import ROLES
from hacron.core.messages import Command, Record, Report
from hacron.core.model import RunState, VerdictKind
from hacron.telemetry.instruments import Age, begun
from hacron.telemetry.version import program_version

_MS: Final = 0.001
TICK_LAG_BUCKETS_S: Final = (
    *(n * _MS for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0, 3600.0),
)
TURN_BUCKETS_S: Final = (
    *(n * _MS for n in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(1.0, 2.0, 5.0),
)

CONDITIONS: Final = ("valid", "invalid", "suspended", "paused")
EVENTS: Final = ("posted", "known", "refused", "dropped")
STEP_DOWNS: Final = ("Superseded", "NoProof", "NoReports", "InboxStuck", "TokenLost", "ConnectionLost")  # as `ports.Why` has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table of metrics."""

    name: str
    type: str
    meaning: str
    labels: Mapping[str, tuple[str, ...]]  # and their values, where they are a closed set


class Metrics:
    """All numbers of one replica, in a registry of their own. Times are seconds, sizes bytes.

    "The same everywhere": every replica reads it from the ledger; over replicas, take the maximum, not the sum.
    """

    def __init__(self, *, replica: str, cluster: str, tzdata: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter began doubles the page for nobody
        self.registry = CollectorRegistry()
        self.rows: list[Row] = []
        ProcessCollector(registry=self.registry)
        self._info(
            "Which replica of which version this is.",
            {"version": program_version(), "replica": replica, "cluster": cluster, "tzdata": tzdata},
        )

        # the executor
        self.executor = self._gauge("executor", "1 while this replica is the executor, the one that decides.")
        self.epoch = self._gauge("epoch", "Epoch of the newest checkpoint that counts; the same everywhere.")
        self.executor_began = self._gauge(
            "executor_began_timestamp_seconds",
            "When whoever is executor, by the newest checkpoint that counts, began, in unix time; the same everywhere.",
            replica=(),
            cluster=(),
        )
        self.proof_age = Age(
            self._gauge("proof_age_seconds", "Since an executor's proof, anybody's, was last read from the ledger."),
            monotonic,
        )
        self.proof_age.set(0.0)  # never yet: since the start, so that an alert on the age sees that too
        self.clock_skew = self._gauge(
            "clock_skew_seconds",
            "How far this replica's clock is ahead of the executor's, as its last proofs tell; some milliseconds are the way.",
        )
        self.proofs = self._counter("proofs", "Proofs written by this replica.")
        self.takeovers = self._counter("takeovers", "How often this replica became executor.")
        self.step_downs = self._counter(
            "step_downs", "How often this replica ceased to be executor, other than by stopping.", reason=STEP_DOWNS
        )
        self.tokens_put_back = self._counter(
            "tokens_put_back", "Tokens that this replica published because none seemed to be left."
        )

        # cronjobs and runs
        self.cronjobs = self._gauge(
            "cronjobs",
            "Cronjobs; only valid ones fire, a template that the API server refuses is not known here; the same everywhere.",
            condition=CONDITIONS,
        )
        self.faults = self._counter(
            "faults",
            "How often this replica set a cronjob aside, for a minute or (reader) until an edit: its log tells of the fault.",
            role=ROLES,
        )
        self.ticks_held = self._gauge(
            "ticks_held", "Ticks that are due and wait, for a run to end or a cluster to come back; the same everywhere."
        )
        self.runs_open = self._gauge(
            "runs_open",
            "Runs that may still start or be running; the same everywhere.",
            state=[state for state in RunState if state.is_open],
        )
        self.demands_open = self._gauge("demands_open", "HACronJobRuns that are not over; the same everywhere.")
        self.demands_ended = self._counter(
            "demands_ended",
            "HACronJobRuns that ended while this replica was executor: all or not all of their runs succeeded, nothing could "
            "run, or they were deleted before.",
            verdict=reasons.DEMANDS_END,
        )
        self.verdicts = self._counter(
            "verdicts",
            "Ticks that this replica, as executor, wrote a verdict for. One that was lost and then heard of has two. "
            "A reason that neither this program nor Kubernetes is known to give is Other.",
            verdict=VerdictKind,
            reason=(),
        )
        for pair in reasons.labels():
            self.verdicts.labels(*pair)
        self.tick_lag = self._histogram(
            "tick_lag_seconds",
            "From a tick to the POST of its Job, of Jobs made by this replica: of first attempts that had nothing to wait for, "
            "such as an earlier run or catchUp.spreadSeconds.",
            TICK_LAG_BUCKETS_S,
        )

        # the engine
        self.queue_length = self._gauge("engine_queue_length", "What other threads have for the engine.")
        self.turn = self._histogram("engine_turn_duration_seconds", "One turn of the engine.", TURN_BUCKETS_S)

        # the ledger and the queues
        self.ledger_position = self._gauge("ledger_position", "Offset of the last ledger message read.")
        self.ledger_floor = self._gauge("ledger_floor", "Offset of the oldest ledger message that matters.")
        self.ledger_span = self._gauge(
            "ledger_span_bytes", "Ledger from floor to position: what a replica that starts must read."
        )
        self.ledger_max = self._gauge("ledger_max_bytes", "Retention of the ledger; the span must stay well below it.")
        self.ledger_live = self._gauge("ledger_live_records", "Records that no newer record replaces.")
        self.ledger_read = self._counter("ledger_messages_read", "Ledger messages read by this replica.")
        self.records_written = self._counter(
            "records_written", "Records written by this replica, as executor.", kind=_names(Record)
        )
        self.commands_taken = self._counter(
            "commands_taken", "Commands taken by this replica, as executor.", kind=_names(Command)
        )
        self.reports_taken = self._counter("reports_taken", "Reports taken by this replica, as executor.", kind=_names(Report))
        self.messages_unreadable = self._counter(
            "messages_unreadable",
            "Messages and records that this replica set aside: unreadable, or by a user who does not speak for that cluster.",
            queue=("commands", "reports", "ledger"),
        )
        self.broker_connected = self._gauge("broker_connected", "1 while the broker is connected.")
        self.broker_reconnects = self._counter("broker_reconnects", "Connections to the broker opened after the first one.")

        # the cluster
        self.worker = self._gauge("worker", "1 while this replica is its cluster's worker.", cluster=()).labels(cluster)
        self.kube_requests = self._counter(
            "kube_requests", "Requests to the API server by this replica; code 0: no answer came.", verb=(), code=()
        )
        self.relay_behind = self._gauge(
            "relay_behind_seconds", "Since the oldest change in this cluster that the ledger does not show yet; 0: it shows all."
        )
        self.kube_reachable = self._gauge(
            "kube_reachable", "1 while this replica can work with its API server, which answers and lets it look at Jobs."
        )
        self.cluster_seen_age = Age(
            self._gauge(
                "cluster_seen_age_seconds", "Since the executor last heard of a cluster; the same everywhere.", cluster=()
            ),
            monotonic,
        )
        self.silent_after = self._gauge("silent_after_seconds", "HACRON_SILENT_AFTER_S: then a cluster counts as silent.")
        self.status_patches = self._counter("status_patches", "Statuses of HACronJobs that this replica wrote.")
        self.events = self._counter(
            "events",
            "What became of Events on HACronJobs: posted by this replica, found to be there already, refused by the API server "
            "(for lack of a right, also what happens in that namespace within a minute), or dropped because too many waited or "
            "three attempts failed.",
            outcome=EVENTS,
        )

    def _info(self, says: str, about: dict[str, str]) -> None:
        self._note("info", "gauge", says, dict.fromkeys(about, ()))
        Info("hacron", says, registry=self.registry).info(about)

    def _gauge(self, name: str, says: str, **labels: Iterable[str]) -> Gauge:
        self._note(name, "gauge", says, labels)
        return begun(Gauge(f"hacron_{name}", says, tuple(labels), registry=self.registry), labels)

    def _counter(self, name: str, says: str, **labels: Iterable[str]) -> Counter:
        self._note(f"{name}_total", "counter", says, labels)
        return begun(Counter(f"hacron_{name}", says, tuple(labels), registry=self.registry), labels)  # adds _total

    def _histogram(self, name: str, says: str, buckets_s: tuple[float, ...]) -> Histogram:
        self._note(name, "histogram", says, {})
        return Histogram(f"hacron_{name}", says, buckets=buckets_s, registry=self.registry)

    def _note(self, name: str, kind: str, says: str, labels: Mapping[str, Iterable[str]]) -> None:
        values = {label: tuple(map(str, known)) for label, known in labels.items()}
        self.rows.append(Row(name=f"hacron_{name}", type=kind, meaning=says, labels=values))


def table() -> tuple[Row, ...]:
    """List all metrics, for help texts and documentation, in the order in which they are declared."""
    return tuple(Metrics(replica="", cluster="", tzdata="").rows)


def _names(union: object) -> tuple[str, ...]:
    return tuple(kind.__name__ for kind in get_args(union))
