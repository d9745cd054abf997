"""Fixtures: a fleet of replicas over one broker and two clusters, all of them real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.broker import Broker
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import remove_all
from tests.testbed.fleet import Fleet

QUICK = {
    # A frozen executor is replaced within 2 x 2 s + 1 s, and a cluster is silent after 6 s.
    "HACRON_HEARTBEAT_S": "2",
    "HACRON_PAGE": "true",
    "HACRON_TOKEN_MISSING_AFTER_S": "6",
    "HACRON_SEEN_INTERVAL_S": "1",
    "HACRON_SILENT_AFTER_S": "6",
    "HACRON_START_WINDOW_S": "10",
    "HACRON_INVENTORY_INTERVAL_S": "10",
}


@pytest.fixture
def names() -> tuple[str, ...]:
    """The replicas of the fleet, the one that becomes executor first; a test may have others."""
    return "west-1", "west-2", "east-1", "east-2"  # so that any one of them may die


@pytest.fixture
def stopped_fleet(
    broker: Broker, west: ControlPlane, east: ControlPlane, prefix: str, names: tuple[str, ...], tmp_path: Path
) -> Iterator[Fleet]:
    """Yield a fleet that the test starts; nothing of it is left afterwards."""
    fleet = Fleet(tmp_path, broker_url=broker.url, clusters={"west": west, "east": east}, prefix=prefix, names=names, env=QUICK)
    try:
        yield fleet
    finally:
        fleet.stop()
        for cluster in (west, east):
            remove_all(cluster)


@pytest.fixture
def fleet(stopped_fleet: Fleet) -> Fleet:
    """A fleet that runs and has an executor."""
    stopped_fleet.start()
    return stopped_fleet
