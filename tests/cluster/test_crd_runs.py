"""What an API server takes for a HACronJobRun, and how people meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from hacron.core.demand.accounts import render
from hacron.core.demand.wanted import read
from hacron.core.model import Kind, key_of
from tests.cluster.door import Door
from tests.cluster.test_crd_kubectl import show, undescribed
from tests.core.ledger_story import Story, spec
from tests.core.test_demands import demanded
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane

CRD = Path(__file__).parents[2] / "crds" / "hacronjobrun.yaml"
SCHEMA = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
DAY = {"from": "2026-11-24T00:00:00Z", "to": "2026-11-24T23:00:00+01:00"}

Fields = dict[str, Any]

TAKEN: list[Fields] = [
    {},
    {"scheduledTime": "2026-11-24T02:00:00Z"},
    {"scheduledTime": "2026-11-24T02:00:00.5+05:30"},
    {"range": DAY},
    {"range": DAY | {"to": DAY["from"]}},
    {"range": DAY | {"limit": 1000}},
    {"ignoreSuspend": True},
    {"cronJob": "a.b-c"},
]
REFUSED: list[tuple[Fields, str]] = [
    ({"cronJob": None}, "spec.cronJob: Required value"),
    ({"cronJob": ""}, "is no name of a HACronJob"),
    ({"cronJob": "other/report"}, "is no name of a HACronJob"),
    ({"scheduledTime": "tomorrow"}, "spec.scheduledTime"),
    ({"scheduledTime": "2026-11-24T02:00:00"}, "spec.scheduledTime"),
    ({"scheduledTime": "2026-11-24"}, "spec.scheduledTime"),
    ({"scheduledTime": "2026-11-24T02:00:00Z", "range": DAY}, "only one of scheduledTime and range"),
    ({"range": {"from": DAY["from"]}}, "spec.range.to: Required value"),
    ({"range": {"to": DAY["to"]}}, "spec.range.from: Required value"),
    ({"range": {"from": DAY["to"], "to": DAY["from"]}}, "must not be before from"),
    ({"range": DAY | {"limit": 0}}, "greater than or equal to 1"),
    ({"range": DAY | {"limit": 1001}}, "less than or equal to 1000"),
    ({"ignoreSuspend": "yes"}, "must be of type boolean"),
    ({"cronjob": "report"}, 'unknown field "spec.cronjob"'),
]


def wanted(fields: Fields) -> Fields:
    return {name: value for name, value in ({"cronJob": "report"} | fields).items() if value is not None}


def manifest(name: str = "again", **fields: Any) -> str:
    body = {"apiVersion": "hacron.io/v1", "kind": "HACronJobRun", "metadata": {"name": name}, "spec": wanted(fields)}
    return json.dumps(body)


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_described(part: str) -> None:
    assert list(undescribed(SCHEMA[part], part)) == []


@pytest.mark.cluster
@pytest.mark.parametrize("fields", TAKEN, ids=str)
def test_what_the_operator_understands_is_taken(west: ControlPlane, fields: Fields) -> None:
    answer = Door(west.admin_kubeconfig).ask("HACronJobRun", wanted(fields))
    assert answer.refusal == ""
    read(msgspec.json.encode(answer.stored))


@pytest.mark.cluster
@pytest.mark.parametrize(("fields", "says"), REFUSED, ids=str)
def test_what_it_would_not_is_told_at_the_door(west: ControlPlane, fields: Fields, says: str) -> None:
    assert says in Door(west.admin_kubeconfig).ask("HACronJobRun", wanted(fields)).refusal


@pytest.mark.cluster
def test_it_is_applied_again_without_a_change_and_not_to_be_changed(west: ControlPlane) -> None:
    try:
        west.apply(manifest())
        west.apply(manifest())
        with pytest.raises(KubectlFailed, match="delete the HACronJobRun and apply another"):
            west.apply(manifest(ignoreSuspend=True))
    finally:
        west.kubectl("delete", "hacronjobrun", "again", "--ignore-not-found")


@pytest.mark.cluster
def test_kubectl_shows_how_far_it_is(west: ControlPlane) -> None:
    story = Story()
    story.declare(spec("0 * * * *"))
    demanded(story, range={"from": "2026-11-24T08:00:00Z", "to": "2026-11-24T10:00:00Z"})
    for run in story.progress.open[:2]:
        story.finished(run)
    key = key_of("default", "again")
    status = render(story.state, key, "west")
    assert status is not None
    try:
        west.apply(manifest())
        show(west, status, key, Kind.DEMAND)
        heads, values = (line.split() for line in west.kubectl("get", "hacjr", "again").splitlines())
        assert heads == ["NAME", "CRONJOB", "PHASE", "RUNS", "ACTIVE", "SUCCEEDED", "FAILED", "AGE"]
        assert values[:-1] == ["again", "report", "Running", "2/3", "1", "2", "0"]
        described = west.kubectl("describe", "hacjr", "again")
        assert "2026-11-24T09:00:00Z" in described
        stored = json.loads(west.kubectl("get", "hacjr", "again", "-o", "json"))["status"]
        assert stored == {name: value for name, value in status.items() if value is not None}
    finally:
        west.kubectl("delete", "hacronjobrun", "again", "--ignore-not-found")
