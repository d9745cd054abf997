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

from hacron import kopf_watch
from hacron.kopf_watch import KopfWatch
from hacron.ports import FromKubernetes, ObjectSeen, WatchBegan
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
        self.outdated = threading.Event()  # the first watch has lost track of the changes
        self.over = threading.Event()
        self.watched = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A Kopf that ends does not wait for its answers."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeApi

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/hacronjobs") and "watch=true" in query:
            self._watch(query)
        elif path.endswith("/hacronjobs"):
            metadata = {"resourceVersion": BROKEN if self.server.broken else "7"}
            self._answer(200, {"metadata": metadata, "items": [] if self.server.broken else [HELLO]})
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

    def _watch(self, query: str) -> None:
        self.server.watched += 1
        if self.server.broken or f"resourceVersion={BROKEN}" in query:
            self._answer(404, {})
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        if self.server.watched == 1 and self.server.outdated.wait(20) and not self.server.over.is_set():
            self.wfile.write(json.dumps({"type": "ERROR", "object": {"code": 410}}).encode() + b"\n")
            return
        self.server.over.wait()

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Watching:
    def __init__(self, api: FakeApi) -> None:
        self.arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
        connection = {"server": api.url, "ca_path": None, "insecure": True, "token": None, "scheme": None}
        self.watch = KopfWatch(lambda: connection, self.arrivals, lambda: None)
        self.seen: list[FromKubernetes] = []

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
    api.installed = True
    watching.watch.begin_again()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")


def test_a_watch_that_has_lost_track_says_so_because_it_tells_of_no_deletion(
    api: FakeApi, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kopf_watch, "LIST_ENDS_S", 2.0)
    watching.watch.start()
    until(lambda: watching.count(ObjectSeen) == 1, 20, "the HACronJob")
    assert watching.count(WatchBegan) == 1
    listed_at = time.monotonic()
    until(lambda: time.monotonic() - listed_at > 2.0, 20, "the end of the list")
    api.outdated.set()
    until(lambda: watching.count(ObjectSeen) == 2, 20, "the HACronJob again")
    assert [type(each) for each in watching.seen] == [WatchBegan, ObjectSeen, WatchBegan, ObjectSeen]


def test_a_watch_stops_when_told_to_and_does_not_begin_again(api: FakeApi, watching: Watching) -> None:
    watching.watch.start()
    until(lambda: api.watched == 1, 20, "the watch")
    watching.watch.stop()
    assert watching.count(WatchBegan) == 1
    assert not any(thread.name == "kopf" for thread in threading.enumerate())
