"""What others may send: bytes that nobody can read, and messages that say nonsense.

Nothing crashes, nothing blocks, and beside it an ordinary cronjob fires every minute. What cannot be read is counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hacron.broker import codec
from hacron.core.messages import SPEC_BYTES, Command, Definition, Record, Report
from hacron.core.model import RunState, key_of
from hacron.core.scheduler import Scheduler
from tests.broker.test_contract import HOSTILE
from tests.fakes.broker import COMMANDS, REPORTS, TOKEN, worker_queue
from tests.fakes.kubernetes import all_made
from tests.scenarios.ordinary import ODD, all_is_well, at, unreadable
from tests.scenarios.script import demand_spec, spec
from tests.scenarios.world import NOON, World

# --- bytes ---


@pytest.mark.parametrize("queue", [COMMANDS, REPORTS, "ledger"])
def test_bytes_that_nobody_can_read_are_set_aside_and_counted(world: World, queue: str) -> None:
    for body in HOSTILE:
        world.broker.append(body, 0) if queue == "ledger" else world.broker.put(queue, body)
    world.at(at(11))
    assert unreadable(world) == len(HOSTILE)
    all_is_well(world)


@pytest.mark.parametrize("queue", [TOKEN, worker_queue("west")])
def test_any_bytes_are_a_token_and_too_many_do_no_harm(world: World, queue: str) -> None:
    for body in HOSTILE:
        world.broker.put(queue, body)
    world.settle()
    all_is_well(world)


def test_kinds_from_another_version_do_not_spoil_their_neighbours(world: World) -> None:
    strange = {"kind": "CronJobTeleported", "key": "default/odd"}
    world.broker.put(COMMANDS, envelope(strange, declared()))
    about_nothing, proof = {"kind": "CronJobBlessed"}, {"kind": "Proof", "replica": "west-1", "at": at(10)}
    world.broker.append(batch(world, strange, about_nothing, proof), 0)
    world.at(at(11))
    assert unreadable(world) == 2  # the command, and what is about nothing: the other record is kept
    all_is_well(world)
    assert at(60) in [made.tick for made in all_made(list(world.clusters.values())) if made.key == ODD]


# --- messages that say nonsense ---


def declared() -> dict[str, Any]:
    """A command from a cluster that has no replica to contradict it; its runs go to west."""
    said = {"kind": "CronJobDeclared", "key": ODD, "cluster": "south", "uid": "u", "generation": 1, "created_at": NOON}
    return said | {"spec": spec({"schedule": "* * * * *", "clusters": "west"})}


def demanded(**told: Any) -> dict[str, Any]:
    """A command that asks for runs of the cronjob that is to fire every minute."""
    said = {"kind": "RunsDemanded", "key": ODD, "cluster": "south", "uid": "u", "generation": 1, "created_at": NOON}
    return said | {"spec": demand_spec("missing", {"at": "11:00:00"})} | told


def account() -> dict[str, Any]:
    run = {"id": "u.1.1", "tick": at(-60), "cluster": "west", "start_by": at(-40), "fencing": 1, "job": "odd-1"}
    told = {"id": "u", "total": 3, "decided": 2, "next_tick": at(-60), "succeeded": 1, "failed": 0, "finished": None}
    return told | {"results": [{"tick": at(-120), "verdict": "Succeeded"}], "open": [run]}


def distorted_accounts() -> Iterator[dict[str, Any]]:
    for part in distorted({"kind": ""} | account()):
        part.pop("kind", None)
        yield demanded(account=part)


def reports(run_id: str) -> Iterator[dict[str, Any]]:
    run = {"key": ODD, "run_id": run_id, "cluster": "south"}
    yield {"kind": "RunStarted", "started": at(60)} | run
    yield {
        "kind": "RunFinished",
        "outcome": "Succeeded",
        "finished": at(61),
        "started": at(60),
        "reason": "r",
        "message": "m",
    } | run
    yield {"kind": "RunRefused", "reason": "r", "message": "m", "too_late": False} | run
    yield {"kind": "RunStopped", "reason": "r"} | run
    yield {"kind": "RunOutOfSight"} | run
    yield {"kind": "ClusterSeen", "cluster": "south", "replica": "south-1", "api_ok": True, "clock": at(55), "labels": {"a": "b"}}


NONSENSE: list[Any] = [
    None,
    "",
    "x",
    "x" * 1_000_000,
    "/",
    "a/b/c",
    "\x00",
    -1,
    2**63,
    10**40,
    0.5,
    True,
    [],
    {},
    [[]],
    {"a": 1},
    "2026-11-24T12:00:00",  # in no zone
    "2026-11-24T13:00:00+01:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00+14:00",
]


def distorted(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every message that has one field of nonsense, or lacks one."""
    for field, value in itertools.product(message, NONSENSE):
        if field != "kind":
            yield message | {field: value}
    for field in message:
        yield {name: value for name, value in message.items() if name != field}


