"""A broker with deploy/rabbitmq/definitions-restricted.json, and what the clusters in it do there, or others in their name.

West and east run replicas that may be executor; the edge cluster's may not.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pika

from hacron.broker.session import Access, open_broker
from tests.testbed.broker import VHOST, Broker

RESTRICTED = Path(__file__).parents[2] / "deploy" / "rabbitmq" / "definitions-restricted.json"
DEFINITIONS: dict[str, Any] = json.loads(RESTRICTED.read_text())
PREFIX = "hacron"
EXECUTORS = ("west", "east")
USERS = {cluster: f"hacron-{cluster}" for cluster in (*EXECUTORS, "edge")}


@contextmanager
def own_broker(directory: Path) -> Iterator[Broker]:
    """Run a broker that nobody else uses, of the version that `RABBITMQ` names, as that of all other tests is."""
    broker = Broker(directory, version=os.environ.get("RABBITMQ"))
    broker.start()
    try:
        yield broker
    finally:
        broker.close()


class Neighbours:
    """That broker, and a password for each cluster's user."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.password = secrets.token_hex(8)
        self._sessions: list[Any] = []
        self.define(DEFINITIONS)
        for user in USERS.values():
            broker.ctl("change_password", user, self.password)

    def define(self, definitions: dict[str, Any]) -> None:
        """Import definitions, as whoever sets the broker up."""
        file = self.broker.directory / "definitions.json"
        file.write_text(json.dumps(definitions))
        self.broker.ctl("import_definitions", str(file))

    def url(self, cluster: str) -> str:
        """Return the address of the broker with a cluster's credentials."""
        return f"amqp://{USERS[cluster]}:{self.password}@127.0.0.1:{self.broker.port}/{VHOST}"

    def open(self, cluster: str, **settings: Any) -> Any:
        """Open what a replica of that cluster opens."""
        given = {"urls": [self.url(cluster)], "declares": False, "executes": cluster in EXECUTORS, "users": USERS} | settings
        access = Access(prefix=PREFIX, cluster=cluster, replica=f"{cluster}-1", **given)
        session = open_broker(access, lambda: datetime.now(UTC))
        self._sessions.append(session)
        return session

    def attempt(self, cluster: str, act: Callable[[Any], object]) -> str:
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
        with self._administrator() as connection:
            found = connection.channel().queue_declare(f"{PREFIX}.{queue}", passive=True)
            return int(found.method.message_count)

    def delete(self, kind: str, name: str) -> None:
        """Delete a queue or an exchange, as whoever sets the broker up."""
        with self._administrator() as connection:
            getattr(connection.channel(), f"{kind}_delete")(name)

    def made(self, part: str, vhost: str = VHOST) -> list[dict[str, Any]]:
        """Return what a virtual host has of ours: "queues", "exchanges" or "bindings", each with all that makes it what it is."""
        file = self.broker.directory / "exported.json"
        self.broker.ctl("export_definitions", str(file))
        found = [each for each in json.loads(file.read_text())[part] if each.pop("vhost") == vhost]
        names = {str(each.get("name", each.get("destination"))): each for each in found}
        assert len(names) == len(found)
        return [names[name] for name in sorted(names) if name.startswith(f"{PREFIX}.")]

    def clear(self) -> None:
        """Leave nothing to the next test, but in the ledger."""
        for session in self._sessions:
            session.connection.drop()
        self._sessions.clear()
        with self._administrator() as connection:
            for queue in ("token", "commands", "reports", *(f"worker.{cluster}" for cluster in USERS)):
                connection.channel().queue_purge(f"{PREFIX}.{queue}")

    def _administrator(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.broker.url))
