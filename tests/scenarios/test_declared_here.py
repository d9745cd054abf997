"""What the ledger says a cluster declares: that cluster makes Jobs of what its own API server has."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hacron.core.model import key_of
from tests.fakes.broker import COMMANDS
from tests.fakes.kubernetes import Made, all_made
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import HELLO, all_is_well, at
from tests.scenarios.script import spec
from tests.scenarios.test_hostile_messages import envelope
from tests.scenarios.world import NOON, World

EVIL = key_of("kube-system", "evil")
DECLARED = {"key": EVIL, "cluster": "west", "uid": "no-such", "generation": 1, "created_at": NOON}


def jobs_of_evil(world: World) -> list[Made]:
    """Return those that ran; a suspended one that takes a name runs nothing."""
    return [made for made in all_made(list(world.clusters.values())) if made.key == EVIL and not made.tombstone]


@pytest.mark.parametrize("schedule", ["@every 1s", "* * * * *"])
def test_nothing_is_made_of_a_command_that_speaks_for_a_cluster_which_declares_no_such_thing(world: World, schedule: str) -> None:
    world.cluster("west").namespaces["kube-system"] = {}
    forged = {"kind": "CronJobDeclared", "spec": spec({"schedule": schedule})} | DECLARED
    world.at(at(59.5))
    world.broker.put(COMMANDS, envelope(forged))
    all_is_well(world)
    assert jobs_of_evil(world) == []


def test_nothing_is_made_of_a_ledger_that_says_so(world: World) -> None:
    """By somebody who may be executor."""
    world.cluster("west").namespaces["kube-system"] = {}
    assert world.executor is not None
    assert world.executor.session is not None
    run = {"id": "x.1.1", "tick": at(12), "cluster": "west", "start_by": at(32), "fencing": 1, "job": "evil-1"}
    records: list[dict[str, Any]] = [
        {"kind": "Checkpoint", "replica": "edge-1", "cluster": "edge", "at": at(10), "born": NOON},
        {"kind": "Definition", "revision": 2**50, "changed_at": NOON, "spec": spec({"schedule": "* * * * *"})} | DECLARED,
        {"kind": "Progress", "key": EVIL, "cronjob_id": "x", "last_tick": at(12), "fencing": 1, "open": [run]},
    ]
    epoch = world.executor.session.state.epoch + 1000
    body = {"v": 1, "epoch": epoch, "from": "edge-1", "sent_at": at(10), "records": records}
    world.broker.append(msgspec.json.encode(body), 0)
    all_is_well(world)
    assert jobs_of_evil(world) == []


def test_what_the_workers_own_watch_has_not_told_yet_runs_on_time() -> None:
    """Another replica of west has heard of it, and told."""
    world = World()
    world.start("west-1")
    world.at(at(1))
    world.start("west-2")
    worker = world.worker("west")
    assert worker is not None
    worker.kube.watch_lags_s = 600
    world.cluster("west").apply(HELLO, spec({"schedule": "* * * * *", "runs": "5"}))
    world.at(at(70))
    assert [(made.at, made.by) for made in all_made([world.cluster("west")])] == [(at(60), worker.name)]
    assert wrong(world) == []
