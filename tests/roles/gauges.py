"""A scenario whose replicas have meters, as `hacron.replica` gives them one: every second all of them are read."""

from __future__ import annotations

from datetime import timedelta

from hacron.engine import Session
from hacron.meter import Meter
from hacron.ports import Why
from hacron.telemetry.metrics import Metrics
from tests.scenarios.script import Script
from tests.scenarios.world import NOON, Process

Sample = tuple[str, tuple[tuple[str, str], ...]]  # name and labels


class Metered:
    """The metrics of one replica."""

    def __init__(self, process: Process) -> None:
        self.process = process
        clock = process.moment
        self.metrics = Metrics(replica=process.name, cluster="x", tzdata="2026f", monotonic=lambda: clock().mono)
        self.meter = Meter(process.settings, self.metrics, process.engine, process.kube)
        self._session: Session | None = None

    def measure(self) -> None:
        """Do what `hacron.replica` does after a turn, or after the end of a session."""
        present = self.process.session
        if present is not self._session:
            if self._session is not None:
                self.meter.end(self._session, Why.CONNECTION_LOST)
            if present is not None:
                self.meter.begin(present)
            self._session = present
        if present is not None:
            self.meter.turned(present, self.process.moment(), 0.001, len(self.process.kube.arrivals))

    def samples(self) -> dict[Sample, float]:
        families = self.metrics.registry.collect()
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"hacron_{name}", labels)


class Gauges:
    """A script of commands (see `tests.scenarios.script`), and what the meters of its replicas have shown meanwhile."""

    def __init__(self, *replicas: str, **settings: object) -> None:
        self.script = Script()
        self.world = self.script.world
        self.script.do_replicas(*replicas, **settings)
        self.world.settle()
        self.of = {name: Metered(process) for name, process in self.world.processes.items()}
        self.ever: set[Sample] = set()  # what was above zero in any replica at any second
        self._look()

    def do(self, *commands: str) -> None:
        for command in commands:
            self.script.run(command)
            self._look()

    def until(self, seconds: float) -> None:
        """Let time pass until so many seconds after noon."""
        while self.world.now < NOON + timedelta(seconds=seconds):
            self.world.at(min(self.world.now + timedelta(seconds=1), NOON + timedelta(seconds=seconds)))
            self._look()

    def _look(self) -> None:
        for metered in self.of.values():
            metered.measure()
            self.ever.update(sample for sample, value in metered.samples().items() if value > 0)
