"""What a replica shows of itself: log lines, metrics, and whether it lives and is ready.

Nothing here decides, and nothing here makes the engine wait: it sets numbers, and puts a `Health` into one
slot. Who asks is answered by threads of the HTTP server, at most MAX_CONNECTIONS at a time, none for longer
than PATIENCE_S.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from socketserver import TCPServer
from typing import Any, Final, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

log = logging.getLogger(__name__)


def program_version() -> str:
    """Return the version of this program, as installed."""
    return version("hacron")


# --- logs ---------------------------------------------------------------------------------------------------

THIRD_PARTIES: Final = ("pika", "kopf", "aiohttp", "kubernetes", "asyncio", "urllib3")
"""Loggers that are heard from WARNING on, whatever the level: what matters of their work we say ourselves."""


def setup_logging(format: str, level: str, stream: TextIO | None = None) -> None:
    """Send all log lines to a stream, standard error unless named, in place of whatever was set up before.

    `format` is text, json, or auto: text on a terminal, else JSON.
    """
    stream = stream or sys.stderr
    as_text = format == "text" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in THIRD_PARTIES:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, msg, then the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for name, value in _extra(record).items():
            line[f"{name}_" if name in line else name] = value
        if trace := _trace(self, record):
            line["trace"] = trace
        # ASCII: a stream of any encoding takes it, and a stray surrogate costs no line
        return json.dumps(line, default=_plain, skipkeys=True)


class TextFormatter(logging.Formatter):
    """For people: time, level, logger and message in columns, then the fields of `extra` as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        when = _rfc3339(datetime.fromtimestamp(record.created, UTC))
        logger = record.name.removeprefix("hacron.")
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _extra(record).items())
        line = f"{when} {record.levelname:<7} {logger:<16} {record.getMessage():<36} {fields}".rstrip()
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


_ORDINARY: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _ORDINARY}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _plain(value: object) -> str:
    return _rfc3339(value) if isinstance(value, datetime) else str(value)


def _quoted(value: object) -> str:
    text = _plain(value)
    if text and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    return json.dumps(text, ensure_ascii=False)  # also: a line break in a value makes no second line


def _rfc3339(instant: datetime) -> str:
    if instant.tzinfo is None:
        return instant.isoformat()  # whose time it is, nobody knows
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- metrics ------------------------------------------------------------------------------------------------

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


# --- health -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a replica is, as of one turn of its engine."""

    ready: bool
    reasons: tuple[str, ...] = ()  # why it is not ready, a line each: "broker: refused, trying again in 4 s"
    executor: bool = False
    worker: bool = False
    epoch: int = 0  # newest that counts; 0: none read
    position: int = -1  # offset of the last ledger message read; -1: none read
    turned_at: float  # monotonic seconds: when the engine's last turn ended


@dataclass(frozen=True, slots=True)
class Response:
    code: HTTPStatus
    content_type: str
    body: bytes


INDEX: Final = """HACronJob

/healthz  200 while the engine turns
/readyz   200 while this replica can do its work; JSON for Accept: application/json
/metrics  Prometheus
"""


def respond_health(health: Health, now: float, stalled_after_s: float) -> Response:
    """Say whether the engine turns; when it does not, only a restart helps. `now` is monotonic."""
    still_s = now - health.turned_at
    if still_s <= stalled_after_s:
        return _text(HTTPStatus.OK, "The engine turns.")
    return _text(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"The engine has not turned for {still_s:.0f} s; after {stalled_after_s:.0f} s it counts as stuck.",
    )


def respond_ready(health: Health, accept: str) -> Response:
    """Say whether the replica can do its work, and if not, why; if asked, all that is in Health as JSON."""
    code = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
    role = "executor" if health.executor else "standby"
    if "application/json" not in accept.lower():
        lines = ("ready", f"{role}, {'worker' if health.worker else 'not worker'}")
        return _text(code, "\n".join(lines if health.ready else health.reasons or ("not ready",)))
    told = {
        "ready": health.ready,
        "reasons": health.reasons,
        "role": role,
        "epoch": health.epoch,
        "worker": health.worker,
        "position": health.position,
    }
    return Response(code, "application/json", json.dumps(told).encode() + b"\n")


def _text(code: HTTPStatus, text: str) -> Response:
    return Response(code, "text/plain; charset=utf-8", f"{text.rstrip()}\n".encode())


# --- the server ---------------------------------------------------------------------------------------------

MAX_CONNECTIONS: Final = 16  # probes and scrapers need two or three
PATIENCE_S: Final = 5.0  # for a whole connection: a slow client would otherwise keep the probes out


class HttpServer:
    """Answers who asks for health, readiness and metrics, in threads of its own.

    The engine assigns to `health` whenever it likes: one slot, replaced as a whole, so nobody waits.
    Raises OSError when the address cannot be had.
    """

    def __init__(self, metrics: Metrics, host: str, port: int, stalled_after_s: float = 30.0) -> None:
        self.health = Health(ready=False, reasons=("engine: starting",), turned_at=time.monotonic())
        self._metrics = metrics
        self._stalled_after_s = stalled_after_s
        self._server = _Server(host, port, self.respond)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on, also when any was asked for."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()
        log.info("listens", extra={"address": str(self._server.server_address[0]), "port": self.port})

    def stop(self) -> None:
        """Close the port; answers under way are cut off. Only after start()."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def respond(self, path: str, accept: str) -> Response:
        """Answer one request."""
        match path.partition("?")[0]:
            case "/healthz":
                return respond_health(self.health, time.monotonic(), self._stalled_after_s)
            case "/readyz":
                return respond_ready(self.health, accept)
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return Response(HTTPStatus.OK, content_type, encode(self._metrics.registry))
            case "/":
                return _text(HTTPStatus.OK, INDEX)
            case _:
                return _text(HTTPStatus.NOT_FOUND, "There is nothing here; / says what there is.")

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.25)


class _Server(ThreadingHTTPServer):
    """The standard server, but with a bound on its threads and on how long each may take."""

    daemon_threads = True
    request_queue_size = 2 * MAX_CONNECTIONS

    def __init__(self, host: str, port: int, respond: Callable[[str, str], Response]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.respond = respond
        self._until: dict[socket.socket, float] = {}  # open connection → monotonic time at which it is cut
        self._until_lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up the name of its address, which takes seconds where DNS is slow, for no use.
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._until_lock:
            full = len(self._until) >= MAX_CONNECTIONS
            if not full:
                self._until[request] = time.monotonic() + PATIENCE_S
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._until_lock:
            self._until.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut the connections that have taken too long; serve_forever calls this several times a second."""
        now = time.monotonic()
        with self._until_lock:
            late = [connection for connection, until in self._until.items() if until < now]
            for connection in late:
                del self._until[connection]
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)  # its thread wakes up, finds the end, and tidies up

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (its base says so)
        log.debug("request failed", exc_info=True, extra={"client": str(client_address)})


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        response = self.server.respond(self.path, self.headers.get("Accept", ""))
        self.send_response(response.code)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def version_string(self) -> str:
        return "hacron"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("request answered", extra={"client": self.client_address[0], "request": format % args})
