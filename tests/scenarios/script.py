"""The language of the stories: one command a line, on a world of replicas over fakes.

Every `do_…` method below is a command: `do_at` is `at 12:01:00`. A cluster is there as soon as it is named, "west-1" is a replica
in "west", and a story begins at 12:00:00 UTC.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from hacron.core.manifests import GROUP
from hacron.core.model import Key, Kind, key_of
from tests.fakes.broker import TOKEN, worker_queue
from tests.fakes.kubernetes import FAILS, HANGS, WELL, all_made
from tests.scenarios.chronicle import Chronicle, clock, short
from tests.scenarios.world import NOON

WORDS = {  # what a story may say of a cronjob → where that stands in the spec, and how to read it
    "schedule": ("schedule", str),
    "schedules": ("schedules", lambda text: text.split(";")),
    "hashed": ("hashedSchedule", str),
    "start": ("startTime", lambda text: _of_today(text)),
    "end": ("endTime", lambda text: _of_today(text)),
    "repeat": ("daylightSaving", lambda text: {"repeat": text}),
    "zone": ("timeZone", str),
    "suspend": ("suspend", lambda text: text == "true"),
    "policy": ("concurrencyPolicy", str),
    "deadline": ("startingDeadlineSeconds", int),
    "guarantee": ("guarantee", str),
    "successful": ("successfulJobsHistoryLimit", int),
    "failed": ("failedJobsHistoryLimit", int),
    "max": ("maxActive", int),
    "catch-up": ("catchUp", lambda text: {name: _number_or_text(value) for name, value in _pairs(text)}),  # policy:All,limit:5
}


class Script:
    """A world, and what a story does to it. `run` returns the lines that a command brought forth."""

    def __init__(self) -> None:
        self._chronicle = Chronicle()
        self.world = self._chronicle.world
        self._hidden: tuple[str, ...] = ()
        self._specs: dict[tuple[str, Key], dict[str, str]] = {}

    def run(self, line: str) -> list[str]:
        """Do one command, and let everybody do what follows from it at this instant."""
        name, *words = shlex.split(line)
        command: Callable[..., list[str] | None] | None = getattr(self, f"do_{name.replace('-', '_')}", None)
        assert command is not None, f"no such command: {line}"
        shown = command(*words) or []
        self.world.settle()
        lines = [line for line in self._chronicle.take_lines() if not any(word in line for word in self._hidden)]
        return [*lines, *shown]

    # --- replicas ---

    def do_replicas(self, *names: str, **settings: object) -> None:
        for name in names:
            self.world.start(name, **settings)

    def do_start(self, name: str) -> None:
        self.world.start(name)

    def do_kill(self, name: str) -> None:
        self.world.processes[self._who(name)].die()

    def do_stop(self, name: str) -> None:
        self.world.processes[self._who(name)].stop()

    def do_freeze(self, name: str) -> None:
        self.world.freeze(self._who(name))

    def do_thaw(self, name: str) -> None:
        self.world.thaw(name)

    def do_cut(self, name: str) -> None:
        self.world.cut(self._who(name))

    def do_strand(self, name: str) -> None:
        self.world.isolate(self._who(name))

    def do_unstrand(self) -> None:
        self.world.broker.unstrand()

    def do_silence(self, cluster: str) -> None:
        self.world.silence(cluster)

    def do_restore(self, cluster: str) -> None:
        self.world.silence(cluster, silent=False)

    def do_hold(self, name: str) -> None:
        self.world.processes[name].kube.held = True

    def do_release(self, name: str) -> None:
        self.world.processes[name].kube.release()

    def do_skew(self, name: str, seconds: str) -> None:
        self.world.processes[name].skew = timedelta(seconds=float(seconds))

    def do_who(self) -> list[str]:
        executor = self.world.executor
        workers = [self.world.worker(cluster) for cluster in self.world.clusters]
        names = [worker.name if worker else "nobody" for worker in workers]
        return [f"executor {executor.name if executor else 'nobody'}, workers {', '.join(names)}"]

    # --- time ---

    def do_at(self, when: str) -> None:
        hours, minutes, seconds = when.split(":")
        self.world.at(NOON.replace(hour=0) + timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds)))

    # --- the broker ---

    def do_broker(self, what: str) -> None:
        world = self.world
        {
            "stop": world.broker.stop,
            "start": world.broker.start,
            "wipe": world.wipe,
            "loses-the-ledger": partial(world.wipe, only_the_ledger=True),
        }[what]()

    def do_purge(self, queue: str) -> None:
        """Lose every message in a queue, also those that somebody holds: what a purge and a bad day do together."""
        self.world.broker.lose(self._queue(queue))

    def do_delete_queue(self, queue: str) -> None:
        self.world.broker.delete_queue(self._queue(queue))

    def do_stall(self, queue: str) -> None:
        self.world.stall(queue)

    def do_unstall(self, queue: str) -> None:
        self.world.stall(queue, False)

    def do_second(self, queue: str) -> None:
        self.world.broker.put(self._queue(queue), b"{}")

    # --- what people do ---

    def do_apply(self, cluster: str, name: str, *fields: str) -> None:
        key = _key(name)
        self._specs[cluster, key] = dict(field.split("=", 1) for field in fields)
        self.world.cluster(cluster).apply(key, spec(self._specs[cluster, key]))

    def do_change(self, cluster: str, name: str, *fields: str) -> None:
        key = _key(name)
        self._specs[cluster, key] = self._specs[cluster, key] | dict(field.split("=", 1) for field in fields)
        self.world.cluster(cluster).apply(key, spec(self._specs[cluster, key]))

    def do_demand(self, cluster: str, name: str, cronjob: str, *fields: str) -> None:
        """Apply a HACronJobRun: at=…, from=… to=… (times of the story's day), limit=…, ignore-suspend."""
        said = dict(field.split("=", 1) if "=" in field else (field, "") for field in fields)
        self.world.cluster(cluster).apply(_key(name), demand_spec(cronjob, said), Kind.DEMAND)

    def do_undemand(self, cluster: str, name: str, how: str = "") -> None:
        self.world.cluster(cluster).delete(_key(name), Kind.DEMAND, unseen=how == "unseen")

    def do_delete(self, cluster: str, name: str, how: str = "") -> None:
        self.world.cluster(cluster).delete(_key(name), unseen=how == "unseen")

    def do_delete_slowly(self, cluster: str, name: str, takes_s: str, how: str = "") -> None:
        self.world.cluster(cluster).delete_slowly(_key(name), timedelta(seconds=int(takes_s)), foreground=how == "foreground")

    def do_undemand_slowly(self, cluster: str, name: str, takes_s: str) -> None:
        self.world.cluster(cluster).delete_slowly(_key(name), timedelta(seconds=int(takes_s)), Kind.DEMAND)

    def do_annotate(self, cluster: str, name: str, *annotations: str) -> None:
        """Annotate as kubectl does: `pause=why`, and `pause-` to remove it; hacron.io/ is left out."""
        pairs = [text.partition("=") for text in annotations]
        said = {f"{GROUP}/{word.removesuffix('-')}": text if mark else None for word, mark, text in pairs}
        self.world.cluster(cluster).annotate(_key(name), said)

    def do_delete_job(self, cluster: str, name: str, when: str) -> None:
        """Delete the Job of a tick, as a person does."""
        found = [job for job in self.world.cluster(cluster).jobs.values() if str(job.made) == f"{name} {when}"]
        self.world.delete_job(self.world.cluster(cluster), found[0], foreground=False)

    # --- clusters ---

    def do_api(self, name: str, what: str) -> None:
        cluster = self.world.cluster(name)
        match what:
            case "down":
                cluster.up = False
            case "up":
                cluster.start()
            case "mute" | "speaks":
                cluster.mute = what == "mute"
            case "forbids" | "permits":
                cluster.forbids = what == "forbids"
            case "starts" | "has-started":
                cluster.starts = what == "starts"
            case "busy" | "idle":
                cluster.busy = what == "busy"
            case _:
                raise AssertionError(what)

    def do_save(self, cluster: str) -> None:
        """Back up the HACronJobs and HACronJobRuns of a cluster."""
        self.world.saved[cluster] = self.world.cluster(cluster).save()

    def do_put_back(self, cluster: str) -> None:
        self.world.cluster(cluster).put_back(self.world.saved[cluster])

    def do_deny(self, cluster: str, words: str = "") -> None:
        self.world.cluster(cluster).denies = words

    def do_webhook(self, cluster: str, namespace: str, what: str) -> None:
        """Have a webhook on the Jobs of a namespace fail or hang, or work again."""
        fates = {"hangs": HANGS, "fails": FAILS, "works": WELL}
        self.world.cluster(cluster).webhooks[namespace] = fates[what]

    def do_pin_jobs(self, cluster: str) -> None:
        self.world.cluster(cluster).pins = True

    def do_quota(self, cluster: str, jobs: str) -> None:
        self.world.cluster(cluster).quota = None if jobs == "none" else int(jobs)

    def do_accept(self, cluster: str, namespace: str, whom: str) -> None:
        self.world.cluster(cluster).namespaces.setdefault(namespace, {})["hacron.io/accept-from"] = whom

    # --- what is shown ---

    def do_hide(self, *words: str) -> None:
        self._hidden = tuple(f": {word}" for word in words)

    def do_jobs(self, *names: str) -> list[str]:
        """Every Job ever made, oldest first."""
        lines = []
        for made in all_made(list(self.world.clusters.values())):
            if names and short(made.key) not in names:
                continue
            what = "tombstone" if made.tombstone else "Job"
            ended = f", {made.how} {clock(made.over)}" if made.over else ""
            lines.append(f"{made} in {made.cluster}: {what} at {clock(made.at)}{ended}")
        return lines

    def do_remaining(self, cluster: str) -> list[str]:
        """The Jobs that exist in a cluster now."""
        return sorted(name for _, name in self.world.cluster(cluster).jobs)

    def do_events(self, cluster: str, name: str) -> list[str]:
        """The Events on a HACronJob, oldest first."""
        found = [event for event in self.world.cluster(cluster).events.values() if event["involvedObject"]["name"] == name]
        return [f"{event['type']} {event['reason']}: {event['message']}" for event in found]

    def do_count(self, cluster: str, what: str) -> list[str]:
        """How often something was done in a cluster: Jobs made, statuses patched."""
        return [f"{getattr(self.world.cluster(cluster), what)} {what}"]

    def do_status(self, cluster: str, name: str) -> list[str]:
        """What `kubectl describe` shows of a HACronJob."""
        status = self.world.cluster(cluster).cronjobs[_key(name)].get("status", {})
        lines = _conditions(status)
        for field in ("lastScheduleTime", "lastSuccessfulTime", "nextScheduleTime"):
            if status.get(field):
                lines.append(f"{field} {_instant(status[field])}")
        lines += [f"active {run['tick'][11:19]} in {run['cluster']} {run['state']}" for run in status.get("active", [])]
        lines += [f"recent {_recent(verdict)}" for verdict in status.get("recent", [])]
        return lines

    def do_outcome(self, cluster: str, name: str) -> list[str]:
        """What `kubectl describe` shows of a HACronJobRun."""
        status = self.world.cluster(cluster).demands[_key(name)].get("status", {})
        lines = _conditions(status)
        lines.append(f"{status.get('phase')} {status.get('progress', '')}, {status.get('failed')} failed")
        lines += [f"active {run['tick'][11:19]} in {run['cluster']} {run['state']}" for run in status.get("active", [])]
        lines += [f"run {_recent(verdict)}" for verdict in status.get("runs", [])]
        return lines

    # --- inside ---

    def _who(self, name: str) -> str:
        """A replica by its name, or by what it is: "executor", "worker:west"."""
        process = self.world.executor if name == "executor" else None
        if name.startswith("worker:"):
            process = self.world.worker(name.removeprefix("worker:"))
        return process.name if process else name

    def _queue(self, name: str) -> str:
        return TOKEN if name == "token" else worker_queue(name.removeprefix("worker:"))


def spec(fields: dict[str, str]) -> dict[str, Any]:
    """Return a HACronJob's spec from a story's words."""
    fields = {"runs": "20", "restart": "Never"} | fields
    annotations = {"testbed/run-seconds": fields.pop("runs"), "testbed/fail": fields.pop("fails", "false")}
    pod = {"restartPolicy": fields.pop("restart"), "containers": [{"name": "main", "image": fields.pop("image", "busybox")}]}
    job_spec: dict[str, Any] = {"backoffLimit": 0, "template": {"metadata": {"annotations": annotations}, "spec": pod}}
    if "active-deadline" in fields:
        job_spec["activeDeadlineSeconds"] = int(fields.pop("active-deadline"))
    if "ttl" in fields:
        job_spec["ttlSecondsAfterFinished"] = int(fields.pop("ttl"))
    found: dict[str, Any] = {"jobTemplate": {"spec": job_spec}}
    if "clusters" in fields:
        found["placement"] = {"clusters": fields.pop("clusters").split(",")}
    for word, text in fields.items():
        field, read = WORDS[word]
        found[field] = read(text)
    return found


def _pairs(text: str) -> list[list[str]]:
    return [pair.split(":", 1) for pair in text.split(",")]


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def demand_spec(cronjob: str, said: dict[str, str]) -> dict[str, Any]:
    """Return a HACronJobRun's spec from a story's words."""
    found: dict[str, Any] = {"cronJob": cronjob}
    if "at" in said:
        found["scheduledTime"] = _of_today(said["at"])
    if "from" in said:
        found["range"] = {"from": _of_today(said["from"]), "to": _of_today(said["to"])}
        found["range"] |= {"limit": int(said["limit"])} if "limit" in said else {}
    return found | ({"ignoreSuspend": True} if "ignore-suspend" in said else {})


def _of_today(clock: str) -> str:
    return f"{NOON:%Y-%m-%d}T{clock}Z"


def _key(name: str) -> Key:
    return Key(name) if "/" in name else key_of("default", name)


def _instant(text: str) -> str:
    day, time = text.removesuffix("Z").split("T")
    return time if day == f"{NOON:%Y-%m-%d}" else f"{day} {time}"


def _conditions(status: dict[str, Any]) -> list[str]:
    """Tell conditions but for Ready and Stalled, which say of Accepted and Complete what tools can read."""
    told = []
    for condition in status.get("conditions", []):
        verb = "" if condition["status"] == "True" else "not "
        if condition["type"] not in ("Ready", "Stalled"):
            told.append(f"{verb}{condition['type']}: {condition['reason']}: {condition['message']}")
    return told


def _recent(verdict: dict[str, Any]) -> str:
    words = [verdict["tick"][11:19], verdict["verdict"], verdict.get("reason", ""), verdict.get("cluster", "")]
    return " ".join(word for word in words if word)
