"""What may happen in a story that nobody has written: acts to be drawn at random, each harmless to draw at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import strategies as st

from hacron.core.manifests import PAUSE, PAUSE_UNTIL
from hacron.core.model import Kind, key_of
from tests.fakes.broker import TOKEN, worker_queue
from tests.scenarios.script import demand_spec, spec
from tests.scenarios.world import World

HOMES, REPLICAS = ("west", "east"), ("west-1", "east-1", "west-2")
KINDS = {  # of cronjobs; what each stays as long as the story lasts
    "a": {"policy": "Allow"},
    "b": {"policy": "Forbid"},
    "c": {"policy": "Replace"},
    "d": {"policy": "Forbid", "guarantee": "AtLeastOnce"},
    "e": {"policy": "Queue", "max": "2"},
    "f": {"policy": "Allow", "catch-up": "policy:All,limit:5,spreadSeconds:3"},
}
DEMANDS = {  # HACronJobRuns → of which cronjob, and what each says
    "x": ("a", {}),
    "y": ("a", {"from": "11:40:00", "to": "11:46:00"}),
    "z": ("b", {"from": "11:40:00", "to": "11:42:00"}),
    "v": ("c", {"at": "12:01:00"}),
    "w": ("d", {}),
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens; `what` tells it when a story has failed."""

    what: str
    do: Callable[[World], object] = field(repr=False)

    def __call__(self, world: World) -> None:
        self.do(world)


def begin(world: World | None = None) -> World:
    world = world or World()
    for home in HOMES:
        world.cluster(home).namespaces["default"]["hacron.io/accept-from"] = "*"
    for name in REPLICAS:
        world.start(name, inventory_interval_s=60)  # soon enough for a story's end
    world.settle()
    return world


def tell(world: World, story: list[Act]) -> None:
    for act in story:
        act(world)
        world.settle()


def heal(world: World) -> None:
    """End whatever is wrong, and give everybody time to find each other."""
    world.broker.start()
    lands(world)
    resume(world)
    for home in HOMES:
        cluster = world.cluster(home)
        cluster.mute, cluster.busy, cluster.denies = False, False, ""
        if not cluster.up:
            cluster.start()
        world.silence(home, silent=False)
    for name in REPLICAS:
        befall("thaws", name)(world)
    world.settle()
    passes(60)(world)


# --- what people do ---


def apply(name: str, home: str, fields: dict[str, str]) -> Act:
    key = key_of("default", name)
    said = {"runs": "9"} | KINDS[name] | fields
    return Act(f"apply {name} {home} {fields}", lambda world: world.cluster(home).apply(key, spec(said)))


def delete(name: str, home: str) -> Act:
    def act(world: World) -> None:
        if key_of("default", name) in world.cluster(home).cronjobs:
            world.cluster(home).delete(key_of("default", name))

    return Act(f"delete {name} {home}", act)


def pause(name: str, home: str, until_s: int | None) -> Act:
    """Pause a cronjob, for some seconds or until it is healed."""

    def act(world: World) -> None:
        until = f"{world.now + timedelta(seconds=until_s):%Y-%m-%dT%H:%M:%SZ}" if until_s is not None else None
        if key_of("default", name) in world.cluster(home).cronjobs:
            world.cluster(home).annotate(key_of("default", name), {PAUSE: "", PAUSE_UNTIL: until})

    return Act(f"{name} is paused in {home} for {until_s} s", act)


def resume(world: World) -> None:
    """End all pauses."""
    for home in HOMES:
        for key in world.cluster(home).cronjobs:
            world.cluster(home).annotate(key, {PAUSE: None, PAUSE_UNTIL: None})


def demand(name: str, home: str) -> Act:
    key, (cronjob, said) = key_of("default", name), DEMANDS[name]
    return Act(f"demand {name} {home}", lambda world: world.cluster(home).apply(key, demand_spec(cronjob, said), Kind.DEMAND))


def undemand(name: str, home: str) -> Act:
    def act(world: World) -> None:
        if key_of("default", name) in world.cluster(home).demands:
            world.cluster(home).delete(key_of("default", name), Kind.DEMAND)

    return Act(f"undemand {name} {home}", act)


