"""A HACronJob as people meet it: explained, applied, listed, and with the status that the operator writes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from hacron.core.manifests import rfc3339
from hacron.core.model import Key, Kind
from hacron.core.status import render
from tests.cluster.asking import asking
from tests.cluster.door import job, pod, spec
from tests.core.ledger_story import HELLO, Story
from tests.core.ledger_story import spec as declared_spec
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane
from tests.testbed.wait import until

CRD = Path(__file__).parents[2] / "crds" / "hacronjob.yaml"
VERSION = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]


def manifest(name: str = "hello", **fields: Any) -> str:
    body = {"apiVersion": "hacron.io/v1", "kind": "HACronJob", "metadata": {"name": name}, "spec": spec(**fields)}
    return json.dumps(body)


def read(cluster: ControlPlane, name: str = "hello") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("get", "hacronjob", name, "-o", "json"))
    return found


def show(cluster: ControlPlane, status: dict[str, Any], key: Key = HELLO, kind: Kind = Kind.CRONJOB) -> None:
    """Write the status as the operator does, with the operator's rights."""
    with asking(cluster.operator_kubeconfig) as kube:
        answer = kube.show(status, key, kind)
    assert answer.ok, answer.body


def undescribed(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the paths of all fields below that nothing is said about."""
    inner = schema.get("items", schema)
    for name, field in inner.get("properties", {}).items():
        if "description" not in field:
            yield f"{path}.{name}"
        yield from undescribed(field, f"{path}.{name}")


@pytest.fixture(name="west")
def _west_without_cronjobs(west: ControlPlane) -> Iterator[ControlPlane]:
    west.kubectl("delete", "hacronjobs", "--all")
    yield west
    west.kubectl("delete", "hacronjobs", "--all")


class TestExplain:
    @pytest.mark.parametrize("part", ["spec", "status"])
    def test_every_field_is_described(self, part: str) -> None:
        described = VERSION["schema"]["openAPIV3Schema"]["properties"][part]
        assert list(undescribed(described, part)) == []

    @pytest.mark.cluster
    def test_kubectl_explains_it(self, west: ControlPlane) -> None:
        def of_spec_published() -> str:
            with contextlib.suppress(KubectlFailed):  # a new resource is explained a moment after it is served
                return west.kubectl("explain", "hacronjob.spec")
            return ""

        of_spec = until(of_spec_published, 30, "the schema of HACronJobs among the published ones")
        for field in ("schedule\t<string>", "jobTemplate\t<Object> -required-", "enum: AtMostOnce, AtLeastOnce"):
            assert field in of_spec
        assert "the preferred one first" in west.kubectl("explain", "hacj.spec.placement.clusters")
        assert "in a sentence, for people" in west.kubectl("explain", "hacj.status.recent.message")


@pytest.mark.cluster
class TestApply:
    @pytest.mark.parametrize("how", [("apply",), ("apply", "--server-side")], ids=" ".join)
    def test_applying_again_changes_nothing_and_a_change_counts(self, west: ControlPlane, how: tuple[str, ...]) -> None:
        west.kubectl(*how, "-f", "-", input=manifest())
        show(west, {"observedGeneration": 1})  # before that, a server-side apply writes the default of the status down
        before = read(west)["metadata"]
        west.kubectl(*how, "-f", "-", input=manifest())
        assert read(west)["metadata"]["resourceVersion"] == before["resourceVersion"]
        west.kubectl(*how, "-f", "-", input=manifest(schedule="*/5 * * * *", placement={"clusters": ["east", "west"]}))
        after = read(west)
        assert (after["spec"]["schedule"], after["spec"]["placement"]) == ("*/5 * * * *", {"clusters": ["east", "west"]})
        assert after["metadata"]["generation"] == before["generation"] + 1

    def test_a_template_is_kept_as_it_was_written(self, west: ControlPlane) -> None:
        written = {
            "metadata": {"labels": {"app": "report"}, "annotations": {"note": "x"}},
            **job(
                template={"metadata": {"labels": {"app": "report"}}, "spec": pod(fieldOfTheFuture={"a": [1, None]})},
                anotherOne="soon",
            ),
        }
        west.kubectl("create", "-f", "-", input=manifest(jobTemplate=written))
        assert read(west)["spec"]["jobTemplate"] == written

    def test_a_template_may_be_large(self, west: ControlPlane) -> None:
        """What kubectl notes in an annotation is the object itself and no more."""
        environment = [{"name": f"NAME_{n}", "value": "x" * 200} for n in range(900)]
        large = job(pod(containers=[{"name": "main", "image": "busybox", "env": environment}]))
        west.apply(manifest(jobTemplate=large))
        assert read(west)["spec"]["jobTemplate"] == large

    def test_it_is_listed_among_all_and_by_its_short_name(self, west: ControlPlane) -> None:
        west.apply(manifest())
        assert "hacronjob.hacron.io/hello" in west.kubectl("get", "all", "-o", "name")
        assert west.kubectl("get", "hacj", "-o", "name") == "hacronjob.hacron.io/hello\n"


@pytest.mark.cluster
class TestStatus:
    def test_all_that_the_operator_shows_is_kept(self, west: ControlPlane) -> None:
        story = Story()
        story.declare(declared_spec("* * * * *", concurrencyPolicy="Forbid"))
        story.at(61)
        story.started(story.run)
        story.at(70)
        story.finished(story.run)
        story.at(121)
        story.started(story.run)
        story.at(190)
        status = render(story.state, HELLO, "west", story.now)
        assert status is not None
        assert all(status[name] for name in ("conditions", "active", "recent", "decidedUntil"))

        west.apply(manifest())
        show(west, status)
        assert read(west)["status"] == {name: value for name, value in status.items() if value is not None}

    def test_a_field_that_has_no_value_any_more_goes(self, west: ControlPlane) -> None:
        west.apply(manifest())
        show(west, {"activeCount": 0, "nextScheduleTime": "2026-11-24T12:00:00Z"})
        show(west, {"activeCount": 0, "nextScheduleTime": None})
        assert read(west)["status"] == {"activeCount": 0, "observedGeneration": -1}

    def test_writing_it_is_no_change_of_the_cronjob(self, west: ControlPlane) -> None:
        west.apply(manifest())
        before = read(west)
        show(west, {"activeCount": 1})
        after = read(west)
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert after["spec"] == before["spec"]

    def test_it_can_only_be_written_through_its_subresource(self, west: ControlPlane) -> None:
        west.kubectl("create", "-f", "-", input=json.dumps({**json.loads(manifest()), "status": {"activeCount": 7}}))
        assert read(west)["status"] == {"observedGeneration": -1}, "its default, and nothing of what was asked for"
        patch = ("hacronjob", "hello", "--type=merge", "-p", '{"status": {"activeCount": 7}}')
        with pytest.raises(KubectlFailed, match="cannot patch resource"):
            west.kubectl("patch", *patch, kubeconfig=west.operator_kubeconfig)


@pytest.mark.cluster
class TestColumns:
    NORMAL = "NAME SCHEDULE SUSPEND PAUSED ACTIVE LAST_SCHEDULE LAST_RESULT CLUSTER NEXT AGE"
    WIDE = "NAME SCHEDULE FIRES TIMEZONE GUARANTEE SUSPEND PAUSED ACTIVE LAST_SCHEDULE LAST_RESULT CLUSTER NEXT ACCEPTED AGE"

    def table(self, cluster: ControlPlane, *options: str) -> tuple[str, dict[str, str]]:
        """Return the heading, and the row of the one object by column."""
        heading, row = cluster.kubectl("get", "hacronjobs", *options).replace("LAST ", "LAST_").splitlines()
        begins = [heading.index(name) for name in heading.split()]
        cells = [row[begin:end].strip() for begin, end in zip(begins, [*begins[1:], None], strict=True)]
        return " ".join(heading.split()), dict(zip(heading.split(), cells, strict=True))

    def test_they_tell_what_has_happened_and_what_comes_next(self, west: ControlPlane) -> None:
        now = datetime.now(UTC)
        west.apply(manifest(schedule="0 6-22 * * mon-fri", timeZone="Europe/Berlin"))
        status = {
            "activeCount": 2,
            "lastScheduleTime": rfc3339(now - timedelta(hours=30, minutes=1)),
            "nextScheduleTime": rfc3339(now + timedelta(hours=1)),
            "lastResult": "Succeeded",
            "lastCluster": "east",
            "conditions": [{"type": "Drifted", "status": "False"}, {"type": "Accepted", "status": "True"}],
        }
        show(west, status)

        heading, row = self.table(west)
        assert heading == self.NORMAL
        shown = {"NAME": "hello", "SCHEDULE": "0 6-22 * * mon-fri", "SUSPEND": "false", "PAUSED": "", "ACTIVE": "2"}
        happened = {
            "LAST_SCHEDULE": "30h",
            "LAST_RESULT": "Succeeded",
            "CLUSTER": "east",
            "NEXT": rfc3339(now + timedelta(hours=1)),
        }
        assert {name: cell for name, cell in row.items() if name != "AGE"} == shown | happened

        heading, row = self.table(west, "-o", "wide")
        assert heading == self.WIDE
        assert (row["TIMEZONE"], row["GUARANTEE"], row["ACCEPTED"]) == ("Europe/Berlin", "AtMostOnce", "True")

    @pytest.mark.parametrize(
        ("fields", "column"),
        [
            ({"schedule": "0 2 * * *"}, "0 2 * * *"),
            ({"hashedSchedule": "H 2 * * *"}, "H 2 * * *"),
            ({"schedules": ["0 9 * * mon-fri", "30 10 * * sat"]}, '["0 9 * * mon-fri","30 10 * * sat"]'),
        ],
    )
    def test_the_schedule_stands_there_before_anybody_has_looked(
        self, west: ControlPlane, fields: dict[str, Any], column: str
    ) -> None:
        body = {"apiVersion": "hacron.io/v1", "kind": "HACronJob", "metadata": {"name": "hello"}}
        west.apply(json.dumps({**body, "spec": {"jobTemplate": job(), **fields}}))
        assert self.table(west)[1]["SCHEDULE"] == column
        show(west, {"schedule": "46 2 * * *"})
        assert self.table(west, "-o", "wide")[1]["FIRES"] == "46 2 * * *"

    def test_what_is_not_known_yet_is_blank(self, west: ControlPlane) -> None:
        west.apply(manifest())
        _, row = self.table(west)
        assert {row[name] for name in ("ACTIVE", "LAST_SCHEDULE", "LAST_RESULT", "CLUSTER", "NEXT")} == {""}
