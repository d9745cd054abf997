"""The page: what it is told, in which bounds, and whom it turns away."""

from __future__ import annotations

import gc
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlencode

import msgspec
import pytest

from hacron.core.messages import Batch, Checkpoint, ClusterState, Definition, Entry, Progress, Proof
from hacron.core.model import Cluster, Run, Verdict, VerdictKind, key_of
from hacron.core.packing import pack
from hacron.core.state import State
from hacron.page.answers import LONGEST_LIST, Condition, Place, listing, open_of, overview
from hacron.page.board import Board, Wanted
from hacron.page.serving import AT_ONCE, is_ours
from hacron.page.troubles import of_cronjob, sentence_of
from hacron.page.view import View, Viewfinder
from hacron.settings.fields import Settings
from hacron.telemetry.metrics import Metrics
from hacron.telemetry.server import HttpServer
from tests.core.ledger_story import HELLO, LONG_BEFORE, NOON, Story, refused_and_waiting, spec
from tests.roles.onlooker import MARKUP, Onlooker, a_night
from tests.scenarios.script import Script


@pytest.fixture(scope="module")
def night() -> Iterator[Onlooker]:
    onlooker = Onlooker(a_night())
    yield onlooker
    onlooker.close()


# --- what is told ---------------------------------------------------------------------------------


def test_the_overview_says_who_decides_and_how_the_clusters_are(night: Onlooker) -> None:
    told = night.told("overview")
    executor = told["executor"]
    assert (executor["replica"], executor["cluster"], executor["since"]) == ("west-1", "west", int(NOON.timestamp()))
    assert executor["proved"] >= told["now"] - 2
    assert [(one["name"], one["worker"], one["running"], one["troubles"]) for one in told["clusters"]] == [
        ("east", "east-1", 1, []),
        ("west", "west-1", 1, []),
    ]
    assert told["cronjobs"] == {"total": 11, "Scheduled": 6, "Held": 2, "Suspended": 1, "Paused": 1, "Invalid": 1}
    assert told["runs"]["Running"] == 2
    assert told["replica"]["executor"] is True
    assert told["namespaces"] == ["data", "ops", "shop"]


def test_a_run_that_was_refused_and_waits_is_not_told_to_be_in_a_silent_cluster() -> None:
    story = refused_and_waiting()
    why = "refused, waits for another cluster: west had refused it (Invalid: "
    (told,) = of_cronjob(story.progress, story.state.winner(HELLO), story.state.cronjob(HELLO), None, drifted=False)
    assert (told.kind, told.cluster, told.message[: len(why)]) == ("NotStarted", "west", why)
    assert open_of(story.run)["why"] == told.message


@pytest.mark.parametrize(("count", "says"), [(1, "Superseded"), (100, "100 ticks: S"), (101, "more than 100 ticks: S")])
def test_more_ticks_than_are_counted_are_told_as_that(count: int, says: str) -> None:
    verdict = Verdict(tick=NOON, verdict=VerdictKind.MISSED, reason="Superseded", count=count)
    assert sentence_of(verdict).startswith(says)


def test_what_is_wrong_comes_first_and_what_only_rests_last(night: Onlooker) -> None:
    told = night.told("overview")
    assert [(one["severity"], one["kind"], one["key"]) for one in told["troubles"]] == [
        (3, "Failed", "data/warehouse-load"),
        (3, "Refused", "ops/sweep"),
        (3, "Held", "ops/backup"),
        (3, "Invalid", "ops/odd"),
        (2, "Held", "data/exports"),
        (1, "Suspended", "ops/certificates"),
        (1, "Paused", "ops/rotate"),
    ]
    assert told["wrong"] == 4
    assert night.keys()[:4] == ["data/warehouse-load", "ops/backup", "ops/odd", "ops/sweep"]


@pytest.mark.parametrize(("after_s", "keys"), [(3, ["default/a", "default/hello"]), (8, ["default/hello", "default/a"])])
def test_a_run_of_which_no_job_is_heard_is_wrong_as_soon_as_it_is_late(after_s: float, keys: list[str]) -> None:
    story = Story()
    for key in (key_of("default", "a"), HELLO):
        story.declare(spec("0 0 1 1 *" if key != HELLO else "* * * * *"), key, uid=key)
    story.at(60)
    board, now = Board(), NOON + timedelta(seconds=60 + after_s)
    board.see(View(state=story.state, at=now, caught_up=True, executor=True, worker=True))

    def found(wanted: Wanted) -> list[str]:
        return [row["key"] for row in listing(board, PLACE, wanted, now, hours=1, offset=0, limit=10)["cronjobs"]]

    assert found(Wanted()) == keys
    assert found(Wanted(troubled=True)) == ["default/hello"] * (after_s > 5)


