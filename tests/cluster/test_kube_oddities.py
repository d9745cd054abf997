"""What only a misbehaving server shows: answers that are none, refusals to talk, watches that break."""

from __future__ import annotations

import itertools
import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hacron.core.model import key_of
from hacron.kube import client, http, listing
from hacron.kube.client import SLOW_LANE, KubeClient
from hacron.kube.reply import understood
from hacron.ports import FromKubernetes, GetJob, GetObject, ListInventory, PatchStatus, PostEvent
from tests.cluster.asking import Asking, asking, create, some_key
from tests.cluster.oddities import JOB, Asked, OddServer, Said, kubeconfig, odd_server, status
from tests.nested import nested_text
from tests.testbed.wait import until

Talking = tuple[Asking, OddServer]
Begin = Callable[..., Talking]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a server that replies so, and a client of it."""
    with ExitStack() as stack:

        def start(reply: Callable[[Asked], Said], timeout_s: float = 60.0) -> Talking:
            server = stack.enter_context(odd_server(reply))
            return stack.enter_context(asking(kubeconfig(tmp_path / "kubeconfig", server.url), timeout_s=timeout_s)), server

        yield start


@pytest.mark.parametrize("levels", [300, 2000, 9000])
def test_an_object_that_is_nested_deeper_than_python_follows_is_an_answer_all_the_same(levels: int) -> None:
    said = f'{{"kind":"HACronJob","spec":{nested_text(levels)},"metadata":{{"name":"deep"}}}}'
    assert understood(200, said.encode())["metadata"] == {"name": "deep"}


def get(name: str) -> GetJob:
    return GetJob(key=some_key("default"), run_id=name, namespace="default", name=name)


# --- answers --------------------------------------------------------------------------------------------------------------------

PAGE = b"<html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    "said",
    [
        Said(200, PAGE),
        Said(201, PAGE),
        Said(404, PAGE),
        Said(404, b'{"error": "no such route"}'),
        Said(404, b'{"kind": "Error", "type": "error"}'),
        Said(403, b""),
        Said(409, b'["not", "a", "Status"]'),
        Said(201, b'{"kind": "Job", "metadata"'),
        Said(201, b'{"kind": "Job"} trailing'),
        Said(201, b"[" * 100_000),
        Said(201, b"\xff\xfe\x00"),
        Said(302, PAGE, {"Location": "/login"}),
        Said(204, b""),
    ],
    ids=lambda said: f"{said.status} {said.content[:20]!r}",
)
def test_an_answer_that_is_not_of_an_api_server_settles_nothing(begin: Begin, said: Said) -> None:
    """A proxy's 404 does not mean that a Job is gone, and its page for logging in is not a Job."""
    kube, _ = begin(lambda _: said)
    answers = kube.ask_all([create("hello", "default"), get("hello")])
    assert [(answer.status, answer.body) for answer in answers] == [(0, {}), (0, {})]
    assert all(answer.unreachable and answer.reason for answer in answers)


def test_redirects_are_not_followed(begin: Begin) -> None:
    kube, server = begin(lambda asked: JOB if asked.path == "/login" else Said(307, PAGE, {"Location": "/login"}))
    assert kube.ask(create("hello", "default")).status == 0
    assert [asked.path for asked in server.asked] == ["/apis/batch/v1/namespaces/default/jobs?timeout=60s"]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_that_cannot_now_may_say_so_in_any_form(begin: Begin, code: int) -> None:
    kube, _ = begin(lambda _: Said(code, b"upstream connect error"))
    answer = kube.ask(get("hello"))
    assert (answer.status, answer.body) == (code, {"message": "upstream connect error"})
    assert answer.unreachable


def test_a_server_that_has_just_started_says_nothing_of_what_it_is_asked(begin: Begin) -> None:
    kube, _ = begin(lambda _: status(403, 'jobs.batch "hello" is forbidden: not yet ready to handle request'))
    answer = kube.ask(create("hello", "default"))
    assert answer.unreachable
    assert not answer.lacks_right


@pytest.mark.parametrize(
    ("header", "pause_s"), [("7", 7.0), ("0.5", 0.5), ("86400", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)]
)
def test_a_wish_for_a_pause_is_passed_on(begin: Begin, header: str, pause_s: float) -> None:
    kube, _ = begin(lambda _: Said(429, b"Too many requests, please try again later.", {"Retry-After": header}))
    answer = kube.ask(get("hello"))
    assert (answer.status, answer.retry_after_s) == (429, pause_s)
    assert answer.unreachable


