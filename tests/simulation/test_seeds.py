"""Stories that nobody has written: whatever happens, nothing runs twice, and when it is over everything fires again."""

from __future__ import annotations

import pytest

from tests.scenarios.chronicle import Chronicle
from tests.simulation.draw import draw
from tests.simulation.telling import as_text, of_seed, shrink, tell


@pytest.mark.parametrize("seed", [*range(12), 10107])  # the last: somebody deletes a tombstone, which takes a while
def test_whatever_happens_nothing_runs_twice_and_in_the_end_all_is_well(seed: int) -> None:
    told = of_seed(seed)
    assert not told.wrong, as_text(shrink(told))


def test_a_seed_is_the_same_story_each_time() -> None:
    def lines(seed: int) -> list[str]:
        chronicle = Chronicle()
        tell(draw(seed), chronicle.world)
        return chronicle.take_lines()

    for seed in (3, 4, 6):
        assert lines(seed) == lines(seed)
        assert len(lines(seed)) > 50
