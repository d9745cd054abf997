"""A Scheduler over a ledger in memory, with a clock moved by hand: messages in, what the ledger then says out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from hacron.core import events, faults
from hacron.core.messages import (
    Batch,
    Checkpoint,
    ClusterSeen,
    Command,
    CronJobDeclared,
    CronJobWithdrawn,
    Entry,
    Outcome,
    Progress,
    Record,
    Report,
    RunFinished,
    RunOutOfSight,
    RunRefused,
    RunStarted,
    RunStopped,
)
from hacron.core.model import Key, Run, Verdict, key_of
from hacron.core.packing import pack
from hacron.core.rules import Rules
from hacron.core.scheduler import Scheduler
from hacron.core.state import State

faults.raises = True  # who meets one has failed

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
LONG_BEFORE = NOON - timedelta(days=30)
LONG_BEGUN = 1000  # messages that have been in the ledger before
HELLO = key_of("default", "hello")


def spec(schedule: str = "* * * * *", **fields: Any) -> msgspec.Raw:
    """A HACronJob's spec; fields by their names in Kubernetes."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}
    job_spec = {"template": {"spec": pod}} | fields.pop("jobSpec", {})
    return msgspec.Raw(msgspec.json.encode({"schedule": schedule, "jobTemplate": {"spec": job_spec}} | fields))


class Story:
    """One executor that is never interrupted. `at` moves the clock; every message is decided on at once."""

    def __init__(self, clusters: tuple[str, ...] = ("west", "east"), rules: Rules | None = None) -> None:
        self.state = State()
        self.rules = rules or Rules()
        self.scheduler = Scheduler(self.state, self.rules)
        self.now = NOON
        self.epoch = 7
        self.alive = set(clusters)
        self.labels: dict[str, dict[str, str]] = {}  # of clusters that have some
        self.cordoned: dict[str, str] = {}  # cluster → why
        self.gone: tuple[str, ...] = ()  # what all clusters say
        self.forgotten: dict[str, tuple[str, ...]] = {}  # cluster → what it says
        self.written: list[Record] = []
        self.events: list[events.Event] = []  # what people are told
        self.write([(Checkpoint(replica="r1", cluster="west", at=NOON, born=LONG_BEFORE),)])
        self._heartbeat()

    def at(self, seconds: float) -> None:
        """Let time pass until so many seconds after noon: clusters that are alive say so, and ticks are decided in time."""
        until = NOON + timedelta(seconds=seconds)
        while self.now < until:
            look = self.scheduler.next_look()
            step = min(until, self.now + timedelta(seconds=5), max(look or until, self.now + timedelta(milliseconds=1)))
            self.now = step
            self._heartbeat()

    def take_over(self) -> None:
        """Another executor begins, now."""
        self.epoch += 1
        self.write([(Checkpoint(replica="r1", cluster="west", at=self.now, born=LONG_BEFORE),)])
        self.tell()

    def tell(self, *messages: Command | Report) -> None:
        self.write(self.scheduler.decide(messages, self.now))

    def rewrite(self) -> None:
        """Write all live records again, as the executor does to let the floor rise."""
        self.write([(record,) for record in list(self.state.stalest())])

    def declare(self, body: msgspec.Raw, key: Key = HELLO, cluster: str = "west", generation: int = 1, **fields: Any) -> None:
        uid = fields.pop("uid", f"uid-{cluster}")
        created = fields.pop("created_at", self.now)
        self.tell(
            CronJobDeclared(key=key, cluster=cluster, uid=uid, generation=generation, created_at=created, spec=body, **fields)
        )

    def withdraw(self, key: Key = HELLO, cluster: str = "west") -> None:
        self.tell(CronJobWithdrawn(key=key, cluster=cluster, uid=f"uid-{cluster}"))

    def started(self, run: Run) -> None:
        self.tell(RunStarted(key=HELLO, run_id=run.id, cluster=run.cluster, started=self.now))

    def finished(self, run: Run, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        self.tell(RunFinished(key=HELLO, run_id=run.id, cluster=run.cluster, outcome=outcome, finished=self.now))

    def refused(self, run: Run, reason: str = "Invalid", too_late: bool = False) -> None:
        report = RunRefused(key=HELLO, run_id=run.id, cluster=run.cluster, reason=reason, message="no", too_late=too_late)
        self.tell(report)

    def stopped(self, run: Run, reason: str = "") -> None:
        self.tell(RunStopped(key=HELLO, run_id=run.id, cluster=run.cluster, reason=reason))

    def out_of_sight(self, run: Run, cluster: str = "") -> None:
        self.tell(RunOutOfSight(key=HELLO, run_id=run.id, cluster=cluster or run.cluster))

    @property
    def progress(self) -> Progress:
        return self.state.progress[HELLO]

    @property
    def runs(self) -> list[str]:
        """The open runs, as "tick in seconds after noon, state, cluster, attempt"."""
        return [f"{_seconds(run.tick)} {run.state} {run.cluster} #{run.attempt}" for run in self.progress.open]

    @property
    def verdicts(self) -> list[str]:
        return [_tell(verdict) for verdict in self.progress.recent]

    @property
    def run(self) -> Run:
        """The newest open run."""
        return self.progress.open[-1]

    def _heartbeat(self) -> None:
        self.tell(*(self.seen(name) for name in sorted(self.alive)))

    def seen(self, name: str) -> ClusterSeen:
        return ClusterSeen(
            cluster=name,
            replica=f"{name}-1",
            api_ok=True,
            clock=self.now,
            labels=self.labels.get(name, {}),
            cordoned=self.cordoned.get(name, ""),
            gone=self.gone,
            forgotten=self.forgotten.get(name, ()),
        )

    def write(self, groups: list[tuple[Record, ...]]) -> None:
        packed = pack(groups)
        assert packed.set_aside == []
        for load in packed.loads:
            batch = Batch(epoch=self.epoch, sender="r1", sent_at=self.now, records=tuple(load.records))
            offset = max(self.state.position, LONG_BEGUN) + 1
            applied = self.state.apply(Entry(offset=offset, size=100, batch=batch))
            assert applied.counts
            self.scheduler.touch(applied.keys)
            self.written.extend(load.records)
            state = self.state
            for key, was in applied.was.items():
                homes = state.definitions.get(key, {})
                self.events += events.tell(was, state.progress.get(key), homes, state.winner(key), state.cronjob(key))
            for key, before in applied.demands.items():
                self.events += events.tell_demand(before, state.demands.get(key))


def _seconds(tick: datetime) -> int:
    return int((tick - NOON).total_seconds())


def _tell(verdict: Verdict) -> str:
    many = f" x{verdict.count}" if verdict.count > 1 else ""
    reason = f" {verdict.reason}" if verdict.reason else ""
    return f"{_seconds(verdict.tick)} {verdict.verdict}{reason}{many}"


def refused_and_waiting(schedule: str = "1 12 * * *", **fields: Any) -> Story:
    """Return a story in which west has refused the run of 12:01, which waits until another cluster is heard of."""
    story = Story()
    story.declare(spec(schedule, guarantee="AtLeastOnce", placement={"clusters": ["west", "east"]}, **fields))
    story.at(40)
    story.alive = {"west"}
    story.at(60)
    story.refused(story.run)
    return story
