"""What a cluster's own credentials allow at a real RabbitMQ with the permissions that are shipped, and what they do not.

See docs/security.md. Nobody but who sets the broker up may make or delete queues.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pika
import pytest
from msgspec.structs import replace

from hacron.broker import codec
from hacron.broker.channel import way_in
from hacron.core.messages import (
    Batch,
    Checkpoint,
    ClusterSeen,
    CronJobDeclared,
    CronJobWithdrawn,
    Definition,
    Outcome,
    RunFinished,
    RunsDemanded,
)
from hacron.core.model import Key
from hacron.core.state import State
from hacron.ports import BrokerUnavailable
from tests.broker.neighbours import DEFINITIONS, PREFIX, USERS, Neighbours, own_broker
from tests.broker.test_contract import batch
from tests.broker.worlds import NOW, settle, take, until

pytestmark = pytest.mark.broker

REPORT = Key("shop/report")
EPOCHS = itertools.count(1000, 1000)  # of executors, one after the other in one ledger


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    with own_broker(tmp_path_factory.mktemp("neighbours")) as broker:
        yield Neighbours(broker)


@pytest.fixture
def neighbours(made: Neighbours) -> Iterator[Neighbours]:
    yield made
    made.clear()


def seen(cluster: str) -> ClusterSeen:
    return ClusterSeen(cluster=cluster, replica="x", api_ok=True, clock=NOW)


def withdrawn(cluster: str) -> CronJobWithdrawn:
    return CronJobWithdrawn(key=REPORT, cluster=cluster, uid="u1")


# --- what permissions stop ---


def test_replicas_do_their_work_with_no_more_than_these_rights(neighbours: Neighbours) -> None:
    west, edge = neighbours.open("west"), neighbours.open("edge")
    west.token.put_back()
    west.token.compete()
    until(west, lambda: west.token.held)
    for session in (west, edge):
        session.worker_token.put_back()
        session.worker_token.compete()
        until(session, lambda session=session: session.worker_token.held)
    west.inbox.open()
    west.ledger.append([batch()], 0)
    edge.outbox.send_commands([withdrawn("edge")])
    edge.outbox.send_reports([seen("edge")])
    assert {type(message) for message in take(west, 2)} == {ClusterSeen, CronJobWithdrawn}
    until(edge, lambda: edge.ledger.read())
    west.inbox.acknowledge()
    west.inbox.look()
    settle(west)
    west.token.give_back()


def test_who_may_not_be_executor_can_neither_write_the_ledger_nor_take_the_token_or_what_others_say(
    neighbours: Neighbours,
) -> None:
    for queue in ("ledger", "token", "worker.west"):
        name = f"{PREFIX}.{queue}"
        for exchange in (way_in(name), ""):
            forged = neighbours.attempt(
                "edge", lambda channel, at=(exchange, name): channel.basic_publish(*at, b"{}", mandatory=True)
            )
            assert "refused" in forged.lower(), (exchange, queue)
    for queue in ("token", "commands", "reports", "worker.west"):
        taken = neighbours.attempt("edge", lambda channel, queue=queue: channel.basic_get(f"{PREFIX}.{queue}"))
        assert "refused" in taken.lower(), queue


def test_who_may_be_executor_can_neither_put_nor_take_the_worker_token_of_another_cluster(neighbours: Neighbours) -> None:
    name = f"{PREFIX}.worker.west"
    for act in (
        lambda channel: channel.basic_publish(way_in(name), name, b"{}", mandatory=True),
        lambda channel: channel.basic_publish("", name, b"{}", mandatory=True),
        lambda channel: channel.basic_get(name),
    ):
        assert "refused" in neighbours.attempt("east", act).lower()


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_no_copy_of_what_a_cluster_may_publish_comes_to_a_queue_that_it_may_not_write(
    header: str, neighbours: Neighbours
) -> None:
    barred = [f"{PREFIX}.{queue}" for queue in ("ledger", "token", "worker.west")]
    properties = pika.BasicProperties(headers={header: [*barred, *map(way_in, barred)]}, user_id=USERS["edge"])
    west = neighbours.open("west")
    for queue in ("commands", "reports", "worker.edge"):
        at = way_in(f"{PREFIX}.{queue}"), f"{PREFIX}.{queue}"
        neighbours.attempt("edge", lambda channel, at=at: channel.basic_publish(*at, b"{}", properties, mandatory=True))
    west.ledger.append([batch(epoch=7)], 0)
    until(west, lambda: any(entry.batch == batch(epoch=7) for entry in west.ledger.read()))
    assert west.ledger.unreadable == 0
    assert [neighbours.waiting(queue) for queue in ("token", "worker.west")] == [0, 0]


def test_nobody_can_delete_a_queue(neighbours: Neighbours) -> None:
    for cluster in USERS:
        for queue in ("token", "commands", "ledger", "worker.west", "worker.edge"):
            name = f"{PREFIX}.{queue}"
            refused = neighbours.attempt(cluster, lambda channel, name=name: channel.queue_delete(name))
            assert "refused" in refused.lower(), (cluster, queue)


def test_nobody_can_lead_messages_elsewhere(neighbours: Neighbours) -> None:
    for cluster in USERS:
        for queue in ("commands", "ledger", "worker.edge"):
            name = f"{PREFIX}.{queue}"
            bound = neighbours.attempt(cluster, lambda channel, name=name: channel.queue_bind(name, way_in(name)))
            unbound = neighbours.attempt(cluster, lambda channel, name=name: channel.queue_unbind(name, way_in(name), name))
            assert "refused" in bound.lower(), (cluster, queue)
            assert "refused" in unbound.lower(), (cluster, queue)


def test_nobody_can_speak_under_the_name_of_another_user(neighbours: Neighbours) -> None:
    reports, liar = f"{PREFIX}.reports", pika.BasicProperties(user_id=USERS["west"])
    refused = neighbours.attempt("edge", lambda channel: channel.basic_publish(way_in(reports), reports, b"{}", liar))
    assert "user_id" in refused


# --- what only the reader can stop ---


def test_what_a_user_says_for_another_cluster_is_set_aside(neighbours: Neighbours) -> None:
    west, edge = neighbours.open("west"), neighbours.open("edge")
    west.inbox.open()
    edge.outbox.send_commands([withdrawn("west"), withdrawn("edge"), withdrawn("nowhere")])
    edge.outbox.send_reports([seen("west"), seen("edge")])
    assert {message.cluster for message in take(west, 2)} == {"edge"}
    settle(west)
    assert west.inbox.take() == []
    assert west.inbox.unreadable == {"commands": 2, "reports": 1}


def test_what_nobody_has_signed_is_set_aside(neighbours: Neighbours) -> None:
    west, edge = neighbours.open("west"), neighbours.open("edge")
    west.inbox.open()
    edge.outbox.send_reports([seen("edge")])
    until(west, lambda: west.inbox.take())
    reports = f"{PREFIX}.reports"
    body = b'{"v":1,"id":"x","sent_at":"2030-01-01T00:00:00Z","from":"x","messages":[' + _seen_as_json() + b"]}"
    assert neighbours.attempt("edge", lambda channel: channel.basic_publish(way_in(reports), reports, body)) == ""
    until(west, lambda: west.inbox.take() or west.inbox.unreadable["reports"])
    assert west.inbox.unreadable["reports"] == 1


# --- what is made, and by whom ---


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_a_replica_whose_queues_were_not_made_says_what_is_missing(kind: str, neighbours: Neighbours) -> None:
    ledger = f"{PREFIX}.ledger"
    name = ledger if kind == "queue" else way_in(ledger)
    neighbours.delete(kind, name)
    with pytest.raises(BrokerUnavailable, match=f"nobody has made the {kind} {name}:"):
        neighbours.open("west")
    neighbours.define({part: DEFINITIONS[part] for part in ("queues", "exchanges", "bindings")})
    neighbours.open("west")


# --- what nothing stops; what follows for other clusters is in tests/scenarios/test_trusted.py ---


def test_who_may_be_executor_can_forge_what_an_executor_writes(neighbours: Neighbours) -> None:
    west, edge, state = neighbours.open("west"), neighbours.open("edge"), State()
    ledger, true, false = f"{PREFIX}.ledger", next(EPOCHS), next(EPOCHS)
    west.ledger.append([reign("west-1", true, "of west")], 0)
    forged = codec.encode_batch(reign("nobody", false, "forged"))
    assert neighbours.attempt("east", lambda channel: channel.basic_publish(way_in(ledger), ledger, forged, mandatory=True)) == ""
    west.ledger.append([replace(batch(epoch=true), sender="west-1")], 0)
    until(edge, lambda: fold(edge, state) and state.epoch == false and state.position > state.counted_position)
    assert state.executor is not None
    assert state.executor.replica == "nobody"
    assert state.definitions[REPORT]["west"].uid == "forged"


def test_who_may_be_executor_can_take_commands_away_and_keep_the_token_for_nothing(neighbours: Neighbours) -> None:
    west, edge, idle = (neighbours.open(cluster) for cluster in ("west", "edge", "east"))
    edge.outbox.send_commands([withdrawn("edge")])
    assert neighbours.attempt("east", lambda channel: channel.basic_get(f"{PREFIX}.commands", auto_ack=True)) == ""
    assert neighbours.waiting("commands") == 0
    west.token.put_back()
    idle.token.compete()
    until(idle, lambda: idle.token.held)
    west.token.compete()
    settle(west)
    assert not west.token.held
    west.token.give_back()
    idle.token.give_back()


def test_a_cluster_can_put_surplus_tokens_where_it_may_publish_and_the_holder_throws_them_away(neighbours: Neighbours) -> None:
    edge = neighbours.open("edge")
    for _ in range(30):
        edge.worker_token.put_back()
    assert neighbours.waiting("worker.edge") == 30
    edge.worker_token.compete()
    until(edge, lambda: edge.worker_token.held and not neighbours.waiting("worker.edge"))
    settle(edge)
    edge.worker_token.give_back()
    until(edge, lambda: neighbours.waiting("worker.edge") == 1)


def test_who_may_not_be_executor_reads_the_pod_templates_of_others(neighbours: Neighbours) -> None:
    west, edge, state = neighbours.open("west"), neighbours.open("edge"), State()
    epoch = next(EPOCHS)
    west.ledger.append([reign("west-1", epoch, "of west")], 0)
    until(edge, lambda: fold(edge, state) and state.epoch == epoch)
    assert b"jobTemplate" in bytes(state.definitions[REPORT]["west"].spec)


def test_a_cluster_is_heard_on_itself_on_others_and_on_what_others_declare_too(neighbours: Neighbours) -> None:
    west, edge = neighbours.open("west"), neighbours.open("edge")
    west.inbox.open()
    told = [
        ClusterSeen(cluster="edge", replica="x", api_ok=True, clock=NOW, gone=("west",), forgotten=("east",)),
        RunFinished(key=REPORT, run_id="u.1.1", cluster="edge", outcome=Outcome.SUCCEEDED, finished=NOW),
    ]
    edge.outbox.send_reports(told)
    assert take(west, 2) == told
    same = {"key": REPORT, "cluster": "edge", "uid": "u", "generation": 1, "created_at": NOW}
    declared = CronJobDeclared(spec=msgspec.Raw(b'{"schedule":"* * * * *"}'), **same)
    demanded = RunsDemanded(spec=msgspec.Raw(b'{"cronJob":"report"}'), **same)
    edge.outbox.send_commands([declared, demanded])
    assert take(west, 2) == [declared, demanded]


def reign(replica: str, epoch: int, uid: str) -> Batch:
    """Return what an executor begins with, and a definition."""
    spec = msgspec.Raw(b'{"schedule":"* * * * *","jobTemplate":{}}')
    said = {"key": REPORT, "cluster": "west", "uid": uid, "generation": 1, "created_at": NOW, "spec": spec}
    records = (
        Checkpoint(replica=replica, cluster="west", at=NOW, born=NOW),
        Definition(revision=epoch, changed_at=NOW, **said),
    )
    return Batch(epoch=epoch, sender=replica, sent_at=NOW, records=records)


def fold(session: Any, state: State) -> bool:
    """Take in what has come of the ledger."""
    for entry in session.ledger.read():
        state.apply(entry)
    return True


def _seen_as_json() -> bytes:
    return b'{"kind":"ClusterSeen","cluster":"edge","replica":"x","api_ok":true,"clock":"2030-01-01T00:00:00Z"}'
