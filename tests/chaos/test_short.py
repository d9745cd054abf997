"""The short form of `make chaos`: some faults on a broker of three nodes, with everything in network namespaces."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.stage import Stage
from tests.chaos.trial import do
from tests.testbed.control_plane import ControlPlane

QUICK = {
    # A frozen executor is replaced within 2 x 2 s + 1 s, and a cluster is silent after 6 s.
    "HACRON_HEARTBEAT_S": "2",
    "HACRON_TOKEN_MISSING_AFTER_S": "6",
    "HACRON_SEEN_INTERVAL_S": "1",
    "HACRON_SILENT_AFTER_S": "6",
    "HACRON_START_WINDOW_S": "10",
    "HACRON_INVENTORY_INTERVAL_S": "10",
}
SHORT = [fault for fault in FAULTS.values() if fault.short]
LASTS_S = 12.0  # longer than a takeover takes with these settings


@pytest.fixture(scope="module")
def stage(west: ControlPlane, east: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    clusters, version = {"west": west, "east": east}, os.environ.get("RABBITMQ")
    stage = Stage(tmp_path_factory.mktemp("chaos"), clusters, version=version, settings=QUICK, with_naive=False)
    stage.set_up()
    yield stage
    stage.tear_down()


@pytest.mark.e2e
@pytest.mark.broker
@pytest.mark.cluster
@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
def test_nothing_runs_twice_and_everything_goes_on_after(stage: Stage, fault: Fault) -> None:
    result = do(stage, fault, LASTS_S)
    assert result.broken == ()
    assert result.at_most_once.due > 0
    assert result.at_most_once.started > 0
    assert result.at_most_once.held > 0  # Jobs of Forbid were in the way of the next ones: a missing look at them would show
    assert result.at_least_once.held > 0
