"""Stories that nobody has written: whatever happens, nothing runs twice, and when it is over everything fires again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hacron.core.model import ConcurrencyPolicy, CronJob, RunState
from hacron.core.state import State
from tests.fakes.kubernetes import all_made
from tests.scenarios import acts
from tests.scenarios.chronicle import short
from tests.scenarios.judge import wrong
from tests.scenarios.world import World

everything = st.one_of(
    acts.of_people,
    acts.of_replicas,
    acts.of_replicas,
    acts.of_the_broker,
    acts.of_clusters,
    acts.of_time,
    acts.of_time,
    st.just(acts.lands),
)


def not_well(world: World) -> Iterator[str]:
    """Return what is not as it should be two minutes after the world has healed."""
    if world.executor is None or world.executor.session is None:
        yield "there is no executor"
        return
    state = world.executor.session.state
    made = all_made(list(world.clusters.values()))
    for home in acts.HOMES:
        if world.worker(home) is None:
            yield f"{home} has no worker"
        for key, body in world.cluster(home).cronjobs.items():
            noted = state.definitions.get(key, {}).get(home)
            if noted is None or noted.generation != body["metadata"]["generation"] or noted.uid != body["metadata"]["uid"]:
                yield f"{short(key)} as {home} declares it is not known"
    for key, homes in state.definitions.items():
        for home in homes:
            if key not in world.cluster(home).cronjobs:
                yield f"{short(key)} is still known from {home}"
        cronjob = state.cronjob(key)
        since = world.now - timedelta(seconds=130)
        if isinstance(cronjob, CronJob) and not cronjob.suspend:
            ran = [one for one in made if one.key == key and one.at > since and not one.tombstone]
            if not ran:
                yield f"{short(key)} has not run for two minutes"
    yield from not_met(world, state)
    for key, progress in state.progress.items():
        for run in progress.open:
            due = run.start_by if run.demand else run.tick
            if run.state is RunState.LOST or due < world.now - timedelta(seconds=60):
                yield f"{short(key)} {run.tick:%H:%M:%S} is still {run.state} in {run.cluster}"


def not_met(world: World, state: State) -> Iterator[str]:
    """Return what was demanded and is not known, not there any more, or not done although nothing is in its way."""
    for home in acts.HOMES:
        for key, body in world.cluster(home).demands.items():
            noted = state.demands.get(key)
            entry = noted.homes.get(home) if noted is not None and noted.withdrawn_at is None else None
            if entry is None or entry.uid != body["metadata"]["uid"]:
                yield f"{short(key)} as {home} demands it is not known"
    for key, demand in state.demands.items():
        there = [home for home in demand.homes if key in world.cluster(home).demands]
        if demand.withdrawn_at is None and len(there) != len(demand.homes):
            yield f"{short(key)} is still known from {', '.join(demand.homes)}"
        cronjob = state.cronjob(demand.cronjob) if demand.cronjob else None
        free = isinstance(cronjob, CronJob) and cronjob.policy is ConcurrencyPolicy.ALLOW
        if demand.withdrawn_at is None and free and demand.account.finished is None and not demand.wrong:
            rests = demand.held is not None and demand.held.reason in ("Suspended", "Paused")
            if not rests:
                yield f"{short(key)} is not done: {demand.account}, {demand.held}"
        if demand.account.succeeded + demand.account.failed > demand.account.decided:
            yield f"{short(key)} has more results than runs: {demand.account}"


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.lists(everything, min_size=10, max_size=40))
def test_whatever_happens_nothing_runs_twice_and_in_the_end_all_is_well(story: list[acts.Act]) -> None:
    world = acts.begin()
    acts.tell(world, story)
    acts.heal(world)
    acts.passes(130)(world)
    assert wrong(world) == []
    assert list(not_well(world)) == []