def envelope(*messages: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"id": "i", "sent_at": NOON, "from": "mallory", "messages": messages, "v": 1})


def batch(world: World, *records: dict[str, Any]) -> bytes:
    assert world.executor is not None
    assert world.executor.session is not None
    epoch = world.executor.session.state.epoch
    return msgspec.json.encode({"v": 1, "epoch": epoch, "from": "mallory", "sent_at": NOON, "records": records})


def test_nonsense_in_commands_harms_nobody(world: World) -> None:
    withdrawn = {"kind": "CronJobWithdrawn", "key": ODD, "cluster": "south", "uid": "u"}
    distortions = [*distorted(declared()), *distorted(withdrawn), *distorted(demanded()), *distorted_accounts()]
    for number, message in enumerate([*distortions, *distorted(withdrawn | {"kind": "DemandWithdrawn"})]):
        if message.get("key") == ODD:
            message["key"] = f"{ODD}-{number}"  # one that nobody has heard of, so that everything in it counts
        world.broker.put(COMMANDS, envelope(message))
        if number % 20 == 0:
            world.settle()
    all_is_well(world)


def test_nonsense_in_what_is_told_of_runs_that_are_open_harms_nobody(world: World) -> None:
    world.cluster("west").apply(key_of("default", "missing"), spec({"schedule": "0 3 * * *", "active-deadline": "3600"}))
    world.settle()
    for number, run in enumerate(distorted({"kind": ""} | account()["open"][0] | {"state": "Running", "started": at(-50)})):
        run.pop("kind", None)
        run |= {"id": f"u{number}.1.1"} if run.get("id") == "u.1.1" else {}
        told = account() | {"id": f"u{number}", "open": [run]}
        world.broker.put(COMMANDS, envelope(demanded(account=told) | {"key": f"{ODD}-{number}", "uid": f"u{number}"}))
        world.settle()
    all_is_well(world)


@pytest.mark.parametrize("number", range(5))
def test_nonsense_in_reports_harms_nobody(world: World, number: int) -> None:
    """Of runs in a cluster that speaks for itself alone, and is believed. Each is about one that is still to come."""
    often = {"schedule": "@every 1s", "active-deadline": "3600", "clusters": "south"}
    seen = list(reports(""))[-1]
    world.broker.put(REPORTS, envelope(seen | {"clock": world.now}))
    world.broker.put(COMMANDS, envelope(declared() | {"spec": spec(often)}))
    world.at(at(12))
    assert world.executor is not None
    assert world.executor.session is not None
    progress = world.executor.session.state.progress
    for distortion in distorted(list(reports("its own"))[number]):
        run = next(run for run in reversed(progress[ODD].open) if run.state is RunState.PENDING)
        message = distortion | ({"run_id": run.id} if distortion.get("run_id") == "its own" else {})
        world.broker.put(REPORTS, envelope(seen | {"clock": world.now}))
        world.broker.put(REPORTS, envelope(message))
        world.at(world.now + timedelta(seconds=0.5))
    world.start("north-1")
    all_is_well(world, until=190)


def records() -> Iterator[dict[str, Any]]:
    """What only an executor writes; here somebody else does, in its epoch."""
    run = {"id": f"u.{int(at(60).timestamp())}.1", "tick": at(60), "cluster": "west", "start_by": at(80), "fencing": 1}
    run |= {"attempt": 1, "state": "Pending", "job": "odd-1", "started": at(60), "reason": "r", "refused_by": ["north"]}
    verdict = {"tick": at(0), "verdict": "Succeeded", "reason": "r", "message": "m", "cluster": "west", "job": "odd-0"}
    held = {"tick": at(60), "reason": "NoCluster", "message": "m"}
    home = {"key": ODD, "cluster": "south", "uid": "u", "generation": 1, "created_at": NOON, "revision": 1, "changed_at": NOON}
    definition = {"kind": "Definition", "spec": spec({"schedule": "* * * * *", "clusters": "west"})} | home
    yield definition
    progress = {"kind": "Progress", "key": ODD, "cronjob_id": "u", "last_tick": NOON, "fencing": 1, "last_scheduled": NOON}
    for field, value in (("open", run), ("recent", verdict)):
        for part in distorted({"kind": ""} | value):
            part.pop("kind", None)
            yield progress | {field: [part]}
    for part in distorted({"kind": ""} | held):
        part.pop("kind", None)
        yield progress | {"held": part}
    cluster = {"name": "south", "seen_at": at(55), "api_ok": True, "replica": "south-1", "labels": {"a": "b"}}
    for part in distorted({"kind": ""} | cluster):
        part.pop("kind", None)
        yield {"kind": "ClusterState", "cluster": part}
    demand = {"kind": "Demand", "key": ODD, "created_at": NOON, "cronjob": "default/missing", "wrong": "", "counted": 0}
    demand |= {"homes": {"south": {"uid": "u", "generation": 1, "created_at": NOON}}, "account": account() | {"open": []}}
    demand |= {"wanted": {"begin": at(-600), "end": at(-300), "limit": 10}, "held": held}
    yield from distorted(demand)
    yield from (demand | {"wanted": {"begin": value, "end": at(-300)}} for value in NONSENSE)
    for whole in (definition, progress, {"kind": "Removed", "key": ODD, "cluster": "south"}):
        yield from distorted(whole)
    yield {"kind": "Removed", "key": ODD}


