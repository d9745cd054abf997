"""What a cluster's own credentials allow at a real RabbitMQ, and what they do not: see docs/security.md.

West runs replicas that may be executor; the edge cluster's may not. Nobody but who sets the broker up may make or delete queues.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pika
import pytest

from hacron.broker.channel import way_in
from hacron.broker.session import Access, open_broker
from hacron.core.messages import ClusterSeen, CronJobWithdrawn
from hacron.core.model import Key
from hacron.ports import BrokerUnavailable
from tests.broker.test_contract import batch
from tests.broker.worlds import NOW, settle, take, until
from tests.testbed.broker import VHOST, Broker

pytestmark = pytest.mark.broker

USERS = {"west": "test-west", "edge": "test-edge"}
EXECUTORS = ("west",)


def permissions(prefix: str, cluster: str) -> tuple[str, str, str]:
    """Return what docs/security.md says for the user of a cluster: to configure, to write, to read."""
    own = f"worker\\.{cluster}"
    may_write, may_read = f"commands|reports|{own}", f"ledger|{own}"
    if cluster in EXECUTORS:
        may_write = may_read = f"ledger|{own}|commands|reports|token"
    name = prefix.replace(".", "\\.")
    return "^$", f"^{name}\\.({may_write})\\.in$", f"^{name}\\.({may_read})$"


class Neighbours:
    """A broker whose queues are made, and a user for each cluster."""

    def __init__(self, broker: Broker, prefix: str) -> None:
        self.broker, self.prefix = broker, prefix
        self.password = secrets.token_hex(8)
        self.set_up()
        for cluster, user in USERS.items():
            broker.ctl("add_user", user, self.password)
            broker.ctl("set_permissions", "-p", VHOST, user, *permissions(prefix, cluster))
        self.sessions: list[Any] = []

    def set_up(self) -> None:
        """Make all that there is to make, as whoever sets the broker up."""
        for cluster in USERS:
            access = Access(urls=[self.broker.url], prefix=self.prefix, cluster=cluster, replica="setup")
            open_broker(access, lambda: NOW).connection.close()

    def open(self, cluster: str, **settings: Any) -> Any:
        """Open what a replica of that cluster opens."""
        access = Access(
            urls=[self.url(cluster)],
            prefix=self.prefix,
            cluster=cluster,
            replica=f"{cluster}-1",
            declares=False,
            executes=cluster in EXECUTORS,
            users=USERS,
            **settings,
        )
        session = open_broker(access, lambda: datetime.now(UTC))
        self.sessions.append(session)
        return session

    def url(self, cluster: str) -> str:
        return f"amqp://{USERS[cluster]}:{self.password}@127.0.0.1:{self.broker.port}/{VHOST}"

    def attempt(self, cluster: str, act: Any) -> str:
        """Do something to a channel with a cluster's credentials; return the broker's refusal, or nothing."""
        with pika.BlockingConnection(pika.URLParameters(self.url(cluster))) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            try:
                act(channel)
            except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as refused:
                return str(refused.reply_text)
        return ""

    def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        with pika.BlockingConnection(pika.URLParameters(self.broker.url)) as connection:
            found = connection.channel().queue_declare(f"{self.prefix}.{queue}", passive=True)
            return int(found.method.message_count)

    def clear(self) -> None:
        """Leave nothing to the next test."""
        for session in self.sessions:
            session.connection.drop()
        self.sessions.clear()
        with pika.BlockingConnection(pika.URLParameters(self.broker.url)) as connection:
            for queue in ("token", "commands", "reports", "worker.west", "worker.edge"):
                connection.channel().queue_purge(f"{self.prefix}.{queue}")

    def end(self) -> None:
        for user in USERS.values():
            self.broker.ctl("delete_user", user)


@pytest.fixture(scope="module")
def made(broker: Broker) -> Iterator[Neighbours]:
    made = Neighbours(broker, f"test-{secrets.token_hex(4)}")
    yield made
    made.end()


@pytest.fixture
def neighbours(made: Neighbours) -> Iterator[Neighbours]:
    yield made
    made.clear()


def seen(cluster: str) -> ClusterSeen:
    return ClusterSeen(cluster=cluster, replica="x", api_ok=True, clock=NOW)


def withdrawn(cluster: str) -> CronJobWithdrawn:
    return CronJobWithdrawn(key=Key("shop/report"), cluster=cluster, uid="u1")


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
        name = f"{neighbours.prefix}.{queue}"
        for exchange in (way_in(name), ""):
            forged = neighbours.attempt(
                "edge", lambda channel, at=(exchange, name): channel.basic_publish(*at, b"{}", mandatory=True)
            )
            assert "refused" in forged.lower(), (exchange, queue)
    for queue in ("token", "commands", "reports", "worker.west"):
        taken = neighbours.attempt("edge", lambda channel, queue=queue: channel.basic_get(f"{neighbours.prefix}.{queue}"))
        assert "refused" in taken.lower(), queue


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_no_copy_of_what_a_cluster_may_publish_comes_to_a_queue_that_it_may_not_write(
    header: str, neighbours: Neighbours
) -> None:
    barred = [f"{neighbours.prefix}.{queue}" for queue in ("ledger", "token", "worker.west")]
    properties = pika.BasicProperties(headers={header: [*barred, *map(way_in, barred)]}, user_id=USERS["edge"])
    west = neighbours.open("west")
    for queue in ("commands", "reports", "worker.edge"):
        at = way_in(f"{neighbours.prefix}.{queue}"), f"{neighbours.prefix}.{queue}"
        neighbours.attempt("edge", lambda channel, at=at: channel.basic_publish(*at, b"{}", properties, mandatory=True))
    west.ledger.append([batch(epoch=7)], 0)
    until(west, lambda: any(entry.batch == batch(epoch=7) for entry in west.ledger.read()))
    assert west.ledger.unreadable == 0
    assert [neighbours.waiting(queue) for queue in ("token", "worker.west")] == [0, 0]


def test_nobody_can_delete_a_queue(neighbours: Neighbours) -> None:
    for cluster in USERS:
        for queue in ("token", "commands", "ledger", "worker.west", "worker.edge"):
            name = f"{neighbours.prefix}.{queue}"
            refused = neighbours.attempt(cluster, lambda channel, name=name: channel.queue_delete(name))
            assert "refused" in refused.lower(), (cluster, queue)


def test_nobody_can_lead_messages_elsewhere(neighbours: Neighbours) -> None:
    for cluster in USERS:
        for queue in ("commands", "ledger", "worker.edge"):
            name = f"{neighbours.prefix}.{queue}"
            bound = neighbours.attempt(cluster, lambda channel, name=name: channel.queue_bind(name, way_in(name)))
            unbound = neighbours.attempt(cluster, lambda channel, name=name: channel.queue_unbind(name, way_in(name), name))
            assert "refused" in bound.lower(), (cluster, queue)
            assert "refused" in unbound.lower(), (cluster, queue)


def test_nobody_can_speak_under_the_name_of_another_user(neighbours: Neighbours) -> None:
    reports, liar = f"{neighbours.prefix}.reports", pika.BasicProperties(user_id=USERS["west"])
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
    reports = f"{neighbours.prefix}.reports"
    body = b'{"v":1,"id":"x","sent_at":"2030-01-01T00:00:00Z","from":"x","messages":[' + _seen_as_json() + b"]}"
    assert neighbours.attempt("edge", lambda channel: channel.basic_publish(way_in(reports), reports, body)) == ""
    until(west, lambda: west.inbox.take() or west.inbox.unreadable["reports"])
    assert west.inbox.unreadable["reports"] == 1


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_a_replica_whose_queues_were_not_made_says_what_is_missing(kind: str, neighbours: Neighbours) -> None:
    ledger = f"{neighbours.prefix}.ledger"
    name = ledger if kind == "queue" else way_in(ledger)
    with pika.BlockingConnection(pika.URLParameters(neighbours.broker.url)) as connection:
        getattr(connection.channel(), f"{kind}_delete")(name)
    with pytest.raises(BrokerUnavailable, match=f"nobody has made the {kind} {name}:"):
        neighbours.open("west")
    neighbours.set_up()
    neighbours.open("west")


def _seen_as_json() -> bytes:
    return b'{"kind":"ClusterSeen","cluster":"edge","replica":"x","api_ok":true,"clock":"2030-01-01T00:00:00Z"}'
