"""What may happen in a story that nobody has written: acts, each harmless at any time and in any order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hacron.core import manifests, namelock
from hacron.core.manifests import PAUSE, PAUSE_UNTIL
from hacron.core.model import Kind, key_of
from hacron.ports import BrokerUnavailable
from tests.fakes.broker import COMMANDS, REPORTS, TOKEN, worker_queue
from tests.fakes.kubernetes import FAILS, HANGS, WELL, Fate, Made
from tests.fakes.versions import NEXT, OURS, Dialect, is_of_next
from tests.scenarios.decided import counted
from tests.scenarios.script import demand_spec, spec
from tests.scenarios.world import Died, Process, World

TAKEN_BACK = timedelta(seconds=3.5)  # before the tick, and told so much after it
FOREIGN = {"template": {"metadata": {"annotations": {"testbed/run-seconds": "5"}}, "spec": {"restartPolicy": "Never"}}}
ASKED_AGAIN = timedelta(seconds=0.1)  # and sooner than anybody does
FOR_A_MOMENT = timedelta(seconds=2)
LONG_KNOWN = timedelta(seconds=125)
KEEPS_ITS_NAME = timedelta(seconds=85)  # does a Job, or a tombstone
MOMENT = timedelta(milliseconds=1)  # epochs go by it
STARTS_WITHIN, SKEW = timedelta(seconds=20), timedelta(seconds=2)
STUCK = {  # what befalls a consumer alone: its queue, if it is not the one of its cluster's worker token
    "gets no commands any more": COMMANDS,
    "gets no reports any more": REPORTS,
    "gets no worker token any more": "",
}
KINDS = {  # of cronjobs; what each stays as long as the story lasts, unless it is applied like another
    "a": {"policy": "Allow"},
    "b": {"policy": "Forbid"},
    "c": {"policy": "Replace"},
    "d": {"policy": "Forbid", "guarantee": "AtLeastOnce"},
    "e": {"policy": "Queue", "max": "2"},
    "f": {"policy": "Allow", "catch-up": "policy:All,limit:5,spreadSeconds:3"},
    "g": {"policy": "Allow", "guarantee": "AtLeastOnce"},
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens; `what` tells it when a story has failed."""

    what: str
    do: Callable[[World], object] = field(repr=False)

    def __call__(self, world: World) -> None:
        self.do(world)


# --- what people do ---


def apply(name: str, home: str, fields: dict[str, str], like: str = "") -> Act:
    key = key_of("default", name)
    said = {"runs": "9"} | KINDS[like or name] | fields
    told = ", ".join(f"{field}={text}" for field, text in fields.items())
    return Act(
        f"{name} is applied in {home}{f' like {like}' if like else ''}: {told}",
        lambda world: world.cluster(home).apply(key, spec(said)),
    )


def delete(name: str, home: str, unseen: bool = False) -> Act:
    def act(world: World) -> None:
        if key_of("default", name) in world.cluster(home).cronjobs:
            world.cluster(home).delete(key_of("default", name), unseen=unseen)

    return Act(f"{name} is deleted in {home}{', and no watch tells' if unseen else ''}", act)


def delete_slowly(name: str, home: str, takes_s: int, foreground: bool) -> Act:
    """Delete a cronjob that has a finalizer, be it the one that lets its Jobs go first."""

    def act(world: World) -> None:
        if key_of("default", name) in world.cluster(home).cronjobs:
            world.cluster(home).delete_slowly(key_of("default", name), timedelta(seconds=takes_s), foreground=foreground)

    return Act(f"{name} is deleted in {home}{' after its Jobs' if foreground else ''}, which takes {takes_s} s", act)


def recreate(name: str, home: str) -> Act:
    def act(world: World) -> None:
        key = key_of("default", name)
        if key in world.cluster(home).cronjobs:
            body = world.cluster(home).cronjobs[key]
            world.cluster(home).delete(key)
            world.cluster(home).apply(key, body["spec"])

    return Act(f"{name} is deleted in {home} and made anew", act)


