"""`kubectl hacron` at a real API server, over statuses that a real replica writes, as users with the rights that people get."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hacron.core.manifests import PAUSE, PAUSE_BY, PAUSE_UNTIL
from hacron.plugin.__main__ import main
from hacron.plugin.completing import complete
from hacron.telemetry.metrics import Metrics
from hacron.telemetry.server import HttpServer
from tests.cluster.door import spec
from tests.cluster.house import House, house
from tests.docs.pages import DOCS, commands
from tests.testbed.cluster import Cluster
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import deepened, manifest
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", name="house")
def _house(west: ControlPlane, east: ControlPlane) -> Iterator[House]:
    with house({"west": west, "east": east}, "west-1", "east-1") as found:
        yield found


@pytest.fixture(scope="module")
def place(west: ControlPlane, east: ControlPlane, house: House) -> Iterator[str]:  # noqa: ARG001 - it must run
    """A namespace in which ann may change things and bob may look at them, by the roles that people get."""
    name = f"test-{secrets.token_hex(4)}"
    for cluster in (west, east):
        cluster.kubectl("create", "namespace", name)
        for user, role in (("ann", "edit"), ("bob", "view")):
            cluster.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", f"--namespace={name}")
    yield name
    for cluster in (west, east):
        cluster.kubectl("delete", "namespace", name, "--wait=false")


PAUSES = (PAUSE, PAUSE_BY, PAUSE_UNTIL)


class Person:
    """Somebody who calls `kubectl hacron`."""

    def __init__(self, name: str, place: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--as", name, "--kubeconfig", str(cluster.admin_kubeconfig), "--namespace", place]
        self._capsys = capsys

    def at(self, cluster: Cluster) -> Person:
        """Return the same person, at another cluster."""
        name, place = self._flags[1], self._flags[-1]
        return Person(name, place, cluster, self._capsys)

    def calls(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code and what is printed on both streams."""
        self._capsys.readouterr()
        try:
            code = main([*self._flags, *arguments])
        except SystemExit as left:
            code = int(str(left.code))
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def reads(self, *arguments: str) -> Any:
        """Return what is printed for programs."""
        _, out, err = self.calls(*arguments, "-o", "json")
        assert err == ""
        return json.loads(out)


