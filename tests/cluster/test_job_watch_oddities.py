"""Watches on Jobs that end, break and fall silent, as only a misbehaving server shows them."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hacron.kube import http, job_watch
from tests.cluster.asking import Asking, asking, job_that_stands
from tests.cluster.oddities import Asked, Said, kubeconfig, odd_server, status, watch
from tests.testbed.wait import until


def listed(version: int, *names: str) -> Said:
    items = [job_that_stands(name, version) for name in names]
    body = {"kind": "JobList", "metadata": {"resourceVersion": f"{version}"}, "items": items}
    return Said(200, json.dumps(body).encode())


TOO_OLD = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version: 5 (9)"}}


class Script:
    """Answers lists and watches by turns; when a script has ended, watches stay quiet and its last list stands."""

    def __init__(self, lists: list[Said], watches: list[Said]) -> None:
        self.lists = lists
        self.watches = watches
        self.since: list[str] = []  # where each watch began
        self.over = threading.Event()

    def __call__(self, asked: Asked) -> Said:
        if "watch=true" not in asked.path:
            return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        self.since.append(asked.path.rpartition("resourceVersion=")[2])
        if self.watches:
            return self.watches.pop(0)
        self.over.wait(30)
        return watch()


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], Asking]]:
    """Watch Jobs by a script, with short pauses."""
    monkeypatch.setattr(job_watch, "FIRST_PAUSE_S", 0.01)
    with ExitStack() as stack:

        def start(script: Script) -> Asking:
            server = stack.enter_context(odd_server(script))
            stack.callback(script.over.set)
            kube = stack.enter_context(asking(kubeconfig(tmp_path / "kubeconfig", server.url), timeout_s=5.0))
            kube.client.watch_jobs(True)
            return kube

        yield start


def test_a_watch_that_ends_goes_on_where_it_ended(follow: Callable[[Script], Asking]) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    added = {"type": "ADDED", "object": job_that_stands("hello", 7)}
    script = Script([listed(5)], [watch(added), watch(bookmark), watch()])
    kube = follow(script)
    until(lambda: len(script.since) == 4, 20, "the fourth watch")
    assert script.since == ["5", "7", "9", "9"]
    assert len(kube.lists()) == 1
    assert len(kube.sightings("hello")) == 1


@pytest.mark.parametrize("said", [watch(TOO_OLD), status(410, "Expired"), status(403), Said(200, b"{broken\n")])
def test_a_watch_that_cannot_go_on_lists_everything_again(follow: Callable[[Script], Asking], said: Said) -> None:
    script = Script([listed(5, "a", "b"), listed(9, "b")], [said])
    kube = follow(script)
    until(lambda: len(script.since) == 2, 20, "the second watch")
    assert kube.lists() == [{"a", "b"}, {"b"}]
    assert script.since == ["5", "9"]


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_a_watch_that_a_busy_server_does_not_let_begin_goes_on_where_it_was(
    follow: Callable[[Script], Asking], code: int
) -> None:
    added = {"type": "ADDED", "object": job_that_stands("hello", 7)}
    script = Script([listed(5)], [status(code), status(code), watch(added), status(code)])
    kube = follow(script)
    until(lambda: len(script.since) == 5, 20, "the fifth watch")
    assert script.since == ["5", "5", "5", "7", "7"]
    assert len(kube.lists()) == 1


BUSY = status(429)._replace(headers={"Retry-After": "1"})


@pytest.mark.parametrize(("lists", "watches"), [([listed(5)], [BUSY]), ([BUSY, listed(5)], [])], ids=["a watch", "a list"])
def test_what_a_busy_server_does_not_let_begin_waits_as_long_as_it_says(
    follow: Callable[[Script], Asking], lists: list[Said], watches: list[Said]
) -> None:
    script = Script(lists, list(watches))
    began = time.monotonic()
    follow(script)
    until(lambda: len(script.since) == 1 + len(watches), 20, "a watch that may begin")
    assert time.monotonic() - began > 0.9


def test_a_watch_that_is_never_let_begin_is_given_up_when_nothing_was_heard_for_long(
    follow: Callable[[Script], Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was set back may say that the version is too large."""
    script = Script([listed(5), listed(3)], [status(504, "Too large resource version") for _ in range(500)])
    follow(script)
    until(lambda: len(script.since) >= 2, 20, "another try")
    monkeypatch.setattr(job_watch, "DEAF_S", 0.3)
    until(lambda: "3" in script.since, 20, "a watch after another list")
    assert script.since[:2] == ["5", "5"]


