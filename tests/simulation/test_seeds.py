"""Stories that nobody has written: whatever happens, nothing runs twice, and when it is over everything fires again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.scenarios.chronicle import Chronicle
from tests.simulation import mutations
from tests.simulation.draw import draw
from tests.simulation.telling import as_text, of_seed, shrink, tell

TELL = "import sys; from tests.simulation.telling import as_text, of_seed; print(as_text(of_seed(int(sys.argv[1]))))"


BIRTH_UNKNOWN_TO_THE_EXECUTOR, WITHDRAWN_BEFORE_IT_IS_DECLARED = 11173, 17391


@pytest.mark.parametrize("seed", [*range(12), BIRTH_UNKNOWN_TO_THE_EXECUTOR, WITHDRAWN_BEFORE_IT_IS_DECLARED])
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


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_the_same_story_in_another_process(hash_seed: str) -> None:
    """Also where sets have another order."""
    told = subprocess.run(
        [sys.executable, "-c", TELL, "4"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert told.stdout == as_text(of_seed(4)) + "\n"


def test_a_story_that_goes_wrong_is_shortened_and_says_what_is_wrong() -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutations.begins_anew_with_each_edit(patch)
        told = tell(draw(0, ("edits",)))
        shorter = shrink(told, most=100)
        text = as_text(shorter)
    assert told.wrong
    assert 0 < len(shorter.story.acts) < len(told.story.acts) / 2
    assert text.startswith("seed 0: ")
    assert all(f" —: {act.what}" in text for act in shorter.story.acts)
    assert text.endswith("\n".join(["", *shorter.wrong]))