def test_a_connection_that_is_closed_in_the_middle_is_no_answer(begin: Begin) -> None:
    kube, _ = begin(lambda _: Said(201, b'{"kind": "Job"}', {"Content-Length": "1000", "Connection": "close"}))
    answer = kube.ask(create("hello", "default"))
    assert answer.status == 0
    assert "ClientPayloadError" in answer.reason


def test_a_server_without_the_resource_says_so_in_one_line_of_text(begin: Begin) -> None:
    """An inventory passes it on, for people; that one HACronJob is gone it does not mean."""
    kube, _ = begin(lambda _: Said(404, b"404 page not found\n"))
    assert kube.ask(ListInventory()).status == 404
    assert kube.ask(GetObject(key=key_of("default", "hello"))).status == 0


def test_an_inventory_that_breaks_off_is_none(begin: Begin) -> None:
    """Its pages hold together by a token that ends after some minutes."""
    item = {"metadata": {"namespace": "default", "name": "a", "uid": "1", "generation": 1, "resourceVersion": "7"}}
    page = {"kind": "PartialObjectMetadataList", "metadata": {"continue": "more"}, "items": [item]}

    def reply(asked: Asked) -> Said:
        return status(410, "Expired") if "continue=more" in asked.path else Said(200, json.dumps(page).encode())

    kube, _ = begin(reply)
    assert kube.ask(ListInventory()).status == 410


