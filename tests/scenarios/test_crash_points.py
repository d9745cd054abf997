"""A replica dies at each of its effects, one world for each: another takes over, and every tick still has its one Job.

What happened is read from the clusters' API servers, from every Job that they ever had. An effect is whatever leaves a replica:
each message to the broker, each acknowledgement and act on a token, each request to Kubernetes that changes something.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from hacron import engine, errand, saying
from hacron.core import manifests
from hacron.core.messages import Batch, Command, Report
from hacron.core.model import Kind, key_of
from hacron.core.state import State
from tests.fakes.broker import FakeInbox
from tests.fakes.kubernetes import FakeCluster, all_made
from tests.scenarios.chronicle import tick as told
from tests.scenarios.forking import Branch, Forking
from tests.scenarios.judge import wrong
from tests.scenarios.script import demand_spec, spec
from tests.scenarios.world import NOON, Died, World

HEALS_WITHIN = timedelta(seconds=25)  # a takeover, and the time in which a late run may start
GOES_ON_FOR = timedelta(seconds=45)  # at least one more tick of each cronjob that is old enough
LANDS_AFTER = timedelta(seconds=30)  # what was appended through a node that was cut off
STEP_S, END_S = 5, 110
CALM = {  # fewer effects that are all alike
    "proof_interval_s": 8,
    "proof_lease_s": 20,
    "token_missing_after_s": 30,
    "seen_interval_s": 20,
    "silent_after_s": 60,
}

Acts = dict[int, list[Callable[[], object]]]


def at(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


BOTH = "west,east"
CRONJOBS: dict[str, tuple[str, dict[str, str]]] = {  # name → homes, what it says
    "allow": ("west", {"schedule": "@every 30s"}),
    "forbid": (BOTH, {"schedule": "@every 30s", "policy": "Forbid", "clusters": BOTH, "runs": "22"}),
    "replace": (BOTH, {"schedule": "@every 30s", "policy": "Replace", "clusters": BOTH, "runs": "50"}),
    "surely": (BOTH, {"schedule": "@every 30s", "guarantee": "AtLeastOnce", "clusters": BOTH}),
    "certain": (BOTH, {"schedule": "@every 30s", "guarantee": "AtLeastOnce", "policy": "Forbid", "clusters": BOTH, "runs": "22"}),
    "often": ("west", {"schedule": "@every 15s", "runs": "5", "successful": "1"}),
    "hourly": (BOTH, {"schedule": "0 * * * *", "policy": "Forbid", "clusters": BOTH, "runs": "3"}),
}
TICKS: dict[str, list[datetime]] = {  # in seconds after noon; all are applied at 5
    "allow": [at(35), at(65)],  # from 75 on only every hour
    "forbid": [at(35), at(65), at(95)],
    "replace": [at(35), at(65), at(95)],
    "surely": [at(35), at(65)],  # suspended at 75
    "certain": [at(35), at(65), at(95)],
    "often": [at(20), at(35), at(50), at(65), at(80)],  # deleted at 85
    "hourly": [],
}
DEMANDED = [NOON - timedelta(hours=hours) for hours in (3, 2, 1)]  # of hourly, in east at 50: one run after another
DONE = at(95)  # whoever dies meanwhile


def begin(*replicas: str) -> World:
    world = World()
    for name in replicas:
        world.start(name, may_execute=not name.endswith("worker"), **CALM)
    return world


def tell(forking: Forking) -> list[str]:
    """Tell the story to its end, or in a branch for as long as it matters; return what is wrong then."""
    world = forking.world
    go_on(forking, story(world), END_S)
    return [*wrong(world), *not_once(world), *untold(world), *not_as_demanded(world)]


def go_on(forking: Forking, acts: Acts, end_s: int) -> None:
    """Let time pass, with what happens meanwhile."""
    world = forking.world
    for seconds in range(0, end_s + 1, STEP_S):
        if forking.is_over:
            break
        world.at(at(seconds))
        for act in acts.get(seconds, []):
            act()
            world.settle()
        if forking.branched_at is not None and world.now >= forking.branched_at + LANDS_AFTER:
            world.broker.unstrand()
            world.settle()


def story(world: World) -> Acts:
    def apply(name: str, **changes: str) -> None:
        homes, fields = CRONJOBS[name]
        for home in homes.split(","):
            world.cluster(home).apply(key_of("default", name), spec(fields | changes))

    acts: Acts = defaultdict(list)
    acts[5] = [lambda name=name: apply(name) for name in CRONJOBS]  # type: ignore[misc]
    demanded = demand_spec("hourly", {"from": "09:00:00", "to": "11:00:00"})
    acts[50] = [lambda: world.cluster("east").apply(key_of("default", "again"), demanded, Kind.DEMAND)]
    acts[75] = [lambda: apply("allow", schedule="@every 1h"), lambda: apply("surely", suspend="true")]
    acts[85] = [lambda: world.cluster("west").delete(key_of("default", "often"))]
    return acts


def tell_of_old_jobs(forking: Forking) -> list[str]:
    """Tell another story, in which Jobs are deleted: by the history limits, and by `Replace` when no request can still come."""
    world = forking.world

    def apply() -> None:
        world.cluster("west").apply(key_of("default", "often"), spec({"schedule": "@every 30s", "runs": "5", "successful": "1"}))
        world.cluster("west").apply(
            key_of("default", "long"), spec({"schedule": "@every 100s", "policy": "Replace", "runs": "300"})
        )

    go_on(forking, defaultdict(list, {5: [apply]}), 235)
    ticks = {"often": [at(seconds) for seconds in range(35, 236, 30)], "long": [at(105), at(205)]}
    return [*wrong(world), *not_once(world, ticks)]


def not_once(world: World, expected: Mapping[str, Sequence[datetime]] = TICKS) -> Iterator[str]:
    """Every tick that is old enough has one Job, and no other tick has any."""
    made = [one for one in all_made(list(world.clusters.values())) if not one.tombstone and not one.demand]
    jobs = Counter((one.key.removeprefix("default/"), one.tick) for one in made)
    for name, ticks in expected.items():
        for tick in ticks:
            if tick <= world.now - HEALS_WITHIN and jobs[name, tick] != 1:
                yield f"{name} {told(tick)} has {jobs[name, tick]} Jobs"
    for name, tick in jobs:
        if tick not in expected[name]:
            yield f"{name} {told(tick)} has a Job, and should have none"


def untold(world: World) -> Iterator[str]:
    """Every tick that is old enough is told in the status of its HACronJob."""
    for cluster in world.clusters.values():
        for key, body in cluster.cronjobs.items():
            name, status = key.removeprefix("default/"), body.get("status", {})
            shown = {entry["tick"] for entry in [*status.get("active", []), *status.get("recent", [])]}
            for tick in TICKS[name]:
                if tick <= world.now - HEALS_WITHIN and manifests.rfc3339(tick) not in shown:
                    yield f"{name} {told(tick)} is not in the status that {cluster.name} shows"


def not_as_demanded(world: World) -> Iterator[str]:
    """Every run that was demanded has one Job, in the order of ticks, and is told."""
    made = [one for one in all_made(list(world.clusters.values())) if one.demand and not one.tombstone]
    if [one.tick for one in made] != DEMANDED[: len(made)]:
        yield f"what was demanded has run as {[told(one.tick) for one in made]}"
    if world.now >= DONE and len(made) < len(DEMANDED):
        yield f"of what was demanded only {len(made)} have a Job"
    for key, body in world.cluster("east").demands.items():
        phase = body.get("status", {}).get("phase")
        if world.now >= DONE and phase != "Complete":
            yield f"{key} is told to be {phase}"


def dies(world: World, victim: str) -> None:
    raise Died(victim, world.now)


def is_stranded(world: World, victim: str) -> None:
    world.isolate(victim)


def branches(
    victim: str,
    replicas: tuple[str, ...],
    befalls: Callable[[World, str], None],
    told_by: Callable[[Forking], list[str]] = tell,
    **only: Any,
) -> list[Branch]:
    """Tell the story and all its branches; in the world where nothing happens nothing may be wrong."""
    world, mindless = begin(*replicas), befalls is dies
    forking = Forking(world, victim, told_by, befalls, goes_on_for=GOES_ON_FOR, mindless=mindless, **only)
    assert forking.run() == []
    if "concerns" not in only:
        assert len(forking.branches) + forking.as_before == 2 * counted(forking.branches).total()
    return forking.branches


def failures(found: list[Branch]) -> list[str]:
    return [str(branch) for branch in found if branch.wrong]


def counted(found: list[Branch]) -> Counter[str]:
    return Counter(branch.effect for branch in found if branch.done)


@pytest.fixture(autouse=True)
def nobody_looks_around_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas turn when something arrives, and when they said that they would."""
    monkeypatch.setattr(engine, "LONGEST_WAIT_S", 60.0)


