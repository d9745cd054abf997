"""A cronjob of ours in one cluster whose worker does at once what it owes; nothing else is between it and the Scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hacron.core.messages import ClusterSeen, Outcome, RunFinished
from hacron.core.model import Run, RunState
from tests.core.ledger_story import HELLO, NOON, Story, spec


@dataclass
class Ours:
    """It was created at noon."""

    fields: dict[str, Any]
    story: Story = field(default_factory=lambda: Story(clusters=("west",)))
    started: list[tuple[datetime, datetime]] = field(default_factory=list)
    generation: int = 1

    def __post_init__(self) -> None:
        self.declare()

    def declare(self, **fields: Any) -> None:
        self.fields |= fields
        said = {name: value for name, value in self.fields.items() if value is not None}
        self.story.declare(spec(**said), created_at=NOON, generation=self.generation)
        self.generation += 1
        self.work()

    def work(self) -> None:
        """Do what the cluster's worker owes to each run, until nothing is owed."""
        owed: list[Run] = list(self.story.progress.open)
        while owed:
            run = owed.pop(0)
            if run.state is RunState.PENDING and run.tick <= self.story.now:
                self.started.append((run.tick, self.story.now))
                self.story.started(run)
            elif run.state is RunState.STOPPING:
                self.story.stopped(run)
                owed = list(self.story.progress.open)

    def end(self, tick: datetime) -> None:
        (run,) = (run for run in self.story.progress.open if run.tick == tick and run.state is RunState.RUNNING)
        self.story.tell(RunFinished(key=HELLO, run_id=run.id, cluster="west", outcome=Outcome.SUCCEEDED, finished=self.story.now))
        self.work()

    def at(self, now: datetime) -> None:
        """Let a few seconds pass, in which nothing is due but at their end."""
        self.story.at((now - NOON).total_seconds())
        self.work()

    def away_until(self, now: datetime) -> list[datetime]:
        """Let nobody decide until then; return the ticks that were decided ahead, and ran."""
        ahead = [run.tick for run in self.story.progress.open if run.tick > self.story.now]
        for tick in ahead:
            self.story.now = tick
            self.work()
        self.story.now = max(now, self.story.now)
        self.story.tell(ClusterSeen(cluster="west", replica="west-1", api_ok=True, clock=self.story.now))
        self.work()
        return ahead

    @property
    def active(self) -> list[datetime]:
        return [run.tick for run in self.story.progress.open if run.state is RunState.RUNNING]
