"""Batches are as long as they are said to be, whatever is in the records, and hold nothing that nobody could read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from hacron.broker import codec
from hacron.core.foreign import Stranger
from hacron.core.messages import (
    BODY_BYTES,
    MOST_RECORDS,
    RECORD_BYTES,
    Batch,
    ClusterState,
    Demand,
    Progress,
    Record,
    Removed,
    Written,
)
from hacron.core.model import Account, Cluster, Held, Key, Run, Verdict, VerdictKind
from hacron.core.packing import BATCH_BYTES, Load, pack

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def runs(many: int) -> tuple[Run, ...]:
    because = "über Mittag \x00 " * 20
    kinds = {"tick": NOON, "cluster": "west", "start_by": NOON, "fencing": 1, "job": "job-1", "because": because}
    return tuple(Run(id=f"u.{number}.1", **kinds) for number in range(many))


def verdicts(many: int) -> tuple[Verdict, ...]:
    words = "€" * 200
    return tuple(
        Verdict(tick=NOON + timedelta(seconds=n), verdict=VerdictKind.FAILED, message=words, job="j") for n in range(many)
    )


def written(batch: list[Written]) -> bytes:
    return codec.encode_batch(Batch(epoch=2**50, sender="r" * 253, sent_at=NOON, records=tuple(batch)))


RECORDS = {
    "demand": lambda n: Demand(
        key=Key(f"a/b-{n}"), created_at=NOON, homes={}, account=Account(id="u", open=runs(50), results=verdicts(50))
    ),
    "progress": lambda n: Progress(
        key=Key(f"a/b-{n}"), cronjob_id="u", last_tick=NOON, open=runs(20), recent=verdicts(10), told=verdicts(5)
    ),
    "cluster": lambda n: ClusterState(cluster=Cluster(name=f"c-{n}", seen_at=NOON, labels={"a": "x" * 20_000})),
    "little": lambda n: Removed(key=Key(f"a/b-{n}")),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_batch_is_never_longer_than_it_may_be(kind: str) -> None:
    groups = [(RECORDS[kind](number),) for number in range(5000 if kind == "little" else 30)]
    loads, set_aside = pack(groups)
    batches = [load.records for load in loads]
    assert not set_aside
    assert [record for batch in batches for record in batch] == [record for group in groups for record in group]
    for batch in batches:
        body = written(batch)
        assert len(body) <= BATCH_BYTES + 1000 or len(batch) == 1
        assert codec.decode_batch(body)[1] == []
    assert len(batches) <= 2 + 2 * sum(len(written(batch)) for batch in batches) // BATCH_BYTES


def progress(**fields: Any) -> Progress:
    return Progress(**{"key": Key("a/b"), "cronjob_id": "u", "last_tick": NOON} | fields)


def of_length(length: int) -> ClusterState:
    bare = ClusterState(cluster=Cluster(name="west", seen_at=NOON, labels={"a": "x"}))
    padding = length - len(msgspec.json.encode(bare)) + 1
    return ClusterState(cluster=Cluster(name="west", seen_at=NOON, labels={"a": "x" * padding}))


@pytest.mark.parametrize(
    "group",
    [
        pytest.param((of_length(RECORD_BYTES + 1),), id="a record that is too long"),
        pytest.param((of_length(RECORD_BYTES),) * 4, id="records that are too long together"),
        pytest.param((Removed(key=Key("a/b")),) * (MOST_RECORDS + 1), id="too many records"),
        pytest.param((progress(held=Held(NOON, "x", "x" * 4001)),), id="a sentence that is too long"),
        pytest.param((progress(last_tick=NOON.replace(year=1890)),), id="an instant that is far away"),
    ],
)
def test_what_nobody_could_read_is_left_out_and_its_neighbours_are_written(group: tuple[Record, ...]) -> None:
    little = (RECORDS["little"](1),)
    loads, set_aside = pack([little, group, little])
    assert [one.group for one in set_aside] == [group]
    assert loads == [Load([*little, *little], {})]
    unreadable = True
    try:
        _, reasons = codec.decode_batch(written(list(group)))
        unreadable = bool(reasons)
    except codec.Unreadable:
        pass
    assert unreadable


def test_what_is_unknown_stands_with_the_record_that_it_came_with() -> None:
    known, more = RECORDS["little"](1), RECORDS["little"](2)
    stranger = Stranger("Forecast", Key("a/b"), "west", b'{"kind":"Forecast","key":"a/b"}')
    came = msgspec.json.encode(more)[:-1] + b',"new":1}'
    long = RECORDS["cluster"](1)
    groups: list[list[Written]] = [[known], [stranger, more], *([long] for _ in range(5)), [more]]
    loads, set_aside = pack(groups, lambda one: came if one is more else None)
    assert not set_aside
    assert [load.foreign for load in loads] == [{2: came}, {len(loads[1].records) - 1: came}]
    assert [load.records for load in loads] == [[known, stranger, more, *[long] * 4], [long, more]]


def test_the_longest_that_may_be_written_can_be_read() -> None:
    group = (of_length(RECORD_BYTES),) * 3 + (of_length(RECORD_BYTES - 5000),)
    loads, set_aside = pack([group])
    assert not set_aside
    body = written(loads[0].records)
    assert BODY_BYTES - 10_000 < len(body) <= BODY_BYTES
    assert codec.decode_batch(body)[1] == []