def pause(name: str, home: str, until_s: int | None) -> Act:
    """Pause a cronjob, for some seconds or until the end of the story."""

    def act(world: World) -> None:
        until = f"{world.now + timedelta(seconds=until_s):%Y-%m-%dT%H:%M:%SZ}" if until_s is not None else None
        if key_of("default", name) in world.cluster(home).cronjobs:
            world.cluster(home).annotate(key_of("default", name), {PAUSE: "", PAUSE_UNTIL: until})

    return Act(f"{name} is paused in {home}{f' for {until_s} s' if until_s is not None else ''}", act)


def resume(world: World) -> None:
    """End all pauses."""
    for cluster in world.clusters.values():
        for key in cluster.cronjobs:
            cluster.annotate(key, {PAUSE: None, PAUSE_UNTIL: None})


def demand(name: str, number: int, home: str, words: dict[str, str]) -> Act:
    """Ask for a run beside the schedule."""
    key, said = key_of("default", f"{name}-now-{number}"), demand_spec(name, words)
    return Act(f"a run of {name} is demanded in {home}", lambda world: world.cluster(home).apply(key, said, Kind.DEMAND))


def undemand(name: str, number: int, home: str) -> Act:
    def act(world: World) -> None:
        key = key_of("default", f"{name}-now-{number}")
        if key in world.cluster(home).demands:
            world.cluster(home).delete(key, Kind.DEMAND)

    return Act(f"the demand {name}-now-{number} is deleted in {home}", act)


def delete_job(home: str, number: int) -> Act:
    """Delete a Job by hand, but no tombstone that is still needed: who deletes that gives the name away."""

    def act(world: World) -> None:
        cluster = world.cluster(home)
        jobs = [job for job in cluster.jobs.values() if job.made is not None and _may_go(job.made, world.now)]
        if jobs:
            world.delete_job(cluster, jobs[number % len(jobs)], foreground=number % 2 == 0)

    return Act(f"one of {home}'s Jobs is deleted by hand", act)


def _may_go(made: Made, now: datetime) -> bool:
    return not made.tombstone or now > made.at + STARTS_WITHIN + SKEW + namelock.REQUEST_LIVES


# --- what befalls replicas ---


def befall(what: str, name: str) -> Act:
    """Something happens to a replica, if it can happen to it now; one that is gone comes back instead."""

    def act(world: World) -> None:
        process = world.processes[name]
        if not process.alive:
            world.start_again(name)
        elif what == "dies":
            process.die()
        elif what == "stops" and process.frozen_since is None:
            process.stop()
        elif what == "freezes" and process.frozen_since is None:
            world.freeze(name)
        elif what == "thaws" and process.frozen_since is not None:
            world.thaw(name)
        elif what == "is on a node that is cut off" and process.broker is not None:
            world.isolate(name)
        elif what == "hears nothing any more":
            world.deafen(name)
        elif what == "can say nothing any more":
            world.mute(name)
        elif process.broker is not None and what in ("reads nothing of the ledger", "reads the ledger again"):
            process.broker.reads_nothing = what == "reads nothing of the ledger"
        elif process.broker is not None and what in STUCK:
            world.broker.stick(process.broker, STUCK[what] or worker_queue(process.settings.cluster))
        elif what == "connects anew, and reads nothing of the ledger":
            process.opens_deaf = True
            world.cut(name)
        elif process.broker is not None and what == "is told nothing any more, if it is the executor":
            for queue in (COMMANDS, REPORTS) if process is world.executor else ():
                world.broker.stick(process.broker, queue)
        elif what == "loses its connection":
            world.cut(name)

    return Act(f"{name} {what}", act)