def delete_job(home: str, number: int) -> Act:
    def act(world: World) -> None:
        jobs = list(world.cluster(home).jobs.values())
        if jobs:
            metadata = jobs[number % len(jobs)].body["metadata"]
            world.cluster(home).delete_job(metadata["namespace"], metadata["name"], None, "somebody", foreground=number % 2 == 0)

    return Act(f"one of {home}'s Jobs is deleted", act)


# --- what befalls replicas ---


def befall(what: str, name: str) -> Act:
    """Something happens to a replica, if it can happen to it now."""

    def act(world: World) -> None:
        process = world.processes[name]
        if not process.alive:
            world.start(name, inventory_interval_s=60)
        elif what == "dies":
            process.die()
        elif what == "stops" and process.frozen_since is None:
            process.stop()
        elif what == "freezes" and process.frozen_since is None:
            world.freeze(name)
        elif what == "thaws" and process.frozen_since is not None:
            world.thaw(name)
        elif what == "is cut off" and process.broker is not None:
            world.isolate(name)

    return Act(f"{name} {what}", act)


def goes_wrong(name: str, by_s: float) -> Act:
    """Its clock goes wrong, by less than what clocks may differ by."""

    def act(world: World) -> None:
        world.processes[name].skew = timedelta(seconds=by_s)

    return Act(f"{name}'s clock is {by_s} s ahead", act)


lands = Act("what was appended through nodes that were cut off lands", lambda world: world.broker.unstrand())


# --- what befalls the world ---


def befall_broker(what: str) -> Act:
    def act(world: World) -> None:
        match what:
            case "stops":
                world.broker.stop()
            case "starts":
                world.broker.start()
            case "loses the token":
                world.broker.lose(TOKEN)
            case "loses a worker's token":
                world.broker.lose(worker_queue("west"))
            case "loses the token's queue":
                world.broker.delete_queue(TOKEN)
            case _:
                world.broker.put(TOKEN, b"{}")

    return Act(f"the broker {what}", act)


def befall_cluster(what: str, home: str) -> Act:
    def act(world: World) -> None:
        cluster = world.cluster(home)
        match what:
            case "comes up" if not cluster.up:
                cluster.start()
            case "goes down":
                cluster.up = False
            case "is mute" | "speaks":
                cluster.mute = what == "is mute"
            case "is busy" | "is idle":
                cluster.busy = what == "is busy"
            case "denies" | "allows":
                cluster.denies = "no" if what == "denies" else ""
            case "is silent" | "is heard":
                world.silence(home, silent=what == "is silent")
            case _:
                pass

    return Act(f"{home} {what}", act)


def passes(seconds: float) -> Act:
    return Act(f"{seconds} s pass", lambda world: world.at(world.now + timedelta(seconds=seconds)))


# --- at random ---

names, demands = st.sampled_from(list(KINDS)), st.sampled_from(list(DEMANDS))
homes, replicas = st.sampled_from(HOMES), st.sampled_from(REPLICAS)
specs = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(["* * * * *", "@every 20s", "@every 7s", "*/2 * * * *", "nonsense"]),
        "suspend": st.sampled_from(["true", "false", "false"]),
        "clusters": st.sampled_from(["west,east", "east"]),
    }
)
of_people = st.one_of(
    st.builds(apply, names, homes, specs),
    st.builds(apply, names, homes, specs),
    st.builds(delete, names, homes),
    st.builds(delete_job, homes, st.integers(0, 9)),
    st.builds(demand, demands, homes),
    st.builds(demand, demands, homes),
    st.builds(undemand, demands, homes),
    st.builds(pause, names, homes, st.one_of(st.none(), st.integers(-5, 60))),
)
of_replicas = st.one_of(
    st.builds(befall, st.sampled_from(["dies", "stops", "freezes", "thaws", "is cut off"]), replicas),
    st.builds(goes_wrong, replicas, st.sampled_from([-0.9, -0.3, 0.0, 0.4, 0.9])),
)
of_the_broker = st.builds(
    befall_broker,
    st.sampled_from(
        ["stops", "starts", "starts", "loses the token", "loses a worker's token", "loses the token's queue", "has another token"]
    ),
)
of_clusters = st.builds(
    befall_cluster,
    st.sampled_from(
        ["comes up", "goes down", "is mute", "speaks", "is busy", "is idle", "denies", "allows", "is silent", "is heard"]
    ),
    homes,
)
of_time = st.builds(passes, st.integers(1, 45))
