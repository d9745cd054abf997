"""What the demo shows: a table that is kept fresh on a terminal, and printed now and then where there is none."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from tests.testbed.broker import Broker
from tests.testbed.cluster import Cluster, KubectlFailed
from tests.testbed.fleet import Fleet
from tests.testbed.judge import Ran, Recorder
from tests.testbed.process import ProcessFailed

FRESH_S, PRINTED_S = 1.0, 20.0
LATEST = 8  # runs shown


class Screen:
    """Lines of the story, and below them the table. Everything may be called from the demo's thread only."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, width=None if Console().is_terminal else 110)
        self._began = time.monotonic()
        self._live: Live | None = None
        self._ending = threading.Event()
        self._painter: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Tell one step of the story."""
        self.console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {text}")

    def show(self, fleet: Fleet, recorders: Sequence[Recorder]) -> None:
        """Begin to show the table."""
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._painter = threading.Thread(target=self._paint, args=(fleet, recorders), daemon=True)
        self._painter.start()

    def stop(self) -> None:
        """Show the table no longer."""
        self._ending.set()
        if self._painter is not None:
            self._painter.join(10)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell_verdict(
        self, rows: Sequence[tuple[str, int, Sequence[Ran]]], wrong: Sequence[str], takeover_ms: float | None
    ) -> None:
        """Show what the API servers say, and the conclusion."""
        table = Table(title="What the API servers of both clusters say", title_justify="left")
        for column in ("cronjob", "ticks due", "Jobs", "in", "latest, by creationTimestamp"):
            table.add_column(column, justify="right" if column in ("ticks due", "Jobs") else "left")
        for name, due, ran in rows:
            late = max((one.late_s for one in ran), default=0.0)
            where = ", ".join(sorted({one.cluster for one in ran}))
            table.add_row(name, str(due), str(len(ran)), where, f"{late:.0f} s after its tick" if ran else "")
        self.console.print(table)
        for sentence in wrong:
            self.console.print(f"[red]{sentence}[/]")
        if takeover_ms is not None:
            self.console.print(f"Takeover after kill -9: {takeover_ms:.0f} ms until the successor decided.")
        if not wrong:
            self.console.print("[green]Every tick of every cronjob has exactly one Job.[/]")

    def tell_what_to_try(self, clusters: Mapping[str, Cluster], broker: Broker, fleet: Fleet) -> None:
        """Say how to go on by hand."""
        self.console.print("\nEverything goes on running until Ctrl-C. In another terminal:\n")
        for name, cluster in clusters.items():
            self.console.print(f"  export KUBECONFIG={cluster.admin_kubeconfig}  # {name}", soft_wrap=True)
        kubectl = next(iter(clusters.values())).kubectl_path
        self.console.print(f"  export PATH={kubectl.parent}:{Path(sys.executable).parent}:$PATH", soft_wrap=True)
        self.console.print("  kubectl get hacronjobs --watch")
        self.console.print("  kubectl describe hacronjob invoices")
        self.console.print("  kubectl hacron list; kubectl hacron why hello; kubectl hacron where hello")
        self.console.print("  kubectl apply -f deploy/examples/hello.yaml")
        for replica in fleet:
            told = replica.told()
            role = "executor" if told.get("role") == "executor" else "standby"
            line = f"  kill -9 {replica.pid}  # {replica.name}, {role}; its log: {replica.log_file}; its metrics: {replica.url}"
            self.console.print(line, soft_wrap=True)
        self.console.print(f"  the broker: {broker.url}", soft_wrap=True)

    def _paint(self, fleet: Fleet, recorders: Sequence[Recorder]) -> None:
        while not self._ending.wait(FRESH_S if self._live else PRINTED_S):
            try:
                picture = Group(_replicas(fleet), _cronjobs(fleet), _runs(fleet, recorders))
            except (KubectlFailed, ProcessFailed):  # something is just being stopped
                continue
            if self._live is not None:
                self._live.update(picture, refresh=True)
            else:
                self.console.print(picture)


def _replicas(fleet: Fleet) -> Table:
    table = Table(title="Replicas", title_justify="left")
    for column in ("replica", "cluster", "is", "epoch"):
        table.add_column(column)
    for replica in fleet:
        told = replica.told()
        roles = [told.get("role", "away"), *(["worker"] if told.get("worker") else [])]
        table.add_row(replica.name, replica.cluster, ", ".join(roles), str(told.get("epoch", "")))
    return table


def _cronjobs(fleet: Fleet) -> Table:
    table = Table(title="HACronJobs", title_justify="left")
    for column in ("cronjob", "schedule", "next tick", "last result", "in"):
        table.add_column(column)
    rows: dict[str, dict[str, Any]] = {}
    for cluster in fleet.clusters.values():
        for body in json.loads(cluster.kubectl("get", "hacronjobs", "-A", "-o", "json"))["items"]:
            rows[body["metadata"]["name"]] = body
    for name, body in sorted(rows.items()):
        status = body.get("status", {})
        upcoming = str(status.get("nextScheduleTime", ""))[11:19]
        table.add_row(name, body["spec"]["schedule"], upcoming, status.get("lastResult", ""), status.get("lastCluster", ""))
    return table


def _runs(fleet: Fleet, recorders: Sequence[Recorder]) -> Table:
    """The latest Jobs that the API servers told of; how late to the millisecond, the workers' own clocks say."""
    table = Table(title=f"Latest runs, {datetime.now(UTC):%H:%M:%S} UTC", title_justify="left")
    for column in ("tick", "cronjob", "cluster", "Job is", "posted after its tick"):
        table.add_column(column)
    late_ms = {line["job"]: line["late_ms"] for replica in fleet for line in replica.lines("Job made") if "late_ms" in line}
    ran = sorted((one for recorder in recorders for one in recorder.jobs()), key=lambda one: one.tick)
    for one in reversed(ran[-LATEST:]):
        late = f"{late_ms[one.job]} ms" if one.job in late_ms else f"for {one.demand}" if one.demand else ""
        table.add_row(f"{one.tick:%H:%M:%S}", one.cronjob, one.cluster, one.state or "running", late)
    return table