def befall_at_effect(what: str, name: str, number: int, done: bool) -> Act:
    """Something happens to a replica in the middle of a turn: before or after what it does to the world next but so many."""

    def act(world: World) -> None:
        process = world.processes[name]
        if not process.alive or process.frozen_since is not None:
            return
        left = number

        def on_effect(effect: str, is_done: bool) -> None:
            nonlocal left
            if is_done is not done or (what == "loses its connection" and not effect.islower()):
                return  # the names of requests to Kubernetes have capitals
            left -= 1
            if left >= 0:
                return
            process.on_effect, process.may_fall_asleep = (lambda _name, _done: None), False
            if what == "dies":
                raise Died
            if what == "freezes":
                process.fall_asleep()
            elif what == "loses its connection":
                raise BrokerUnavailable("the connection is gone")
            elif process.broker is not None:
                world.isolate(name)

        process.on_effect, process.may_fall_asleep = on_effect, what == "freezes"

    return Act(f"{name} {what} {'after' if done else 'before'} its next effect but {number}", act)


def at_effect(what: Act, name: str, number: int, done: bool) -> Act:
    """People do something while a replica is in the middle of a turn."""

    def act(world: World) -> None:
        process = world.processes[name]
        left = number

        def on_effect(_effect: str, is_done: bool) -> None:
            nonlocal left
            left -= is_done is done
            if left < 0:
                process.on_effect = lambda _name, _done: None
                what(world)

        process.on_effect = on_effect

    return Act(f"{'after' if done else 'before'} {name}'s next effect but {number}: {what.what}", act)


def lags(name: str, by: int | None) -> Act:
    """Its broker node comes back, with a copy of the ledger that lacks so much at its end; or what it lacks has come."""

    def act(world: World) -> None:
        ledger = world.broker.ledger
        world.lag(name, max(-1, ledger[-1].offset - by) if by is not None and ledger else None)

    what = "has all of the ledger" if by is None else f"comes back without the last {by} messages of the ledger"
    return Act(f"{name}'s node {what}", act)


def lags_to_a_deletion(name: str, home: str, names: tuple[str, ...]) -> Act:
    """A cronjob is made anew, and has a long Job; then a cluster's nodes know for a moment only that it was deleted."""
    key = key_of("default", name)

    def act(world: World) -> None:
        cluster = world.cluster(home)
        body = cluster.cronjobs.get(key)
        if body is None:
            return
        cluster.delete(key)
        world.at(world.now + FOR_A_MOMENT)
        ledger = world.broker.ledger
        deleted_at = ledger[-1].offset if ledger else -1
        cluster.apply(key, body["spec"])
        world.at(world.now + LONG_KNOWN)
        cluster.apply(key, body["spec"] | spec({"schedule": "* * * * *", "runs": "95"}))
        tick = world.now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        world.at(tick + timedelta(seconds=30))
        cluster.apply(key, body["spec"])
        world.at(tick + KEEPS_ITS_NAME)
        for one in names:
            world.lag(one, deleted_at)
        world.at(world.now + FOR_A_MOMENT)
        for one in names:
            world.lag(one, None)

    said = f"{name} is made anew in {home}, has a long Job, and then its nodes know for a moment only that it was deleted"
    return Act(said, act)


def silent_as_it_makes(home: str, names: tuple[str, ...]) -> Act:
    """A cluster is cut off from the broker just when a Job has begun there, before anybody is told."""

    def act(world: World) -> None:
        def on_effect(effect: str, is_done: bool) -> None:
            if effect == "CreateJob" and is_done:
                for name in names:
                    world.processes[name].on_effect = lambda _name, _done: None
                world.silence(home)

        for name in names:
            world.processes[name].on_effect = on_effect

    return Act(f"{home} is cut off from the broker as soon as it has made a Job", act)


