"""What happens in a world, as lines to be read: who decided, made and told what, seen from outside.

It listens where everybody can: at the queues, at the ledger (folded by the counting rule, as every reader does) and at the API
servers. Nothing that a replica keeps to itself is told, and nothing is told twice: proofs, signs of life and records that are
only written again say nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hacron.broker import codec
from hacron.core.messages import (
    Batch,
    Checkpoint,
    ClusterSeen,
    Command,
    CronJobDeclared,
    CronJobWithdrawn,
    Definition,
    Demand,
    DemandForgotten,
    DemandWithdrawn,
    Entry,
    Progress,
    Removed,
    Report,
    RunFinished,
    RunOutOfSight,
    RunRefused,
    RunReport,
    RunsDemanded,
    RunStarted,
    RunStopped,
)
from hacron.core.model import Key, Run, Verdict
from hacron.core.state import State
from tests.fakes.broker import COMMANDS, REPORTS, FakeBroker
from tests.fakes.versions import lowered
from tests.scenarios.world import World


class Chronicle:
    """Collects the lines of a world from its beginning on."""

    def __init__(self) -> None:
        self.broker = ListenedTo(self)
        self.world = World(self.broker)
        self.world.say = self.say
        self.lines: list[str] = []
        self.state = State()
        self._offset = 0

    def say(self, who: str, what: str) -> None:
        self.lines.append(f"{clock(self.world.now)} {who}: {what}")

    def take_lines(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    # --- what is heard ---

    def put(self, queue: str, body: bytes) -> None:
        who = self.world.acting.name if self.world.acting else "somebody"
        try:
            messages: list[Command] | list[Report] = []
            if queue == COMMANDS:
                messages, _ = codec.decode_commands(lowered(body))
            elif queue == REPORTS:
                messages, _ = codec.decode_reports(lowered(body))
            else:
                self.say(who, f"puts a token into {queue}")
        except codec.Unreadable as why:
            self.say(who, f"puts something unreadable into {queue}: {why}")
        for message in messages:
            if not isinstance(message, ClusterSeen):
                self.say(who, f"tells: {told(message)}")

    def append(self, body: bytes) -> None:
        try:
            batch, _ = codec.decode_batch(lowered(body))
        except codec.Unreadable as why:
            self.say("somebody", f"writes something unreadable into the ledger: {why}")
            return
        before = {record.key: self.state.progress.get(record.key) for record in batch.records if isinstance(record, Progress)}
        known = {key: dict(homes) for key, homes in self.state.definitions.items()}
        demands = dict(self.state.demands)
        self._offset += 1
        applied = self.state.apply(Entry(offset=self._offset, size=len(body), batch=batch))
        if not applied.counts:
            self.say(batch.sender, f"writes in vain: {', '.join(type(record).__name__ for record in batch.records)}")
            return
        for line in decided(batch, before, known, demands):
            self.say(batch.sender, line)

    def wiped(self) -> None:
        self.state = State()
        self._offset = 0


class ListenedTo(FakeBroker):
    """A broker in memory that lets the chronicle hear what is put into it."""

    def __init__(self, chronicle: Chronicle) -> None:
        super().__init__()
        self._chronicle = chronicle

    def put(self, name: str, body: bytes) -> None:
        self._chronicle.put(name, body)
        super().put(name, body)

    def append(self, body: bytes, floor: int, news: bool = True) -> None:
        self._chronicle.append(body)
        super().append(body, floor, news)

    def _empty_ledger(self) -> None:
        self._chronicle.wiped()
        super()._empty_ledger()


def decided(
    batch: Batch, before: dict[Key, Progress | None], known: dict[Key, dict[str, Definition]], demands: dict[Key, Demand]
) -> list[str]:
    """Say what the records of a batch change."""
    lines = []
    for record in batch.records:
        match record:
            case Checkpoint():
                lines.append("is the executor")
            case Definition():
                old = known.get(record.key, {}).get(record.cluster)
                if old is None or (old.uid, old.generation) != (record.uid, record.generation):
                    lines.append(f"notes: {short(record.key)} is declared in {record.cluster}, generation {record.generation}")
            case Progress():
                lines += _progress(record, before.get(record.key))
            case Demand():
                lines += _demand(record, demands.get(record.key))
            case DemandForgotten():
                lines.append(f"notes: {short(record.key)} is forgotten")
            case Removed():
                lines.append(f"notes: {short(record.key)} is {f'gone from {record.cluster}' if record.cluster else 'forgotten'}")
            case _:
                pass
    return lines


def _progress(after: Progress, before: Progress | None) -> list[str]:
    name = short(after.key)
    lines = []
    old_runs = {run.id: run for run in before.open} if before else {}
    old_verdicts = set(before.recent) if before else set()
    verdicts = [verdict for verdict in after.recent if verdict not in old_verdicts]
    judged = {(verdict.tick, verdict.attempt) for verdict in verdicts}
    now_open = {run.id for run in after.open}
    tried_again = {(run.tick, run.attempt - 1) for run in after.open}
    lines += [f"{name} {tick(v.tick)} {_verdict(v)}" for v in verdicts]
    for run in old_runs.values():
        if run.id not in now_open and (run.tick, run.attempt) not in judged | tried_again and not run.demand:
            lines.append(f"{name} {tick(run.tick)} is {'taken back' if run.state == 'Pending' else 'closed'}")
    for run in after.open:
        old = old_runs.get(run.id)
        if old is None:
            refused = f", refused by {', '.join(run.refused_by)}" if run.refused_by else ""
            by = f" by {run.demand}" if run.demand else ""
            arrow = "→" if run.state == "Pending" else f"is known to be {run.state} in"
            lines.append(f"{name} {tick(run.tick)}{by} {arrow} {run.cluster}{_attempt(run)}{refused}")
        elif old.state is not run.state and run.state != "Lost":
            lines.append(f"{name} {tick(run.tick)} is {run.state}{f' ({run.reason})' if run.reason else ''}")
    if after.held is not None and (before is None or before.held != after.held):
        lines.append(f"{name} {tick(after.held.tick)} waits: {after.held.message}")
    if after.withdrawn_at is not None and (before is None or before.withdrawn_at is None):
        lines.append(f"{name} is withdrawn")
    return [f"decides: {line}" for line in lines]


def _demand(after: Demand, before: Demand | None) -> list[str]:
    name = short(after.key)
    lines = []
    if before is None or before.account.id != after.account.id:
        lines.append(f"notes: {name} is demanded of {short(after.cronjob or 'nobody')} in {', '.join(after.homes)}")
        before = None
    elif before.homes.keys() != after.homes.keys():
        lines.append(f"notes: {name} is demanded in {', '.join(after.homes)}")
    old = before.account.results if before else ()
    lines += [f"decides: {name} {tick(v.tick)} {_verdict(v)}" for v in after.account.results if v not in old]
    if after.wrong and (before is None or not before.wrong):
        lines.append(f"decides: {name} is refused: {after.wrong}")
    if after.held is not None and (before is None or before.held != after.held):
        lines.append(f"decides: {name} {tick(after.held.tick)} waits: {after.held.message}")
    if after.account.finished is not None and (before is None or before.account.finished is None):
        lines.append(f"decides: {name} is complete")
    if after.withdrawn_at is not None and (before is None or before.withdrawn_at is None):
        lines.append(f"decides: {name} is withdrawn")
    return lines


def told(message: Command | Report) -> str:
    """Say what a command or report says."""
    match message:
        case CronJobDeclared():
            ran = f", last ran {tick(message.last_schedule_time)}" if message.last_schedule_time else ""
            return f"{short(message.key)} is declared in {message.cluster}, generation {message.generation}{ran}"
        case RunsDemanded():
            known = f", {message.account.succeeded} have succeeded" if message.account else ""
            return f"{short(message.key)} is demanded in {message.cluster}{known}"
        case CronJobWithdrawn() | DemandWithdrawn():
            return f"{short(message.key)} is gone from {message.cluster}"
        case RunStarted():
            return f"{_run(message)} has started"
        case RunFinished():
            return f"{_run(message)} has {message.outcome}"
        case RunRefused():
            return f"{_run(message)} is refused: {message.reason}: {message.message}"
        case RunStopped():
            return f"{_run(message)} is stopped"
        case RunOutOfSight():
            return f"{_run(message)} is out of sight"
        case _:
            return type(message).__name__


def short(key: str) -> str:
    return key.removeprefix("default/")


def clock(instant: datetime) -> str:
    """HH:MM:SS, and the milliseconds if there are any."""
    instant += timedelta(microseconds=500)
    return f"{instant:%H:%M:%S}" + (f".{instant.microsecond // 1000:03d}".rstrip("0").rstrip("."))


def tick(instant: datetime) -> str:
    """HH:MM, and the seconds if there are any."""
    return f"{instant:%H:%M:%S}".removesuffix(":00")


def _run(report: RunReport) -> str:
    _, seconds, attempt = report.run_id.rsplit(".", 2)
    when = tick(datetime.fromtimestamp(int(seconds), UTC))
    return f"{short(report.key)} {when}" + (f" attempt {attempt}" if attempt != "1" else "")


def _attempt(run: Run) -> str:
    return f", attempt {run.attempt}" if run.attempt > 1 else ""


def _verdict(verdict: Verdict) -> str:
    words = [str(verdict.verdict)]
    if verdict.attempt > 1:
        words.append(f"in attempt {verdict.attempt}")
    if verdict.count > 1:
        words.append(f"x{verdict.count}")
    if verdict.reason:
        words.append(f"({verdict.reason}{': ' + verdict.message if verdict.message else ''})")
    return " ".join(words)
