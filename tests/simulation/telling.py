"""Tells a story: what happens, then the end of all that is wrong, then a while in which everything must go as it should."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hacron import engine
from tests.fakes.versions import NEWER
from tests.scenarios.chronicle import Chronicle
from tests.scenarios.decided import decided
from tests.scenarios.ended import brought_back, needless, unearned, unfinished, untold
from tests.scenarios.folded import disagreeing, unwritten
from tests.scenarios.judge import wrong
from tests.scenarios.kept import forgotten
from tests.scenarios.world import World
from tests.simulation import acts
from tests.simulation.draw import Story, draw
from tests.simulation.wellness import heals_until, late, not_well, watched_until

STARTED_AFTER_S = 1
TAKEN_OVER_WITHIN_S, DOUBTED_WITHIN_S = 12, 25  # where the broker hears that the executor is dead, and where it does not
LONG_WATCHED_EVERY = 9  # stories: so many briefly watched ones find more in the same time


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a story."""

    story: Story
    wrong: tuple[str, ...]
    raised: bool = False  # it broke off


def tell(story: Story, world: World | None = None) -> Told:
    """Return what is wrong in the end; whatever a replica raises is wrong too."""
    world = world or World()
    world.broker.wakes_for_signs_of_life = False
    looks_around_after, engine.LONGEST_WAIT_S = engine.LONGEST_WAIT_S, 60.0  # it would hide what was missed, and take long
    try:
        begin(story, world)
        for act in story.acts:
            world.say("—", act.what)
            act(world)
            world.settle()
        world.say("—", "all that was wrong ends")
        acts.heal(world)
        world.at(heals_until(world))
        world.say("—", "all must be well from here on")
        healed = world.now
        world.at(watched_until(healed, briefly=story.seed % LONG_WATCHED_EVERY != 0))
        ill = [*not_well(world, healed)]
        if not ill:
            began = world.now
            lose_the_executor(world, dies=story.seed % 2 == 0)
            ill = [*late(world, healed, began)]
        ledgers = decided(world)
        ended = (
            *unfinished(world, ledgers),
            *untold(world, ledgers),
            *brought_back(world, ledgers),
            *needless(ledgers),
            *unearned(world),
        )
        in_the_ledger = (*unwritten(world), *disagreeing(world), *forgotten(world))
        return Told(story, (*wrong(world), *in_the_ledger, *ended, *ill))
    except Exception as error:  # noqa: BLE001  a replica that crashes is a finding like any other
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno} of {where.filename})"
        return Told(story, (said,), raised=True)
    finally:
        engine.LONGEST_WAIT_S = looks_around_after


def begin(story: Story, world: World) -> None:
    for home in story.homes:
        world.cluster(home).namespaces["default"]["hacron.io/accept-from"] = "*"
    for name in story.replicas:
        process = world.start(name, **story.settings)
        if name in story.newer:
            process.dialect = NEWER
    world.settle()


def lose_the_executor(world: World, dies: bool) -> None:
    """The last thing that happens: the executor dies and is started again, or its connection works in one direction only."""
    assert world.executor is not None
    name = world.executor.name
    acts.befall("dies" if dies else "hears nothing any more", name)(world)
    acts.passes(STARTED_AFTER_S)(world)
    if dies:
        world.start_again(name)
    acts.passes((TAKEN_OVER_WITHIN_S if dies else DOUBTED_WITHIN_S) - STARTED_AFTER_S)(world)


def of_seed(seed: int, only: Collection[str] = ()) -> Told:
    return tell(draw(seed, only))


def first_failure(seeds: Sequence[int], only: Collection[str] = ()) -> Told | None:
    """Tell one story after the other, up to the first in which something is wrong; `only` with acts of these families."""
    gc.disable()  # a story leaves little that goes in circles
    gc.collect()  # what is frozen stays
    gc.freeze()
    try:
        for number, seed in enumerate(seeds, 1):
            told = tell(draw(seed, only))
            if told.wrong:
                return told
            if number % 20 == 0:
                gc.collect()
        return None
    finally:
        gc.enable()


def shrink(told: Told, most: int = 400) -> Told:
    """Leave out acts, as long as something stays wrong. `most`: stories told in all."""
    pieces = max(1, len(told.story.acts) // 2)
    while pieces >= 1 and most > 0:
        start = 0
        while start < len(told.story.acts) and most > 0:
            most -= 1
            left = (*told.story.acts[:start], *told.story.acts[start + pieces :])
            shorter = tell(replace(told.story, acts=left))
            if shorter.wrong:
                told = shorter
            else:
                start += pieces
        pieces //= 2
    return told


def as_text(told: Told) -> str:
    """The story as somebody may read it: everything that was done and followed at its time, then what is wrong."""
    chronicle = Chronicle()
    again = tell(told.story, chronicle.world)
    versions = f"; of another version: {', '.join(told.story.newer)}" if told.story.newer else ""
    head = [f"seed {told.story.seed}: {', '.join(told.story.replicas)}{versions}"]
    end = ["", *again.wrong]
    if again.wrong != told.wrong:
        end.append(f"(and when it was first told: {'; '.join(told.wrong)})")
    return "\n".join([*head, *chronicle.take_lines(), *end])