def dies_as_it_makes(names: tuple[str, ...]) -> Act:
    """Of some replicas, the one that makes the next Job dies before it hears of that."""

    def act(world: World) -> None:
        def on_effect(effect: str, is_done: bool) -> None:
            if effect == "CreateJob" and is_done:
                for name in names:
                    world.processes[name].on_effect = lambda _name, _done: None
                raise Died

        for name in names:
            world.processes[name].on_effect = on_effect

    return Act(f"of {', '.join(names)} who makes the next Job dies as it is made", act)


def freezes_with_a_request_ready(names: tuple[str, ...]) -> Act:
    """All replicas of a cluster freeze just when one of them is about to ask for a Job: it has looked, and has not sent yet."""

    def act(world: World) -> None:
        def freeze() -> None:
            for name in names:
                process = world.processes[name]
                process.kube.ready = lambda: None
                if process.turns:
                    world.freeze(name)

        for name in names:
            world.processes[name].kube.ready = freeze

    return Act(f"{', '.join(names)} freeze as soon as a Job is to be asked for", act)


def makes_and_says_no(home: str, names: tuple[str, ...], no_longer_s: float) -> Act:
    """The next Job is made with an answer that says otherwise, no watch tells of it, and to who asks again a webhook says no."""

    def act(world: World) -> None:
        cluster = world.cluster(home)
        lags = {name: world.processes[name].kube.watch_lags_s for name in names}

        def fate(request: str) -> Fate:
            if request != "CreateJob" or cluster.denies:
                return WELL
            for name in names:
                world.processes[name].kube.watch_lags_s = no_longer_s
            cluster.travels(cluster.now + ASKED_AGAIN, says_no)
            return Fate(answered=500)

        def says_no() -> None:
            if cluster.fate is fate:
                cluster.denies = "no"
                cluster.travels(cluster.now + timedelta(seconds=no_longer_s), is_over)

        def is_over() -> None:
            if cluster.fate is fate:
                cluster.denies, cluster.fate = "", None
                for name, lag in lags.items():
                    world.processes[name].kube.watch_lags_s = lag

        cluster.fate = fate

    what = (
        f"{home} makes its next Job and answers 500, then says no to all Jobs, and its watches tell nothing, for {no_longer_s} s"
    )
    return Act(what, act)


def is_taken_back_unheard(name: str, home: str) -> Act:
    """Seconds before its tick a run is taken back and may go elsewhere, and its cluster reads of that only after the tick."""
    key = key_of("default", name)

    def act(world: World) -> None:
        body = world.cluster(home).cronjobs.get(key)
        at = manifests.instant(body.get("status", {}).get("nextScheduleTime")) if body is not None else None
        if body is None or at is None or not world.now < at - TAKEN_BACK < world.now + timedelta(seconds=60):
            return
        world.at(at - TAKEN_BACK)
        executor = world.executor
        progress = executor.session.state.progress.get(key) if executor is not None and executor.session is not None else None
        where = next((run.cluster for run in progress.open if run.tick == at), None) if progress is not None else None
        if where is None or executor is None or where == executor.settings.cluster:
            return
        sessions = [process.broker for process in world.of(where) if process.broker is not None]
        for session in sessions:
            session.reads_nothing = True
        others = [cluster for cluster in world.clusters if cluster != where]
        world.cluster(home).apply(key, body["spec"] | {"placement": {"clusters": others}})
        world.at(at + TAKEN_BACK)
        for session in sessions:
            session.reads_nothing = False

    return Act(f"{name} is applied in {home} for other clusters just before its tick, and the first does not hear of it", act)


