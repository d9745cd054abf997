"""`kubectl hacron` as far as no API server is needed: calls, tables, what the shell is offered."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from hacron.commands.calls import INTERRUPTED, MISUSE, NO, OK
from hacron.plugin.__main__ import main
from hacron.plugin.calls import NOT_YET, UNASKED
from hacron.plugin.completing import complete
from hacron.plugin.executing import Replica, _found, numbers
from hacron.plugin.history import each_once
from hacron.plugin.looks import Look
from hacron.plugin.output import for_programs, from_now, print_table, span
from hacron.plugin.records import Fate, of_schedule
from hacron.plugin.running import ticks_of
from hacron.plugin.where import clusters
from hacron.plugin.why import _explained, what_became


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def on_a_terminal(print_it: Callable[[], object]) -> str:
    found = Terminal()
    with contextlib.redirect_stdout(found):
        print_it()
    return found.getvalue()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("", "the following arguments are required: command"),
        ("why", "the following arguments are required: NAME"),
        ("why A_B", "'A_B' is no name of a HACronJob"),
        ("why pod/a", "'pod/a' is no name of a HACronJob"),
        ("why -- --all", "'--all' is no name of a HACronJob"),
        ("why a --at noon", "--at: 'noon' is not a time"),
        ("list -n A/B", "--namespace: 'A/B' is no name of a namespace"),
        ("list -o xml", "invalid choice: 'xml'"),
        ("history a --last 0", "--last: '0' is not a whole number from 1"),
        ("next a --count 0", "--count: '0' is not a whole number from 1"),
        ("run a --from 2026-01-01T00:00:00Z", "--from and --to go together"),
        ("run a --from 2026-01-02T00:00:00Z --to 2026-01-01T00:00:00Z", "--to: '2026-01-01T00:00:00Z' is before --from"),
        ("run a --at 2026-01-02T00:00Z --from 2026-01-02T00:00Z --to 2026-01-03T00:00Z", "either --at or --from and --to"),
        ("run a --limit 3", "--limit goes with --from and --to"),
        ("run a --timeout 3", "--timeout goes with --wait"),
        ("run a --wait --timeout inf", "--timeout goes with --wait, and is a number of seconds above 0"),
        ("run a --wait --timeout nan", "--timeout goes with --wait, and is a number of seconds above 0"),
        ("run a --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --limit -1", "--limit is from 1 to 1000"),
        ("pause a", "the following arguments are required: --reason"),
        ("pause a --reason x --for 2", "--for: '2' is no span of up to ten years"),
        ("pause a --reason x --for 0s", "--for: '0s' is no span"),
        ("pause a --reason x --for 9999999d", "--for: '9999999d' is no span"),
        ("pause a --reason x --until 2020-01-01T00:00:00Z", "--until: '2020-01-01T00:00:00Z' is over"),
        ("pause a --reason x --for 1h --until 2040-01-01T00:00:00Z", "not allowed with argument"),
        ("convert -A x.yaml", "-A belongs to --from-cluster"),
        ("convert --from-cluster x.yaml", "either files or --from-cluster"),
    ],
)
def test_a_call_that_is_wrong_is_told_in_one_line(
    call: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # the API server is not asked
    try:
        code = main(call.split())
    except SystemExit as left:
        code = int(str(left.code))
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert told in printed.err
    assert len(printed.err.splitlines()) == 1


def test_each_command_and_exit_code_has_its_place_in_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    commands = [one.partition("\t")[0] for one in complete([""])[0]]
    assert {"list", "why", "run"} <= set(commands)
    assert [name for name in commands if f"| `kubectl hacron {name}" not in page] == []
    assert [code for code in (OK, NO, MISUSE, UNASKED, NOT_YET, INTERRUPTED) if f"\n| {code} |" not in page] == []


def test_each_command_has_an_output_for_programs() -> None:
    """`convert` has one at any rate: what it prints are manifests."""
    for name in (one.partition("\t")[0] for one in complete([""])[0]):
        assert complete([name, "-o", ""])[0] == (["yaml", "json"] if name == "convert" else ["text", "json", "yaml"]), name


def test_without_kubectl_it_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["list", "-A"]) == 3
    assert capsys.readouterr().err == "hacron: kubectl is not on PATH; it is what the cluster is asked by\n"


def test_a_kubeconfig_that_is_not_there_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = tmp_path / "kubectl"
    said.write_text('#!/bin/sh\necho "error: stat /nope: no such file" >&2\necho "and more" >&2\nexit 1\n')
    said.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert main(["list", "-A", "--kubeconfig", "/nope"]) == 3
    assert capsys.readouterr().err == "hacron: kubectl: stat /nope: no such file and more\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m59s"), (3605, "1h"), (7260, "2h1m"), (90000, "1d1h")]
)
def test_spans_are_told_in_two_units(seconds: int, text: str) -> None:
    assert span(seconds) == text
    now = datetime(2026, 11, 24, tzinfo=UTC)
    later = timedelta(seconds=seconds)
    assert from_now(now - later, now) == f"{text} ago"
    assert from_now(now + later, now) == (f"in {text}" if seconds else "0s ago")


Says = Callable[..., None]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Let a cluster answer with these objects, each to paths that end in its name, and to all others with nothing."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\npath="${{3%%\\?*}}"\ncat "{tmp_path}/${{path##*/}}.json" 2>/dev/null || echo "{{}}"\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    def answer(**bodies: object) -> None:
        for name, body in bodies.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(body))

    return answer


class TestWhileClustersDiffer:
    """What counts is declared in another cluster, which says `0 3 * * *` in a zone that is not known here."""

    @pytest.fixture(autouse=True)
    def _drifted(self, says: Says) -> None:
        found = look("0 2 * * *")
        found.spec["timeZone"] = "Europe/Prague"
        found.status["schedule"] = "0 3 * * *"
        found.status["conditions"] += [{"type": "Drifted", "status": "True", "message": "the newest change, in west, counts"}]
        says(hello=found.body, hacronjobs={"items": [found.body]})

    @pytest.mark.parametrize("when", ["2026-11-25T01:00:00Z", "9000-01-01T00:00:00Z"], ids=["past", "to come"])
    def test_why_says_so_and_names_no_zone(self, when: str, capsys: pytest.CaptureFixture[str]) -> None:
        main(["why", "hello", "-n", "default", "--at", when])
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == "HACronJob default/hello: 0 3 * * *"
        assert "  - Drifted: the newest change, in west, counts" in printed

    def test_next_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["next", "hello", "-n", "default"]) == 0
        assert capsys.readouterr().err == "hacron: Drifted: the newest change, in west, counts\n"
        main(["next", "hello", "-n", "default", "-o", "json"])
        assert json.loads(capsys.readouterr().out)["warnings"] == ["Drifted: the newest change, in west, counts"]

    def test_the_list_names_no_zone(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["list", "-n", "default"])
        printed = capsys.readouterr().out
        assert ("0 3 * * *" in printed, "Prague" in printed) == (True, False)
        main(["list", "-n", "default", "-o", "json"])
        assert "timeZone" not in json.loads(capsys.readouterr().out)[0]


def test_a_zone_is_named_while_clusters_differ_in_something_else() -> None:
    found = look("@daily")
    found.spec["timeZone"] = "Europe/Prague"
    found.status["schedule"] = "@daily"
    found.status["conditions"] += [{"type": "Drifted", "status": "True"}]
    found.status["nextScheduleTime"] = "2026-11-24T23:00:00Z"
    assert found.time_zone == "Europe/Prague"
    found.status["nextScheduleTime"] = "2026-11-25T00:00:00Z"
    assert found.time_zone == "", "it is midnight elsewhere"
    del found.status["schedule"]
    found.spec["schedule"] = "nonsense"
    assert found.time_zone == ""


class TestTables:
    def test_columns_stand_below_each_other_whatever_characters_are_wide(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_table(["A", "B"], [["日本", "1"], ["e\u0301", "2"], ["long", "3"]])
        assert capsys.readouterr().out.splitlines() == ["A      B", "日本   1", "e\u0301      2", "long   3"]

    def test_what_would_move_the_cursor_is_written_out(self) -> None:
        shown = on_a_terminal(lambda: print_table(["A", "B"], [["\x1b[2J", "\u202e\r\nB"]]))
        assert shown == "A         B\n\\x1b[2J   \\u202e\\r\\nB\n"

    def test_colours_are_for_terminals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert on_a_terminal(lambda: print_table(["A"], [["x"]], {(0, 0): "31"})) == "A\n\x1b[31mx\x1b[0m\n"
        monkeypatch.setenv("NO_COLOR", "1")
        assert on_a_terminal(lambda: print_table(["A"], [["x"]], {(0, 0): "31"})) == "A\nx\n"

    def test_and_not_for_files(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_table(["A"], [["x"]], {(0, 0): "31"})
        assert capsys.readouterr().out == "A\nx\n"


class TestLooks:
    @pytest.mark.parametrize(
        "status",
        [
            None,
            [],
            {"conditions": "x", "recent": {}, "active": [1]},
            {"recent": [{"tick": "x"}, {"tick": 5}], "conditions": [None]},
        ],
    )
    def test_a_status_that_makes_no_sense_is_as_good_as_none(self, status: object) -> None:
        look = Look({"metadata": {"name": "a", "namespace": "b"}, "spec": {}, "status": status})
        assert look.state[0] == "Unseen"
        assert of_schedule(look) == []

    def test_what_is_being_deleted_does_not_fire_whatever_its_status_says(self) -> None:
        status = {"conditions": [{"type": "Scheduled", "status": "True"}], "nextScheduleTime": "2026-11-24T12:00:00Z"}
        look = Look({"metadata": {"name": "a", "deletionTimestamp": "2026-11-24T11:59:00Z"}, "spec": {}, "status": status})
        assert (look.state[0], look.next) == ("Deleting", None)

    def test_a_verdict_on_many_ticks_speaks_of_each_of_them_and_no_other(self) -> None:
        verdict = {"tick": "2026-11-24T05:00:00Z", "verdict": "Missed", "reason": "Superseded", "count": 3}
        spec = {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": {"spec": {}}}}}
        look = Look({"metadata": {"name": "a", "namespace": "b"}, "spec": spec, "status": {"recent": [verdict]}})
        entry, subject = of_schedule(look)[0], look.subject()
        times = ["02:00", "03:00", "03:30", "04:00", "05:00", "06:00"]
        found = [entry.speaks_of(datetime.fromisoformat(f"2026-11-24T{time}:00Z"), subject) for time in times]
        assert found == [False, True, False, True, True, False]

    @pytest.mark.parametrize(
        ("schedule", "recent", "found"),
        [
            ("0 * * * *", [{"tick": "2026-11-01T00:00:00Z"}], [False, False, True, False, True, True]),
            ("@every 1h", [{"tick": "2026-11-01T00:00:00Z"}], [False, False, True, False, True, True]),
            ("0 * * * *", [], [False, False, False, False, True, True]),
        ],
        ids=["since the verdict before", "of an interval", "at least so many"],
    )
    def test_a_verdict_on_more_ticks_than_are_counted_speaks_of_all_since_the_one_before(
        self, schedule: str, recent: list[dict[str, str]], found: list[bool]
    ) -> None:
        verdict = {"tick": "2026-11-24T05:00:00Z", "verdict": "Missed", "reason": "Superseded", "count": 101}
        several = look(schedule)
        several.status["recent"] = [verdict, *recent]
        several.status["active"] = [{"tick": "2026-11-24T03:00:00Z", "run": "beside"}]
        entry = next(one for one in of_schedule(several) if one.verdict == "Missed")
        times = ["10-31T23:00", "11-01T00:00", "11-01T01:00", "11-10T03:30", "11-23T01:00", "11-24T05:00"]
        ticks = [datetime.fromisoformat(f"2026-{time}:00Z") for time in times]
        assert [entry.speaks_of(tick, several.subject()) for tick in ticks] == found

    @pytest.mark.parametrize(("oldest", "found"), [("Succeeded", False), ("Skipped", True)])
    def test_but_not_where_verdicts_may_have_been_forgotten_in_between(self, oldest: str, found: bool) -> None:
        """Of too many the oldest that are Skipped go first."""
        several = look("0 * * * *")
        later = [{"tick": f"2026-11-24T{hour:02}:00:00Z", "verdict": "Succeeded"} for hour in range(6, 14)]
        missed = {"tick": "2026-11-24T05:00:00Z", "verdict": "Missed", "count": 101}
        several.status["recent"] = [*later, missed, {"tick": "2026-11-01T00:00:00Z", "verdict": oldest}]
        entry = next(one for one in of_schedule(several) if one.verdict == "Missed")
        assert entry.speaks_of(datetime.fromisoformat("2026-11-01T01:00:00Z"), several.subject()) is found

    @pytest.mark.parametrize(("count", "shown"), [(3, "Missed x3"), (100, "Missed x100"), (101, "Missed x100+")])
    def test_history_shows_that_there_are_more_ticks_than_are_counted(
        self, count: int, shown: str, says: Says, capsys: pytest.CaptureFixture[str]
    ) -> None:
        missed = look("0 * * * *")
        missed.status["recent"] = [{"tick": "2026-11-24T05:00:00Z", "verdict": "Missed", "count": count}]
        says(hello=missed.body)
        main(["history", "hello", "-n", "default"])
        assert capsys.readouterr().out.endswith(f"   {shown}\n")

    def test_a_verdict_of_a_later_version_is_told_as_it_is(self) -> None:
        verdict = {"tick": "2026-11-24T05:00:00Z", "verdict": "Dreamt", "message": "of sheep"}
        entry = of_schedule(Look({"status": {"recent": [verdict]}}))[0]
        assert entry.sentence == "Dreamt: of sheep"

    def test_a_run_that_is_lost_is_one_row_of_history_and_so_is_one_that_is_to_come(self) -> None:
        lost, coming = ({"tick": f"2026-11-24T0{hour}:00:00Z", "job": f"a-{hour}"} for hour in (5, 6))
        active = [{**coming, "state": "Pending"}, {**lost, "state": "Lost"}]
        recent = [{**lost, "verdict": "Lost", "reason": "ClusterSilent"}]
        told = each_once(of_schedule(Look({"status": {"active": active, "recent": recent}})))
        assert [(entry.state, entry.text("reason")) for entry in told] == [("Pending", ""), ("Lost", "ClusterSilent")]

    def test_a_run_that_was_refused_and_waits_has_not_run_and_has_its_own_row(self) -> None:
        tick, why = "2026-11-24T05:00:00Z", "west had refused it (Invalid: no such image)"
        waits = {"tick": tick, "job": "a-5", "state": "Lost", "reason": "NotStarted", "message": why}
        lost = {"tick": tick, "job": "a-5", "verdict": "Lost", "reason": "ClusterSilent"}
        told = of_schedule(Look({"status": {"active": [waits]}}))
        assert [entry.sentence for entry in told] == [f"refused, waits for another cluster: {why}"]
        found = what_became(told, [])
        assert found is not None
        assert (found.yes, found.answer, found.ran) == (False, "it has not run yet", None)
        assert len(each_once(of_schedule(Look({"status": {"active": [waits], "recent": [lost]}})))) == 2


@pytest.mark.parametrize(
    ("spec", "ticks"),
    [
        ({"cronJob": "a"}, ""),
        ({"scheduledTime": "2026-11-24T14:48:00Z"}, "the tick of 2026-11-24T14:48:00Z"),
        (
            {"range": {"from": "2026-11-24T01:00:00Z", "to": "2026-11-24T03:00:00Z"}},
            "each tick from 2026-11-24T01:00:00Z to 2026-11-24T03:00:00Z",
        ),
    ],
)
def test_which_ticks_are_asked_for_is_said_in_utc(spec: dict[str, object], ticks: str) -> None:
    assert ticks_of(spec) == ticks


LABEL = "by label"


class TestWhere:
    @pytest.mark.parametrize(
        ("placement", "may_run"),
        [
            ({}, {"east": 1, "west": 2, "north": None}),
            ({"clusters": ["west", "south"]}, {"west": 1, "south": 2, "east": None, "north": None}),
            ({"clusterSelector": {"matchLabels": {"disk": "fast"}}}, {"east": LABEL, "west": LABEL, "north": LABEL}),
            (
                {"clusters": ["west"], "clusterSelector": {"matchLabels": {"disk": "fast"}}},
                {"west": LABEL, "east": None, "north": None},
            ),
            ({"clusters": "all of them"}, {"east": None, "west": None, "north": None}),
        ],
        ids=["all that declare it", "named", "by labels", "named, and by labels", "not understood"],
    )
    def test_who_may_run_it(self, placement: dict[str, object], may_run: dict[str, object]) -> None:
        spec = {"schedule": "0 * * * *", "placement": placement, "jobTemplate": {"spec": {"template": {"spec": {}}}}}
        status = {"declaredIn": ["west", "east"], "recent": [{"tick": "2026-11-24T05:00:00Z", "cluster": "north"}]}
        look = Look({"metadata": {"name": "a", "namespace": "b"}, "spec": spec, "status": status})
        found = {one["cluster"]: one.get("mayRun", LABEL) for one in clusters(look)}
        assert list(found.items()) == list(may_run.items())


def test_metrics_are_read_and_what_is_none_is_passed_over() -> None:
    page = '# HELP hacron_epoch x\nhacron_epoch 7.0\nhacron_seen{cluster="a\\"b"} 1e3\nhacron_bad x\nnonsense\nprocess_x 1\n'
    assert numbers(page) == {"epoch": [({}, 7.0)], "seen": [({"cluster": 'a\\"b'}, 1000.0)]}


@pytest.mark.parametrize(
    ("others", "age"),
    [
        ({"broker_connected": 1, "epoch": 0, "proof_age_seconds": 1}, 30.0),
        ({"broker_connected": 0, "epoch": 7, "proof_age_seconds": 1}, 30.0),
        ({"broker_connected": 1, "epoch": 7, "proof_age_seconds": 1}, 1.0),
    ],
    ids=["has just begun", "has lost the broker", "hears"],
)
def test_an_executor_is_heard_of_by_those_who_can_hear(others: dict[str, float], age: float) -> None:
    known = {"broker_connected": 1, "epoch": 7, "proof_age_seconds": 30}
    replicas = [Replica("west", {name: [({}, value)] for name, value in told.items()}) for told in (known, others)]
    assert _found(replicas)["proofAgeSeconds"] == age
    assert _found([replicas[1]])["proofAgeSeconds"] == (age if age < 30 else None)


class TestCompletion:
    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["h"], ["history"]),
            (["list", "--o"], ["--output"]),
            (["list", "-o", "j"], ["json"]),
            (["list", "--output=y"], ["--output=yaml"]),
            (["-n", "default", "re"], ["resume"]),
            (["pause", "report", "--u"], ["--until"]),
            (["why", "report", ""], []),
            (["nonsense", "x"], []),
        ],
    )
    def test_words_are_offered(self, words: list[str], found: list[str]) -> None:
        offered, directive = complete(words)
        assert [one.partition("\t")[0] for one in offered] == found
        assert directive == 4

    def test_where_files_are_wanted_the_shell_offers_them(self) -> None:
        assert complete(["convert", ""]) == ([], 0)
        assert complete(["list", "--kubeconfig", ""]) == ([], 0)


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b2J", "\x7f", "\x85", "\u202e", "ä"])
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_what_programs_read_holds_nothing_that_moves_a_cursor(output: str, text: str) -> None:
    printed = on_a_terminal(lambda: for_programs(argparse.Namespace(output=output), [text]))
    assert printed.replace("\n", "").isprintable()
    assert yaml.safe_load(printed) == [text]


# --- what became of a time of which nothing is told -----------------------------------------------

CHANGED = "2026-11-24T06:00:00Z"


def look(schedule: str, changed: str = CHANGED) -> Look:
    """A HACronJob that was edited last at that time; the next tick is at 13:00."""
    told = {"type": "Accepted", "status": "True", "lastTransitionTime": changed}
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": {}}}}}
    status = {"conditions": [told], "nextScheduleTime": "2026-11-24T13:00:00Z", "observedGeneration": 1}
    metadata = {"namespace": "default", "name": "hello", "generation": 1, "creationTimestamp": "2026-11-01T00:00:00Z"}
    return Look({"apiVersion": "hacron.io/v1", "kind": "HACronJob", "metadata": metadata, "spec": spec, "status": status})


@pytest.mark.parametrize(
    ("schedule", "at", "ran"),
    [
        ("0 * * * *", "2026-11-24T08:30:00Z", False),
        ("0 * * * *", "2026-11-24T08:00:00Z", None),
        ("30 * * * *", "2026-11-24T05:00:00Z", None),
        ("@every 1h", "2026-11-24T08:00:00Z", None),
        ("@every 1h", "2026-11-24T12:30:00Z", False),
    ],
    ids=["no tick", "a tick", "before an edit", "before what an interval counts from", "after that"],
)
def test_that_it_did_not_fire_is_said_only_where_its_schedule_is_known(schedule: str, at: str, ran: bool | None) -> None:
    when = datetime.fromisoformat(at)
    found = _explained(look(schedule), when, (when,))
    assert (found.ran, found.answer) == (ran, "it did not fire" if ran is False else "nothing is known of it")


def test_what_an_interval_had_before_the_tick_that_it_is_counted_from_is_not_known() -> None:
    found, before = look("@every 1h"), datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
    found.status["lastScheduleTime"] = "2026-11-24T12:00:00Z"
    told = _explained(found, before, (before,))
    assert (told.ran, told.findings[0]) == (None, "@every 1h is counted from a tick after it")


@pytest.mark.parametrize(
    ("status", "deleted", "why"),
    [
        ({"type": "Accepted", "reason": "TemplateRefused", "message": "no such field"}, None, "TemplateRefused: no such field"),
        ({"type": "Accepted", "reason": "TemplateRefused"}, CHANGED, "Deleting: it is being deleted here"),
    ],
    ids=["its template is refused", "it is being deleted"],
)
def test_what_would_not_fire_as_things_are_is_not_told_to_fire_later(
    status: dict[str, str], deleted: str | None, why: str
) -> None:
    later = datetime(9000, 1, 1, tzinfo=UTC)
    found = look("0 * * * *")
    assert _explained(found, later, (later,)).yes
    found.status["conditions"] = [status | {"status": "False"}]
    found.metadata["deletionTimestamp"] = deleted
    told = _explained(found, later, (later,))
    assert (told.yes, told.answer, told.findings[0][: len(why) + 12]) == (False, "it would not fire", f"at present: {why}")


@pytest.mark.parametrize(
    ("at", "about"), [("01:00", True), ("03:00", True), ("00:00", False), ("02:30", False), ("04:00", False)]
)
def test_a_verdict_on_many_ticks_of_an_interval_is_on_each_of_them(at: str, about: bool) -> None:
    fate = Fate(datetime(2026, 11, 24, 3, tzinfo=UTC), {"verdict": "Skipped", "count": 3})
    assert fate.speaks_of(datetime.fromisoformat(f"2026-11-24T{at}:00Z"), look("@every 1h").subject()) == about
