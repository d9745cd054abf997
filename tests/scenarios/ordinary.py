"""An ordinary cronjob that fires every minute, beside whatever else happens in a world."""

from __future__ import annotations

from datetime import datetime, timedelta

from hacron.core.model import key_of
from tests.fakes.kubernetes import all_made
from tests.scenarios.judge import wrong
from tests.scenarios.world import NOON, World

HELLO = key_of("default", "hello")
ODD = key_of("default", "odd")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def all_is_well(world: World, until: float = 130) -> None:
    """Let two minutes pass: hello fires in each, and there is an executor."""
    world.at(at(until))
    ran = [made.tick for made in all_made(list(world.clusters.values())) if made.key == HELLO and not made.tombstone]
    assert ran == [at(60 * minute) for minute in range(1, int(until // 60) + 1)]
    assert world.executor is not None
    assert wrong(world) == []


def unreadable(world: World) -> int:
    """How much the executor has set aside."""
    assert world.executor is not None
    broker = world.executor.broker
    assert broker is not None
    return sum(broker.inbox.unreadable.values()) + broker.ledger.unreadable
