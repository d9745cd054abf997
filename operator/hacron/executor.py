"""The executor: holds the token, and alone decides what fires.

Order of effects, and it is a contract: append to the ledger → read it back → acknowledge what caused it. State changes only by
what is read back, so a decision that was lost with its writer never happened, for anybody; and one that was written is found by
the successor. In doubt it steps down: whatever it still had to say is said by somebody else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from hacron import decision_log
from hacron.core import faults, reasons
from hacron.core.draft import how_ended, new_results, new_verdicts
from hacron.core.faults import EXECUTOR
from hacron.core.foreign import Stranger
from hacron.core.messages import (
    Batch,
    Checkpoint,
    Command,
    Definition,
    Demand,
    Entry,
    Progress,
    Proof,
    Record,
    Report,
    Written,
)
from hacron.core.model import Verdict
from hacron.core.packing import Load, pack
from hacron.core.scheduler import Scheduler
from hacron.core.state import LONG_AGO, Applied, State
from hacron.core.ticks.cron import tzdata_version
from hacron.ports import BrokerUnavailable, Inbox, Ledger, SteppedDown, Token, Why
from hacron.turn import Folded, Moment

log = logging.getLogger(__name__)

PREPARED_PER_TURN = 2000  # cronjobs; a turn must stay far below a second
LOOK_INTERVAL_S = 5.0  # between two looks at what waits at the broker
REWRITE_AFTER_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long the executor may believe in itself, and how long others wait before they doubt it."""

    proof_interval_s: float = 1.0
    proof_lease_s: float = 3.0
    token_missing_after_s: float = 12.0
    unheard_after_s: float = 30.0  # without any report: workers speak every few seconds, and one of them is its own cluster's
    rewrite_after_messages: int = 10_000  # how far the floor may lag before stale records are written again
    rewrite_after_bytes: int = REWRITE_AFTER_BYTES  # or twice what matters, if that is more
    rewrite_before_bytes: int = 256 * 1024 * 1024  # however much matters: below what the lookout warns of
    rewrite_at_least: int = 20  # records a second, when it lags


@dataclass(slots=True)
class Tally:
    """What this replica has done as executor; telemetry reads it."""

    takeovers: int = 0
    proofs: int = 0
    tokens_put_back: int = 0
    records: dict[str, int] = field(default_factory=dict)  # written, by kind
    commands: dict[str, int] = field(default_factory=dict)  # taken, by kind
    reports: dict[str, int] = field(default_factory=dict)  # taken, by kind
    verdicts: dict[tuple[str, str], int] = field(default_factory=dict)  # ticks, by verdict and reason; only what was read back
    demands: dict[str, int] = field(default_factory=dict)  # that ended, by how; only what was read back


