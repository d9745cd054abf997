"""What is done to an installed operator: rolled, upgraded, removed and installed again, while some tens of cronjobs run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.kind.estate import BEFORE, IMAGE, NOW, Estate, images
from tests.kind.work import ON_ITS_WAY, Load, cronjob
from tests.packaging.rendered import CHART_BEFORE
from tests.testbed import judge
from tests.testbed.cronjobs import await_status
from tests.testbed.kind.cluster import KindCluster

pytestmark = pytest.mark.kind

DECIDED_AHEAD = timedelta(seconds=5)


def test_all_replicas_are_rolled_and_no_tick_is_lost_or_doubled(estate: Estate, load: Load) -> None:
    estate.roll()
    load.await_runs()
    load.await_right()


def test_an_upgrade_from_the_chart_before_loses_and_doubles_nothing(estate: Estate, request: pytest.FixtureRequest) -> None:
    estate.install(CHART_BEFORE, BEFORE)
    assert {name for cluster in estate.clusters.values() for name in images(cluster)} == {f"{IMAGE}:{BEFORE}"}
    load: Load = request.getfixturevalue("load")
    estate.install()
    load.await_runs()
    load.await_right()
    assert {name for cluster in estate.clusters.values() for name in images(cluster)} == {f"{IMAGE}:{NOW}"}


def objects(cluster: KindCluster) -> dict[str, str]:
    """Return the uids of our resources and of all objects of them."""
    found = {}
    for kind in ("hacronjobs", "crds"):
        for each in json.loads(cluster.kubectl("get", kind, "-o", "json"))["items"]:
            found[f"{kind}/{each['metadata']['name']}"] = each["metadata"]["uid"]
    return {name: uid for name, uid in found.items() if "hacron" in name}


def test_what_is_removed_and_installed_again_goes_on_where_it_was(estate: Estate, load: Load, west: KindCluster) -> None:
    west.apply(json.dumps(cronjob("lasting", "@every 5s", "sleep 40", concurrencyPolicy="Forbid")))
    status = await_status(west, "lasting", lambda status: status.get("active"), "a run", timeout=60)
    west.kubectl("patch", "hacronjob", "lasting", "--type=merge", '--patch={"spec":{"suspend":true}}')
    (lasting,) = status["active"]
    before = {name: objects(cluster) for name, cluster in estate.clusters.items()}

    began = datetime.now(UTC)
    estate.uninstall()
    assert {name: objects(cluster) for name, cluster in estate.clusters.items()} == before
    estate.install()
    estate.executor()
    back = datetime.now(UTC)
    load.await_runs()

    load.await_right((began - ON_ITS_WAY, back + DECIDED_AHEAD))
    told = [entry for entry in ended(west) if entry.get("job") == lasting["job"]]
    assert [entry["verdict"] for entry in told] == ["Succeeded"]
    tick = judge.instant(told[0]["tick"])
    assert [one.job for one in judge.of(load.ran(), "lasting") if one.tick == tick] == [lasting["job"]]


def ended(cluster: KindCluster) -> list[dict[str, str]]:
    """Return the verdicts on `lasting`, once one of its runs has ended."""
    status = await_status(
        cluster,
        "lasting",
        lambda status: [entry for entry in status.get("recent", []) if entry["verdict"] != "Skipped"],
        "the end of the run that lasts",
        timeout=90,
    )
    found: list[dict[str, str]] = status["recent"]
    return found
