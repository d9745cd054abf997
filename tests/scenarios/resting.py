"""When the ledger said of a cronjob that it was not to fire: suspended, paused, gone, or not to be understood."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest

from hacron.core.messages import Batch, Definition, Removed
from hacron.core.model import CronJob, Key
from tests.fakes.broker import Stored
from tests.scenarios import declared
from tests.scenarios.decided import counting
from tests.scenarios.world import World

OF_INTEREST = (b'"Checkpoint"', b'"Definition"', b'"Removed"')
NEVER, FOR_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A while; both ends belong to it."""

    begin: datetime
    end: datetime

    def meets(self, other: Span) -> bool:
        return self.begin <= other.end and other.begin <= self.end

    def has(self, at: datetime) -> bool:
        return self.begin <= at <= self.end


def resting(world: World) -> Mapping[Key, list[Span]]:
    """Return from when until when, by the clocks of executors."""
    found: dict[Key, list[Span]] = defaultdict(list)
    ledgers = [*world.lost_ledgers, world.broker.ledger]
    for ledger, following in zip_longest(ledgers, ledgers[1:]):
        ends = following[0].batch.sent_at if following else FOR_EVER  # what a ledger said that is lost
        homes: dict[Key, dict[str, Definition]] = defaultdict(dict)
        rests: dict[Key, Span] = {}
        for key, batch in _changes(ledger, homes):
            before = rests.pop(key, None)
            if before is not None:
                found[key].append(Span(before.begin, min(before.end, batch.sent_at)))
            until = _rests_until(key, homes[key], batch.sent_at)
            if until > batch.sent_at:
                rests[key] = Span(batch.sent_at, until)
        for key, rest in rests.items():
            found[key].append(Span(rest.begin, min(rest.end, ends)))
    return found


def _changes(ledger: list[Stored], homes: dict[Key, dict[str, Definition]]) -> Iterator[tuple[Key, Batch]]:
    """Yield whose homes have changed, and by what."""
    read = (stored for stored in ledger if any(word in stored.body for word in OF_INTEREST))
    for _, batch in counting((stored.offset, stored.batch) for stored in read):
        for record in batch.records:
            if isinstance(record, Definition):
                homes[record.key][record.cluster] = record
            elif isinstance(record, Removed):
                for cluster in [record.cluster] if record.cluster is not None else list(homes[record.key]):
                    homes[record.key].pop(cluster, None)
            else:
                continue
            yield record.key, batch


def _rests_until(key: Key, homes: Mapping[str, Definition], at: datetime) -> datetime:
    """Return until when it is not to fire: by the newest change, or by a pause in any of its homes."""
    newest = max(homes.values(), key=lambda definition: definition.revision, default=None)
    found = declared.read_spec(key, bytes(newest.spec)) if newest is not None else None
    if not isinstance(found, CronJob) or found.suspend:
        return FOR_EVER
    pauses = [definition.pause.until or FOR_EVER for definition in homes.values() if definition.pause is not None]
    return max([until for until in pauses if until > at], default=NEVER)