class Executor:
    """A replica's bid for the token, and its work while it holds it. Lives as long as one broker connection."""

    def __init__(
        self,
        *,
        replica: str,
        cluster: str,
        state: State,
        scheduler: Scheduler,
        token: Token,
        ledger: Ledger,
        inbox: Inbox,
        lease: Lease,
        may_execute: bool = True,
        tally: Tally | None = None,
    ) -> None:
        self._replica = replica
        self._cluster = cluster
        self._state = state
        self._scheduler = scheduler
        self._token = token
        self._ledger = ledger
        self._inbox = inbox
        self._lease = lease
        self._may_execute = may_execute
        self.tally = tally or Tally()
        self.epoch: int | None = None  # of our checkpoint; None: standby
        self._checkpoint: Checkpoint | None = None  # ours
        self.decides = False  # our checkpoint has been read back and counts
        self._prepared = False  # a successor that is not in step with State could not decide at once
        self.proven_at = 0.0  # monotonic; when something of ours was last read back
        self._proved_at = 0.0  # monotonic; when we last wrote a proof
        self._reported_at = 0.0  # monotonic; when the last report came, or could begin to
        self._looked_at = 0.0  # monotonic; when the inbox was last looked at for what is held up
        self._held_up_since: dict[str, float] = {}  # monotonic; commands, reports
        self._outstanding = 0  # batches appended and not read back
        self._life_at: float | None = None  # monotonic; last sign of any executor
        self._missed_at: float | None = None  # monotonic; when the token last counted as gone
        self._has_read_since = False  # anything of the ledger that counts, since then
        self._read_at: float | None = None  # monotonic; when we last read any of what stood in it, or could begin to

    def turn(self, moment: Moment, folded: Sequence[Folded]) -> None:
        """Do all that can be done now; never waits for more than the broker's confirms. Raises SteppedDown, BrokerUnavailable."""
        self._has_read_since = self._has_read_since or any(applied.counts for _, applied in folded)
        for entry, applied in folded:
            self._read_back(entry, applied, moment)
        if not self._ledger.caught_up:
            self._read_on(moment, bool(folded))
            return
        if self.epoch is None:
            self._stand_by(moment)
            return
        self._check(moment)
        if self._outstanding or not self.decides:
            return  # one decision at a time: the next one needs to see what became of this one
        self._inbox.acknowledge()
        self._decide(moment)

    def stop(self) -> None:
        """Give the token back; the next replica in line has it at once."""
        if self.epoch is not None:
            log.info("gives the token back", extra={"epoch": self.epoch})
        self.decides = False
        self._token.give_back()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way, for whoever turns it by hand; if not, the next turn should come soon."""
        return self._outstanding == 0

    def next_turn(self, moment: Moment) -> float:
        """Return in how many seconds a turn is due without any message arriving."""
        if self.epoch is None and not self._prepared:
            return 0.0
        if self.epoch is None:
            return max(0.0, self._missing_at(moment) - moment.mono)  # the token itself, and all else, arrives
        if not self.decides or self._outstanding:
            return 0.5
        wait = self._proved_at + self._lease.proof_interval_s - moment.mono
        look = self._scheduler.next_look()
        if look is not None:
            wait = min(wait, (look - moment.wall).total_seconds())
        return max(0.0, wait)

    # --- becoming executor ---

    def _read_on(self, moment: Moment, has_read: bool) -> None:
        """See that what stood in the ledger when it was opened goes on coming."""
        if has_read or self._read_at is None:
            self._read_at = moment.mono
        if moment.mono - self._read_at > self._lease.token_missing_after_s:
            raise BrokerUnavailable("the ledger is not read on")

    def _stand_by(self, moment: Moment) -> None:
        self._prepared = self._scheduler.prepare(PREPARED_PER_TURN)
        if self._may_execute and self._prepared:
            self._token.compete()
        if self._token.held:
            self._claim(moment)
        else:
            self._put_back_if_missing(moment)

    def _claim(self, moment: Moment) -> None:
        """Append the checkpoint. Deciding begins when it has been read back and counts."""
        now = moment.wall
        self.epoch = max(self._state.epoch + 1, int(now.timestamp() * 1000))  # grows even when the broker was wiped
        born = self._state.born or (now if self._state.epoch == 0 else LONG_AGO)
        log.info("has the token", extra={"epoch": self.epoch})
        self.proven_at = moment.mono
        self._checkpoint = Checkpoint(replica=self._replica, cluster=self._cluster, at=now, born=born)
        self._append([Load([self._checkpoint], {})], now)

    def _put_back_if_missing(self, moment: Moment) -> None:
        """Nobody has shown signs of life for longer than any takeover takes: the token is gone. A second one does no harm.

        If nothing at all is read for as long again, it may be this replica alone that hears nothing, though its connection lives.
        """
        if self._life_at is None:
            self._life_at = moment.mono
        never_begun = self._state.epoch == 0 and self._missed_at is None
        if not never_begun and moment.mono < self._missing_at(moment):
            return
        if self._missed_at is not None and not self._has_read_since:
            raise BrokerUnavailable("nothing is heard from the ledger")
        self._missed_at, self._has_read_since = moment.mono, False
        if not self._may_execute:
            return  # nor may it write to the token's queue
        log.info("puts a token back: no sign of an executor")
        self.tally.tokens_put_back += 1
        self._token.put_back()

    def _missing_at(self, moment: Moment) -> float:
        """Return from when on the token counts as gone (monotonic)."""
        life_at = self._life_at if self._life_at is not None else moment.mono
        return max(life_at, self._missed_at or 0.0) + self._lease.token_missing_after_s

    # --- being executor ---

    def _read_back(self, entry: Entry, applied: Applied, moment: Moment) -> None:
        if applied.proof or applied.checkpoint:
            self._life_at = moment.mono
        batch = entry.batch
        if batch is None or self.epoch is None or batch.sender != self._replica or batch.epoch != self.epoch:
            return
        if not applied.counts:
            raise SteppedDown(
                Why.SUPERSEDED, f"what was written in epoch {self.epoch} does not count: epoch {self._state.epoch} is newer"
            )
        if applied.checkpoint is not None and applied.checkpoint != self._checkpoint:
            raise SteppedDown(Why.SUPERSEDED, f"an earlier connection of this replica has begun epoch {self.epoch}, too")
        self._outstanding -= 1
        self.proven_at = moment.mono
        self._count_verdicts(batch, applied)
        if applied.checkpoint is not None:
            self.decides = True
            self.tally.takeovers += 1
            self._inbox.open()
            self._reported_at = moment.mono
            log.info("is the executor", extra={"epoch": self.epoch, "cronjobs": len(self._state.progress)})

    def _check(self, moment: Moment) -> None:
        if self._state.epoch > (self.epoch or 0):
            raise SteppedDown(Why.SUPERSEDED, f"epoch {self._state.epoch} is newer than {self.epoch}")
        if not self._token.held:
            raise SteppedDown(Why.TOKEN_LOST, "the broker has taken the token away")
        silent_s = moment.mono - self.proven_at
        # Its checkpoint may take longer, while the broker looks for its nodes: there is nothing yet that it could decide.
        if silent_s > (self._lease.proof_lease_s if self.decides else self._lease.token_missing_after_s):
            raise SteppedDown(Why.NO_PROOF, f"no proof read back for {silent_s:.1f} s")
        unheard_s = moment.mono - self._reported_at
        if self.decides and unheard_s > self._lease.unheard_after_s:
            raise SteppedDown(Why.NO_REPORTS, f"no report of any cluster, not even of its own, for {unheard_s:.0f} s")
        if self.decides:
            self._check_inbox(moment)

    def _check_inbox(self, moment: Moment) -> None:
        """Step down when what waits at the broker does not come: it comes to a successor, as the consumer is gone by then."""
        self._held_up_since = {kind: self._held_up_since.get(kind, moment.mono) for kind in self._inbox.held_up}
        for kind, since in self._held_up_since.items():
            held_up_s = moment.mono - since
            if held_up_s > self._lease.unheard_after_s:
                raise SteppedDown(Why.INBOX_STUCK, f"{kind} wait at the broker, and none has come for {held_up_s:.0f} s")
        if moment.mono - self._looked_at >= LOOK_INTERVAL_S:
            self._looked_at = moment.mono
            self._inbox.look()

    def _decide(self, moment: Moment) -> None:
        messages = self._inbox.take()
        if messages:
            self._count_messages(messages, moment)
        groups: list[Sequence[Written]] = [*self._scheduler.decide(messages, moment.wall)]
        if moment.mono >= self._proved_at + self._lease.proof_interval_s:  # as next_turn rounds it
            self._proved_at = moment.mono
            self.tally.proofs += 1
            groups.append((self._proof(moment.wall),))
            groups = [*((record,) for record in self._stale()), *groups]  # first: what is new about the same subject wins
        if groups:
            self._write(groups, moment.wall)

    def _count_messages(self, messages: Sequence[Command | Report], moment: Moment) -> None:
        for message in messages:
            if isinstance(message, Report):
                self._reported_at = moment.mono
                _count(message, self.tally.reports)
            else:
                _count(message, self.tally.commands)

    def _write(self, groups: Iterable[Sequence[Written]], now: datetime) -> None:
        packed = pack(groups, self._state.as_written)
        decision_log.tell_set_aside(packed.set_aside)
        put_off = (record.key for one in packed.set_aside for record in one.group if isinstance(record, Definition | Progress))
        self._scheduler.put_off(put_off, now)
        decision_log.tell(chain.from_iterable(load.records for load in packed.loads), self._state)
        if packed.loads:
            self._append(packed.loads, now)

    def _proof(self, now: datetime) -> Proof:
        since = self._state.executor.since if self._state.executor is not None else None
        born, tzdata = self._state.born, tzdata_version()
        return Proof(replica=self._replica, at=now, tzdata=tzdata, cluster=self._cluster, since=since, born=born)

    def _stale(self) -> Iterable[Written]:
        """Return the records to be written again, so that the floor can rise and old segments can go."""
        state, lease = self._state, self._lease
        allowed_bytes = max(lease.rewrite_after_bytes, min(2 * state.live_bytes, lease.rewrite_before_bytes))
        if state.span_messages < lease.rewrite_after_messages and state.span_bytes < allowed_bytes:
            return []
        many = max(lease.rewrite_at_least, state.live // 300)
        return [record for record, _ in zip(state.stalest(), range(many), strict=False)]

    def _append(self, loads: Sequence[Load], now: datetime) -> None:
        batches = [self._batch(load, now) for load in loads]
        self._outstanding += len(batches)
        for batch in batches:
            for record in batch.records:
                if not isinstance(record, Stranger):
                    _count(record, self.tally.records)
        # Who has read nothing that counts knows no floor: its node may have had no copy of the ledger yet.
        self._ledger.append(batches, self._state.floor if self._state.counted_position >= 0 else None)

    def _batch(self, load: Load, now: datetime) -> Batch:
        assert self.epoch is not None
        return Batch(epoch=self.epoch, sender=self._replica, sent_at=now, records=tuple(load.records), foreign=load.foreign)

    def _count_verdicts(self, batch: Batch, applied: Applied) -> None:
        """Count ticks and demands by what became of them: whoever wrote it counts it, once it has been read back."""
        for record in batch.records:
            if isinstance(record, Progress | Demand):
                with faults.confined(EXECUTOR, record.key):
                    self._count_news(record, applied)

    def _count_news(self, record: Progress | Demand, applied: Applied) -> None:
        for verdict in _news(record, applied):
            label = reasons.label(verdict)
            self.tally.verdicts[label] = self.tally.verdicts.get(label, 0) + verdict.count
        ended = how_ended(record, applied.demands[record.key]) if isinstance(record, Demand) else None
        if ended is not None:
            self.tally.demands[ended] = self.tally.demands.get(ended, 0) + 1


def _news(record: Progress | Demand, applied: Applied) -> Sequence[Verdict]:
    if isinstance(record, Progress):
        return new_verdicts(record, applied.was[record.key].progress)
    return new_results(record, applied.demands[record.key])


def _count(thing: Record | Command | Report, counts: dict[str, int]) -> None:
    kind = type(thing).__name__
    counts[kind] = counts.get(kind, 0) + 1
