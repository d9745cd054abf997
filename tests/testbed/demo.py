"""The main job on real parts, to look at: two clusters, one broker, three replicas, and an executor that is killed.

    python -m tests.testbed.demo [--keep] [--seconds N]

Everything is started here and stopped at the end. The verdict is read from what the API servers told of Jobs, not from
anything that the operator says; exit code 1 when a tick has no Job, or more than one.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from tests.testbed import judge, tools
from tests.testbed.broker import Broker
from tests.testbed.cluster import Cluster, start_together
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import created, manifest
from tests.testbed.demo_screen import Screen
from tests.testbed.fleet import Fleet
from tests.testbed.install import install
from tests.testbed.judge import Recorder
from tests.testbed.wait import until

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
SECONDS = 120  # from the first apply to the verdict
SETTLE = timedelta(seconds=3)  # a tick so shortly before the end is not judged: its Job may be on the way


class Demo:
    """One showing. `directory` gets data and logs; `screen` shows what happens."""

    def __init__(self, directory: Path, screen: Screen, seconds: float) -> None:
        self.screen = screen
        self.seconds = seconds
        self.broker = Broker(directory / "broker")
        self.clusters: dict[str, ControlPlane] = {name: ControlPlane(name, directory / name) for name in ("west", "east")}
        self.directory = directory
        self.recorders: list[Recorder] = []
        self.fleet: Fleet | None = None
        self.declared: list[Declared] = []
        self.takeover_ms: float | None = None
        self.ended = datetime.now(UTC)

    # --- the parts ---

    def set_up(self) -> None:
        """Start broker and clusters, install what the repository ships, start the replicas."""
        self.screen.say("starts RabbitMQ and two Kubernetes control planes")
        start_together([self.broker, *self.clusters.values()])
        for cluster in self.clusters.values():
            install(cluster)
            recorder = Recorder(cluster, self.directory)
            recorder.start()
            self.recorders.append(recorder)
        self.screen.say("starts three replicas: two in west, one in east")
        self.fleet = Fleet(self.directory, broker_url=self.broker.url, clusters=self.clusters)
        self.fleet.start()
        self.screen.show(self.fleet, self.recorders)

    def tear_down(self) -> None:
        """Stop everything."""
        if self.fleet is not None:
            self.fleet.stop()
        for recorder in self.recorders:
            recorder.stop()
        for cluster in self.clusters.values():
            cluster.stop()
        self.broker.close()

    # --- the story ---

    def play(self) -> None:
        """Apply, kill, apply, change, delete."""
        assert self.fleet is not None
        end = time.monotonic() + self.seconds
        for name, cluster in self.clusters.items():
            for example in sorted(EXAMPLES.glob("*.yaml")):
                self.apply(cluster, _as_example(example))
            self.apply(cluster, manifest(f"pulse-{name}", "@every 5s"))
        self.screen.say(f"applied deploy/examples and a pulse of every 5 s in {' and '.join(self.clusters)}")
        self._apply_change_delete(self._cluster_without_the_executor())
        self._wait_until_just_before_a_minute(end)
        self._kill_the_executor()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
        self.ended = datetime.now(UTC)

    def apply(self, cluster: Cluster, text: str) -> None:
        """Apply an object; if it is a HACronJob, remember what is to be expected of it from now on."""
        cluster.apply(text)
        body = yaml.safe_load(text)
        if body["kind"] == "HACronJob":
            self.declared.append(Declared(cluster, body))

    def _cluster_without_the_executor(self) -> Cluster:
        assert self.fleet is not None
        executor = self.fleet.await_executor()
        return next(cluster for name, cluster in self.clusters.items() if name != executor.cluster)

    def _apply_change_delete(self, cluster: Cluster) -> None:
        """Show how soon the executor, which is in the other cluster, knows of what happens in this one."""
        time.sleep(3)
        self.screen.say(f"the executor is in the other cluster; now to {cluster.name}:")
        for verb, schedule in (("declared", "@every 1h"), ("changed", "@every 3s")):
            text = manifest("visitor", schedule)
            cluster.apply(text)
            self._how_soon(f"kubectl apply in {cluster.name}: cronjob {verb}", f"cronjob {verb}", datetime.now(UTC))
        time.sleep(10)
        cluster.kubectl("delete", "hacronjob", "visitor", "--wait=false")
        self._how_soon(f"kubectl delete in {cluster.name}: cronjob withdrawn", "cronjob withdrawn", datetime.now(UTC))

    def _how_soon(self, what: str, message: str, since: datetime) -> None:
        """Say how long after kubectl had returned the executor wrote it down; it may well have been before."""
        assert self.fleet is not None
        executor = self.fleet.await_executor()

        def told() -> list[dict[str, Any]]:
            lines = [line for line in executor.lines(message) if str(line.get("cronjob")).endswith("/visitor")]
            return [line for line in lines if judge.instant(line["ts"]) > since - timedelta(seconds=2)]

        line = until(told, 20, what)[-1]
        soon_ms = (judge.instant(line["ts"]) - since).total_seconds() * 1000
        self.screen.say(f"  {what} " + (f"{soon_ms:.0f} ms later" if soon_ms > 0 else "before kubectl had returned"))

    def _wait_until_just_before_a_minute(self, end: float) -> None:
        """The worst moment: the ticks of the full minute have been decided, and nobody has started them."""
        while datetime.now(UTC).second < 57 and time.monotonic() < end - 30:
            time.sleep(0.1)

    def _kill_the_executor(self) -> None:
        assert self.fleet is not None
        victim = self.fleet.await_executor()
        killed = datetime.now(UTC)
        victim.kill()
        self.screen.say(f"kill -9 of {victim.name}, the executor")
        successor = self.fleet.await_executor(other_than=victim)
        became = judge.instant(successor.lines("is the executor")[-1]["ts"])
        self.takeover_ms = (became - killed).total_seconds() * 1000
        self.screen.say(f"{successor.name} took over and decided {self.takeover_ms:.0f} ms after the kill")
        time.sleep(8)
        victim.start()
        self.screen.say(f"{victim.name} is started again")

    # --- the verdict ---

    def verdict(self) -> list[str]:
        """Return what is wrong, a sentence each, from what the API servers told of Jobs."""
        found = [ran for recorder in self.recorders for ran in recorder.jobs() if not ran.demand]
        wrong = judge.doubled(found)
        rows = []
        until_ = self.ended - SETTLE
        for name in sorted({declared.name for declared in self.declared}):
            expected = self._expected(name, until_)
            mine = [one for one in judge.of(found, name) if one.tick <= until_]
            gone = judge.missing(mine, expected)
            wrong += [f"{name}: no Job for the tick of {tick}" for tick in gone]
            wrong += [f"{name}: a Job for {one.tick:%H:%M:%S}, where no tick is" for one in mine if one.tick not in expected]
            rows.append((name, len(expected), mine))
        self.screen.tell_verdict(rows, wrong, self.takeover_ms)
        if not any(expected for _, expected, _ in rows):
            wrong.append("nothing was due: that shows nothing")
        return wrong

    def _expected(self, name: str, until_: datetime) -> list[datetime]:
        mine = [declared for declared in self.declared if declared.name == name]
        born = min(declared.born for declared in mine)  # the first of several clusters
        return judge.ticks(mine[0].schedule, born, born, until_, mine[0].time_zone)


class Declared:
    """A HACronJob that was applied."""

    def __init__(self, cluster: Cluster, body: dict[str, Any]) -> None:
        self.name: str = body["metadata"]["name"]
        self.schedule: str = body["spec"]["schedule"]
        self.time_zone: str = body["spec"].get("timeZone", "Etc/UTC")
        self.born = created(cluster, self.name)


def _as_example(file: Path) -> str:
    """Return an example; the one that always fails does so here by an annotation, since nothing runs its command."""
    body = yaml.safe_load(file.read_text())
    if body["metadata"]["name"] == "failing":
        template = body["spec"]["jobTemplate"]["spec"]["template"]
        template["metadata"] = {"annotations": {"testbed/fail": "true"}}
    return yaml.safe_dump(body)


def _await_interrupt() -> None:
    done = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        done.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    done.wait()


def main() -> int:
    """Play the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"how long to look at it; default {SECONDS}")
    arguments = parser.parse_args()
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="hacron-demo-") as folder:
        try:
            screen.say("looks for RabbitMQ and Kubernetes; what is missing is made once")
            tools.rabbitmq()
            tools.control_plane()
            demo = Demo(Path(folder), screen, arguments.seconds)
        except tools.Missing as missing:
            print(f"demo: {missing}", file=sys.stderr)
            return 1
        try:
            demo.set_up()
            demo.play()
            screen.stop()
            wrong = demo.verdict()
            if arguments.keep:
                assert demo.fleet is not None
                screen.tell_what_to_try(demo.clusters, demo.broker, demo.fleet)
                _await_interrupt()
        finally:
            screen.stop()
            demo.tear_down()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