def test_the_past_of_a_cluster_adds_up_to_its_verdicts(night: Onlooker) -> None:
    told = night.told("overview")
    past = {one["name"]: [sum(pillar[at] for pillar in one["past"]) for at in (1, 2, 3)] for one in told["clusters"]}
    rows = night.told("cronjobs", limit=200)["cronjobs"]
    for name, (good, bad, _) in past.items():
        verdicts = [verdict["verdict"] for row in rows for verdict in row["recent"] if verdict["cluster"] == name]
        assert good == verdicts.count("Succeeded") > 0
        assert bad == verdicts.count("Failed") + verdicts.count("Refused")
    longer = night.told("overview", hours=24)
    assert sum(pillar[1] for pillar in longer["clusters"][0]["past"]) == past["east"][0]


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({"text": "INVOICES"}, ["shop/invoices"]),
        ({"text": "data/", "verdict": "Running"}, ["data/exports"]),
        ({"namespace": "data", "troubled": "true"}, ["data/warehouse-load", "data/exports"]),
        ({"verdict": "Refused"}, ["ops/sweep"]),
        ({"cluster": "north"}, ["ops/backup"]),
        ({"cluster": "east", "verdict": "Failed"}, ["data/warehouse-load"]),
        ({"namespace": "shop", "offset": 1, "limit": 1}, ["shop/mails"]),
        ({"text": "no-such"}, []),
        ({"offset": 999}, []),
        ({"limit": 0}, []),
    ],
    ids=str,
)
def test_cronjobs_are_found(night: Onlooker, fields: dict[str, object], keys: list[str]) -> None:
    assert night.keys(**fields) == keys


def test_a_cronjob_in_the_list_has_its_past_and_its_coming_ticks(night: Onlooker) -> None:
    told = night.told("cronjobs", text="invoices")
    (row,) = told["cronjobs"]
    assert (row["schedule"], row["timeZone"], row["homes"]) == ("*/5 * * * *", "Europe/Berlin", ["east", "west"])
    ran = [((verdict["tick"] - NOON.timestamp()) / 60, verdict["cluster"]) for verdict in row["recent"]]
    assert ran == [(5 * minute, "west") for minute in range(1, 7)]
    assert [(tick - NOON.timestamp()) / 60 for tick in row["next"]] == [5 * minute for minute in range(7, 19)]


def test_the_page_of_a_cronjob_tells_all_of_it(night: Onlooker) -> None:
    told = night.told("cronjob", key="shop/mails")
    assert told["rules"]["guarantee"] == "AtMostOnce"
    assert [(run["name"], run["phase"], run["succeeded"]) for run in told["runs"]] == [("again", "Complete", 1)]
    assert night.ask("cronjob.json?key=shop/no-such")[0] == 404
    assert night.told("cronjob", key="ops/odd")["invalid"].startswith("schedule: ")


@pytest.mark.parametrize(
    ("key", "conditions"),
    [
        ("shop/mails", ["Scheduled=True", "Drifted=False"]),
        ("ops/odd", ["Accepted=False", "Scheduled=False", "Drifted=False"]),
    ],
)
def test_nothing_is_told_that_hangs_on_what_an_api_server_thinks_of_the_template(
    night: Onlooker, key: str, conditions: list[str]
) -> None:
    (home,) = night.told("cronjob", key=key)["homes"]
    assert [f"{one['type']}={one['status']}" for one in home["conditions"]] == conditions


def test_a_run_that_another_cluster_asks_for_differently_is_told_of_as_it_counts() -> None:
    script = Script()
    for command in (
        "replicas west-1 east-1",
        "at 12:00:05",
        'apply west mails schedule="0 * * * *" runs=5',
        "demand west again mails",
        "at 12:00:10",
        "demand east again others",
        "at 12:00:30",
    ):
        script.run(command)
    onlooker = Onlooker(script)
    try:
        (told,) = onlooker.told("cronjob", key="default/mails")["runs"]
        assert (told["homes"], told["phase"], told["succeeded"]) == (["east", "west"], "Complete", 1)
    finally:
        onlooker.close()


