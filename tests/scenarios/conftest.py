"""A world to be ill-treated."""

from __future__ import annotations

import pytest

from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World


@pytest.fixture
def world() -> World:
    """Two replicas in two clusters, a namespace that accepts anything, and the ordinary cronjob."""
    world = World()
    world.start("west-1")
    world.start("east-1")
    world.cluster("west").namespaces["default"] = {"hacron.io/accept-from": "*"}
    world.cluster("west").apply(HELLO, spec({"schedule": "* * * * *", "runs": "5"}))
    world.at(at(10))
    return world