def command_outlives_the_ledger(name: str, home: str, *, so_do_records: bool = False) -> Act:
    """Only the ledger is lost, what a cronjob was first declared by waits in its queue, and its last Job is deleted by hand.

    What the executor sent last, two messages, may land at the beginning of the next ledger.
    """
    words = (f'"default/{name}"'.encode(), b'"CronJobDeclared"')

    def act(world: World) -> None:
        first = next((body for _, body in world.broker.kept if all(word in body for word in words)), None)
        cluster = world.cluster(home)
        jobs = [job for job in cluster.jobs.values() if job.made is not None and job.made.key == key_of("default", name)]
        if first is None or not jobs:
            return
        world.broker.start()
        sent = world.broker.ledger[-2:] if so_do_records else []
        lose(world, only_the_ledger=True)
        for stored in sent:
            world.broker.append(stored.body, stored.floor)
        world.broker.queue(COMMANDS).put(first)
        world.delete_job(cluster, jobs[-1], foreground=False)

    begun = ", behind what its executor sent last" if so_do_records else ""
    what = f"the broker loses the ledger, {home} the last Job of {name}, and how {name} was first declared comes again{begun}"
    return Act(what, act)


def record_lands_as_it_begins(name: str) -> Act:
    def act(world: World) -> None:
        if not world.lost_ledgers or not world.lost_ledgers[-1]:
            return
        sent = world.lost_ledgers[-1][-1]
        process = world.processes[name]
        if process.alive:
            process.die()
        world.broker.append(sent.body, sent.floor)
        world.start_again(name)

    return Act(f"what the executor of the lost ledger sent last lands, and {name} starts again", act)


def name_is_taken(name: str, home: str) -> Act:
    """Somebody makes a Job of his own, by the name that the next run of a cronjob would have."""
    key = key_of("default", name)

    def act(world: World) -> None:
        for cluster in world.clusters.values():
            status = cluster.cronjobs.get(key, {}).get("status", {})
            at = manifests.instant(status.get("nextScheduleTime"))
            if at is not None:
                metadata = {"namespace": "default", "name": manifests.job_name(name, at, 1)}
                world.cluster(home).create_job("default", {"metadata": metadata, "spec": FOREIGN}, "somebody")
                return

    return Act(f"somebody takes the name of the next Job of {name} in {home}", act)


def goes_wrong(name: str, by_s: float) -> Act:
    """Its clock steps. By more than a minute, the replica takes no part, and nothing depends on it."""

    def act(world: World) -> None:
        world.processes[name].skew = timedelta(seconds=by_s)
        if world.processes[name].takes_part:
            world.clocks_differ = max(world.clocks_differ, 2 * timedelta(seconds=abs(by_s)))

    return Act(f"{name}'s clock is {by_s} s ahead", act)


def watch_lags(name: str, by_s: float) -> Act:
    def act(world: World) -> None:
        world.processes[name].kube.watch_lags_s = by_s

    return Act(f"{name}'s watches tell {by_s} s late", act)


def changes_version(name: str, to: Dialect, words: str = "another version") -> Act:
    """A rolling update: it stops, and another version starts; or this one, if it was that."""

    def act(world: World) -> None:
        before = world.processes[name]
        after = roll(world, name, before.settings.forgotten_clusters)
        if after is not None:
            after.dialect = to if before.dialect is not to else OURS

    return Act(f"{name} is replaced by {words}", act)


def is_lost(home: str) -> Act:
    """A cluster is gone with all that runs in it; or it looks so to everybody else: pods go on."""

    def act(world: World) -> None:
        for process in world.of(home):
            if process.alive:
                process.die()
        world.cluster(home).up = False

    return Act(f"{home} is lost, replicas and API server", act)


def comes_back(home: str) -> Act:
    def act(world: World) -> None:
        if not world.cluster(home).up:
            world.cluster(home).start()
        for process in list(world.of(home)):
            if not process.alive:
                world.start_again(process.name)

    return Act(f"{home} comes back", act)


def is_backed_up(home: str) -> Act:
    def act(world: World) -> None:
        world.saved[home] = world.cluster(home).save()

    return Act(f"the HACronJobs of {home} are backed up", act)


def is_put_back(home: str) -> Act:
    """Not its HACronJobRuns: what is left of those may run again."""

    def act(world: World) -> None:
        saved = world.saved.get(home, {})
        world.cluster(home).put_back({kind: one for kind, one in saved.items() if kind is Kind.CRONJOB})

    return Act(f"the HACronJobs of {home} are put back from the backup", act)


