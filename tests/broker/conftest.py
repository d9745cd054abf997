"""Fixtures that give a world: in memory, or at the real broker, of which all but a few tests wait for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hacron.broker import connection
from hacron.broker.connection import Connection
from tests.broker.worlds import FakeWorld, RealWorld, World

PATIENCE_S = 30.0
IMPATIENT = {"test_real.py", "test_alarm.py"}  # they look at how long is waited


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is promised holds for a broker that a busy machine makes slow, too."""
    if request.path.name in IMPATIENT:
        return
    real = Connection.wait

    def wait(self: Connection, done: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
        real(self, done, what, max(PATIENCE_S, timeout_s))

    monkeypatch.setattr(Connection, "wait", wait)
    monkeypatch.setattr(connection, "OPEN_TIMEOUT_S", PATIENCE_S)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.broker)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Yield both worlds, one after the other. A test marked `small_ledger` gets one that soon drops its beginning."""
    yield from _world(request, real=request.param == "real")


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Iterator[World]:
    """Yield only the real one, for what a fake cannot have."""
    yield from _world(request, real=True)


def _world(request: pytest.FixtureRequest, real: bool) -> Iterator[World]:
    small = getattr(request.function, "small_ledger", False)
    made: World
    if real:
        made = RealWorld(request.getfixturevalue("broker").url, request.getfixturevalue("prefix"), small)
    else:
        made = FakeWorld(small)
    yield made
    made.end()
