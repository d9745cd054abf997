"""An API server whose answers contradict each other, as through a cache that is behind, is asked, but not without a pause."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hacron.errand import AT_ONCE, PER_S
from tests.fakes.kubernetes import all_made
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World


def test_a_name_that_is_taken_by_no_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    west, kube = world.cluster("west"), world.processes["west-1"].kube
    west.apply(HELLO, spec({"schedule": "* * * * *", "clusters": "west", "runs": "50"}))
    world.at(at(62))
    (job,) = west.jobs.values()
    before = kube.tally.copy()
    with monkeypatch.context() as patch:
        patch.setattr(west, "create_job", lambda *_, **__: (409, {"message": "already exists"}))
        patch.setattr(west, "get_job", lambda *_: (404, {"message": "not found"}))
        world.delete_job(west, job, foreground=False)
        world.at(at(100))
        asked = kube.tally - before
        assert AT_ONCE < asked["POST", 409] + asked["GET", 404] < AT_ONCE + PER_S * 100
    assert world.processes["west-1"].engine.worker_tally.held_back > 0
    world.at(at(200))
    ran = [made for made in all_made([west]) if not made.tombstone]
    assert [made.tick - ran[0].tick for made in ran] == [timedelta(minutes=minute) for minute in range(3)]
