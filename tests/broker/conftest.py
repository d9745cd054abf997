"""Fixtures that give a world: in memory, or at the real broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hacron.broker import channel, connection
from tests.broker.worlds import FakeWorld, RealWorld, World


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.broker)])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield both worlds, one after the other. A test marked `small_ledger` gets one that soon drops its beginning.

    What they promise holds for a broker that a busy machine makes slow, too.
    """
    monkeypatch.setattr(channel, "CONFIRM_TIMEOUT_S", 30.0)
    monkeypatch.setattr(connection, "OPEN_TIMEOUT_S", 30.0)
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