def test_a_watch_that_waits_for_what_is_still_to_come_lists_everything_again_when_told_to(
    follow: Callable[[Script], Asking],
) -> None:
    """A server that was put back, and says nothing of it."""
    script = Script([listed(5, "a", "b"), listed(3, "b")], [])
    kube = follow(script)
    until(lambda: script.since == ["5"], 20, "the watch")
    kube.client.list_jobs_again()
    until(lambda: script.since == ["5", "3"], 20, "a watch after another list")
    assert kube.lists() == [{"a", "b"}, {"b"}]
    kube.client.watch_jobs(False)
    kube.client.list_jobs_again()
    kube.client.watch_jobs(True)
    until(lambda: len(script.since) == 3, 20, "the next watch")
    assert len(kube.lists()) == 3, "while none is watched, none is listed"


def test_a_watch_that_is_not_let_begin_costs_no_list_in_other_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watch, "FIRST_PAUSE_S", 0.01)
    watches: Counter[str] = Counter()
    lists: list[str] = []
    over = threading.Event()

    def reply(asked: Asked) -> Said:
        namespace = asked.path.split("/")[5]
        if "watch=true" in asked.path:
            watches[namespace] += 1
            if namespace == "one" and watches["one"] < 3:
                until(lambda: watches["other"] == watches["one"], 20, "the other's watch")
                return status(429)
            over.wait(30)
            return watch()
        if "limit=" in asked.path:
            lists.append(namespace)
            return listed(5)
        return status(404)

    with odd_server(reply) as server:
        config = kubeconfig(tmp_path / "kubeconfig", server.url)
        with asking(config, namespaces=("one", "other")) as kube:
            kube.client.watch_jobs(True)
            until(lambda: watches["one"] == 3, 20, "the third watch")
            over.set()
    assert sorted(lists) == ["one", "other"]


def test_a_watch_that_was_cut_goes_on_where_it_ended(follow: Callable[[Script], Asking]) -> None:
    added = json.dumps({"type": "ADDED", "object": job_that_stands("hello", 7)}).encode() + b"\n"
    cut = Said(200, added, {"Content-Length": "1000", "Connection": "close"})
    script = Script([listed(5)], [cut])
    kube = follow(script)
    until(lambda: len(script.since) == 2, 20, "the second watch")
    assert script.since == ["5", "7"]
    assert len(kube.lists()) == 1


def test_a_list_that_fails_is_tried_again(follow: Callable[[Script], Asking]) -> None:
    script = Script([status(503), Said(200, b'{"kind": "JobList"}'), Said(404, b"<html>"), listed(5, "a")], [])
    kube = follow(script)
    until(lambda: script.since == ["5"], 20, "a watch")
    assert kube.lists() == [{"a"}]


def test_a_watch_is_cut_when_it_is_too_quiet(follow: Callable[[Script], Asking], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection may be gone without a word; a good server says something every minute."""
    monkeypatch.setattr(job_watch, "QUIET_S", 0.2)
    monkeypatch.setattr(http, "CONNECT_S", 1.0)
    script = Script([listed(5, "a"), listed(9, "a")], [])
    kube = follow(script)
    until(lambda: len(script.since) >= 2, 20, "the second watch")
    assert script.since[:2] == ["5", "9"]
    assert kube.lists()[0] == {"a"}


def test_a_client_says_when_it_hears_nothing_of_jobs(follow: Callable[[Script], Asking], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watch, "DEAF_S", 0.5)
    script = Script([status(500)], [])
    kube = follow(script)
    assert kube.client.reachable
    until(lambda: not kube.client.hears_of_jobs, 20, "the word that nothing is heard")
    kube.client.watch_jobs(False)
    until(lambda: kube.client.hears_of_jobs, 20, "that nothing is to be heard")
    kube.client.watch_jobs(True)
    until(lambda: not kube.client.hears_of_jobs, 20, "the word that nothing is heard")
    monkeypatch.setattr(job_watch, "DEAF_S", 3600.0)
    script.lists = [listed(5)]
    until(lambda: script.since and kube.client.hears_of_jobs, 20, "Jobs")


def test_a_great_change_arrives_whole(follow: Callable[[Script], Asking]) -> None:
    changed = job_that_stands("hello", 7)
    changed["metadata"]["annotations"]["big"] = "x" * 1_000_000
    kube = follow(Script([listed(5)], [watch({"type": "ADDED", "object": changed})]))
    until(lambda: kube.sightings("hello"), 20, "the Job")
    assert kube.sightings("hello")[0].view.version == 7
