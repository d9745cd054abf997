"""An attempt elsewhere begins, though it comes long after the deadline, and clocks are never quite the same."""

from __future__ import annotations

import pytest

from tests.fakes.kubernetes import all_made
from tests.scenarios.script import Script


@pytest.mark.parametrize("bound", ["deadline=60", "catch-up=policy:None"])
def test_a_run_that_was_lost_is_made_elsewhere(bound: str) -> None:
    script = Script()
    script.run("replicas south-1 west-1 east-1")
    script.run("skew east-1 0.01")
    script.run("at 12:00:05")
    for cluster in ("west", "east"):
        script.run(f'apply {cluster} day schedule="1 12 * * *" guarantee=AtLeastOnce clusters=west,east runs=1000 {bound}')
    script.run("at 12:02:00")
    script.run("silence west")
    script.run("at 12:09:00")
    made = all_made(list(script.world.clusters.values()))
    assert [(one.cluster, one.attempt) for one in made if not one.tombstone] == [("west", 1), ("east", 2)]
