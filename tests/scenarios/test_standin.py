"""A worker that has many Jobs to make, and is frozen in the middle of them or not."""

from __future__ import annotations

from itertools import chain, count, repeat

from hacron.core.model import key_of
from tests.fakes.kubernetes import Fate, all_made
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import at
from tests.scenarios.script import spec
from tests.scenarios.world import World

EACH_S = 0.1  # what the API server takes for a Job


def burst(jobs: int) -> World:
    """Return a world a second before a tick of so many cronjobs in west, whose worker is not the executor."""
    world = World()
    world.start("east-1")
    world.at(at(1))
    for name in ("west-1", "west-2"):
        world.start(name)
    for number in range(jobs):
        world.cluster("west").apply(key_of("default", f"report-{number:02}"), spec({"schedule": "1 12 * * *"}))
    world.at(at(59))
    return world


def test_while_runs_begin_no_job_is_tried_twice() -> None:
    world = burst(50)
    asked = count(1)
    world.cluster("west").fate = lambda name: Fate(delay_s=EACH_S * next(asked)) if name == "CreateJob" else Fate()
    world.at(at(75))
    assert len(all_made([world.cluster("west")])) == 50
    assert next(asked) == 51
    assert wrong(world) == []


def test_nor_while_they_are_refused() -> None:
    world = burst(50)
    asked = count(1)
    world.cluster("west").fate = lambda name: Fate(delay_s=EACH_S * next(asked), refused=422) if name == "CreateJob" else Fate()
    world.at(at(75))
    assert all_made([world.cluster("west")]) == []
    assert next(asked) == 51


def test_a_worker_frozen_in_the_middle_makes_the_rest_a_second_late() -> None:
    """Of its requests twenty arrive, the last five when it no longer takes answers."""
    world = burst(50)
    slow, never, well = (Fate(delay_s=EACH_S * n) for n in range(1, 21)), repeat(Fate(delay_s=900), 30), repeat(Fate())
    fates = chain(slow, never, well)
    world.cluster("west").fate = lambda name: next(fates) if name == "CreateJob" else Fate()
    frozen_s = 61.55
    world.at(at(frozen_s))
    world.freeze("west-1")
    world.at(at(75))
    late = [(made.at - made.tick).total_seconds() for made in all_made([world.cluster("west")])]
    assert len(late) == 50
    assert max(late) < frozen_s - 60 + 1.5
    assert wrong(world) == []
