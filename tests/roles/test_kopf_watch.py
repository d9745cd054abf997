"""The watch on HACronJobs begins anew when it has failed, and when it is told to; each time it says so."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hacron import kopf_watch, ports
from hacron.core.model import Kind
from hacron.kopf_watch import KopfWatch
from hacron.ports import FromKubernetes, ObjectSeen, WatchBegan, WatchResumed
from hacron.settings.loading import InvalidSettings
from tests.testbed.wait import until


def resource(plural: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    return {"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["list", "patch", "watch"]}


OURS = {"groupVersion": "hacron.io/v1", "resources": [resource("hacronjobs", "HACronJob", namespaced=True)]}
CORE = {"groupVersion": "v1", "resources": [resource("namespaces", "Namespace", namespaced=False)]}
GROUP = {"name": "hacron.io", "preferredVersion": {"version": "v1"}, "versions": [{"version": "v1"}]}
BROKEN = "3"  # version of a list that is worth nothing, so no watch goes on from there
HELLO = {"metadata": {"namespace": "default", "name": "hello", "uid": "1", "resourceVersion": "7"}}


class FakeApi(ThreadingHTTPServer):
    """As much of an API server as Kopf asks for. A watch stays open until `over`, or is refused while `broken`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.installed = True  # the CRD
        self.broken = False
        self.lets_in: set[str] | None = None  # tokens; others get no answer
        self.away: int | None = None  # what all requests are answered; 0: nothing
        self.turned_away = 0
        self.busy: list[str] = []  # what lists are answered before the first: a Retry-After each
        self.outdated = threading.Event()  # the first watch ends: it has lost track of the changes, or all is away
        self.over = threading.Event()
        self.watched = 0
        self.finalizers: list[str] = []  # of the HACronJob
        self.patches = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A Kopf that ends does not wait for its answers."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeApi

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if self.server.away is not None:
            self.server.turned_away += 1
            if self.server.away:
                self._answer(self.server.away, {})
            self.close_connection = True
        elif self.server.lets_in is not None and self._token() not in self.server.lets_in:
            self.close_connection = True
        elif path.endswith("/hacronjobs") and "watch=true" not in query and self.server.busy:
            self._answer(429, {"kind": "Status", "details": {"retryAfterSeconds": 600}}, {"Retry-After": self.server.busy.pop(0)})
        elif path.endswith("/hacronjobs") and "watch=true" in query:
            self._watch(query)
        elif path.endswith("/hacronjobs"):
            metadata = {"resourceVersion": BROKEN if self.server.broken else "7"}
            self._answer(200, {"metadata": metadata, "items": [] if self.server.broken else [self._hello()]})
        elif path == "/apis/hacron.io/v1" and self.server.installed:
            self._answer(200, OURS)
        elif path == "/apis":
            self._answer(200, {"groups": [GROUP] if self.server.installed else []})
        elif path == "/api":
            self._answer(200, {"versions": ["v1"]})
        elif path == "/api/v1":
            self._answer(200, CORE)
        else:
            self._answer(404, {})

    def do_PATCH(self) -> None:
        self.server.patches += 1
        self._answer(403, {})

    def _hello(self) -> dict[str, Any]:
        return {"metadata": HELLO["metadata"] | ({"finalizers": self.server.finalizers} if self.server.finalizers else {})}

    def _watch(self, query: str) -> None:
        self.server.watched += 1
        if self.server.broken or f"resourceVersion={BROKEN}" in query:
            self._answer(404, {})
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        if self.server.watched == 1 and self.server.outdated.wait(20) and not self.server.over.is_set():
            if self.server.away is None:
                self.wfile.write(json.dumps({"type": "ERROR", "object": {"code": 410}}).encode() + b"\n")
            return
        self.server.over.wait()

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Watching:
    def __init__(self, api: FakeApi) -> None:
        self.arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
        self.api = api
        self.logins = 0
        self.token = ""  # the one that it has; empty: another one each time
        self.reachable = True
        self.looks = 0  # whether it is
        self.watch = KopfWatch(self._connection, self.arrivals, lambda: None, reachable=self._look)
        self.seen: list[FromKubernetes] = []

    def _connection(self) -> dict[str, Any]:
        self.logins += 1
        token = self.token or f"{self.logins}"
        return {"server": self.api.url, "ca_path": None, "insecure": True, "token": token, "scheme": "Bearer"}

    def _look(self) -> bool:
        self.looks += 1
        return self.reachable

    def count(self, kind: type[FromKubernetes]) -> int:
        with suppress(queue.Empty):
            while True:
                self.seen.append(self.arrivals.get_nowait())
        return sum(isinstance(arrival, kind) for arrival in self.seen)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setattr(kopf_watch, "FIRST_PAUSE_S", 0.01)
    api = FakeApi()
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield api
    api.over.set()
    api.outdated.set()
    api.shutdown()
    api.server_close()
    thread.join()


@pytest.fixture
def watching(api: FakeApi) -> Iterator[Watching]:
    watching = Watching(api)
    yield watching
    watching.watch.stop()


def test_a_watch_that_fails_begins_anew(api: FakeApi, watching: Watching) -> None:
    api.broken = True
    watching.watch.start()
    until(lambda: watching.count(WatchBegan) >= 3, 20, "two watches after the first")
    api.broken = False
    until(lambda: watching.count(ObjectSeen) >= 1 and api.watched >= 3, 20, "a watch that works")