def test_nothing_is_told_of_templates(night: Onlooker) -> None:
    every = night.keys()
    bodies = [night.ask(f"cronjob.json?{urlencode({'key': key})}")[2] for key in every]
    assert not [body for body in [*bodies, night.ask("overview.json")[2]] if "busybox" in body or "jobTemplate" in body]


def test_a_cluster_that_is_cordoned_or_declared_gone_is_noted() -> None:
    script = Script()
    script.do_replicas("west-1", "east-1", gone_clusters=("east",))
    script.do_replicas("south-1", cordoned="new switches")
    for command in ("at 12:00:05", "silence east", "at 12:00:30"):
        script.run(command)
    onlooker = Onlooker(script)
    try:
        found = [(one["kind"], one["cluster"]) for one in onlooker.told("overview")["troubles"]]
        assert sorted(found) == [("Cordoned", "south"), ("Gone", "east")]
    finally:
        onlooker.close()


def test_a_cluster_that_speaks_and_is_to_be_forgotten_is_wrong() -> None:
    script = Script()
    script.do_replicas("west-1", "east-1", forgotten_clusters=("east",))
    script.run("at 12:00:05")
    onlooker = Onlooker(script)
    try:
        (found,) = onlooker.told("overview")["troubles"]
        assert (found["kind"], found["cluster"], found["severity"]) == ("Forgotten", "east", 3)
        script.run("silence east")
        script.run("at 12:00:30")
        assert [(one["kind"], one["cluster"]) for one in onlooker.told("overview")["troubles"]] == [("Gone", "east")]
    finally:
        onlooker.close()


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        (["silence east"], "it is silent since 12:00:05 UTC"),
        (["skew east-1 -40"], "it is not heard: what it says is 40 s old on arrival; is its clock behind?"),
        (["skew east-1 -40", "at 12:00:30", "silence east"], "it is silent since 12:00:05 UTC"),
    ],
    ids=["it says nothing", "its clock is behind", "first the one, then the other"],
)
def test_of_a_cluster_that_is_not_heard_is_told_why(commands: list[str], why: str) -> None:
    script = Script()
    for command in ("replicas west-1 east-1", "at 12:00:05", *commands, "at 12:01:00"):
        script.run(command)
    onlooker = Onlooker(script)
    try:
        (found,) = onlooker.told("overview")["troubles"]
        assert (found["kind"], found["cluster"], found["message"]) == ("Silent", "east", f"no run is placed there; {why}")
    finally:
        onlooker.close()


def test_a_cluster_that_is_silent_and_an_executor_that_is_gone_are_wrong() -> None:
    script = Script()
    for command in ("replicas west-1 east-1", "at 12:00:05", "silence east", "at 12:00:30"):
        script.run(command)
    onlooker = Onlooker(script)
    try:
        assert [(one["kind"], one["cluster"]) for one in onlooker.told("overview")["troubles"]] == [("Silent", "east")]
        for command in ("broker stop", "at 12:00:40"):
            script.run(command)
        told = onlooker.told("overview")
        assert told["replica"]["connected"] is told["replica"]["executor"] is False
        assert "NoExecutor" in [one["kind"] for one in told["troubles"]], "the last view stays, and its age is told"
        assert told["seen"] < told["now"]
    finally:
        onlooker.close()


def test_before_a_replica_has_a_connection_it_says_so() -> None:
    script = Script()
    script.run("broker stop")
    script.run("replicas west-1")
    onlooker = Onlooker(script)
    try:
        told = onlooker.told("overview")
        assert (told["seen"], told["replica"]["connected"]) == (None, False)
        assert onlooker.keys() == []
    finally:
        onlooker.close()


# --- the view -------------------------------------------------------------------------------------


def test_a_view_is_taken_only_when_somebody_looks_and_at_most_once_a_second() -> None:
    script = Script()
    for command in ("replicas west-1", "at 12:00:05"):
        script.run(command)
    process = script.world.processes["west-1"]
    assert process.session is not None
    session = process.session
    finder = Viewfinder(lambda: process.moment().mono)
    finder.turned(session, process.moment())
    finder.wake = lambda: finder.turned(session, process.moment())
    first = finder.look()
    assert first is not None
    assert finder.look() is first
    script.run("at 12:00:05.9")
    assert finder.look() is first
    script.run("at 12:00:06.1")
    finder.turned(session, process.moment())
    finder.wake = lambda: None
    finder.lost()
    assert finder.look() is first, "nobody had looked when the engine turned"


