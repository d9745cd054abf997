"""What a cluster's own credentials allow at a real RabbitMQ with the permissions that are shipped, and what they do not.

See docs/security.md. Nobody but who sets the broker up may make or delete queues.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pika
import pytest

from hacron.broker.channel import way_in
from hacron.core.messages import (
    ClusterSeen,
    CronJobWithdrawn,
)
from hacron.core.model import Key
from hacron.ports import BrokerUnavailable
from tests.broker.neighbours import DEFINITIONS, PREFIX, USERS, Neighbours
from tests.broker.test_contract import batch
from tests.broker.worlds import NOW, settle, take, until
from tests.testbed.broker import Broker

pytestmark = pytest.mark.broker

REPORT = Key("shop/report")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    broker = Broker(tmp_path_factory.mktemp("neighbours"), version=os.environ.get("RABBITMQ"))  # as in conftest
    broker.start()
    try:
        yield Neighbours(broker)
    finally:
        broker.close()


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


def _seen_as_json() -> bytes:
    return b'{"kind":"ClusterSeen","cluster":"edge","replica":"x","api_ok":true,"clock":"2030-01-01T00:00:00Z"}'
