"""One story, and at each of its effects another world in which a replica came to grief just there.

Where a world branches the process forks: the parent tells the story to its end, and each child tells how it goes on from its
branch and what is wrong with that. So the beginning of the story is told once, and not once for every effect.
"""

from __future__ import annotations

import gc
import os
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.scenarios.world import World

AT_ONCE = 2  # children


@dataclass(frozen=True, slots=True)
class Branch:
    """What became of a world that branched off."""

    number: int  # of the effect
    effect: str
    done: bool  # the effect was done, and only what comes after it was not
    wrong: list[str]

    def __str__(self) -> str:
        when = "after" if self.done else "before"
        return f"{when} effect {self.number} ({self.effect}): {'; '.join(self.wrong)}"


@dataclass(slots=True)
class Forking:
    """Tells a story of a world, and those of its branches.

    `tell` is the story: it ends early when `is_over`, and returns what is wrong at its end. `befalls` is what happens to the
    replica in a branch; what it raises comes out of the effect. Where it takes all that the replica had in mind (`mindless`),
    the moment before an effect is the one after its last effect in the same turn: that world is told once.
    """

    world: World
    victim: str
    tell: Callable[[Forking], list[str]]
    befalls: Callable[[World, str], None]
    goes_on_for: timedelta
    concerns: Callable[[str, bool], bool] = lambda _effect, _done: True
    mindless: bool = False
    effects: int = 0
    as_before: int = 0  # moments whose world is that of the moment before them
    branched_at: datetime | None = None  # None: this is the world where nothing happens
    branches: list[Branch] = field(default_factory=list)
    _children: list[tuple[int, int]] = field(default_factory=list)  # process, pipe
    _branch: tuple[int, str, bool] = (0, "", False)
    _pipe: int = -1
    _done_in: int = -1  # the turn in which the last effect was done

    @property
    def is_over(self) -> bool:
        """Whether a branch has gone on for as long as it matters."""
        return self.branched_at is not None and self.world.now >= self.branched_at + self.goes_on_for

    def run(self) -> list[str]:
        """Tell everything; return what is wrong in the world where nothing happened. `branches` has the others."""
        self.world.processes[self.victim].on_effect = self._on_effect
        try:
            wrong = self.tell(self)
        except BaseException:
            if self.branched_at is not None:
                self._end([traceback.format_exc()])
            raise
        if self.branched_at is not None:
            self._end(wrong)
        while self._children:
            self._collect()
        return wrong

    def _on_effect(self, effect: str, done: bool) -> None:
        if self.branched_at is not None or not self.concerns(effect, done):
            return
        self.effects += not done
        if done:
            self._done_in = self.world.turns
        elif self.mindless and self._done_in == self.world.turns:
            self.as_before += 1
            return
        if len(self._children) >= AT_ONCE:
            self._collect()
        reads, writes = os.pipe()
        child = os.fork()
        if child:
            os.close(writes)
            self._children.append((child, reads))
            return
        os.close(reads)
        gc.disable()  # it would touch, and so copy, every page that the parent has
        self.branched_at = self.world.now
        self._pipe = writes
        self._branch = (self.effects, effect, done)
        self.befalls(self.world, self.victim)

    def _collect(self) -> None:
        child, reads = self._children.pop(0)
        with os.fdopen(reads, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        assert said, f"a branch ended without a word, status {status}"
        self.branches.append(pickle.loads(said))

    def _end(self, wrong: list[str]) -> None:
        """Say how it went, and end this process without anything that pytest does at its end."""
        number, effect, done = self._branch
        with os.fdopen(self._pipe, "wb") as pipe:
            pickle.dump(Branch(number, effect, done, wrong), pipe)
        os._exit(0)
