"""The same ticks run, at the same time, as under Kubernetes' own controller, whatever happens. Told in steps of five seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hacron.core.cron import parse
from hacron.core.messages import ClusterSeen, Outcome, RunFinished
from hacron.core.model import Run, RunState
from tests.core.ledger_story import HELLO, NOON, Story, spec
from tests.core.stock_controller import StockController

STEP = timedelta(seconds=5)
SCHEDULES = ("* * * * *", "*/2 * * * *", "3,4,9 * * * *", "@every 1m", "0 0 30 2 *")


@dataclass
class Ours:
    """A cronjob of ours in one cluster whose worker makes a Job the moment it may, and deletes one the moment it should."""

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

    def begin_again(self, now: datetime) -> None:
        """Let an executor decide for the first time since some time."""
        self.story.now = now
        self.story.tell(ClusterSeen(cluster="west", replica="west-1", api_ok=True, clock=now))
        self.work()

    @property
    def ahead(self) -> list[datetime]:
        """The ticks that are decided, and have not come."""
        return [run.tick for run in self.story.progress.open if run.tick > self.story.now]

    @property
    def active(self) -> list[datetime]:
        return [run.tick for run in self.story.progress.open if run.state is RunState.RUNNING]


passes = st.tuples(st.just("passes"), st.integers(1, 40))
happens = st.one_of(
    passes,
    passes,
    st.tuples(st.just("nobody decides for"), st.integers(1, 60)),
    st.tuples(st.just("the oldest ends"), st.none()),
    st.tuples(st.just("the newest ends"), st.none()),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("schedule"), st.sampled_from(SCHEDULES)),
    st.tuples(st.just("concurrencyPolicy"), st.sampled_from(["Allow", "Forbid", "Replace"])),
    st.tuples(st.just("startingDeadlineSeconds"), st.sampled_from([None, 0, 10, 60, 100, 400])),
)
NAMES = {"suspend": "suspend", "schedule": "schedule", "concurrencyPolicy": "policy", "startingDeadlineSeconds": "deadline_s"}


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(["Allow", "Forbid", "Replace"]),
    deadline_s=st.sampled_from([None, None, 0, 10, 60, 100]),
    schedule=st.sampled_from(SCHEDULES),
    story=st.lists(happens, max_size=14),
)
def test_like_the_stock_controller(policy: str, deadline_s: int | None, schedule: str, story: list[tuple[str, Any]]) -> None:
    ours = Ours({"schedule": schedule, "concurrencyPolicy": policy, "startingDeadlineSeconds": deadline_s})
    theirs = StockController(looked_from=NOON, schedule=parse(schedule), policy=policy, deadline_s=deadline_s)
    for what, value in story:
        match what:
            case "passes":
                for _ in range(value):
                    ours.story.at((ours.story.now + STEP - NOON).total_seconds())
                    ours.work()
                    theirs.sync(ours.story.now)
            case "nobody decides for":
                ends = ours.story.now + value * STEP
                for tick in ours.ahead:  # what is decided needs nobody
                    ours.story.now = tick
                    ours.work()
                    theirs.sync(tick)
                ours.begin_again(max(ends, ours.story.now))
                theirs.sync(ours.story.now)
            case "the oldest ends" | "the newest ends":
                if ours.active:
                    tick = min(ours.active) if what == "the oldest ends" else max(ours.active)
                    theirs.active.remove(tick)
                    ours.end(tick)
                    theirs.sync(ours.story.now)
            case _:
                ours.declare(**{what: value})
                theirs.edit(ours.story.now, **{NAMES[what]: parse(value) if what == "schedule" else value})
        assert ours.started == theirs.started
        assert ours.active == sorted(theirs.active)