@pytest.mark.parametrize("code", [429, 503])
def test_a_page_that_cannot_be_had_now_is_asked_for_again_and_not_all_that_came_before(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(listing, "PAUSE_S", 0.01)
    item = {"metadata": {"namespace": "default", "name": "a", "uid": "1", "generation": 1, "resourceVersion": "7"}}
    pages = {"": {"continue": "more"}, "more": {"continue": "last"}, "last": {}}
    refusals = dict.fromkeys(pages, 3) | {"": 0}

    def reply(asked: Asked) -> Said:
        token = asked.path.rpartition("continue=")[2]
        refusals[token] -= 1
        if refusals[token] >= 0:
            return status(code, "TooManyRequests")
        body = {"kind": "PartialObjectMetadataList", "metadata": pages[token], "items": [item]}
        return Said(200, json.dumps(body).encode())

    kube, server = begin(reply)
    answer = kube.ask(ListInventory())
    assert answer.status == 200, (answer, [asked.path for asked in server.asked])
    assert len(answer.body["items"]) == 3
    assert len([asked for asked in server.asked if "continue=" in asked.path]) == 9


def test_a_request_that_makes_no_sense_gets_an_answer_too(begin: Begin) -> None:
    kube, _ = begin(lambda _: JOB)
    senseless = PatchStatus(key=some_key("default"), uid="u", status={"spec": {1, 2}, 3: object()})  # type: ignore[dict-item]
    answers = kube.ask_all([GetObject(key="without-a-slash"), senseless])
    assert [answer.status for answer in answers] == [0, 0]
    assert kube.ask(get("hello")).status == 201, "and the client goes on"


def test_one_path_that_hangs_does_not_make_the_cluster_unreachable(begin: Begin) -> None:
    """A webhook of one team may hang: the others go on."""
    over = threading.Event()

    def reply(asked: Asked) -> Said:
        if asked.method == "POST":
            over.wait(60)
        return JOB

    kube, _ = begin(reply, timeout_s=5.0)
    try:
        assert kube.ask(create("hello", "default")).status == 0
        until(lambda: kube.count("GET") >= 2, 20, "the probe that follows")
        assert kube.client.reachable
    finally:
        over.set()


def test_a_job_that_hangs_holds_up_no_status(begin: Begin) -> None:
    over = threading.Event()

    def reply(asked: Asked) -> Said:
        if asked.method == "POST":
            over.wait(60)
        return JOB

    kube, _ = begin(reply)
    try:
        patches = [PatchStatus(key=key_of("default", f"{number}"), uid="1", status={}) for number in range(50)]
        kube.client.submit([create("hello", "default"), *patches])
        until(lambda: len(kube.answers()) >= 50, 20, "fifty answers")
        assert all(isinstance(answer.request, PatchStatus) for answer in kube.answers()[:50])
    finally:
        over.set()


def test_while_jobs_wait_for_their_turn_nothing_else_begins(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GIVES_WAY_S", 3600.0)
    kube, server = begin(lambda _: JOB)
    jobs = [create(f"{number}", "default") for number in range(300)]
    patches = [PatchStatus(key=key_of("default", f"{number}"), uid="1", status={}) for number in range(50)]
    kube.ask_all([*patches, *jobs])
    methods = [asked.method for asked in server.asked]
    assert methods[:200].count("PATCH") <= SLOW_LANE


def turned_away(asked: Asked) -> Said:
    """Have the API server take no more Jobs for now."""
    return Said(429, status(429).content, {"Retry-After": "1"}) if asked.method == "POST" else JOB


def test_while_a_job_that_was_turned_away_waits_to_be_tried_again_nothing_else_begins(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "GIVES_WAY_S", 3600.0)
    monkeypatch.setattr(client, "SHUT_S", 8.0)
    kube, server = begin(turned_away)
    assert kube.ask(create("hello", "default")).status == 429
    patches = [PatchStatus(key=key_of("default", f"{number}"), uid="1", status={}) for number in range(50)]
    kube.client.submit(patches)
    for _ in range(20):
        kube.ask(get("hello"))
    assert "PATCH" not in [asked.method for asked in server.asked]
    until(lambda: kube.count("PATCH") == 50, 60, "the statuses")


def test_where_no_job_is_taken_for_long_the_rest_has_its_turn(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GIVES_WAY_S", 0.2)
    monkeypatch.setattr(client, "SHUT_S", 3600.0)
    kube, _ = begin(turned_away)
    assert kube.ask(create("hello", "default")).status == 429
    assert kube.ask(PatchStatus(key=some_key("default"), uid="1", status={})).status == 201


def test_events_wait_until_statuses_are_written(begin: Begin) -> None:
    kube, server = begin(lambda _: JOB)
    events = [PostEvent(key=key_of("default", f"{number}"), body={}) for number in range(50)]
    patches = [PatchStatus(key=key_of("default", f"{number}"), uid="1", status={}) for number in range(50)]
    kube.ask_all([*events, *patches])
    assert [asked.method for asked in server.asked][:50].count("POST") <= SLOW_LANE


# --- namespaces -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hanging(begin: Begin, request: pytest.FixtureRequest) -> Iterator[Asking]:
    """A server at which new Jobs in the namespace "bad" hang, and a client of it with so much patience."""
    over = threading.Event()

    def reply(asked: Asked) -> Said:
        if asked.method == "POST" and "/namespaces/bad/" in asked.path:
            over.wait(60)
        return JOB

    kube, _ = begin(reply, timeout_s=getattr(request, "param", 60.0))
    yield kube
    over.set()


def answered(kube: Asking, names: set[str]) -> bool:
    return names <= {getattr(answer.request, "run_id", "") for answer in kube.answers()}


def test_a_namespace_whose_jobs_hang_holds_up_no_job_of_another(hanging: Asking) -> None:
    hanging.client.submit([create(f"bad-{number}", "bad") for number in range(96)])
    hanging.client.submit([create(f"good-{number}", "good") for number in range(96)])
    until(lambda: answered(hanging, {f"good-{number}" for number in range(96)}), 60, "the Jobs of the other namespace")
    assert not any(answer.request.key == some_key("bad") for answer in hanging.answers())  # type: ignore[union-attr]


def test_a_namespace_whose_dry_runs_hang_holds_up_no_status_of_another(hanging: Asking) -> None:
    tries = [create(f"try-{number}", "bad", dry_run=True) for number in range(24)]
    hanging.client.submit(tries)
    assert hanging.ask(PatchStatus(key=some_key("good"), uid="1", status={})).status == 201
    assert len(hanging.answers()) == 1


@pytest.mark.parametrize("hanging", [5.0], indirect=True)
def test_statuses_do_not_give_way_to_jobs_of_a_namespace_that_hangs(hanging: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GIVES_WAY_S", 3600.0)
    hanging.client.submit([create(f"bad-{number}", "bad") for number in range(96)])
    hanging.client.submit([PatchStatus(key=some_key("good"), uid="1", status={})])
    until(lambda: any(isinstance(answer.request, PatchStatus) for answer in hanging.answers()), 20, "the status")


FORBIDDEN = 'jobs.batch is forbidden: User "us" cannot create resource "jobs" in API group "batch" in the namespace "default"'
DENIED = [
    'admission webhook "policy.example" denied the request: nobody may',
    'jobs.batch "hello" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1, used: 5, limited: 5',
    'pods "hello" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
]


def test_an_api_server_that_lets_us_do_nothing_cannot_be_worked_with(begin: Begin) -> None:
    """Also one that has just started, and knows nobody's rights yet."""
    kube, server = begin(lambda _: status(403, FORBIDDEN))
    server.works = False
    assert kube.ask(create("hello", "default")).lacks_right
    until(lambda: not kube.client.reachable, 20, "the word that nothing can be done there")
    assert kube.client.trouble == f"status 403: {FORBIDDEN}"
    server.works = True
    until(lambda: kube.client.reachable, 20, "the word that there can")
    assert kube.client.trouble == ""


def test_an_api_server_whose_store_is_away_cannot_be_worked_with(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers, but nothing that it is asked can be done."""
    monkeypatch.setattr(http, "PROBE_AGAIN_S", 0.05)
    kube, server = begin(lambda _: status(500, "etcdserver: request timed out"))
    server.works = False
    assert kube.ask(create("hello", "default")).status == 500
    until(lambda: not kube.client.reachable, 20, "the word that nothing can be done there")
    assert kube.client.trouble == "status 500: etcdserver: request timed out"
    server.works = True
    until(lambda: kube.client.reachable, 20, "the word that there can")


def test_an_api_server_that_fails_now_and_then_can_be_worked_with(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PROBE_AGAIN_S", 0.02)
    monkeypatch.setattr(http, "PROBE_S", 1.0)
    number = itertools.count()
    kube, server = begin(lambda _: status(404 if next(number) % 3 == 2 else 500))
    server.works = False
    found = set()
    until(lambda: found.add(kube.client.reachable) or len(server.asked) > 10, 20, "ten probes")
    assert found == {True}


def test_who_is_told_some_namespaces_is_judged_by_the_rights_there(tmp_path: Path) -> None:
    """A Role in each of them lets nobody look at Jobs in any other."""

    def reply(asked: Asked) -> Said:
        return status(404) if "/namespaces/shop/" in asked.path else status(403, FORBIDDEN)

    with ExitStack() as stack:
        server = stack.enter_context(odd_server(reply))
        server.works = False
        kube = stack.enter_context(asking(kubeconfig(tmp_path / "kubeconfig", server.url), namespaces=("shop", "billing")))
        assert kube.ask(create("hello", "default")).lacks_right
        until(lambda: len([asked for asked in server.asked if asked.path.endswith("/hacron-probe")]) > 1, 20, "two probes")
        assert kube.client.reachable


@pytest.mark.parametrize("words", DENIED)
def test_what_is_denied_to_one_job_says_nothing_of_our_rights(begin: Begin, words: str) -> None:
    kube, _ = begin(lambda _: status(403, words))
    answer = kube.ask(create("hello", "default"))
    assert not answer.lacks_right
    assert not answer.unreachable
    assert kube.client.reachable


def test_jobs_do_not_wait_for_what_no_job_waits_for(begin: Begin) -> None:
    arrived = threading.Event()

    def reply(asked: Asked) -> Said:
        if asked.method == "POST":
            arrived.set()
        else:
            arrived.wait(1.5)
        return JOB

    kube, _ = begin(reply)
    patches = [PatchStatus(key=key_of("default", f"{number}"), uid="1", status={}) for number in range(50)]
    looks = [GetObject(key=key_of("default", f"{number}")) for number in range(50)]
    tries = [create(f"try-{number}", "default", dry_run=True) for number in range(50)]
    answers = kube.ask_all([*patches, *looks, *tries, create("hello", "default")])
    order = [getattr(answer.request, "run_id", "") for answer in answers]
    assert order.index("hello") < 20
    assert arrived.is_set()


def test_whoever_waits_is_called_when_all_has_arrived(tmp_path: Path) -> None:
    """Not for every answer, but after the last one too."""
    arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
    calls: list[int] = []
    with odd_server(lambda _: JOB) as server:
        where = kubeconfig(tmp_path / "kubeconfig", server.url)
        client = KubeClient(where, arrivals)
        client.on_arrival = lambda: calls.append(arrivals.qsize())
        client.start()
        try:
            client.submit([get(f"{number}") for number in range(100)])
            until(lambda: 100 in calls, 20, "a call with everything in the queue")
        finally:
            client.stop()
    assert len(calls) <= 100
