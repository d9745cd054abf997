"""The HTTP server: health, readiness and metrics, for probes and scrapers.

It never makes the engine wait: the engine puts a `Health` into one slot and goes on. Who asks is answered by threads of the
server's own, at most MAX_CONNECTIONS at a time, none for longer than PATIENCE_S.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from prometheus_client.exposition import choose_encoder

from hacron.telemetry.health import Health, Response, respond_health, respond_ready, text_response
from hacron.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

INDEX: Final = """HACronJob

/healthz  200 while the engine turns
/readyz   200 while this replica can do its work; JSON for Accept: application/json
/metrics  Prometheus
/page/    cronjobs and clusters to look at, with HACRON_PAGE=true
"""

Answer = Callable[[str, Mapping[str, str]], Response]
"""Path with query, and headers → response."""

FULL: Final = text_response(HTTPStatus.SERVICE_UNAVAILABLE, "Too many ask this replica for that at once; ask again.")
EVERYWHERE: Final = "::"
MAX_CONNECTIONS: Final = 16  # probes and scrapers need two or three
LONG_ANSWERS: Final = {"page": 8, "metrics": 4}
"""Of these so many at a time: whoever asks for one and does not read it has a place until PATIENCE_S is over. The other places
are for probes, whose answers leave at once."""

STALLED_AFTER_S: Final = 60.0
"""A turn takes milliseconds, a round of connecting to frozen broker nodes twenty seconds, and the first look at 100,000 cronjobs
less than that. Nothing depends on a soon restart: an engine that is stuck has lost its token after two heartbeats."""

PATIENCE_S: Final = 5.0  # for a whole connection: a slow client would otherwise keep the probes out


class HttpServer:
    """Answers who asks for health, readiness and metrics, in threads of its own.

    The engine assigns to `health` whenever it likes: one slot, replaced as a whole, so nobody waits.
    Raises OSError when the address cannot be had.
    """

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self.health = Health(ready=False, reasons=("engine: starting",), turned_at=time.monotonic())
        self.page: Answer | None = None  # what answers for /page/
        self._metrics = metrics
        self._server = _listening(host, port, self.respond)
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

    def respond(self, path: str, headers: Mapping[str, str]) -> Response:
        """Answer one request."""
        where, accept = path.partition("?")[0], headers.get("Accept", "")
        if self.page is not None and (where == "/page" or where.startswith("/page/")):
            return self.page(path, headers)
        match where:
            case "/healthz":
                return respond_health(self.health, time.monotonic(), STALLED_AFTER_S)
            case "/readyz":
                return respond_ready(self.health, accept)
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return Response(HTTPStatus.OK, content_type, encode(self._metrics.registry))
            case "/":
                return text_response(HTTPStatus.OK, INDEX)
            case _:
                return text_response(HTTPStatus.NOT_FOUND, "There is nothing here; / says what there is.")

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.25)


class _Server(ThreadingHTTPServer):
    """The standard server, but with a bound on its threads and on how long each may take."""

    daemon_threads = True
    request_queue_size = 2 * MAX_CONNECTIONS

    def __init__(self, host: str, port: int, respond: Answer) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.respond = respond
        self._until: dict[socket.socket, float] = {}  # open connection → monotonic time at which it is cut
        self._silent: dict[socket.socket, None] = {}  # those of which no whole request has come yet, the oldest first
        self._until_lock = threading.Lock()
        self._places = {first: threading.Semaphore(most) for first, most in LONG_ANSWERS.items()}
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        if self.address_family is socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # EVERYWHERE: at those of IPv4 too
        # HTTPServer would look up the name of its address, which takes seconds where DNS is slow, for no use.
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._until_lock:
            if len(self._until) >= MAX_CONNECTIONS and self._silent:
                self._cut(next(iter(self._silent)))  # else whoever only connects, and says nothing, would keep the probes out
            full = len(self._until) >= MAX_CONNECTIONS
            if not full:
                self._until[request] = time.monotonic() + PATIENCE_S
                self._silent[request] = None
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def has_asked(self, request: socket.socket) -> None:
        """Note that a whole request has come."""
        with self._until_lock:
            self._silent.pop(request, None)

    @contextmanager
    def place_for(self, path: str) -> Iterator[bool]:
        """Say whether there is a place for this answer; the place is taken until the answer has left."""
        places = self._places.get(path.partition("?")[0].strip("/").partition("/")[0])
        has_place = places is None or places.acquire(blocking=False)
        try:
            yield has_place
        finally:
            if places is not None and has_place:
                places.release()

    def shutdown_request(self, request: Any) -> None:
        with self._until_lock:
            self._until.pop(request, None)
            self._silent.pop(request, None)
        super().shutdown_request(request)

    def _cut(self, connection: socket.socket) -> None:
        """End a connection, with the lock in hand. Its thread wakes up, finds the end, and tidies up."""
        self._until.pop(connection, None)
        self._silent.pop(connection, None)
        with suppress(OSError):  # the client was faster
            connection.shutdown(socket.SHUT_RDWR)

    def service_actions(self) -> None:
        """Cut the connections that have taken too long; serve_forever calls this several times a second."""
        now = time.monotonic()
        with self._until_lock:
            for connection in [connection for connection, until in self._until.items() if until < now]:
                self._cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (its base says so)
        log.debug("request failed", exc_info=True, extra={"client": str(client_address)})


def _listening(host: str, port: int, respond: Answer) -> _Server:
    """Open the port; at every address where a machine has no IPv6 means every one of IPv4."""
    try:
        return _Server(host, port, respond)
    except OSError as error:
        if host != EVERYWHERE or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        return _Server("0.0.0.0", port, respond)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        self.server.has_asked(self.connection)
        with self.server.place_for(self.path) as has_place:
            headers = {name.title(): value for name, value in self.headers.items()}
            self._answer(self.server.respond(self.path, headers) if has_place else FULL)

    def _answer(self, response: Response) -> None:
        self.send_response(response.code)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def version_string(self) -> str:
        return "hacron"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("request answered", extra={"client": self.client_address[0], "request": format % args})
