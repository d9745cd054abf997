"""Messages to bytes and back, and bytes that are no messages."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hacron.broker import codec
from hacron.broker.inbox import ENVELOPE_BYTES, envelopes
from hacron.core import messages as wire
from hacron.core import nesting
from hacron.core.foreign import Stranger
from hacron.core.model import Account, Cluster, Held, Home, Key, Pause, Run, RunState, Verdict, VerdictKind, Wanted
from tests.nested import nested_text

NOW = datetime(2030, 1, 1, tzinfo=UTC)

# The same examples in every run: a failure here must not depend on luck.
examples = settings(derandomize=True, max_examples=150, deadline=None)

texts = st.text(max_size=30)
keys = st.from_regex(r"[-a-z0-9]{1,63}/[-.a-z0-9]{1,80}", fullmatch=True).map(Key)
homes = st.from_regex(r"[-a-z0-9]{1,63}", fullmatch=True)
jobs = st.just("") | st.from_regex(r"[a-z0-9][-.a-z0-9]{0,62}", fullmatch=True)
instants = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - made aware by the next argument
    max_value=datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
specs = st.dictionaries(texts, plain, max_size=4).map(lambda spec: msgspec.Raw(msgspec.json.encode(spec)))
counts = st.integers(0, 2**53 - 1)
maybe = st.none() | instants

clusters = st.builds(
    Cluster, name=homes, seen_at=instants, api_ok=st.booleans(), replica=texts, labels=st.dictionaries(texts, texts, max_size=3)
)
runs = st.builds(
    Run,
    id=texts,
    tick=instants,
    cluster=homes,
    start_by=instants,
    fencing=counts,
    attempt=counts,
    state=st.sampled_from(RunState),
    job=jobs,
    started=maybe,
    reason=texts,
    refused_by=st.lists(texts, max_size=2).map(tuple),
)
verdicts = st.builds(
    Verdict,
    tick=instants,
    verdict=st.sampled_from(VerdictKind),
    reason=texts,
    message=texts,
    cluster=texts,
    job=texts,
    attempt=counts,
    count=counts,
    started=maybe,
    finished=maybe,
)

accounts = st.builds(
    Account,
    id=texts,
    total=counts,
    decided=counts,
    next_tick=maybe,
    succeeded=counts,
    failed=counts,
    results=st.lists(verdicts, max_size=2).map(tuple),
    finished=maybe,
)

commands = st.one_of(
    st.builds(
        wire.CronJobDeclared,
        key=keys,
        cluster=homes,
        uid=texts,
        generation=counts,
        created_at=instants,
        spec=specs,
        last_schedule_time=maybe,
    ),
    st.builds(wire.CronJobWithdrawn, key=keys, cluster=homes, uid=texts),
    st.builds(
        wire.RunsDemanded,
        key=keys,
        cluster=homes,
        uid=texts,
        generation=counts,
        created_at=instants,
        spec=specs,
        account=st.none() | accounts,
    ),
    st.builds(wire.DemandWithdrawn, key=keys, cluster=homes, uid=texts),
)
reports = st.one_of(
    st.builds(wire.RunStarted, key=keys, run_id=texts, cluster=homes, started=instants),
    st.builds(
        wire.RunFinished,
        key=keys,
        run_id=texts,
        cluster=homes,
        outcome=st.sampled_from(wire.Outcome),
        finished=instants,
        started=maybe,
        reason=texts,
        message=texts,
    ),
    st.builds(wire.RunRefused, key=keys, run_id=texts, cluster=homes, reason=texts, message=texts, too_late=st.booleans()),
    st.builds(wire.RunStopped, key=keys, run_id=texts, cluster=homes, reason=texts),
    st.builds(wire.RunOutOfSight, key=keys, run_id=texts, cluster=homes),
    st.builds(
        wire.ClusterSeen,
        cluster=homes,
        replica=texts,
        api_ok=st.booleans(),
        clock=instants,
        labels=st.dictionaries(texts, texts, max_size=3),
    ),
)
records = st.one_of(
    st.builds(wire.Checkpoint, replica=texts, cluster=homes, at=instants, born=instants),
    st.builds(wire.Proof, replica=texts, at=instants),
    st.builds(
        wire.Definition,
        key=keys,
        cluster=homes,
        uid=texts,
        generation=counts,
        created_at=instants,
        revision=counts,
        changed_at=instants,
        spec=specs,
    ),
    st.builds(
        wire.Progress,
        key=keys,
        cronjob_id=texts,
        last_tick=instants,
        open=st.lists(runs, max_size=3).map(tuple),
        recent=st.lists(verdicts, max_size=3).map(tuple),
        fencing=counts,
        last_scheduled=maybe,
        last_successful=maybe,
        held=st.none() | st.builds(Held, tick=instants, reason=texts, message=texts),
        withdrawn_at=maybe,
    ),
    st.builds(wire.ClusterState, cluster=clusters),
    st.builds(wire.Removed, key=keys, cluster=st.none() | homes),
    st.builds(
        wire.Demand,
        key=keys,
        created_at=instants,
        homes=st.dictionaries(homes, st.builds(Home, uid=texts, generation=counts, created_at=instants), max_size=2),
        account=accounts,
        cronjob=st.none() | keys,
        wanted=st.builds(Wanted, at=maybe, begin=maybe, end=maybe, limit=counts, ignore_suspend=st.booleans()),
        wrong=texts,
        held=st.none() | st.builds(Held, tick=instants, reason=texts, message=texts),
        withdrawn_at=maybe,
    ),
    st.builds(wire.DemandForgotten, key=keys),
)
batches = st.builds(
    wire.Batch, epoch=st.integers(0, 2**53 - 1), sender=texts, sent_at=instants, records=st.lists(records, max_size=4).map(tuple)
)


def batch_json(**changes: Any) -> bytes:
    proof = {"kind": "Proof", "replica": "r1", "at": "2030-01-01T00:00:00Z"}
    whole = {"v": 1, "epoch": 1, "from": "r1", "sent_at": "2030-01-01T00:00:00Z", "records": [proof]}
    return json.dumps(whole | changes).encode()


def envelope_json(*messages: Any, **changes: Any) -> bytes:
    whole = {"v": 1, "id": "1", "from": "r1", "sent_at": "2030-01-01T00:00:00Z", "messages": list(messages)}
    return json.dumps(whole | changes).encode()


WITHDRAWN = {"kind": "CronJobWithdrawn", "key": "team/report", "cluster": "west", "uid": "u"}


# --- there and back -----------------------------------------------------------------------------------------------------


@examples
@given(batches)
def test_every_batch_comes_back_as_it_was(batch: wire.Batch) -> None:
    assert codec.decode_batch(codec.encode_batch(batch)) == (batch, [])


@examples
@given(st.lists(commands, max_size=4))
def test_every_command_comes_back_as_it_was(sent: list[wire.Command]) -> None:
    assert [message for body in envelopes(sent, "r1", NOW) for message in codec.decode_commands(body)[0]] == sent


@examples
@given(st.lists(reports, max_size=4))
def test_every_report_comes_back_as_it_was(sent: list[wire.Report]) -> None:
    assert [message for body in envelopes(sent, "r1", NOW) for message in codec.decode_reports(body)[0]] == sent


def test_the_strategies_above_know_every_kind() -> None:
    """A new kind of message needs its round trip here."""
    known = {
        *("CronJobDeclared", "CronJobWithdrawn", "RunsDemanded", "DemandWithdrawn"),
        *("RunStarted", "RunFinished", "RunRefused", "RunStopped", "RunOutOfSight", "ClusterSeen"),
        *("Checkpoint", "Proof", "Definition", "Progress", "ClusterState", "Removed", "Demand", "DemandForgotten"),
    }
    unions = (wire.Command, wire.Report, wire.Record)
    assert {kind.__name__ for union in unions for kind in union.__args__} == known


def test_many_messages_share_envelopes_and_a_long_one_has_its_own() -> None:
    small = wire.RunStopped(key=Key("team/report"), run_id="1", cluster="west")
    long = wire.ClusterSeen(cluster="west", replica="r1", api_ok=True, clock=NOW, gone=("x" * 60,) * 5000)
    bodies = list(envelopes([small] * 5000 + [long] + [small], "r1", NOW))
    assert [len(codec.decode_reports(body)[0]) for body in bodies[-2:]] == [1, 1]
    assert all(len(body) < 1.2 * ENVELOPE_BYTES for body in bodies if len(body) < 300_000)
    assert len(bodies) < 10


# --- from others --------------------------------------------------------------------------------------------------------


def test_unknown_fields_are_ignored_everywhere() -> None:
    body = batch_json(news=1, records=[{"kind": "Proof", "replica": "r1", "at": "2030-01-01T00:00:00Z", "news": {"a": [1]}}])
    batch, unreadable = codec.decode_batch(body)
    assert (batch.records, unreadable) == ((wire.Proof(replica="r1", at=NOW),), [])
    read, unreadable = codec.decode_commands(envelope_json(WITHDRAWN | {"news": None}, news=1))
    assert (len(read), unreadable) == (1, [])


def test_a_batch_that_is_read_and_written_anew_keeps_what_is_unknown() -> None:
    spec = {"schedule": "* * * * *", "news": {"a": [1]}}
    known = {"kind": "Definition", "key": "team/report", "cluster": "west", "uid": "u", "generation": 1, "revision": 1}
    known |= {"created_at": "2030-01-01T00:00:00Z", "changed_at": "2030-01-01T00:00:00Z", "spec": spec}
    more, stranger = known | {"news": {"b": 2}}, {"kind": "Prophecy", "key": "team/report", "cluster": "west", "at": 1}
    batch, unreadable = codec.decode_batch(batch_json(records=[stranger, more, known]))
    assert batch.records[0] == Stranger("Prophecy", Key("team/report"), "west", json.dumps(stranger).encode())
    assert (list(batch.foreign), len(batch.records), unreadable) == ([1], 3, [])
    assert json.loads(codec.encode_batch(batch))["records"] == [stranger, more, known]


def test_an_end_that_is_read_as_something_else_is_not_taken_for_unknown() -> None:
    pause = {"reason": "holidays", "until": FAR[-1]}
    known = {
        "kind": "Definition",
        "key": "team/report",
        "cluster": "west",
        "uid": "u",
        "generation": 1,
        "revision": 1,
        "spec": {},
    }
    known |= {"created_at": "2030-01-01T00:00:00Z", "changed_at": "2030-01-01T00:00:00Z", "pause": pause}
    batch, _ = codec.decode_batch(batch_json(records=[known]))
    assert (len(batch.records), batch.foreign) == (1, {})
    assert set(json.loads(codec.encode_batch(batch))["records"][0]["pause"]) == {"reason", "unreadable_until"}


@pytest.mark.parametrize(
    "about", [{}, {"key": "no key"}, {"key": 7}, {"kind": "Progress"}, {"kind": "x" * 65}, {"cluster": "No"}], ids=str
)
def test_of_what_does_not_say_what_it_is_about_nothing_is_kept(about: dict[str, Any]) -> None:
    stranger = {"kind": "Prophecy"} | ({"key": "team/report"} if about else {}) | about
    batch, unreadable = codec.decode_batch(batch_json(records=[stranger]))
    assert (batch.records, len(unreadable)) == ((), 1)


@pytest.mark.parametrize(
    "stranger",
    [
        {"kind": "Prophecy", "at": 1},
        {"kind": "Proof"},
        {"kind": 5},
        {},
        None,
        7,
        [],
        "text",
        {"kind": "Proof", "replica": 1, "at": "x"},
    ],
    ids=str,
)
def test_an_unknown_record_is_left_out_and_its_neighbours_count(stranger: Any) -> None:
    proof = {"kind": "Proof", "replica": "r1", "at": "2030-01-01T00:00:00Z"}
    batch, unreadable = codec.decode_batch(batch_json(records=[proof, stranger, proof]))
    assert len(batch.records) == 2
    assert len(unreadable) == 1
    assert str(unreadable[0])


@pytest.mark.parametrize("stranger", [{"kind": "CronJobBlessed"}, {"kind": "RunStarted"}, None, "text", 7], ids=str)
def test_an_unknown_message_is_left_out_and_its_neighbours_are_read(stranger: Any) -> None:
    read, unreadable = codec.decode_commands(envelope_json(WITHDRAWN, stranger, WITHDRAWN))
    assert (len(read), len(unreadable)) == (2, 1)


def test_a_report_is_no_command() -> None:
    report = wire.RunStopped(key=Key("team/report"), run_id="1", cluster="west")
    read, unreadable = codec.decode_commands(next(envelopes([report], "r1", NOW)))
    assert (read, len(unreadable)) == ([], 1)


@pytest.mark.parametrize("decode", [codec.decode_batch, codec.decode_commands, codec.decode_reports])
@pytest.mark.parametrize("version", [0, 2, 10**9])
def test_another_version_is_unreadable_as_a_whole_and_says_so_whatever_else_it_holds(decode: Any, version: int) -> None:
    for body in (batch_json(v=version), envelope_json(v=version), b'{"v":%d,"shape":"unheard of"}' % version):
        with pytest.raises(codec.Unreadable, match=f"version {version}"):
            decode(body)


def test_of_a_batch_of_a_later_version_so_much_is_known_that_others_know_whether_it_counts() -> None:
    for body, begins in ((batch_json(v=2, epoch=7), False), (b'{"v":2,"epoch":7,"from":"r1","begins":true,"shape":"new"}', True)):
        with pytest.raises(codec.OfLaterVersion) as raised:
            codec.decode_batch(body)
        assert raised.value.later == wire.Later(v=2, epoch=7, sender="r1", begins=begins)
        assert codec.epoch_of(body) == 7


@pytest.mark.parametrize(
    "changes", [{"v": 0}, {"v": "2"}, {"v": 2, "epoch": -1}, {"v": 2, "from": None}, {"v": 2, "begins": 1}], ids=str
)
def test_what_does_not_say_that_in_just_this_way_is_nothing(changes: dict[str, Any]) -> None:
    body = batch_json(**changes)
    with pytest.raises(codec.Unreadable) as raised:
        codec.decode_batch(body)
    assert not isinstance(raised.value, codec.OfLaterVersion)
    assert codec.epoch_of(body) == -1


@pytest.mark.parametrize("epoch", [-1, 2**53, 10**30, 1.5, "1", None])
def test_an_epoch_beyond_all_reason_is_unreadable(epoch: Any) -> None:
    with pytest.raises(codec.Unreadable):
        codec.decode_batch(batch_json(epoch=epoch))


FAR = ["0001-01-01T00:00:00+14:00", "1899-12-31T23:59:59Z", "9001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]


@pytest.mark.parametrize("far", FAR)
def test_an_instant_from_which_none_can_be_reckoned_is_unreadable_wherever_it_stands(far: str) -> None:
    run = {"key": "team/report", "run_id": "1", "cluster": "west"}
    tick = {"tick": far, "verdict": "Succeeded"}
    account = {"id": "u", "results": [tick]}
    home = {"uid": "u", "generation": 1, "created_at": far}
    demand = {"kind": "Demand", "key": "team/more", "created_at": NOW, "homes": {}, "account": {"id": "u"}}
    seen = {"kind": "ClusterSeen", "cluster": "west", "replica": "r1", "api_ok": True}
    for decode, message in (
        (codec.decode_report, {"kind": "RunStarted", "started": far} | run),
        (codec.decode_report, {"kind": "RunFinished", "outcome": "Failed", "finished": far} | run),
        (codec.decode_report, seen | {"clock": far}),
        (codec.decode_record, demand | {"homes": {"west": home}}),
        (codec.decode_record, demand | {"account": account}),
        (codec.decode_record, {"kind": "Progress", "key": "team/report", "cronjob_id": "u", "last_tick": NOW, "recent": [tick]}),
    ):
        with pytest.raises(codec.Unreadable, match="1900 to 9000"):
            decode(msgspec.Raw(msgspec.json.encode(message)))
    for decode_all in (codec.decode_batch, codec.decode_commands):
        with pytest.raises(codec.Unreadable, match="1900 to 9000"):
            decode_all(batch_json(sent_at=far) if decode_all is codec.decode_batch else envelope_json(sent_at=far))


@pytest.mark.parametrize("far", FAR)
def test_a_pause_that_a_version_before_let_end_far_away_has_no_end(far: str) -> None:
    stamps = {"key": "team/report", "cluster": "west", "uid": "u", "generation": 1, "created_at": NOW, "spec": {}}
    definition = {"kind": "Definition", "revision": 1, "changed_at": NOW} | stamps
    for decode, message in ((codec.decode_record, definition), (codec.decode_command, {"kind": "CronJobDeclared"} | stamps)):
        read = decode(msgspec.Raw(msgspec.json.encode(message | {"pause": {"reason": "holidays", "until": far}})))
        assert isinstance(read, wire.Definition | wire.CronJobDeclared)
        assert read.pause == Pause(reason="holidays", unreadable_until=far.replace("Z", "+00:00"))
        with pytest.raises(codec.Unreadable, match="1900 to 9000"):
            decode(msgspec.Raw(msgspec.json.encode(message | {"created_at": far, "pause": {"until": far}})))


def test_digits_that_are_escaped_are_digits() -> None:
    text = b'{"kind":"RunStarted","key":"team/report","run_id":"1","cluster":"west","started":"\\u0039999-12-31T00:00:00Z"}'
    with pytest.raises(codec.Unreadable, match="1900 to 9000"):
        codec.decode_report(msgspec.Raw(text))


def test_a_spec_may_speak_of_the_end_of_time() -> None:
    for decode, raw in with_spec(b'{"endTime":"9999-12-31T23:59:59Z"}'):
        assert decode(raw).spec


TOO_DEEP = (nested_text(nesting.MOST, "[]").encode(), nested_text(5000).encode())


@pytest.mark.parametrize(
    "spec",
    [b'"text"', b"[]", b'{"a":"\\ud800"}', b'{"a":"\xff"}', *TOO_DEEP],
    ids=lambda spec: f"{spec[:20]!r}, {len(spec)} bytes",
)
def test_a_spec_that_would_only_fail_later_fails_at_the_door(spec: bytes) -> None:
    for decode, raw in with_spec(spec):
        with pytest.raises(codec.Unreadable):
            decode(raw)


def test_a_spec_may_be_as_deep_as_any_of_kubernetes_and_hold_as_much() -> None:
    wide = b'{"a":[' + b",".join([b'{"b":[{}]}'] * 1000) + b"]}"
    for spec in (nested_text(nesting.MOST - 1, "[]").encode(), wide):
        for decode, raw in with_spec(spec):
            assert bytes(decode(raw).spec) == spec


def with_spec(spec: bytes) -> list[tuple[Any, msgspec.Raw]]:
    """Return a command and a record with this spec, each with what decodes it."""
    command = (
        b'{"kind":"CronJobDeclared","key":"a/b","cluster":"w","uid":"u","generation":1,"created_at":"2030-01-01T00:00:00Z","spec":'
        + spec
        + b"}"
    )
    record = command.replace(b"CronJobDeclared", b"Definition")[:-1] + b',"revision":1,"changed_at":"2030-01-01T00:00:00Z"}'
    return [(codec.decode_command, msgspec.Raw(command)), (codec.decode_record, msgspec.Raw(record))]


@pytest.mark.parametrize("decode", [codec.decode_batch, codec.decode_commands, codec.decode_reports])
@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"{", b"null", b"[]", b"{}", b"[" * 200_000, b'{"a":' * 200_000, b"\xff\xfe{}", b"NaN"]
)
def test_bytes_that_are_no_message_are_unreadable(decode: Any, body: bytes) -> None:
    with pytest.raises(codec.Unreadable):
        decode(body)


@pytest.mark.parametrize("decode", [codec.decode_batch, codec.decode_commands, codec.decode_reports])
@examples
@given(st.binary(max_size=200) | plain.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_else(decode: Any, body: bytes) -> None:
    with contextlib.suppress(codec.Unreadable):
        decode(body)


@examples
@given(batches, st.data())
def test_a_batch_with_damaged_bytes_is_read_or_unreadable_but_no_crash(batch: wire.Batch, data: st.DataObject) -> None:
    body = bytearray(codec.encode_batch(batch))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(codec.Unreadable):
        codec.decode_batch(bytes(body))


def test_what_is_too_long_is_not_parsed() -> None:
    with pytest.raises(codec.Unreadable, match="bytes, more than"):
        codec.decode_batch(b" " * codec.BODY_BYTES + batch_json())
    long = WITHDRAWN | {"uid": "x" * codec.MESSAGE_BYTES}
    read, unreadable = codec.decode_commands(envelope_json(WITHDRAWN, long))
    assert len(read) == 1
    assert "bytes, more than" in str(unreadable[0])


def test_labels_are_bounded_by_number_and_length() -> None:
    seen = {"kind": "ClusterSeen", "cluster": "west", "replica": "r1", "api_ok": True, "clock": "2030-01-01T00:00:00Z"}
    longest = {f"{'p' * 253}/{number:063}": "v" * 63 for number in range(100)}
    for labels in (longest | {"one": "more"}, {"k": "v" * 64}, {"k" * 318: ""}):
        read, unreadable = codec.decode_reports(envelope_json(seen | {"labels": labels}, seen | {"labels": longest}))
        assert [report.labels for report in read] == [longest]
        assert len(unreadable) == 1


@pytest.mark.parametrize("job", ["a/b", "..", ".", "a?b", "a%2e", "A", "a" * 254, "a b", "a\n"])
def test_the_name_of_a_job_cannot_lead_anywhere_else_in_a_url(job: str) -> None:
    run = {"id": "u.1.1", "tick": "2030-01-01T00:00:00Z", "cluster": "west", "start_by": "2030-01-01T00:00:00Z", "fencing": 1}
    progress = {"kind": "Progress", "key": "a/b", "cronjob_id": "u", "last_tick": "2030-01-01T00:00:00Z"}
    for name in (job, "-odd..name-1"):
        batch, unreadable = codec.decode_batch(batch_json(records=[progress | {"open": [run | {"job": name}]}]))
        assert bool(unreadable) is (name == job)
        assert len(batch.records) == (name != job)


def test_the_reason_does_not_show_what_was_in_the_message() -> None:
    with pytest.raises(codec.Unreadable) as caught:
        codec.decode_batch(batch_json(sent_at="s3cret"))
    assert "s3cret" not in str(caught.value)
