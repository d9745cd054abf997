"""Would the simulation notice? Each rule of the protocol is left out once, and some story goes wrong that goes well with it."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

from tests.simulation import acts, mutations
from tests.simulation.acts import Act, befall_broker, befall_cluster
from tests.simulation.draw import draw
from tests.simulation.noticed import MISSED, Missed, is_seen, told_without
from tests.simulation.telling import tell

SUSPENDED = {"schedule": "@every 20s", "suspend": "true", "clusters": "west"}
TOO_LATE = (acts.apply("d", "west", SUSPENDED), acts.pause("d", "west", 5), befall_broker("is wiped"))


@pytest.mark.simulation
@pytest.mark.parametrize("case", MISSED, ids=lambda case: case.name)
def test_a_rule_is_missed_by_some_story(case: Missed) -> None:
    enough = [(mutation,) for mutation in case.left_out] if len(case.left_out) > 1 else []
    for left_out in ((), *enough):
        assert told_without(left_out, case.seed, case.faults).wrong == ()
    told = told_without(case.left_out, case.seed, case.faults)
    assert is_seen(told, case.sees), told.wrong


@pytest.mark.simulation
@pytest.mark.parametrize("word", TOO_LATE, ids=lambda act: act.what)
def test_what_is_said_when_a_tick_is_over_is_no_reason_that_it_has_not_run(word: Act) -> None:
    drawn = draw(18, ("API servers away",))
    all_well = [befall_cluster(what, home) for home in drawn.homes for what in ("comes up", "speaks", "is idle")]
    story = replace(drawn, acts=(*drawn.acts, *all_well, acts.passes(150), word, acts.passes(20)))
    assert tell(story).wrong == ()
    with pytest.MonkeyPatch.context() as patch:
        mutations.gives_up_what_could_not_start_in_time(patch)
        assert is_seen(tell(story), "d 12:04:40 was admitted and has not run to its end")


def test_each_rule_is_left_out_somewhere() -> None:
    rules = {
        rule
        for _, rule in inspect.getmembers(mutations, inspect.isfunction)
        if rule.__module__ == mutations.__name__ and "patch" in inspect.signature(rule).parameters
    }
    assert rules == {mutation for case in MISSED for mutation in case.left_out}
