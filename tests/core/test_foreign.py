"""What another version wrote and this one does not know is written again, wherever what is known of it has changed meanwhile."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hacron.core.foreign import MOST_BYTES, Stranger, says_more, with_unknown
from hacron.core.messages import Batch, Checkpoint, Definition, Demand, DemandForgotten, Entry, Progress, Removed, Written
from hacron.core.model import Account
from hacron.core.state import State
from tests.roles.views import HELLO, NOON

encode = msgspec.json.encode


def written(came: Any, understood: Any, now: Any) -> Any:
    return msgspec.json.decode(with_unknown(encode(came), encode(understood), encode(now)))


@pytest.mark.parametrize(
    ("came", "understood", "now", "found"),
    [
        pytest.param({"a": 1, "new": 2}, {"a": 1}, {"a": 1}, {"a": 1, "new": 2}, id="nothing has changed"),
        pytest.param({"a": 1, "new": 2}, {"a": 1}, {"a": 3}, {"a": 3, "new": 2}, id="what is known has changed"),
        pytest.param({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}, id="what was known has been taken away"),
        pytest.param({"a": {"b": 1, "new": 2}}, {"a": {"b": 1}}, {"a": {"b": 3}}, {"a": {"b": 3, "new": 2}}, id="within"),
        pytest.param({"a": {"new": 2}}, {"a": {}}, {}, {}, id="within what has been taken away"),
        pytest.param({"a": False}, {}, {"a": True}, {"a": True}, id="a default that was written out"),
        pytest.param(
            {"runs": [{"id": "x", "new": 1}, {"id": "y", "new": 2}]},
            {"runs": [{"id": "x"}, {"id": "y"}]},
            {"runs": [{"id": "z"}, {"id": "y", "state": "Running"}]},
            {"runs": [{"id": "z"}, {"id": "y", "state": "Running", "new": 2}]},
            id="things that have an id",
        ),
        pytest.param(
            {"told": [{"tick": 1, "new": 1}, {"tick": 2, "new": 2}]},
            {"told": [{"tick": 1}, {"tick": 2}]},
            {"told": [{"tick": 2}, {"tick": 3}]},
            {"told": [{"tick": 2, "new": 2}, {"tick": 3}]},
            id="things that have none",
        ),
        pytest.param(
            {"uid": "x", "new": 1, "runs": [{"id": "r", "new": 2}]},
            {"uid": "x", "runs": [{"id": "r"}]},
            {"uid": "y", "runs": [{"id": "r"}]},
            {"uid": "y", "runs": [{"id": "r", "new": 2}]},
            id="another by the same name, and what is left of the one before",
        ),
    ],
)
def test_what_is_unknown_goes_where_it_belongs(came: Any, understood: Any, now: Any, found: Any) -> None:
    assert written(came, understood, now) == found


@pytest.mark.parametrize(
    ("came", "understood", "more"),
    [
        (b'{"a":1}', b'{"a":1}', False),
        (b'{ "a": 1 }', b'{"a":1}', False),
        (b'{"b":2,"a":1}', b'{"a":1,"b":2}', False),
        (b'{"a":1,"new":2}', b'{"a":1}', True),
        (b'{"a":[{"id":"x","new":2}]}', b'{"a":[{"id":"x"}]}', True),
        (b'{"a":{"b":1,"new":"\\ud800"}}', b'{"a":{"b":1}}', False),
        (b'{"a":{"b":1,"new":1e999}}', b'{"a":{"b":1}}', True),
        (b'{"a":{"b":1,"new":' + b"[" * 9000 + b"]" * 9000 + b"}}", b'{"a":{"b":1}}', False),
        (b'{"a":1,"new":"' + b"x" * MOST_BYTES + b'"}', b'{"a":1}', False),
    ],
    ids=["alike", "spaces", "order", "a field", "a field within", "half a character", "no number", "deep", "long"],
)
def test_only_what_can_be_written_again_is_more(came: bytes, understood: bytes, more: bool) -> None:
    assert says_more(came, understood) == more


@pytest.mark.parametrize("number", [b"1e999", b"123456789012345678901234567890", b"-0.0", b"1.0", b"[" * 900 + b"]" * 900])
def test_a_field_of_a_record_is_written_as_it_came_whatever_it_is(number: bytes) -> None:
    came = b'{"a":1,"new":%s,"spec":{ "x": %s }}' % (number, number)
    understood = b'{"a":1,"spec":{ "x": %s }}' % number
    assert says_more(came, understood)
    assert with_unknown(came, understood, understood.replace(b"1", b"2", 1)) == b'{"a":2,"spec":{ "x": %s },"new":%s}' % (
        number,
        number,
    )


# --- records of unknown kinds ---


def definition(uid: str = "u") -> Definition:
    return Definition(
        key=HELLO, cluster="west", uid=uid, generation=1, created_at=NOON, revision=1, changed_at=NOON, spec=msgspec.Raw(b"{}")
    )


def progress(identity: str) -> Progress:
    return Progress(key=HELLO, cronjob_id=identity, last_tick=NOON)


def demand(identity: str) -> Demand:
    return Demand(key=HELLO, created_at=NOON, homes={}, account=Account(id=identity))


def met(*records: Written) -> list[str]:
    """Return which records of unknown kinds are live when a ledger has brought these."""
    state = State()
    for offset, record in enumerate((Checkpoint(replica="r1", cluster="west", at=NOON, born=NOON), *records)):
        batch = Batch(epoch=1, sender="r1", sent_at=NOON, records=(record,))
        assert state.apply(Entry(offset=offset, size=100, batch=batch)).counts
    return [one.came.decode() for one in state.stalest() if isinstance(one, Stranger)]


def stranger(came: bytes, kind: str = "Forecast", cluster: str = "west") -> Stranger:
    return Stranger(kind, HELLO, cluster, came)


@pytest.mark.parametrize(
    ("records", "left"),
    [
        ((stranger(b"1"), stranger(b"2")), ["2"]),
        ((stranger(b"1"), stranger(b"2", "Outlook"), stranger(b"3", cluster="east")), ["1", "2", "3"]),
        ((definition(), stranger(b"1"), stranger(b"2", cluster="east"), Removed(key=HELLO, cluster="west")), ["2"]),
        ((definition(), stranger(b"1"), stranger(b"2", cluster=""), Removed(key=HELLO)), []),
        ((definition(), stranger(b"1"), definition()), ["1"]),
        ((definition(), stranger(b"1"), definition("of another")), []),
        ((stranger(b"1"), stranger(b"2", "DemandForecast"), DemandForgotten(key=HELLO)), ["1"]),
        ((stranger(b"1"), stranger(b"2", "DemandForecast"), Removed(key=HELLO)), ["2"]),
        ((Removed(key=HELLO), stranger(b"1")), ["1"]),
        ((progress("a"), stranger(b"1"), stranger(b"2", cluster=""), progress("b")), ["1"]),
        ((demand("a"), stranger(b"1"), stranger(b"2", "DemandForecast"), demand("a")), ["1", "2"]),
        ((demand("a"), stranger(b"1"), stranger(b"2", "DemandForecast"), demand("b")), ["1"]),
    ],
    ids=[
        "newer",
        "of others",
        "withdrawn",
        "gone",
        "edited",
        "made anew",
        "of a run that goes",
        "of a run",
        "after that",
        "begun anew",
        "of a run that goes on",
        "of a run made anew",
    ],
)
def test_the_newest_of_a_kind_is_kept_for_as_long_as_what_it_is_about(records: tuple[Written, ...], left: list[str]) -> None:
    assert met(*records) == left


@pytest.mark.parametrize("now", ["a", "b"])
def test_nothing_of_a_demand_that_was_made_anew_is_written_into_the_next(now: str) -> None:
    state, came = State(), msgspec.json.encode(demand("a"))[:-1] + b',"news":1}'
    checkpoint = Checkpoint(replica="r1", cluster="west", at=NOON, born=NOON)
    batch = Batch(epoch=1, sender="r1", sent_at=NOON, records=(checkpoint, demand("a")), foreign={1: came})
    state.apply(Entry(offset=0, size=100, batch=batch))
    assert state.as_written(demand(now)) == (came if now == "a" else None)
