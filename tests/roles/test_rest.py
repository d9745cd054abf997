"""Roles that watch Kubernetes rest while the ledger brings nothing but signs of life, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from hacron import engine
from hacron.core.model import Kind, key_of
from hacron.turn import Moment
from tests.core.ledger_story import spec
from tests.scenarios.world import World

HELLO = key_of("default", "hello")


class Watched:
    """A world of two clusters, and the instants at which the relay and the mirror of west-1 take their turn."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(engine, "LONGEST_WAIT_S", 60.0)
        self.world = World()
        self.world.broker.wakes_for_signs_of_life = False
        for name in ("east-1", "west-1"):
            self.world.start(name)
        self.passes(100)
        self.turns = 0
        west = self.world.processes["west-1"]
        assert west.session is not None
        turn = west.session._turn_watchers

        def counted(now: Moment) -> None:
            self.turns += 1
            turn(now)

        patch.setattr(west.session, "_turn_watchers", counted)

    def passes(self, seconds: float) -> None:
        self.world.at(self.world.now + timedelta(seconds=seconds))


def ledger_changes(world: World) -> None:
    world.cluster("east").apply(HELLO, spec())


def object_is_seen(world: World) -> None:
    world.cluster("west").apply(HELLO, spec())


def run_is_demanded(world: World) -> None:
    world.cluster("east").apply(key_of("default", "hello-now"), {"cronJob": "hello"}, Kind.DEMAND)


def api_server_goes(world: World) -> None:
    world.cluster("west").up = False


def clock_is_set_forward(world: World) -> None:
    world.processes["west-1"].skew = timedelta(seconds=30)


REASONS = (ledger_changes, object_is_seen, run_is_demanded, api_server_goes, clock_is_set_forward)


@pytest.mark.parametrize("cause", REASONS, ids=lambda cause: cause.__name__)
def test_they_are_turned_as_soon_as_there_is_a_reason(cause: Callable[[World], None], monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    session = watched.world.processes["west-1"].session
    assert session is not None
    assert session._rest is not None
    left_s = session._rest.until.mono - watched.world.moment.mono
    assert left_s > 0.5
    before = watched.turns
    cause(watched.world)
    watched.world.processes["west-1"]._due = watched.world.now  # it looks around, as it does at every sign of life
    watched.passes(0.1)
    assert watched.turns > before


def test_they_rest_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    turns = watched.world.turns
    watched.passes(100)
    assert watched.turns <= 100 / 5 + 1
    assert watched.world.turns - turns > 5 * watched.turns
