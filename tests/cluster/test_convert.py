"""`hacron convert` and a real API server: what kubectl prints of CronJobs is taken as HACronJobs, and says the same."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from hacron.__main__ import main
from tests.cluster.door import pod, spec
from tests.testbed.control_plane import ControlPlane

SPECS = {
    "plain": spec(),
    "all": spec(
        timeZone="Europe/Prague",
        startingDeadlineSeconds=90,
        concurrencyPolicy="Forbid",
        suspend=True,
        successfulJobsHistoryLimit=1,
        failedJobsHistoryLimit=0,
        jobTemplate={
            "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {
                "activeDeadlineSeconds": 60,
                "ttlSecondsAfterFinished": 100,
                "template": {"spec": pod(restartPolicy="OnFailure")},
            },
        },
    ),
}


@pytest.fixture(name="west")
def _with_cronjobs(west: ControlPlane) -> Iterator[ControlPlane]:
    for name, fields in SPECS.items():
        body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": fields}
        west.apply(json.dumps(body))
    yield west
    west.kubectl("delete", "cronjobs,hacronjobs", "--all")


@pytest.mark.cluster
@pytest.mark.parametrize("output", ["yaml", "json"])
def test_what_kubectl_prints_of_cronjobs_is_taken_as_hacronjobs(
    output: str, west: ControlPlane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = west.kubectl("get", "cronjobs", "--output", output)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(printed.encode())))
    assert main(["convert"]) == 0
    converted = capsys.readouterr().out
    west.kubectl("apply", "--validate=strict", "-f", "-", input=converted)
    for name in SPECS:
        was, now = (json.loads(west.kubectl("get", kind, name, "--output", "json"))["spec"] for kind in ("cronjob", "hacronjob"))
        assert {field: now[field] for field in was} == was
