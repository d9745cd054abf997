"""Would the simulation notice? Each rule of the protocol is left out once, and some story goes wrong that goes well with it."""

from __future__ import annotations

import pytest

from tests.simulation.draw import draw
from tests.simulation.mutations import FOUND_BY, MUTATIONS, Mutation
from tests.simulation.telling import tell


@pytest.mark.simulation
@pytest.mark.parametrize("mutation", FOUND_BY, ids=lambda mutation: mutation.__name__)
def test_a_rule_is_missed_by_some_story(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    story = draw(FOUND_BY[mutation], MUTATIONS[mutation])
    assert tell(story).wrong == ()
    mutation(monkeypatch)
    assert tell(story).wrong != ()