def forget(home: str | None, names: tuple[str, ...]) -> Act:
    """A rolling update of these replicas: they say now that a cluster is to be forgotten, or that none is."""

    def act(world: World) -> None:
        for name in names:
            roll(world, name, (home,) if home is not None else ())

    return Act(f"{', '.join(names)} are told to forget {home}", act)


def roll(world: World, name: str, forgotten: tuple[str, ...]) -> Process | None:
    """Stop a replica and start it again, to say that these clusters are to be forgotten; not one that is frozen."""
    process = world.processes[name]
    if process.frozen_since is not None:
        return None
    if process.alive:
        process.stop()
    process.settings = replace(process.settings, forgotten_clusters=forgotten)
    return world.start_again(name)


# --- what befalls the world ---


def befall_broker(what: str, number: int = 0) -> Act:
    def act(world: World) -> None:
        broker = world.broker
        match what:
            case "stops":
                broker.stop()
            case "starts":
                broker.start()
            case "is wiped":
                broker.start()
                lose(world)
            case "loses the ledger":
                broker.start()
                lose(world, only_the_ledger=True)
            case "loses the token":
                broker.lose(TOKEN)
            case "loses a worker's token":
                broker.lose(worker_queue(sorted(world.clusters)[number % len(world.clusters)]))
            case "loses the token's queue":
                broker.delete_queue(TOKEN)
            case "loses its commands and reports":
                broker.delete_queue(COMMANDS)
                broker.delete_queue(REPORTS)
            case "has another token":
                broker.put(TOKEN, b"{}")
            case "delivers no commands" | "delivers no reports":
                world.stall(what.split()[-1])
            case "delivers again":
                world.stall(COMMANDS, False)
                world.stall(REPORTS, False)
            case _:
                if broker.kept:
                    queue, body = broker.kept[-1 - number % len(broker.kept)]
                    broker.queue(queue).put(body)

    return Act(f"the broker {what}", act)


def shuffles(seed: int) -> Act:
    """What comes back to the queues comes back in another order."""

    def act(world: World) -> None:
        dice = random.Random(seed)
        for name in ("commands", "reports"):
            world.broker.queue(name).shuffle = dice.shuffle

    return Act("from now on redelivered messages come in any order", act)


def lose(world: World, *, only_the_ledger: bool = False) -> None:
    """Lose the broker's data, but not in the millisecond in which its executor began: the next one would have the same epoch."""
    executor = world.executor
    if executor is not None and executor.epoch >= int(executor.moment().wall.timestamp() * 1000):
        world.at(world.now + MOMENT)
    world.wipe(only_the_ledger=only_the_ledger)


def lands(world: World) -> None:
    world.broker.unstrand()


what_was_cut_off_lands = Act("what was published through nodes that were cut off lands", lands)
what_was_cut_off_is_lost = Act(
    "what was published through nodes that were cut off is lost", lambda world: world.broker.limbo.clear()
)


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
            case "takes everybody's rights" | "gives them back":
                cluster.forbids = what == "takes everybody's rights"
            case "has a webhook that hangs" | "has a webhook that fails":
                cluster.webhooks["default"] = HANGS if what == "has a webhook that hangs" else FAILS
            case "has no webhook any more":
                cluster.webhooks.clear()
            case "lets nobody change a Job" | "lets Jobs be changed":
                cluster.pins = what == "lets nobody change a Job"
            case _:
                pass

    return Act(f"{home} {what}", act)


def has_room(home: str, jobs: int | None) -> Act:
    """A quota lets so many Jobs be there that have not ended; None: as many as there may be."""

    def act(world: World) -> None:
        world.cluster(home).quota = jobs

    return Act(f"{home} has room for {'any number of' if jobs is None else jobs} Jobs", act)


ANSWERS_LATE = 0.25  # of the requests that are late, these act after half of the time, and watches tell of that first