@pytest.fixture
def nothing_is_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relays and workers repeat what the ledger does not show; that would hide a message that was lost."""
    monkeypatch.setattr(saying, "TELL_AGAIN", timedelta(hours=1))
    monkeypatch.setattr(errand, "TELL_AGAIN", timedelta(hours=1))


EXECUTOR = ("west-worker", "west-1", "east-1")  # the executor is west-1, and only that
WORKER = ("east-1", "west-1", "west-2")  # west-1 is the worker and the relay of its cluster
EVERYTHING = ("west-1", "west-2", "east-1")


@pytest.mark.simulation
@pytest.mark.usefixtures("nothing_is_said_twice")
def test_the_executor_dies_at_each_of_its_effects_and_nothing_acknowledged_is_lost() -> None:
    found = branches("west-1", EXECUTOR, dies)
    assert failures(found) == []
    effects = counted(found)
    assert effects["append"] > 50
    assert effects["acknowledge"] > 30
    assert effects["open"] == 1


@pytest.mark.simulation
def test_the_worker_that_is_also_the_relay_dies_at_each_of_its_effects() -> None:
    found = branches("west-1", WORKER, dies)
    assert failures(found) == []
    effects = counted(found)
    assert effects["CreateJob"] > 10
    assert effects["HaltJob"] > 1
    assert effects["PatchStatus"] > 30
    assert effects["send_reports"] > 20
    assert effects["send_commands"] >= 3


def test_the_worker_dies_as_it_deletes_jobs() -> None:
    found = branches("west-1", WORKER, dies, tell_of_old_jobs, concerns=lambda effect, _done: effect == "DeleteJob")
    assert failures(found) == []
    assert counted(found)["DeleteJob"] > 4


@pytest.mark.simulation
def test_a_replica_that_is_everything_dies_after_each_effect_that_others_go_by() -> None:
    found = branches(
        "west-1", EVERYTHING, dies, concerns=lambda effect, done: done and effect not in ("acknowledge", "PatchStatus")
    )
    assert failures(found) == []
    effects = counted(found)
    assert {"append", "CreateJob", "HaltJob", "send_commands", "send_reports"} < effects.keys()
    assert len(found) == effects.total() > 100


def is_append(effect: str, done: bool) -> bool:
    return effect == "append" and not done


@pytest.mark.simulation
def test_the_executor_is_cut_off_at_each_append_and_what_it_wrote_lands_long_after() -> None:
    found = branches("west-1", EVERYTHING, is_stranded, concerns=is_append)
    assert failures(found) == []
    assert len(found) > 45


# --- do these tests see what they are to see? ---


@pytest.mark.simulation
def test_they_see_an_api_server_where_a_name_can_be_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is the lock: without it, a worker that dies before it tells of its Job leaves it to be made again."""
    real = FakeCluster.create_job

    def unlocked(self: FakeCluster, namespace: str, body: dict[str, Any], by: str, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        name = body["metadata"]["name"]
        if (namespace, name) in self.jobs:
            other, metadata = f"{name}-of-{by}", body["metadata"]
            annotations = metadata.get("annotations", {}) | {manifests.JOB: other}  # no copy, but a Job like any other
            body = body | {"metadata": metadata | {"name": other, "annotations": annotations}}
        return real(self, namespace, body, by, **kwargs)

    monkeypatch.setattr(FakeCluster, "create_job", unlocked)
    found = branches("west-1", WORKER, dies, concerns=lambda effect, done: effect == "CreateJob" and done)
    assert any("has 2 Jobs" in sentence for branch in found for sentence in branch.wrong)


@pytest.mark.simulation
@pytest.mark.usefixtures("nothing_is_said_twice")
def test_they_see_an_executor_that_acknowledges_before_it_has_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FakeInbox.take

    def take(self: FakeInbox) -> Sequence[Command | Report]:
        messages = real(self)
        self.acknowledge()
        return messages

    monkeypatch.setattr(FakeInbox, "take", take)
    found = branches("west-1", EXECUTOR, dies, concerns=lambda effect, done: effect == "acknowledge" and done)
    assert failures(found) != []


@pytest.mark.simulation
def test_they_see_readers_that_count_records_of_an_old_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(self: State, batch: Batch, first: bool) -> bool:  # noqa: ARG001
        self.epoch = max(self.epoch, batch.epoch)
        return True

    monkeypatch.setattr(State, "_counts", counts)
    found = branches("west-1", EVERYTHING, is_stranded, concerns=is_append)
    assert failures(found) != []
