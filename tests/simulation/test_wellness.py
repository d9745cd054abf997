"""The judge goes by nothing that the product has worked out: where that is wrong in all replicas alike, it is noticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import pytest

from hacron.core import draft, state
from hacron.core.messages import Definition
from hacron.core.ticks.cron import _Interval
from hacron.ports import GetJob
from tests.fakes.broker import COMMANDS
from tests.fakes.kubernetes import Fate
from tests.scenarios.ordinary import HELLO
from tests.scenarios.world import NOON, World
from tests.simulation.draw import draw
from tests.simulation.telling import tell
from tests.simulation.wellness import FINDS_OUT_WITHIN, HEALS_WITHIN, IN_TIME, heals_until

FIRST_IN_WHICH_BOTH_MATTER = 7


def goes_by_the_oldest_change(patch: pytest.MonkeyPatch) -> None:
    def oldest(homes: Mapping[str, Definition]) -> Definition | None:
        return min(homes.values(), key=lambda one: one.revision, default=None)

    for module in (state, draft):
        patch.setattr(module, "winner_of", oldest)


def fires_half_as_often(patch: pytest.MonkeyPatch) -> None:
    passed, nth = _Interval._passed, _Interval._nth

    def half(self: _Interval, after: datetime, until: datetime) -> int:
        return passed(self, after, until) // 2

    patch.setattr(_Interval, "_passed", half)
    patch.setattr(_Interval, "_nth", lambda self, after, n: nth(self, after, 2 * n))


@pytest.mark.parametrize("fault", [goes_by_the_oldest_change, fires_half_as_often])
def test_what_all_replicas_have_wrong_alike_is_noticed(fault: Callable[[pytest.MonkeyPatch], None]) -> None:
    story = draw(FIRST_IN_WHICH_BOTH_MATTER, ("edits",))
    assert tell(story).wrong == ()
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        told = tell(story)
    assert not told.raised
    assert any("did not run in time" in one or "has not run since" in one for one in told.wrong), told.wrong


def test_stuck_consumers_and_requests_on_their_way_take_longer_to_heal() -> None:
    world = World()
    west = world.start("west-1")
    world.at(NOON)
    assert heals_until(world) == NOON + HEALS_WITHIN
    assert west.broker is not None
    world.broker.stick(west.broker, COMMANDS)
    assert heals_until(world) == NOON + FINDS_OUT_WITHIN
    world.cluster("west").fate = lambda _request: Fate(delay_s=90.0)
    west.kube.submit([GetJob(key=HELLO, run_id="hello.1", namespace="default", name="hello-1")])
    west.kube.serve()
    assert heals_until(world) == NOON + timedelta(seconds=90) + IN_TIME
