"""The numbers of the main job, on real parts, beside the stock CronJob controller on the same API server.

    python -m bench [--minutes N] [minute] [many] [takeover] [wiped] [stock]

Two clusters, one broker, three replicas, all on this machine. Figures of one run can be compared with each other; those of two
runs depend on what else the machine did. Lateness is told twice: by the worker's own clock, from the tick to the moment in which
the POST is sent, and by a watch, from the tick to when a reader outside learns of the Job.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.figures import Report, cpu_s, memory_mib, spread
from tests.testbed import judge
from tests.testbed.api import AT_ONCE, Api, Arrivals, Seen
from tests.testbed.broker import Broker
from tests.testbed.cluster import Cluster, start_together
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import manifest, remove_all
from tests.testbed.fleet import Fleet
from tests.testbed.install import install
from tests.testbed.wait import until

HACRONJOBS = "/apis/hacron.io/v1/namespaces/default/hacronjobs"
CRONJOBS = "/apis/batch/v1/namespaces/default/cronjobs"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
FEW, MANY, SHARING = 350, 10_000, 1_000
KILLS = 10
PARTS = "minute, many, takeover, wiped, stock; default: all"
BARE = f"a bare client, {AT_ONCE} at once"


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["minute", "many", "takeover", "wiped", "stock"], help=PARTS)
    parser.add_argument("--minutes", type=int, default=5, help="how long the part `minute` looks; default 5")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        bench = Bench(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hacron-bench-"))))
        stack.callback(bench.tear_down)
        bench.set_up()
        for part in arguments.parts:
            match part:
                case "minute":
                    bench.every_minute(arguments.minutes)
                case "many":
                    bench.many()
                case "takeover":
                    bench.takeover()
                case "wiped":
                    bench.wiped()
                case "stock":
                    bench.stock()
                case _:
                    parser.error(f"there is no part {part}")


class Bench:
    """Everything that is measured, over parts that are set up once."""

    def __init__(self, directory: Path) -> None:
        self.broker = Broker(directory / "broker")
        self.clusters: dict[str, Cluster] = {name: ControlPlane(name, directory / name) for name in ("west", "east")}
        self.report = Report()
        self._directory = directory
        self._fleets = 0

    def set_up(self) -> None:
        """Start the broker and the clusters."""
        start_together([self.broker, *self.clusters.values()])
        for cluster in self.clusters.values():
            install(cluster)
        self.west = Api(self.clusters["west"])

    def tear_down(self) -> None:
        """Stop everything."""
        for cluster in self.clusters.values():
            cluster.stop()
        self.broker.close()

    # --- 350 cronjobs every minute, with pods ---

    def every_minute(self, minutes: int) -> None:
        """Let 350 cronjobs run every minute, their pods for a second, and look at who used what."""
        fleet = self._start_fleet()
        try:
            with Arrivals(self.west) as arrivals:
                self.west.post(HACRONJOBS, (_body(f"minute-{n:03}", "* * * * *", run_seconds=1) for n in range(FEW)))
                _sleep_until_minute()
                before, began = {replica.name: cpu_s(replica.pid) for replica in fleet}, time.monotonic()
                _sleep(60 * minutes - 5, "350 cronjobs every minute")
                elapsed = time.monotonic() - began
                used = {replica.name: cpu_s(replica.pid) - before[replica.name] for replica in fleet}
                seen = list(arrivals.seen)
            executor = fleet.await_executor()
            rows = [("Jobs made, due", f"{len(seen)}, {FEW * _minutes(seen)}"), *_lateness(fleet, seen)]
            for replica in fleet:
                what = "executor" if replica is executor else "standby"
                what += ", worker" if replica.told().get("worker") else ""
                share = f"{100 * used[replica.name] / elapsed:.1f} % of a core, {memory_mib(replica.pid):.0f} MiB at most"
                rows.append((f"{replica.name} ({what})", share))
            self.report.add(f"{FEW} cronjobs every minute for {minutes} minutes, pods of one second", rows)
        finally:
            self._end_fleet(fleet)

    # --- 10,000 cronjobs ---

    def many(self) -> None:
        """Let 1,000 of 10,000 cronjobs share a minute; kill executors; apply one more."""
        bare_s = self._bare_burst()
        fleet = self._start_fleet()
        try:
            rare = (_body(f"rare-{n:05}", f"{n % 60} {n // 60 % 24} 1 1 *") for n in range(MANY - SHARING))
            took = self.west.post(HACRONJOBS, rare)
            sharing = (_body(f"sharing-{n:04}", "* * * * *", suspended_jobs=True) for n in range(SHARING))
            took += self.west.post(HACRONJOBS, sharing)
            settled_s = self._await_declared(fleet, MANY)
            with Arrivals(self.west) as arrivals:
                _sleep_until_minute()
                _sleep(130, f"{SHARING} of {MANY} cronjobs every minute")
                seen = list(arrivals.seen)
            untold = f"{MANY - SHARING} have not run, and have no verdicts"
            last = [max((s.arrived - tick).total_seconds() for s in seen if s.tick == tick) for tick in _ticks(seen)]
            rows = [
                (f"POST of {MANY} HACronJobs by {BARE}", f"{took:.0f} s"),
                ("until the last of them was scheduled, after that", f"{settled_s:.1f} s"),
                ("Jobs made, due", f"{len(seen)}, {SHARING * _minutes(seen)}"),
                *_lateness(fleet, seen),
                ("tick to the last of 1,000 Jobs, each minute", ", ".join(f"{value:.2f} s" for value in last)),
                (f"POST of 1,000 such Jobs by {BARE}, three times", ", ".join(f"{value:.2f} s" for value in bare_s)),
                ("ratio of the best of both", f"{min(last) / min(bare_s):.2f}"),
                *[(f"memory of {replica.name} at most; {untold}", f"{memory_mib(replica.pid):.0f} MiB") for replica in fleet],
            ]
            self.report.add(f"{MANY} cronjobs, of which {SHARING} share every minute; their Jobs are suspended", rows)
            self.report.add(f"Apply with {MANY} cronjobs there", self._apply_to_scheduled(fleet))
            self.report.add(f"Takeover after SIGKILL with {MANY} cronjobs, {KILLS} kills", self._takeovers(fleet))
        finally:
            self._end_fleet(fleet)

    def takeover(self) -> None:
        """Kill executors while 10,000 cronjobs are known and none is due."""
        fleet = self._start_fleet()
        try:
            self.west.post(HACRONJOBS, (_body(f"rare-{n:05}", f"{n % 60} {n // 60 % 24} 1 1 *") for n in range(MANY)))
            self._await_declared(fleet, MANY)
            _sleep(30, "rest")
            self.report.add(f"Takeover after SIGKILL with {MANY} cronjobs at rest, {KILLS} kills", self._takeovers(fleet))
        finally:
            self._end_fleet(fleet)

    def wiped(self) -> None:
        """Let the broker lose everything while 10,000 cronjobs are known, each declared in both clusters."""
        fleet = self._start_fleet()
        try:
            for cluster in self.clusters.values():
                bodies = (_body(f"rare-{n:05}", f"{n % 60} {n // 60 % 24} 1 1 *") for n in range(MANY))
                Api(cluster).post(HACRONJOBS, bodies)
            before = _await_known(fleet)
            _sleep(30, "rest")
            commands = _taken(fleet)
            used = {replica.name: cpu_s(replica.pid) for replica in fleet}
            self.broker.wipe()
            began = time.monotonic()
            until(lambda: _epochs(fleet)[0] > before, 120, "a new epoch", every=0.1)
            executor_s = time.monotonic() - began
            _await_known(fleet, before)
            known_s = time.monotonic() - began
            _sleep(20, "rest")
            taken = _taken(fleet) - commands
            cpu = ", ".join(f"{replica.name} {cpu_s(replica.pid) - used[replica.name]:.1f} s" for replica in fleet)
            rows = [
                ("from when the empty broker was there until all replicas knew of an executor", f"{executor_s:.1f} s"),
                (f"until all of them found all {2 * MANY} declarations in the ledger again", f"{known_s:.1f} s"),
                ("commands that it took, for each declaration", f"{taken / (2 * MANY):.2f}"),
                ("CPU of the replicas until 20 s later", cpu),
            ]
            self.report.add(f"A wiped broker with {MANY} cronjobs, each declared in both clusters", rows)
        finally:
            self._end_fleet(fleet)
            remove_all(self.clusters["east"])

    def _bare_burst(self) -> list[float]:
        took = []
        for turn in range(3):
            bodies = [_job(f"bare-{turn}-{n:04}") for n in range(SHARING)]
            took.append(self.west.post(JOBS, bodies))
            self.west.delete(f"{JOBS}/{body['metadata']['name']}" for body in bodies)
        return took

    def _await_declared(self, fleet: Fleet, count: int) -> float:
        began = time.monotonic()
        executor = fleet.await_executor()
        until(lambda: len(executor.lines("cronjob declared")) >= count, 300, f"{count} declared", every=0.5)
        return time.monotonic() - began

    def _apply_to_scheduled(self, fleet: Fleet) -> list[tuple[str, str]]:
        """From the answer of the API server to a new HACronJob, to the executor's record of it."""
        executor = fleet.await_executor()
        stored: dict[str, datetime] = {}
        for number in range(50):
            name = f"new-{number:02}"
            self.west.post(HACRONJOBS, [_body(name, "0 0 1 1 *")])
            stored[f"default/{name}"] = datetime.now(UTC)
        lines = until(
            lambda: _all_of(stored, {line["cronjob"]: line["ts"] for line in executor.lines("cronjob declared")}), 60, "all"
        )
        delays = [(judge.instant(lines[name]) - at).total_seconds() * 1000 for name, at in stored.items()]
        return [("from the API server's answer to the executor's record, 50 times, p50 / p99 / max", spread(delays, "ms"))]

    def _takeovers(self, fleet: Fleet) -> list[tuple[str, str]]:
        tokens: list[float] = []
        decided: list[float] = []
        for _ in range(KILLS):
            executor = fleet.await_executor()
            killed = datetime.now(UTC)
            executor.kill()
            successor = fleet.await_executor(other_than=executor)
            tokens.append(_until_told_ms(killed, successor.lines("has the token")[-1]))
            decided.append(_until_told_ms(killed, successor.lines("is the executor")[-1]))
            print(f"# killed at second {killed:%S}: token {tokens[-1]:.0f} ms, decides {decided[-1]:.0f} ms", flush=True)
            executor.start()
            executor.wait_ready(120)
            time.sleep(10)  # else what is measured is two processes that read 10,000 HACronJobs anew
        return [
            ("from the kill until the successor has the token, p50 / p99 / max", spread(tokens, "ms")),
            ("from the kill until the successor's own checkpoint is read back, p50 / p99 / max", spread(decided, "ms")),
        ]

    # --- the stock controller ---

    def stock(self) -> None:
        """Let the stock CronJob controller do the same: 350 and then 1,000 CronJobs every minute, Jobs suspended."""
        for count in (FEW, SHARING):
            with Arrivals(self.west) as arrivals:
                self.west.post(CRONJOBS, (_cronjob(f"stock-{n:04}") for n in range(count)))
                _sleep_until_minute()
                since = datetime.now(UTC)
                _sleep(130, f"{count} stock CronJobs every minute")
                seen = [one for one in arrivals.seen if one.tick > since]
            self.west.delete(f"{CRONJOBS}/stock-{n:04}" for n in range(count))
            late = [(one.arrived - one.tick).total_seconds() for one in seen]
            rows = [
                ("Jobs made, due", f"{len(seen)}, {count * 2}"),
                ("tick to Job, by a watch, p50 / p99 / max", spread(late, "s")),
            ]
            self.report.add(f"The stock CronJob controller: {count} CronJobs every minute for 2 minutes, Jobs suspended", rows)

    # --- parts ---

    def _start_fleet(self) -> Fleet:
        self._fleets += 1
        directory = self._directory / f"fleet-{self._fleets}"
        fleet = Fleet(directory, broker_url=self.broker.url, clusters=self.clusters, prefix=f"bench-{self._fleets}")
        fleet.start()
        return fleet

    def _end_fleet(self, fleet: Fleet) -> None:
        fleet.stop()
        remove_all(self.clusters["west"])


