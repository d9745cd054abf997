"""A ledger that ages faster than time: the real executor on a real stream, by a clock that only `live` moves.

Runs are reported as started and ended one step after their tick, by us in place of a worker; everything else is the product's
own: commands, reports, decisions, records, floor, rewriting.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from hacron.broker.session import Access, open_broker
from hacron.core.messages import ClusterSeen, CronJobDeclared, Outcome, Report, RunFinished, RunStarted
from hacron.core.model import Key, RunState
from hacron.core.rules import Rules
from hacron.core.scheduler import Scheduler
from hacron.core.state import State
from hacron.executor import Executor, Lease
from hacron.turn import Folded, Moment

BORN = datetime(2030, 1, 1, tzinfo=UTC)
TURN_S = 0.02
ANSWER_S = 60.0


class Elder:
    """A replica without a cluster. The first one that is turned becomes executor, and a later one when that is dropped."""

    def __init__(self, access: Access, now: datetime = BORN, lease: Lease | None = None) -> None:
        self.now = now
        self.cluster = access.cluster
        began = time.monotonic()
        self._mono_s = 0.0
        self.broker = open_broker(access, lambda: self.now)
        self.state = State()
        self.scheduler = Scheduler(self.state, Rules())
        self.executor = Executor(
            replica=access.replica,
            cluster=access.cluster,
            state=self.state,
            scheduler=self.scheduler,
            token=self.broker.token,
            ledger=self.broker.ledger,
            inbox=self.broker.inbox,
            lease=lease or Lease(),
        )
        self._pending: set[Key] = set()  # cronjobs with runs that nobody has reported yet
        self.until(lambda: self.broker.ledger.caught_up)
        self.opened_in_s = time.monotonic() - began

    def declare(self, count: int, spec: Mapping[str, Any], name: str = "job", at_once: int = 1000) -> None:
        """Declare cronjobs, all with this spec."""
        raw = msgspec.Raw(json.dumps(spec).encode())
        for first in range(0, count, at_once):
            numbers = range(first, min(count, first + at_once))
            self.broker.outbox.send_commands(
                CronJobDeclared(
                    key=Key(f"default/{name}-{number}"),
                    cluster=self.cluster,
                    uid=f"{name}-{number}",
                    generation=1,
                    created_at=self.now,
                    spec=raw,
                )
                for number in numbers
            )
            self.until(lambda numbers=numbers: Key(f"default/{name}-{numbers[-1]}") in self.state.progress)

    def live(self, seconds: float, step_s: float = 10.0) -> None:
        """Let so much time pass, in steps that are shorter than a cluster may be silent."""
        for _ in range(int(seconds / step_s)):
            self.now += timedelta(seconds=step_s)
            self._mono_s += step_s
            self.executor.proven_at = self._mono_s  # nothing was late: the clock has jumped
            self.broker.outbox.send_reports(self._reports())
            self.turn()
            self.until(lambda: self.executor.is_idle)

    def turn(self) -> None:
        """Take one turn at the present moment."""
        folded = []
        for entry in self.broker.ledger.read():
            applied = self.state.apply(entry)
            folded.append(Folded(entry, applied))
            self.scheduler.touch(applied.keys)
            self._pending.update(applied.keys)
        self.executor.turn(Moment(self.now, self._mono_s), folded)

    def until(self, condition: Callable[[], object]) -> None:
        """Take turns until `condition`; time stands still."""
        deadline = time.monotonic() + ANSWER_S
        self.turn()
        while not condition():
            assert time.monotonic() < deadline, "no answer"
            self.broker.connection.turn(TURN_S)
            self.turn()

    def _reports(self) -> list[Report]:
        said: list[Report] = [ClusterSeen(cluster=self.cluster, replica="worker", api_ok=True, clock=self.now)]
        pending, self._pending = self._pending, set()
        for key in sorted(pending):
            progress = self.state.progress.get(key)
            for run in progress.open if progress else ():
                if run.tick > self.now:
                    self._pending.add(key)
                elif run.state is RunState.PENDING:
                    said.append(RunStarted(key=key, run_id=run.id, cluster=run.cluster, started=self.now))
                    outcome = Outcome.SUCCEEDED
                    said.append(RunFinished(key=key, run_id=run.id, cluster=run.cluster, outcome=outcome, finished=self.now))
        return said