def test_a_view_stands_still_while_state_goes_on() -> None:
    script = Script()
    for command in ("replicas west-1", "apply west hello schedule='* * * * *'", "at 12:01:30"):
        script.run(command)
    session = script.world.processes["west-1"].session
    assert session is not None
    still = session.state.still()
    hello = key_of("default", "hello")
    before = (still.progress[hello], dict(still.definitions), still.cronjob(hello), list(still.keys()))
    for command in ("change west hello suspend=true", "apply west other schedule='* * * * *'", "at 12:03:30"):
        script.run(command)
    assert (still.progress[hello], dict(still.definitions), still.cronjob(hello), list(still.keys())) == before
    script.run("delete west hello")
    assert still.winner(hello) is not None


# --- who is turned away ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("10.1.2.3", True),
        ("hacron-metrics.hacron-system.svc:8080", True),
        ("hacron-metrics.hacron-system.svc.cluster.local", True),
        ("page.example.com", True),
        ("PAGE.example.com.:443", True),
        ("", True),
        ("evil.example.com:8080", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("page.example.com.evil.com", False),
        ("evil.com:80:80", False),
    ],
)
def test_a_name_that_somebody_may_have_pointed_here_is_turned_away(host: str, ours: bool) -> None:
    assert is_ours(host, ("page.example.com",)) is ours


def test_a_browser_that_was_led_here_learns_nothing(night: Onlooker) -> None:
    for path in ("", "overview.json", "page.js"):
        status, _, body = night.ask(path, Host="evil.example.com")
        assert (status, "HACRON_PAGE_HOSTS" in body) == (421, True)
    status, headers, _ = night.ask("overview.json", Sec_Fetch_Site="cross-site", Origin="https://evil.example.com")
    assert status == 403
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["", "page.js", "page.css", "icon.svg", "overview.json", "no-such"])
def test_every_answer_forbids_what_the_page_does_not_need(night: Onlooker, path: str) -> None:
    _, headers, _ = night.ask(path)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_nothing_is_loaded_from_elsewhere_and_no_script_is_inline(night: Onlooker) -> None:
    html, script = night.ask("")[2], night.ask("page.js")[2]
    for text in (html, night.ask("page.css")[2], script.replace("http://www.w3.org/2000/svg", "")):
        assert not re.findall(r"""://|["'(]\s*//""", text)
    assert html.count("<script") == html.count('<script src="page.js" defer>') == 1
    assert not [word for word in (" style=", " onclick=", "<style") if word in html]
    assert not [word for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(") if word in script]


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("hours=5", "hours: one of 1, 6, 24"),
        ("limit=201", "limit: a whole number up to 200"),
        ("offset=-1", "offset: a whole number up to 1000000"),
        ("limit=٣", "limit: a whole number up to 200"),
        (f"text={'x' * 400}", "text: at most 320 characters"),
        ("x=" + "y" * 2000, "the question is longer than 1000 characters"),
        ("&".join(["a=1"] * 40), "more than 18 fields are asked for"),
    ],
    ids=lambda text: text[:20],
)
def test_a_question_that_makes_no_sense_is_told_what_would(night: Onlooker, question: str, says: str) -> None:
    path = "cronjobs.json?" + question.encode().decode("latin-1") if question.isascii() else "cronjobs.json?limit=%D9%A3"
    status, _, body = night.ask(path)
    assert (status, body) == (400, f"{says}\n")


@pytest.mark.parametrize(
    ("path", "status"),
    [("../healthz", 404), ("static/page.js", 404), ("page.py", 404), ("%2e%2e/page.js", 404), ("overview.json/", 404)],
)
def test_there_is_nothing_beside_the_page(night: Onlooker, path: str, status: int) -> None:
    assert night.ask(path)[0] == status