def _body(name: str, schedule: str, *, run_seconds: float = 1, suspended_jobs: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(manifest(name, schedule, run_seconds=run_seconds))
    if suspended_jobs:
        body["spec"]["jobTemplate"]["spec"]["suspend"] = True
    return body


def _job(name: str) -> dict[str, Any]:
    template = _body(name, "* * * * *", suspended_jobs=True)["spec"]["jobTemplate"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, **template}


def _cronjob(name: str) -> dict[str, Any]:
    body = _body(name, "* * * * *", suspended_jobs=True)
    return {**body, "apiVersion": "batch/v1", "kind": "CronJob"}


def _lateness(fleet: Fleet, seen: Sequence[Seen]) -> list[tuple[str, str]]:
    posted = [line["late_ms"] for replica in fleet for line in replica.lines("Job made")]
    seconds = [round((one.created - one.tick).total_seconds()) for one in seen]
    counted = ", ".join(f"{second} s: {seconds.count(second)}" for second in sorted(set(seconds)))
    return [
        ("tick to POST, by the worker's clock, p50 / p99 / max", spread(posted, "ms")),
        ("tick to Job, by a watch, p50 / p99 / max", spread([_ms(one.arrived - one.tick) for one in seen], "ms")),
        ("creationTimestamp minus tick", counted),
        ("Jobs that were asked for when they were there (409), for each that was made", f"{_conflicts(fleet) / len(posted):.3f}"),
    ]


def _await_known(fleet: Fleet, later_than: float = 0.0) -> float:
    """Wait until no replica finds a difference between its cluster and a ledger of a later epoch; return the epoch."""

    def known() -> bool:
        told = [replica.metrics() for replica in fleet]
        many = min(sum(value for name, value in each.items() if name.startswith("hacron_cronjobs{")) for each in told)
        return _epochs(fleet)[0] > later_than and many >= MANY and not any(each["hacron_relay_behind_seconds"] for each in told)

    until(known, 600, f"{MANY} known", every=0.2)
    return _epochs(fleet)[-1]


def _epochs(fleet: Fleet) -> list[float]:
    """Return the epochs that replicas know of, the lowest first."""
    return sorted(replica.metrics().get("hacron_epoch", 0.0) for replica in fleet)


def _taken(fleet: Fleet) -> float:
    """Return how many commands executors have taken."""
    told = [replica.metrics() for replica in fleet]
    return sum(value for each in told for name, value in each.items() if name.startswith("hacron_commands_taken_total"))


def _conflicts(fleet: Fleet) -> float:
    """Return how many Jobs were asked for in vain: POSTs that were answered 409 but for those of Events."""
    told = [replica.metrics() for replica in fleet]
    posts = sum(each.get('hacron_kube_requests_total{code="409",verb="POST"}', 0.0) for each in told)
    return posts - sum(each.get('hacron_events_total{outcome="known"}', 0.0) for each in told)


def _ms(time_: timedelta) -> float:
    return time_.total_seconds() * 1000


def _until_told_ms(since: datetime, line: dict[str, Any]) -> float:
    return (judge.instant(line["ts"]) - since).total_seconds() * 1000


def _ticks(seen: Sequence[Seen]) -> list[datetime]:
    return sorted({one.tick for one in seen})


def _minutes(seen: Sequence[Seen]) -> int:
    return len(_ticks(seen))


def _all_of(names: dict[str, datetime], found: dict[str, str]) -> dict[str, str] | None:
    return found if names.keys() <= found.keys() else None


def _sleep_until_minute() -> None:
    """Sleep until 45 seconds past: what comes at the full minute is decided from here on."""
    time.sleep((45 - datetime.now(UTC).second) % 60)


def _sleep(seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        print(f"# {what}: {left:.0f} s to go", flush=True)
        time.sleep(min(30.0, left))


if __name__ == "__main__":
    main()
