"""Would the simulation notice? Each rule of the protocol is left out once, and some story goes wrong that goes well with it."""

from __future__ import annotations

import inspect

import pytest

from tests.simulation import mutations
from tests.simulation.noticed import MISSED, Missed, is_seen, told_without


@pytest.mark.simulation
@pytest.mark.parametrize("case", MISSED, ids=lambda case: case.name)
def test_a_rule_is_missed_by_some_story(case: Missed) -> None:
    enough = [(mutation,) for mutation in case.left_out] if len(case.left_out) > 1 else []
    for left_out in ((), *enough):
        assert told_without(left_out, case.seed, case.faults).wrong == ()
    told = told_without(case.left_out, case.seed, case.faults)
    assert is_seen(told, case.sees), told.wrong


def test_each_rule_is_left_out_somewhere() -> None:
    rules = {
        rule
        for _, rule in inspect.getmembers(mutations, inspect.isfunction)
        if rule.__module__ == mutations.__name__ and "patch" in inspect.signature(rule).parameters
    }
    assert rules == {mutation for case in MISSED for mutation in case.left_out}