def test_nonsense_in_the_ledger_harms_nobody(world: World) -> None:
    for number, record in enumerate(records()):
        if record.get("key") == ODD:
            record["key"] = f"{ODD}-{number}"
        world.broker.append(batch(world, record), 0)
        if number % 10 == 0:
            world.settle()
    all_is_well(world)


def test_a_checkpoint_of_nobody_makes_the_executor_step_down_and_come_back(world: World) -> None:
    assert world.executor is not None
    assert world.executor.session is not None
    checkpoint = {"kind": "Checkpoint", "replica": "mallory", "cluster": "south", "at": at(10), "born": NOON}
    body = {"v": 1, "epoch": 2**52, "from": "mallory", "sent_at": NOON, "records": [checkpoint]}
    world.broker.append(msgspec.json.encode(body), 0)
    all_is_well(world)
    assert world.executor.session.state.epoch > 2**52


@pytest.mark.parametrize("many", [300, 1000])
def test_demands_that_tell_of_many_open_runs_make_batches_that_can_be_read(world: World, many: int) -> None:
    """Each is as long as a command may be, and all are taken in one turn."""
    words = "x" * (1500 if many == 1000 else 4000)
    for number in range(6):
        runs = [account()["open"][0] | {"id": f"u{number}.{tick}.1", "because": words} for tick in range(many)]
        told = demanded(account=account() | {"id": f"u{number}", "total": 1000, "decided": 500, "open": runs})
        world.broker.put(COMMANDS, envelope(told | {"key": f"{ODD}-{number}", "uid": f"u{number}"}))
    assert world.executor is not None
    assert world.executor.session is not None
    epoch = world.executor.session.state.epoch
    all_is_well(world)
    assert unreadable(world) == 0
    assert len(world.executor.session.state.demands) == 6
    assert world.executor.session.state.epoch == epoch


def test_what_would_be_too_long_for_the_ledger_is_set_aside_and_told(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it may be that is made of messages: here a definition that grows on the way."""

    def grown(self: Scheduler, messages: Sequence[Command | Report], now: datetime) -> list[tuple[Record, ...]]:
        groups = decide(self, messages, now)
        long = msgspec.Raw(msgspec.json.encode({"x": "x" * codec.RECORD_BYTES}))
        return [tuple(replace(one, spec=long) if isinstance(one, Definition) else one for one in group) for group in groups]

    decide = Scheduler.decide
    monkeypatch.setattr(Scheduler, "decide", grown)
    world.broker.put(COMMANDS, envelope(declared()))
    world.at(at(11))
    told = [vars(record)["about"] for record in caplog.records if "cannot stand" in record.message]
    assert told == [[f"Definition {ODD}", f"Progress {ODD}"]]
    assert world.executor is not None
    assert world.executor.session is not None
    assert ODD not in world.executor.session.state.definitions
    assert not world.broker.has(COMMANDS)
    all_is_well(world)


@pytest.mark.parametrize("more", [0, 1])
def test_a_spec_may_be_so_long_and_one_that_is_longer_is_not_taken_from_whoever_sends_it(world: World, more: int) -> None:
    long = declared()
    long["spec"]["jobTemplate"]["metadata"] = annotations = {"annotations": {"long": ""}}
    annotations["annotations"]["long"] = "x" * (SPEC_BYTES - len(msgspec.json.encode(long["spec"])) + more)
    world.broker.put(COMMANDS, envelope(long))
    world.at(at(11))
    assert unreadable(world) == more
    assert world.executor is not None
    assert world.executor.session is not None
    assert (ODD in world.executor.session.state.definitions) is (more == 0)
    all_is_well(world)
