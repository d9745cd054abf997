"""`kubectl hacron` at a real API server, over statuses that a real replica writes, as users with the rights that people get."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from hacron.plugin.__main__ import main
from tests.cluster.house import House, house
from tests.testbed.cluster import Cluster
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import manifest
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", name="house")
def _house(west: ControlPlane) -> Iterator[House]:
    with house({"west": west}, "west-1") as found:
        yield found


@pytest.fixture(scope="module")
def place(west: ControlPlane, house: House) -> Iterator[str]:  # noqa: ARG001 - it must run
    """A namespace in which ann may change things and bob may look at them."""
    name = f"test-{secrets.token_hex(4)}"
    west.kubectl("create", "namespace", name)
    for user, role in (("ann", "edit"), ("bob", "view")):
        west.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", f"--namespace={name}")
    yield name
    west.kubectl("delete", "namespace", name, "--wait=false")


class Person:
    """Somebody who calls `kubectl hacron`."""

    def __init__(self, name: str, place: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--as", name, "--kubeconfig", str(cluster.admin_kubeconfig), "--namespace", place]
        self._capsys = capsys

    def calls(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code and what is printed on both streams."""
        self._capsys.readouterr()
        try:
            code = main([*arguments, *self._flags])
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


def await_verdict(person: Person, name: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        return next((one["last"] for one in person.reads("list") if one["name"] == name and "last" in one), None)

    return until(found, 30, f"a verdict on {name}")


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
