"""deploy/examples: each is taken by an API server, understood by the operator, and can be run by a cluster."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from hacron.core import manifests
from hacron.core.demand.wanted import read
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, Kind, Run, key_of
from hacron.core.spec import parse
from tests.cluster.door import Door
from tests.core.ledger_story import NOON
from tests.testbed.control_plane import ControlPlane

EXAMPLES = sorted((Path(__file__).parents[2] / "deploy" / "examples").glob("*"))


def body(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


CRONJOBS = [path for path in EXAMPLES if body(path)["kind"] == Kind.CRONJOB]
RUNS = [path for path in EXAMPLES if body(path)["kind"] == Kind.DEMAND]


def cronjob(path: Path) -> CronJob:
    return parse(key_of("default", path.stem), msgspec.json.encode(body(path)["spec"]))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_named_after_its_file_and_tells_what_it_shows(path: Path) -> None:
    assert body(path)["metadata"] == {"name": path.stem}
    assert path.read_text().startswith("# ")


def test_together_they_show_the_product() -> None:
    found = [cronjob(path) for path in CRONJOBS]
    assert {each.policy for each in found} == set(ConcurrencyPolicy)
    assert {each.guarantee for each in found} == set(Guarantee)
    assert ("west", "east") in {each.placement.clusters for each in found}
    assert {each.schedule.time_zone for each in found} == {"Etc/UTC", "Europe/Berlin"}
    assert len([each for each in found if each.schedule.text == "* * * * *"]) >= 2


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_runs_are_asked_of_a_cronjob_beside_them_and_there_are_some(path: Path) -> None:
    name, wanted = read(msgspec.json.encode(body(path)["spec"]))
    (asked,) = (cronjob(other) for other in CRONJOBS if other.stem == name)
    assert wanted.begin is not None
    assert wanted.end is not None
    assert asked.schedule.count(wanted.begin - timedelta(seconds=1), wanted.end) == 3


@pytest.mark.cluster
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_cluster_takes_runs(path: Path, west: ControlPlane) -> None:
    assert Door(west.admin_kubeconfig).ask("HACronJobRun", body(path)["spec"], name=path.stem).refusal == ""


@pytest.mark.cluster
@pytest.mark.parametrize("path", CRONJOBS, ids=lambda path: path.stem)
def test_a_cluster_takes_it_and_its_job(path: Path, west: ControlPlane) -> None:
    door = Door(west.admin_kubeconfig)
    answer = door.ask("HACronJob", body(path)["spec"], name=path.stem)
    assert answer.refusal == ""
    run = Run(id="run", tick=NOON, cluster="west", start_by=NOON, fencing=1, job=f"{path.stem}-1")
    job = manifests.job_body(
        run, key_of("default", path.stem), msgspec.Raw(msgspec.json.encode(answer.stored)), owner_uid=None, epoch=1
    )
    assert door.ask("Job", job["spec"], **job["metadata"]).refusal == ""