def test_it_can_only_be_read(night: Onlooker) -> None:
    assert {night.ask("overview.json", method)[0] for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")} == {501}
    assert night.ask("overview.json", "HEAD")[2] == ""


def test_markup_is_told_as_the_text_that_it_is(night: Onlooker) -> None:
    told = night.told("overview")
    (paused,) = (one for one in told["troubles"] if one["kind"] == "Paused")
    assert MARKUP in paused["message"]
    assert night.ask("overview.json")[1]["Content-Type"] == "application/json"


def test_without_the_setting_there_is_no_page() -> None:
    assert Settings(cluster="west", broker_url="amqp://broker").page is False
    server = HttpServer(Metrics(replica="west-1", cluster="west", tzdata=""), "127.0.0.1", 0)
    assert server.respond("/page/overview.json", {}).code == 404
    server.start()
    server.stop()


def test_more_than_a_few_at_once_are_asked_to_come_again(night: Onlooker) -> None:
    slots = night.page._slots
    for _ in range(AT_ONCE):
        slots.acquire()
    try:
        assert night.ask("overview.json")[0] == 503
        assert night.ask("page.js")[0] == 200
    finally:
        slots.release(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert {answer[0] for answer in pool.map(night.ask, ["cronjobs.json"] * AT_ONCE)} == {200}


# --- 10,000 cronjobs ------------------------------------------------------------------------------

MANY = 10_000
PLACE = Place(replica="west-1", cluster="west", version="", silent_after_s=15, start_window_s=20)


@pytest.fixture(scope="module")
def crowd() -> State:
    """As many as the product is made for, each with ten verdicts and a run, every tenth one failing."""
    state = State()
    records: list[tuple[Checkpoint | Proof | ClusterState | Definition | Progress, ...]] = [
        (
            Checkpoint(replica="west-1", cluster="west", at=NOON, born=LONG_BEFORE),
            Proof(replica="west-1", at=NOON + timedelta(seconds=9)),
        ),
        *((ClusterState(cluster=Cluster(name=name, seen_at=NOON)),) for name in ("west", "east")),
    ]
    bodies = [spec(f"{minute} * * * *") for minute in range(60)]
    for number in range(MANY):
        key = key_of(f"team-{number % 100}", f"cronjob-{number}")
        kind = VerdictKind.FAILED if number % 10 == 0 else VerdictKind.SUCCEEDED
        ticks = [NOON - timedelta(minutes=minute) for minute in range(10, 0, -1)]
        fields = {"cluster": "west", "message": "x" * 1000, "started": NOON, "finished": NOON}
        run = Run(id=f"{number}.1", tick=NOON, cluster="east", start_by=NOON + timedelta(seconds=20), fencing=1)
        body = {"uid": str(number), "generation": 1, "created_at": NOON, "revision": number, "changed_at": NOON}
        records += [
            (Definition(key=key, cluster="west", spec=bodies[number % 60], **body),),
            (
                Progress(
                    key=key,
                    cronjob_id=str(number),
                    last_tick=NOON,
                    open=(run,),
                    recent=tuple(Verdict(tick=tick, verdict=kind, **fields) for tick in ticks),
                ),
            ),
        ]
    for load in pack(records).loads:
        entry = Batch(epoch=1, sender="west-1", sent_at=NOON, records=tuple(load.records))
        state.apply(Entry(offset=state.position + 1, size=1, batch=entry))
    for key in state.progress:
        state.cronjob(key)  # as executor and census have done
    return state


def quickest(act: object, times: int = 3) -> float:
    assert callable(act)
    took = []
    for _ in range(times):
        began = time.process_time()
        act()
        took.append(time.process_time() - began)
    return min(took)


def test_ten_thousand_cronjobs_hold_the_engine_up_for_milliseconds(crowd: State) -> None:
    gc.collect()
    assert quickest(crowd.still) < 0.1


def test_ten_thousand_cronjobs_are_told_in_bounds(crowd: State) -> None:
    board, now = Board(), NOON + timedelta(seconds=10)

    def view() -> View:
        return View(state=crowd.still(), at=now, caught_up=True, executor=True, worker=True)

    condition = Condition(ready=True, reasons=(), connected=True)
    assert quickest(lambda: board.see(view()), times=1) < 10
    assert quickest(lambda: board.see(view())) < 0.5, "what has not changed is not made anew"
    told = msgspec.json.encode(overview(board, view(), PLACE, condition, now, 1))
    assert len(told) < 150_000
    assert json.loads(told)["troublesTotal"] == MANY + MANY // 10, "each has a run that is late, every tenth has failed"
    assert quickest(lambda: overview(board, view(), PLACE, condition, now, 24)) < 2
    listed = listing(board, PLACE, Wanted(text="cronjob"), now, hours=24, offset=0, limit=LONGEST_LIST)
    assert listed["total"] == MANY
    assert len(msgspec.json.encode(listed)) < 2_000_000
    assert quickest(lambda: listing(board, PLACE, Wanted(text="no-such"), now, hours=1, offset=0, limit=50)) < 0.5