def test_a_watch_that_found_no_resource_finds_it_when_told_to_begin_again(api: FakeApi, watching: Watching) -> None:
    api.installed = False
    watching.watch.start()
    until(lambda: watching.count(WatchBegan) == 1, 20, "the first look")
    assert watching.watch.never_heard_since is not None
    api.installed = True
    watching.watch.begin_again()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")
    assert watching.watch.never_heard_since is None


def test_a_watch_leaves_the_finalizers_of_others_alone(api: FakeApi, watching: Watching) -> None:
    """Kopf's own is that of any operator made with it."""
    api.finalizers = ["kopf.zalando.org/KopfFinalizerMarker"]
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1 and api.watched == 1, 20, "the HACronJob, and a watch")
    began = time.monotonic()
    until(lambda: api.patches > 0 or time.monotonic() - began > 1.0, 20, "a second")
    assert api.patches == 0


def test_a_watch_that_has_lost_track_says_so_because_it_tells_of_no_deletion(
    api: FakeApi, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")
    assert watching.count(WatchBegan) == 1
    monkeypatch.setattr(kopf_watch, "LIST_ENDS_S", 0.0)
    api.outdated.set()
    until(lambda: watching.count(ObjectSeen) == 2, 20, "the HACronJob again")
    assert [type(each) for each in watching.seen] == [WatchBegan, ObjectSeen, WatchBegan, ObjectSeen]


@pytest.mark.parametrize("status", [0, 503])
def test_a_watch_whose_api_server_was_away_says_so_when_it_goes_on(api: FakeApi, watching: Watching, status: int) -> None:
    """It goes on from where it was. When the API server has made fewer versions than that, it tells nothing."""
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1 and api.watched == 1, 20, "the HACronJob, and a watch")
    api.away = status
    api.outdated.set()
    until(lambda: api.turned_away > 0, 20, "that it is asked again")
    assert watching.count(WatchResumed) == 0
    api.away = None
    until(lambda: watching.count(WatchResumed) == 1 and api.watched == 2, 20, "that it goes on")
    assert [each.since for each in watching.seen if isinstance(each, WatchResumed)] == [7]
    assert watching.count(WatchBegan) == 1


@pytest.mark.parametrize("token", ["of an account that is made anew", ""], ids=["the same", "another each time"])
def test_who_is_not_let_in_does_not_ask_again_at_once(
    token: str, api: FakeApi, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kopf logs in again and asks again, without any pause, for as long as that lasts."""
    monkeypatch.setattr(kopf_watch, "LAST_PAUSE_S", 1.0)
    watching.token = token
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1 and api.watched == 1, 20, "the HACronJob, and a watch")
    api.away = 401
    api.outdated.set()
    until(lambda: api.turned_away > 0, 20, "a request")
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 2.0, 20, "two seconds, in which it would be forty times")
    assert watching.logins <= 12  # a pause of 0.01 s, doubled each time
    api.away = None
    until(lambda: api.watched == 2, 20, "a watch again")


def test_a_login_that_fails_is_tried_again_soon(api: FakeApi, watching: Watching) -> None:
    """As where a program that gives a token fails once."""
    connection, failures = watching.watch._connection, [InvalidSettings(["HACRON_KUBECONFIG: aws: no such host"])]

    def failing() -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return connection()

    watching.watch._connection = failing
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")
    assert api.watched <= 1


@pytest.fixture
def soon_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf_watch, "SILENT_S", 0.5)
    monkeypatch.setattr(kopf_watch, "LOOK_S", 0.05)


@pytest.mark.usefixtures("soon_silent")
def test_a_watch_that_hears_nothing_while_others_do_begins_anew(
    api: FakeApi, watching: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    """Kopf reads tokens and certificates when it logs in: with those of before it would try for ever."""
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")
    api.lets_in = {"2"}
    api.over.set()
    until(lambda: watching.count(ObjectSeen) == 2, 20, "the HACronJob again")
    assert watching.logins == 2
    assert [each.kind for each in caplog.records if "hears nothing" in each.message] == [Kind.CRONJOB]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("soon_silent")
def test_a_watch_that_hears_nothing_as_nobody_does_goes_on(watching: Watching) -> None:
    watching.reachable = False
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")
    before = watching.looks
    until(lambda: watching.looks > before + 20, 20, "twice the time")
    assert (watching.logins, watching.count(WatchBegan)) == (1, 1)


@pytest.mark.usefixtures("soon_silent")
def test_a_watch_that_has_nothing_to_watch_is_let_be(api: FakeApi, watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the custom resource Kopf asks for nothing."""
    monkeypatch.setattr(kopf_watch, "LOOK_S", 0.01)
    api.installed = False
    watching.watch.start()
    until(lambda: watching.logins == 1, 20, "the first look")
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 1.5, 20, "thrice the time")
    assert (watching.logins, watching.count(WatchBegan)) == (1, 1)


@pytest.mark.parametrize("retry_after", ["600", "Wed, 21 Oct 2099 07:28:00 GMT", ""])
def test_a_watch_is_not_told_to_wait_for_long(
    api: FakeApi, watching: Watching, monkeypatch: pytest.MonkeyPatch, retry_after: str
) -> None:
    monkeypatch.setattr(ports, "LONGEST_RETRY_AFTER_S", 1.0)
    api.busy = [retry_after]
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")
    assert api.busy == []
    assert watching.count(WatchBegan) == 1


def test_a_watch_stops_when_told_to_and_does_not_begin_again(api: FakeApi, watching: Watching) -> None:
    watching.watch.start()
    until(lambda: api.watched == 1, 20, "the watch")
    watching.watch.stop()
    assert watching.count(WatchBegan) == 1
    assert not any(thread.name == "kopf" for thread in threading.enumerate())