def is_ill(home: str, how: dict[str, float], longest_s: float, seed: int) -> Act:
    """Some requests to a cluster are late, refused, or acted upon with an answer that says otherwise; with what chance each."""

    def act(world: World) -> None:
        dice = random.Random(seed)

        def fate(request: str) -> Fate:
            chance = dice.random()
            if chance < how["late"]:
                late_s = dice.uniform(0.0, longest_s if request == "CreateJob" else min(longest_s, 15.0))
                answer_s = late_s / 2 if late_s * 1000 % 1 >= 1 - ANSWERS_LATE else 0.0
                return Fate(delay_s=late_s - answer_s, answer_s=answer_s)
            chance -= how["late"]
            if chance < how["refused"]:
                return Fate(refused=dice.choice([429, 500, 503]))
            chance -= how["refused"]
            if chance < how["acts all the same"]:
                return Fate(answered=dice.choice([500, 504, 429]))
            return WELL

        world.cluster(home).fate = fate

    told = ", ".join(f"{chance:.0%} {word}" for word, chance in how.items() if chance)
    return Act(f"{home}'s API server is ill: of the requests {told} (up to {longest_s:.0f} s)", act)


def is_well(home: str) -> Act:
    def act(world: World) -> None:
        world.cluster(home).fate = None

    return Act(f"{home}'s API server is well", act)


def passes(seconds: float) -> Act:
    return Act(f"{seconds} s pass", lambda world: world.at(world.now + timedelta(seconds=seconds)))


# --- how it ends ---


def cut_who_is_stuck(world: World, queue: str) -> None:
    """Reset the connections on which a queue's consumer brings nothing any more."""
    for consumer in list(world.broker.queue(queue).line):
        if consumer.stuck:
            world.broker.cut(consumer.session)


def heal(world: World) -> None:
    """End whatever is wrong, but for consumers that bring nothing any more: replicas have to notice that themselves."""
    broker = world.broker
    broker.start()
    lands(world)
    befall_broker("delivers again")(world)
    resume(world)
    for home, cluster in world.clusters.items():
        cluster.mute = cluster.busy = cluster.forbids = False
        cluster.denies, cluster.fate, cluster.quota, cluster.pins = "", None, None, False
        cluster.webhooks.clear()
        if not cluster.up:
            cluster.start()
        for job in [job for job in cluster.jobs.values() if job.made is None]:
            metadata = job.body["metadata"]
            cluster.delete_job(metadata["namespace"], metadata["name"], None, "somebody", foreground=False)
        world.silence(home, silent=False)
    for queue in (TOKEN, *map(worker_queue, world.clusters)):
        if broker.holds_what_was_lost(queue) and not broker.has(queue):
            broker.put(queue, b"{}")  # nobody misses it; what nobody holds is missed, and replicas put it back
    for home in world.clusters:
        if world.worker(home) is not None:  # nobody misses a place in the line behind it either
            cut_who_is_stuck(world, worker_queue(home))
    for process in list(world.processes.values()):
        process.skew = timedelta()
        world.lag(process.name, None)
        process.kube.watch_lags_s = 0.0
        process.kube.ready = lambda: None
        process.on_effect, process.may_fall_asleep = (lambda _name, _done: None), False
        if not process.alive:
            world.start_again(process.name)
        elif process.frozen_since is not None:
            world.thaw(process.name)
        if process.settings.forgotten_clusters:
            roll(world, process.name, ())
    end_the_upgrade(world)
    world.settle()


def end_the_upgrade(world: World) -> None:
    """Have all read the same: the next message version if any of it counts, else this one."""
    read_it = any(is_of_next(stored.body) for stored in counted(world.broker.ledger))
    for process in list(world.processes.values()):
        if (process.dialect is NEXT) is not read_it:
            after = roll(world, process.name, ())
            assert after is not None
            after.dialect = NEXT if read_it else OURS
