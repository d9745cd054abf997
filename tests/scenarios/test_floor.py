"""The floor: a replica that starts reads only what still matters, and knows what everybody knows.

Stories of all kinds, with an executor that writes stale records again early and often. At every message of the ledger, whoever
starts there at the floor that it names comes to the same State as who has read everything from the beginning.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import pytest

from hacron import engine
from hacron.broker import codec
from hacron.core.foreign import Stranger
from hacron.core.messages import Entry, Progress
from hacron.core.model import Key, key_of
from hacron.core.state import State
from hacron.executor import Lease
from tests.fakes.broker import FakeBroker, Stored
from tests.fakes.versions import FORECAST, NEWER, OURS
from tests.scenarios.judge import wrong
from tests.scenarios.kept import forgotten
from tests.scenarios.world import World
from tests.simulation import acts
from tests.simulation.draw import draw
from tests.simulation.telling import tell


@pytest.fixture(autouse=True)
def stale_records_are_written_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    eager = functools.partial(Lease, rewrite_after_messages=20, rewrite_at_least=3)
    monkeypatch.setattr(engine, "Lease", eager)


def folded(messages: list[Stored]) -> State:
    state = State()
    for stored in messages:
        state.apply(entry(stored))
    return state


def entry(stored: Stored) -> Entry:
    return Entry(offset=stored.offset, size=len(stored.body), batch=codec.decode_batch(stored.body)[0])


def what_matters(state: State) -> dict[str, Any]:
    """What decisions depend on. Not when the ledger began, nor how it was read."""
    runs = {cluster: dict(runs) for cluster, runs in state.open_runs.items() if runs}
    known: dict[str, Any] = {"definitions": dict(state.definitions), "progress": dict(state.progress)}
    known |= {"demands": dict(state.demands), "clusters": dict(state.clusters)}
    known |= {
        "unknown fields": dict(state._live.foreign),
        "unknown kinds": {key: dict(found) for key, found in state._live.strangers.items()},
    }
    return known | {"epoch": state.epoch, "open": runs, "floor": state.floor, "live": state.live}


def met(state: State) -> list[tuple[str, str]]:
    """Return what records of a kind to come are about."""
    return [(one.key, one.cluster) for one in state.stalest() if isinstance(one, Stranger) and one.kind == FORECAST]


def differing(broker: FakeBroker) -> list[int]:
    """Return the offsets at which a start from the floor ends otherwise than a start from the beginning."""
    everything, found = State(), []
    for stored in broker.ledger:
        everything.apply(entry(stored))
        from_floor = folded(broker.ledger[max(0, stored.floor) : stored.offset + 1])
        if what_matters(from_floor) != what_matters(everything):
            found.append(stored.offset)
    return found


# --- any story ---


@pytest.mark.parametrize("seed", range(1000, 1012))
def test_from_the_floor_or_from_the_beginning_the_state_is_the_same(seed: int) -> None:
    world = World()
    tell(draw(seed), world)
    assert differing(world.broker) == []


# --- one story ---


def calm_world(broker: FakeBroker | None = None) -> World:
    """A quarter of an hour of two cronjobs that fire, and one that is declared once and then only stands there."""
    world = World(broker)
    world.start("west-1")
    world.start("east-1")
    acts.apply("a", "west", {"schedule": "* * * * *"})(world)
    acts.apply("b", "east", {"schedule": "@every 20s"})(world)
    acts.apply("c", "west", {"schedule": "0 0 1 1 *"})(world)
    acts.passes(900)(world)
    return world


def test_the_floor_rises_and_little_has_to_be_read() -> None:
    world = calm_world()
    end = world.broker.ledger[-1]
    assert end.offset > 900
    assert end.offset - end.floor < 40
    floors = [stored.floor for stored in world.broker.ledger]
    assert floors == sorted(floors)


def test_what_a_newer_version_wrote_is_written_again_by_an_older_one_until_it_is_removed() -> None:
    world = World()
    for name in ("west-1", "east-1"):
        world.start(name).dialect = NEWER if name == "west-1" else OURS
    for name, schedule in (("a", "* * * * *"), ("c", "0 0 1 1 *")):
        acts.apply(name, "west", {"schedule": schedule})(world)
    acts.passes(60)(world)
    world.processes["west-1"].die()
    acts.passes(60)(world)
    world.start_again("west-1").dialect = OURS
    acts.passes(900)(world)
    assert list(forgotten(world)) == []
    floor = world.broker.ledger[-1].floor
    assert floor > 500
    left = folded(world.broker.ledger[floor:])
    assert sorted(met(left)) == [("default/a", "west"), ("default/c", "west")]
    assert {subject[0] for subject in left._live.foreign} == {"definition", "progress", "cluster"}
    world.cluster("west").delete(key_of("default", "c"))
    acts.passes(700)(world)  # what is gone is remembered for ten minutes
    left = folded(world.broker.ledger[world.broker.ledger[-1].floor :])
    assert met(left) == [("default/a", "west")]
    assert not any(subject[1] == "default/c" for subject in left._live.foreign)
    assert differing(world.broker) == []


def test_what_is_written_again_undoes_nothing() -> None:
    """A record may be stale, and in the same turn there is something new to say of its cronjob."""
    seen: dict[Key, Progress] = {}
    for stored in calm_world().broker.ledger:
        batch = entry(stored).batch
        for record in batch.records if batch else ():
            if isinstance(record, Progress):
                before = seen.get(record.key, record)
                assert (record.last_tick, record.fencing) >= (before.last_tick, before.fencing)
                seen[record.key] = record


def test_a_replica_that_starts_late_reads_little_and_takes_over_at_once() -> None:
    world = calm_world()
    latecomer = world.start("east-2")
    world.settle()
    assert latecomer.session is not None
    assert 0 < latecomer.session.state.entries_read < 50
    for name in ("west-1", "east-1"):
        world.processes[name].die()
    world.settle()
    assert world.executor is latecomer
    acts.passes(60)(world)
    made = [one.tick for one in world.cluster("east").made if one.key == key_of("default", "b")]
    assert made[-1] > world.now - timedelta(seconds=21)
    assert wrong(world) == []


def test_what_the_broker_drops_is_what_nobody_needs() -> None:
    world = calm_world(FakeBroker(ledger_bytes=100_000))
    assert world.broker.ledger[0].offset > 100
    session = world.broker.connect("east-2", "east")
    assert not session.ledger.truncated


def test_without_rewriting_the_floor_stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the tests above owe it to the rewriting."""
    monkeypatch.setattr(engine, "Lease", Lease)
    assert calm_world().broker.ledger[-1].floor < 10
