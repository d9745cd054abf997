"""Fixtures for tests that need real servers; the servers start when the first test asks for one.

RABBITMQ=4.3 in the environment: a newer RabbitMQ than this machine's, of those in tests.testbed.tools.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer

from hacron.core import faults
from hacron.telemetry.logs import says_something
from tests.side_by_side import DOCKER, IN_PARTS, SideBySide, part, spread, turn
from tests.testbed.broker import Broker
from tests.testbed.cluster import start_together
from tests.testbed.control_plane import ControlPlane
from tests.testbed.install import install
from tests.testbed.kind.engine import Engine, engine
from tests.testbed.network import Network

faults.raises = True  # who meets one has failed
gc.set_threshold(50_000, 50, 100)  # thousands of tests that stay where they are are looked through again and again otherwise

logging.getLogger("asyncio").addFilter(says_something)  # else a test finds in its log what another one has left

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

Servers = dict[str, Broker | ControlPlane]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SideBySide | None:
    """Share the tests among workers as `make test` wants it: by their servers (`--dist loadscope`)."""
    return SideBySide(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest parts begin first, and of what needs no server spread those that wait."""
    in_parts: list[pytest.Item] = []
    alone: list[pytest.Item] = []
    for item in items:
        needs_docker = any(item.get_closest_marker(name) for name in ("docker", "kind"))
        if needs_docker != (part(item.nodeid) == DOCKER):
            raise pytest.UsageError(f"{item.nodeid}: tests.side_by_side does not know whether it needs docker")
        (in_parts if any(map(item.get_closest_marker, IN_PARTS)) else alone).append(item)
    items[:] = [*sorted(in_parts, key=lambda item: turn(item.nodeid)), *spread(alone)]


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Start, at the same time, those of the servers below that any test of this session asks for."""
    asked = {fixture for item in request.session.items for fixture in getattr(item, "fixturenames", ())}
    folder = tmp_path_factory.mktemp("servers")
    wanted = "broker" in asked or any(item.get_closest_marker("broker") for item in request.session.items)
    broker = {"broker": Broker(folder / "broker", version=os.environ.get("RABBITMQ"))} if wanted else {}
    clusters = {name: ControlPlane(name, folder / name) for name in ("west", "east") if name in asked}
    try:
        start_together([*broker.values(), *clusters.values()])
        for cluster in clusters.values():
            install(cluster)
        yield {**broker, **clusters}
    finally:
        for each in broker.values():
            each.close()
        for cluster in clusters.values():
            cluster.stop()


@pytest.fixture(scope="session")
def broker(servers: Servers) -> Broker:
    """A running RabbitMQ, shared by the session: name your queues with `prefix`, leave it running."""
    found = servers["broker"]
    assert isinstance(found, Broker)
    return found


@pytest.fixture(scope="session")
def west(servers: Servers) -> ControlPlane:
    """A running cluster, shared by the session, with the CRD and the operator's rights."""
    found = servers["west"]
    assert isinstance(found, ControlPlane)
    return found


@pytest.fixture(scope="session")
def east(servers: Servers) -> ControlPlane:
    """Another such cluster."""
    found = servers["east"]
    assert isinstance(found, ControlPlane)
    return found


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """A docker engine, shared by the session."""
    with engine() as found:
        yield found


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of the testbed's own, for one test."""
    network = Network()
    network.start()
    yield network
    network.close()


@pytest.fixture
def prefix() -> str:
    """A beginning of queue names that no other test has, so that tests share a broker but no queues."""
    return f"test-{secrets.token_hex(4)}"
