"""A broker node has come back, and its copy of the ledger is not whole yet: what a replica reads there may be old, or nothing.

The rest arrives later, hundreds of messages at a time, and none of it is of now.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from hacron.broker import codec
from hacron.core.messages import Checkpoint
from tests.fakes import broker
from tests.fakes.kubernetes import Body
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World

EMPTY = -1


def long_day() -> tuple[World, int]:
    """A run of a quarter of an hour, in east, of a HACronJob that was deleted once, and where the ledger said so."""
    world = World()
    for name in ("west-1", "east-1"):
        world.start(name)
        world.settle()
    hello = spec({"schedule": "* * * * *", "policy": "Forbid", "runs": "900"})
    world.cluster("east").apply(HELLO, hello)
    world.at(at(5))
    world.cluster("east").delete(HELLO)
    world.at(at(8))
    deleted_at = world.broker.ledger[-1].offset
    world.at(at(20))
    world.cluster("east").apply(HELLO, hello)
    world.at(at(400))
    assert [one.tick for one in world.cluster("east").made] == [at(60)]
    return world, deleted_at


def stop_all(world: World, *names: str) -> None:
    for name in names:
        world.processes[name].stop()
    world.settle()


def start_behind(world: World, name: str, ends: int, until: datetime) -> None:
    """Start a replica at a node whose copy ends there until then."""
    world.start(name)
    world.lag(name, ends)
    world.at(until)
    world.lag(name, None)
    world.settle()


def births(world: World) -> set[datetime | None]:
    return {process.session.state.born for process in world.processes.values() if process.session is not None}


def status(world: World) -> Body:
    found: Body = world.cluster("east").cronjobs[HELLO]["status"]
    return found


# --- a worker ---


@pytest.mark.parametrize("lasts_s", [2, 11, 20, 40])
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_worker_does_nothing_by_what_is_of_the_past(is_empty: bool, lasts_s: float) -> None:
    world, deleted_at = long_day()
    stop_all(world, "east-1")
    shown = status(world)
    start_behind(world, "east-2", EMPTY if is_empty else deleted_at, at(400 + lasts_s))
    session = world.processes["east-2"].session
    assert session is not None
    assert session.caught_up
    world.at(at(480))
    (made,) = world.cluster("east").made
    assert made.gone_at is None
    assert wrong(world) == []
    assert status(world)["active"] == shown["active"]


def test_it_says_that_it_is_not_ready_meanwhile() -> None:
    world, deleted_at = long_day()
    stop_all(world, "east-1")
    world.start("east-2")
    world.lag("east-2", deleted_at)
    world.at(at(405))
    session = world.processes["east-2"].session
    assert session is not None
    assert not session.caught_up
    assert not session.worker.active


def test_events_tell_nothing_of_the_past() -> None:
    world, _ = long_day()
    stop_all(world, "east-1")
    told = len(world.cluster("east").events)
    start_behind(world, "east-2", EMPTY, at(402))
    world.at(at(410))
    assert len(world.cluster("east").events) == told


def test_it_starts_at_once_where_the_copy_is_whole_and_clocks_agree() -> None:
    world, _ = long_day()
    world.start("east-2")
    world.settle()
    session = world.processes["east-2"].session
    assert session is not None
    assert session.caught_up


def test_where_clocks_differ_it_starts_when_signs_of_life_have_kept_pace() -> None:
    world, _ = long_day()
    world.start("east-2").skew = timedelta(seconds=40)
    world.settle()
    session = world.processes["east-2"].session
    assert session is not None
    assert not session.caught_up
    world.at(at(404.5))
    assert session.caught_up


# --- a candidate ---


@pytest.mark.parametrize("is_empty", [True, False])
def test_whoever_takes_over_there_knows_all_before_it_decides(is_empty: bool) -> None:
    """Its own checkpoint stands behind all the rest."""
    world, deleted_at = long_day()
    born = births(world)
    stop_all(world, "east-1")
    world.start("east-2")
    world.lag("east-2", EMPTY if is_empty else deleted_at)
    world.settle()
    stop_all(world, "west-1")
    world.at(at(405))
    assert world.executor is None
    (batch, _), checkpoints = codec.decode_batch(world.broker.ledger[-1].body), Checkpoint
    assert isinstance(batch.records[0], checkpoints)
    assert (batch.records[0].born in born) is not is_empty
    world.lag("east-2", None)
    world.settle()
    assert world.executor is world.processes["east-2"]
    world.start("west-2")
    world.at(at(500))
    assert births(world) == born
    assert [one.tick for one in world.cluster("east").made] == [at(60)]
    assert wrong(world) == []


def test_what_an_earlier_connection_began_does_not_count_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs only count on, as the executor before had a clock that was ahead; so both connections begin the same one."""
    monkeypatch.setattr(broker, "PREFETCH", 1)
    world = World()
    world.start("west-1").skew = timedelta(seconds=50)
    world.start("east-1")
    world.settle()
    world.cluster("east").apply(HELLO, spec({"schedule": "* * * * *"}))
    ahead = world.processes["west-1"].epoch
    world.at(at(20))
    before_it = world.broker.ledger[-1].offset
    stop_all(world, "west-1")
    assert world.executor is world.processes["east-1"]
    assert world.executor.epoch == ahead + 1
    world.at(at(25))
    world.lag("east-1", before_it)
    world.settle()
    world.at(at(26))
    has_begun_again = world.broker.ledger[-1]
    assert has_begun_again.batch.begins
    assert has_begun_again.batch.epoch == ahead + 1
    world.lag("east-1", None)
    world.at(at(28))
    behind_it = [stored.batch for stored in world.broker.ledger if stored.offset > has_begun_again.offset]
    assert behind_it[0].begins
    assert behind_it[0].epoch == ahead + 2
    world.at(at(200))
    assert len({one.tick for one in world.cluster("east").made}) >= 2
    assert wrong(world) == []
