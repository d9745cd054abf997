"""What a cluster that is heard can do to the others, because nothing stops it: docs/security.md says so.

Each message is one that the user of the cluster which it speaks for may publish with the fewest permissions there are. Edge has
neither a replica nor an API server.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.fakes.broker import COMMANDS, REPORTS
from tests.fakes.kubernetes import Job, all_made
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import demand_spec, spec
from tests.scenarios.test_hostile_messages import envelope
from tests.scenarios.world import NOON, World

EVERY_MINUTE = {"schedule": "* * * * *", "runs": "5"}


def declared(**fields: str) -> dict[str, Any]:
    """Say that edge declares hello, too."""
    said = {"kind": "CronJobDeclared", "key": HELLO, "cluster": "edge", "uid": "u", "generation": 1, "created_at": NOON}
    return said | {"spec": spec(EVERY_MINUTE | fields)}


def ran(world: World, cluster: str) -> list[datetime]:
    """Return the ticks of which a cluster has made Jobs."""
    return [made.tick for made in world.cluster(cluster).made if not made.tombstone]


def image(job: Job) -> str:
    found: str = job.body["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def test_another_home_changes_the_pod_template_that_a_cluster_makes_its_jobs_of(world: World) -> None:
    world.broker.put(COMMANDS, envelope(declared(image="miner")))
    world.at(at(61))
    assert [image(job) for job in world.cluster("west").jobs.values()] == ["miner"]


def test_a_cluster_that_declares_nothing_asks_for_runs_of_what_another_has_suspended(world: World) -> None:
    world.cluster("west").apply(HELLO, spec(EVERY_MINUTE | {"suspend": "true"}))
    world.at(at(70))
    asked = {"kind": "RunsDemanded", "key": "default/odd", "cluster": "edge", "uid": "u", "generation": 1, "created_at": at(70)}
    world.broker.put(COMMANDS, envelope(asked | {"spec": demand_spec("hello", {"ignore-suspend": ""})}))
    world.at(at(80))
    assert [(made.key, made.demand) for made in all_made([world.cluster("west")])] == [(HELLO, "odd")]


def test_a_cluster_that_another_says_to_be_forgotten_is_given_no_run_and_no_change_in_it_counts(world: World) -> None:
    world.cluster("east").namespaces["default"] = {"hacron.io/accept-from": "*"}
    world.cluster("west").apply(HELLO, spec(EVERY_MINUTE | {"clusters": "west,east"}))
    world.at(at(70))
    told = {"kind": "ClusterSeen", "cluster": "edge", "replica": "edge-1", "api_ok": True, "clock": at(70), "forgotten": ["west"]}
    world.broker.put(REPORTS, envelope(told))
    world.at(at(75))
    world.cluster("west").apply(HELLO, spec(EVERY_MINUTE | {"clusters": "west,east", "image": "newer"}))
    world.at(at(121))
    assert (ran(world, "west"), ran(world, "east")) == ([at(60)], [at(120)])
    assert [image(job) for job in world.cluster("east").jobs.values()] == ["busybox"]


def test_a_run_that_its_cluster_says_to_be_over_no_longer_blocks_the_next(world: World) -> None:
    """West says it, of a run that goes on there."""
    world.cluster("west").apply(HELLO, spec(EVERY_MINUTE | {"policy": "Forbid", "runs": "9999"}))
    world.at(at(70))
    run = _running(world)
    told = {"kind": "RunFinished", "key": HELLO, "run_id": run, "cluster": "west", "outcome": "Succeeded", "finished": at(70)}
    world.broker.put(REPORTS, envelope(told))
    world.at(at(130))
    assert ran(world, "west") == [at(60), at(120)]
    assert [made.over for made in world.cluster("west").made] == [None, None]


def _running(world: World) -> str:
    assert world.executor is not None
    assert world.executor.session is not None
    (run,) = world.executor.session.state.progress[HELLO].open
    return run.id
