"""Stories that nobody has written: whatever happens, nothing runs twice, and when it is over everything fires again."""

from __future__ import annotations

import os
import time

import pytest

from tests.scenarios.chronicle import Chronicle
from tests.simulation.draw import draw
from tests.simulation.soak import soak
from tests.simulation.telling import as_text, of_seed, shrink, tell

MANY, LONGEST_S = 3000, 90.0  # as many of them as fit
AT_LEAST = 300  # however long they take


@pytest.mark.parametrize("seed", [*range(12), 10107])  # the last: somebody deletes a tombstone, which takes a while
def test_whatever_happens_nothing_runs_twice_and_in_the_end_all_is_well(seed: int) -> None:
    told = of_seed(seed)
    assert not told.wrong, as_text(shrink(told))


@pytest.mark.simulation
def test_hundreds_of_other_stories_end_well_too() -> None:
    began = time.monotonic()
    done = 0
    for done, found in soak(range(10_000, 10_000 + MANY), os.cpu_count() or 1):
        for seed, wrong in found:
            pytest.fail(f"seed {seed}: {wrong}\n{as_text(shrink(of_seed(seed)))}")
        if done >= AT_LEAST and time.monotonic() > began + LONGEST_S:
            break
    assert done >= AT_LEAST


def test_a_seed_is_the_same_story_each_time() -> None:
    def lines(seed: int) -> list[str]:
        chronicle = Chronicle()
        tell(draw(seed), chronicle.world)
        return chronicle.take_lines()

    for seed in (3, 4, 6):
        assert lines(seed) == lines(seed)
        assert len(lines(seed)) > 50