@pytest.fixture
def ann(place: str, west: ControlPlane, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setenv("PATH", f"{west.kubectl_path.parent}{os.pathsep}{os.environ['PATH']}")
    return Person("ann", place, west, capsys)


@pytest.fixture
def bob(ann: Person, place: str, west: ControlPlane, capsys: pytest.CaptureFixture[str]) -> Person:  # noqa: ARG001 - for its PATH
    return Person("bob", place, west, capsys)


def declare(cluster: Cluster, place: str, name: str, schedule: str = "0 2 1 1 *", **fields: Any) -> None:
    cluster.apply(manifest(name, schedule, namespace=place, **fields))


def await_state(person: Person, name: str, wanted: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        return next((one for one in person.reads("list") if one["name"] == name and one["state"] == wanted), None)

    return until(found, 30, f"{name} to be {wanted}")


def await_verdict(person: Person, name: str, timeout: float = 30) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        last = (one["last"] for one in person.reads("list") if one["name"] == name and "last" in one)
        return next((verdict for verdict in last if verdict["verdict"] != "Missed"), None)  # of a tick before it was heard of

    return until(found, timeout, f"a verdict on {name}")


class TestList:
    def test_it_shows_what_matters(self, bob: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "often", run_seconds=0.1, schedule="@every 2s", guarantee="AtLeastOnce")
        declare(west, place, "never", timeZone="Europe/Nowhere")
        await_verdict(bob, "often")
        assert await_state(bob, "never", "Invalid")["why"].startswith("timeZone: 'Europe/Nowhere'")
        code, out, _ = bob.calls("list")
        rows = [re.split(r" {3,}", line) for line in out.splitlines()]
        assert code == 0
        assert rows[0][:3] == ["NAME", "SCHEDULE", "STATE"]
        assert next(row for row in rows if row[0] == "never")[1:3] == ["0 2 1 1 * Europe/Nowhere", "Invalid"]
        often = next(row for row in rows if row[0] == "often")
        assert often[1:3] == ["@every 2s", "Scheduled"]
        assert re.fullmatch(r"Succeeded \d+s ago", often[4])
        assert (often[5], often[-1]) == ("west", "AtLeastOnce")
        west.kubectl("delete", "hacronjobs", "--all", "--namespace", place)

    @pytest.mark.parametrize("levels", [300, 900, 9000])
    def test_a_cronjob_that_is_nested_deeper_than_python_follows_is_one_of_them(
        self, bob: Person, west: ControlPlane, place: str, levels: int
    ) -> None:
        west.apply(deepened(manifest("deep", namespace=place), levels))
        tick = await_verdict(bob, "deep", timeout=120)["tick"]  # of 9,000 levels kubectl itself takes four seconds, unhurried
        assert bob.reads("why", "deep", "--at", tick)["ran"] is True
        west.kubectl("delete", "hacronjob", "deep", "--namespace", place)

    def test_a_missing_right_is_told(self, bob: Person) -> None:
        code, out, err = bob.calls("list", "-A")
        assert (code, out) == (3, "")
        assert "cannot list resource" in err
        assert len(err.splitlines()) == 1


class TestWhy:
    def test_what_became_of_a_tick(self, bob: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "fails", schedule="@every 2s", fail=True)
        tick = await_verdict(bob, "fails")["tick"]
        code, out, _ = bob.calls("why", "fails", "--at", tick)
        assert code == 0
        assert f"{tick}: it ran: Failed\n" in out
        assert f"the tick of {tick} ran in cluster west" in out
        assert "BackoffLimitExceeded" in out
        assert bob.reads("why", "fails", "--at", tick)["ran"] is True
        assert bob.reads("why", "fails", "--at", tick)["jobs"][0]["state"].startswith("Failed, BackoffLimitExceeded")
        west.kubectl("delete", "hacronjob", "fails", "--namespace", place)

    def test_why_none_runs_at_present(self, bob: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "rests", suspend=True)
        await_state(bob, "rests", "Suspended")
        code, out, _ = bob.calls("why", "rests")
        assert code == 1
        assert "\nit does not fire: Suspended: spec.suspend is true\n" in out

    def test_of_a_time_that_is_no_tick_the_schedule_is_asked(self, bob: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "yearly", timeZone="Europe/Prague")
        await_state(bob, "yearly", "Scheduled")
        code, out, _ = bob.calls("why", "yearly", "--at", "2035-01-01T02:30")
        assert code == 1
        assert "at Mon 2035-01-01 02:30 +01:00 = 2035-01-01T01:30:00Z: it would not fire" in out
        assert "minute 30 is not in '0'" in out
        assert bob.calls("why", "yearly", "--at", "2035-01-01T02:00")[0] == 0

    def test_there_is_none_of_that_name(self, bob: Person, place: str) -> None:
        assert bob.calls("why", "nobody") == (3, "", f"hacron: there is no HACronJob nobody in namespace {place}\n")


class TestRun:
    def test_a_run_is_waited_for(self, ann: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "yearly")
        code, out, err = ann.calls("run", "yearly", "--at", "2026-01-02T03:04:05Z", "--wait")
        assert code == 0
        kind, _, name = out.strip().partition("/")
        assert (kind, name[:7]) == ("hacronjobrun.hacron.io", "yearly-")
        assert err.startswith(f"hacron: {name}: asks for the tick of 2026-01-02T03:04:05Z\n")
        assert "the tick of 2026-01-02T03:04:05Z ran in cluster west" in err
        assert err.endswith(f"{name}: 1 of 1 runs succeeded\n")

        def decided() -> list[dict[str, Any]]:
            """Return the runs, when the status of the HACronJob tells of them as that of the HACronJobRun does."""
            rows: list[dict[str, Any]] = ann.reads("history", "yearly")
            return rows if all("verdict" in row for row in rows) else []

        rows = until(decided, 30, "the verdict in the history")
        assert [(row["tick"], row["verdict"], row["run"], row["jobHere"]) for row in rows] == [
            ("2026-01-02T03:04:05Z", "Succeeded", name, True)
        ]
        assert ann.calls("history", "yearly")[1].splitlines()[1].endswith(name)
        assert ann.calls("why", "yearly", "--at", "2026-01-02T03:04:05Z")[0] == 0

    def test_one_that_fails_is_told_by_the_exit_code(self, ann: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "breaks", fail=True)
        code, _, err = ann.calls("run", "breaks", "--wait")
        assert code == 1
        assert "BackoffLimitExceeded" in err

    def test_a_range_is_run(self, ann: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "daily", "0 3 * * *")
        code, out, _ = ann.calls(
            "run", "daily", "--from", "2026-11-01T00:00:00Z", "--to", "2026-11-03T23:00:00Z", "--wait", "-o", "json"
        )
        assert code == 0
        assert json.loads(out)["status"]["progress"] == "3/3"

    def test_what_the_operator_refuses_is_told(self, ann: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "daily", "0 3 * * *")
        code, _, err = ann.calls(
            "run", "daily", "--from", "2026-11-01T00:00:00Z", "--to", "2026-11-03T23:00:00Z", "--limit", "2", "--wait"
        )
        assert code == 1
        assert "refused: the range has 3 ticks and range.limit is 2" in err

    def test_what_it_waits_for_is_told_until_the_time_is_over(self, ann: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "rests", suspend=True)
        await_state(ann, "rests", "Suspended")
        code, _, err = ann.calls("run", "rests", "--wait", "--timeout", "15")
        assert code == 4
        assert "waits: the HACronJob is suspended" in err
        assert ann.calls("run", "rests", "--wait", "--ignore-suspend")[0] == 0

    def test_nobody_waits_for_a_misspelt_name(self, ann: Person, place: str) -> None:
        assert ann.calls("run", "yaerly") == (3, "", f"hacron: there is no HACronJob yaerly in namespace {place}\n")

    def test_who_may_only_look_is_told_so(self, bob: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "yearly")
        for call in (["run", "yearly"], ["pause", "yearly", "--reason", "x"]):
            code, out, err = bob.calls(*call)
            assert (code, out) == (3, "")
            assert 'User "bob" cannot' in err


class TestPause:
    def test_it_holds_everywhere_and_ends_where_it_stands(
        self, ann: Person, west: ControlPlane, east: ControlPlane, place: str
    ) -> None:
        for cluster in (west, east):
            declare(cluster, place, "both")
        until(lambda: east_and_west(ann), 30, "both to be declared in both clusters")
        code, out, _ = ann.calls("pause", "both", "--reason", "database \x1b[2J is moved", "--for", "2h", "--by", "ann")
        assert code == 0
        assert re.search(r"both is paused by ann until .* UTC: database \\x1b\[2J is moved \(in 2h\)$", out.strip())
        there = ann.at(east)
        assert "paused in west by ann" in await_state(there, "both", "Paused")["why"]
        assert "\x1b" not in there.calls("list")[1] + there.calls("why", "both")[1]
        code, _, err = there.calls("resume", "both")
        assert code == 1
        assert err.endswith("both is paused in cluster west, not in this one: resume it there\n")
        assert ann.reads("resume", "both")["metadata"]["annotations"].keys().isdisjoint(PAUSES)
        for everywhere in (there, ann):
            await_state(everywhere, "both", "Scheduled")
        assert "was not paused" in ann.calls("resume", "both")[1]
        paused = ann.reads("pause", "both", "--reason", "once more", "--by", "ann")["metadata"]
        assert (paused["name"], [paused["annotations"].get(name) for name in PAUSES]) == ("both", ["once more", "ann", None])

    def test_where_tells_the_clusters(self, bob: Person, west: ControlPlane, east: ControlPlane, place: str) -> None:
        for cluster in (west, east):
            declare(cluster, place, "both")
        found = until(lambda: east_and_west(bob), 30, "both to be declared in both clusters")
        assert [(one["cluster"], one["mayRun"]) for one in found] == [("east", 1), ("west", 2)]
        assert bob.calls("where", "both")[1].splitlines()[0].startswith("CLUSTER   DECLARED   MAY RUN")


def east_and_west(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.reads("where", "both")["clusters"]
    return found if [one["declared"] for one in found] == [True, True] else []


class TestExecutor:
    """The replica is a telemetry server of this process, which stands for what listens in a pod."""

    @pytest.fixture
    def operator(self, west: ControlPlane) -> Iterator[tuple[str, Metrics]]:
        """The operator's namespace, in which ann has the Role that docs/cli.md makes, and what its one replica shows."""
        name, address = f"test-{secrets.token_hex(4)}", own_address()
        metrics = Metrics(replica="west-1", cluster="west", tzdata="2026f", monotonic=lambda: 0.0)  # no age grows by itself
        server = HttpServer(metrics, address, 0)
        server.start()
        container = {"name": "a", "image": "none", "ports": [{"name": "http", "containerPort": server.port}]}
        labels = {"app.kubernetes.io/name": "hacron"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "west-1", "namespace": name, "labels": labels}}
        west.kubectl("create", "namespace", name)
        for line in commands((DOCS / "cli.md").read_text()):
            if line.startswith("kubectl --namespace hacron-system create role"):
                west.kubectl(*line.replace("hacron-system", name).split()[1:])
        west.apply(json.dumps(pod | {"spec": {"schedulerName": "nobody", "containers": [container]}}))
        status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
        patch = ("--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")
        west.kubectl("patch", "pod", "west-1", f"--namespace={name}", *patch)
        yield name, metrics
        server.stop()
        west.kubectl("delete", "namespace", name, "--wait=false")

    def test_it_is_told_by_the_replicas(self, ann: Person, bob: Person, operator: tuple[str, Metrics]) -> None:
        place, metrics = operator
        began = datetime.now(UTC) - timedelta(hours=2)
        metrics.epoch.set(7)
        metrics.executor_began.labels("east-2", "east").set(began.timestamp())
        metrics.cluster_seen_age.set(0.5, "east")
        metrics.cluster_seen_age.set(40.0, "south")
        metrics.cluster_seen_age.set(25.0, "north")
        metrics.silent_after.set(30.0)
        metrics.worker.set(1)
        metrics.broker_connected.set(1)
        code, out, err = ann.calls("executor", "-n", place)
        assert (code, err) == (0, "")
        first, *rows = out.splitlines()
        assert re.fullmatch(r"executor: east-2 in east, since .* \(2h ago\), epoch 7, heard of 0 s ago", first)
        assert [row.split()[:2] for row in rows[1:4]] == [["east", "heard"], ["north", "heard"], ["south", "silent"]]
        assert re.split(r" {3,}", rows[5]) == ["west-1", "worker", "connected", "away"]
        metrics.proof_age.set(20.0)
        assert ann.calls("executor", "-n", place)[0] == 1
        code, out, err = bob.calls("executor", "-n", place)
        assert (code, out) == (3, "")
        assert 'User "bob" cannot list resource "pods"' in err

    def test_where_no_replica_runs_it_is_told_so(self, ann: Person, place: str) -> None:
        code, _, err = ann.calls("executor")
        assert code == 3
        assert err == f"hacron: no replica runs in namespace {place}; -n names the operator's namespace\n"


def own_address() -> str:
    """Return an address of this machine that is not the loopback's, which no API server asks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])


class TestTheRest:
    def test_next_is_by_what_stands_in_the_cluster(self, bob: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "spring", "30 2 * * *", timeZone="Europe/Prague", suspend=True)
        await_state(bob, "spring", "Suspended")
        code, out, err = bob.calls("next", "spring", "--after", "2026-03-27T12:00:00Z", "--count", "2")
        assert code == 0
        assert "[Sun 2026-03-29 02:30: left out" in out
        suspended, changes = err.splitlines()
        assert suspended == "hacron: at present: Suspended: spec.suspend is true"
        assert changes.startswith("hacron: ClockChange: ")
        assert bob.reads("next", "hacronjob.hacron.io/spring", "--after", "2026-03-27T12:00:00Z", "--count", "1")["ticks"] == [
            "2026-03-28T01:30:00Z"
        ]

    def test_convert_takes_what_is_in_the_cluster(self, bob: Person, west: ControlPlane, place: str) -> None:
        body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "old", "namespace": place}, "spec": spec()}
        west.apply(json.dumps(body))
        code, out, err = bob.calls("convert", "--from-cluster")
        assert code == 0
        assert "1 of 1 CronJobs converted" in err
        west.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=out)

    def test_a_cluster_without_the_custom_resource_is_told_of(self, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hacron.plugin.kubectl.OURS", "/apis/hacron.io/v0")
        code, _, err = bob.calls("list")
        assert code == 3
        assert "their custom resources (crds/) are not installed" in err

    def test_names_are_completed(self, bob: Person, west: ControlPlane, place: str) -> None:
        declare(west, place, "spring", "30 2 * * *", suspend=True)
        await_state(bob, "spring", "Suspended")
        flags = ["--as", "bob", "--kubeconfig", str(west.admin_kubeconfig), f"--namespace={place}"]
        assert complete(["why", *flags, "spr"]) == (["spring\t30 2 * * *, Suspended"], 4)
        assert complete(["list", "--kubeconfig", str(west.admin_kubeconfig), "--context", ""]) == (["west"], 4)
