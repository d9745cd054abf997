"""What the Job of a run carries."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hacron.core.manifests import DEMAND, HALTED, LEDGER, RAN, SCHEDULED, TOMBSTONE_LABEL, TTL, job_body, keep
from hacron.core.model import Run, key_of

JULY = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
POD = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}


def body_of(**spec: Any) -> dict[str, Any]:
    run = Run(id="hello-1", tick=JULY, cluster="west", start_by=JULY, fencing=1, job="hello-1")
    template = {"spec": {"template": {"spec": POD}}}
    fields = {"schedule": "* * * * *", "jobTemplate": template, **spec}
    return job_body(run, key_of("default", "hello"), msgspec.Raw(json.dumps(fields).encode()), owner_uid=None, epoch=1)


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        (None, "2026-07-01T10:00:00Z"),
        ("Etc/UTC", "2026-07-01T10:00:00Z"),
        ("Europe/Berlin", "2026-07-01T12:00:00+02:00"),
        ("America/St_Johns", "2026-07-01T07:30:00-02:30"),
    ],
)
def test_the_tick_is_annotated_in_the_zone_of_the_schedule(zone: str | None, written: str) -> None:
    assert body_of(timeZone=zone)["metadata"]["annotations"][SCHEDULED] == written


@pytest.fixture
def machine_with_other_zones(tmp_path: Path) -> Iterator[None]:
    """For this machine, Berlin has the time of Tokyo."""
    (tmp_path / "Europe").mkdir()
    tokyo = resources.files("tzdata") / "zoneinfo" / "Asia" / "Tokyo"
    (tmp_path / "Europe" / "Berlin").write_bytes(tokyo.read_bytes())
    zoneinfo.reset_tzpath([tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.usefixtures("machine_with_other_zones")
def test_the_annotated_time_is_by_the_pinned_zones_and_not_the_machines() -> None:
    assert zoneinfo.ZoneInfo("Europe/Berlin").utcoffset(JULY) == timedelta(hours=9)
    assert body_of(timeZone="Europe/Berlin")["metadata"]["annotations"][SCHEDULED] == "2026-07-01T12:00:00+02:00"


def test_no_template_says_what_has_become_of_its_jobs() -> None:
    said = {TOMBSTONE_LABEL: "true", HALTED: "true", RAN: "true", DEMAND: "another", LEDGER: "another"}
    metadata = {"labels": {"team": "ours"} | said, "annotations": {"note": "ours"} | said}
    of_job = body_of(jobTemplate={"metadata": metadata, "spec": {"template": {"spec": POD}}})["metadata"]
    assert of_job["labels"] == {"team": "ours"} | body_of()["metadata"]["labels"]
    assert of_job["annotations"] == {"note": "ours"} | body_of()["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("wanted", "given", "noted"),
    [
        (0, 86_400, "0"),
        (600, 86_400, "600"),
        (86_400, 86_400, None),
        (90_000, 90_000, None),
        (None, None, None),
        ("5", "5", None),
    ],
)
def test_it_stays_until_what_became_of_it_is_known(wanted: Any, given: Any, noted: str | None) -> None:
    body = body_of(jobTemplate={"spec": {"template": {"spec": POD}, "ttlSecondsAfterFinished": wanted}})
    keep(body)
    assert body["spec"]["ttlSecondsAfterFinished"] == given
    assert body["metadata"]["annotations"].get(TTL) == noted


def test_what_it_is_given_stands_before_the_variables_of_the_template_which_may_refer_to_it() -> None:
    own = [{"name": "OUT", "value": "s3://b/$(HACRON_SCHEDULED_TIME)"}, {"name": "HACRON_RUN_ID", "value": "mine"}]
    pod = POD | {"containers": [{"name": "main", "image": "none", "env": own}]}
    body = body_of(jobTemplate={"spec": {"template": {"spec": pod}}})
    env = body["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [(each["name"], each["value"]) for each in env] == [
        ("HACRON_SCHEDULED_TIME", "2026-07-01T10:00:00Z"),
        ("HACRON_FENCING_TOKEN", "1"),
        ("OUT", "s3://b/$(HACRON_SCHEDULED_TIME)"),
        ("HACRON_RUN_ID", "mine"),
    ]
