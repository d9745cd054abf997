"""The same world twice: a broker in memory and a real one, to hold every port to the same promises."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import pika
import pytest

from hacron.broker.channel import way_in
from hacron.broker.session import Access, open_broker
from hacron.broker.topology import Names
from hacron.ports import BrokerUnavailable
from tests.broker.proxy import Proxy
from tests.fakes.broker import COMMANDS, REPORTS, TOKEN, FakeBroker

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SMALL_LEDGER = 2**21  # bytes
SMALL_SEGMENT = 2**18


class World(Protocol):
    """A broker, and what may happen to it. Sessions are as `open_broker` returns them."""

    def open(self, replica: str = "r1", cluster: str = "west") -> Any: ...

    def put(self, queue: str, body: bytes) -> None:
        """Put bytes into "token", "commands", "reports" or "ledger"."""

    def delete(self, queue: str) -> None: ...

    def stop(self) -> None:
        """Take the broker away from all sessions."""

    def end(self) -> None: ...


class FakeWorld:
    def __init__(self, small_ledger: bool) -> None:
        self.broker = FakeBroker(SMALL_LEDGER if small_ledger else None)

    def open(self, replica: str = "r1", cluster: str = "west") -> Any:
        return self.broker.connect(replica, cluster, lambda: NOW)

    def put(self, queue: str, body: bytes) -> None:
        if queue == "ledger":
            self.broker.append(body, 0)
        else:
            self.broker.put({"token": TOKEN, "commands": COMMANDS, "reports": REPORTS}[queue], body)

    def delete(self, queue: str) -> None:
        self.broker.delete_queue(queue)

    def stop(self) -> None:
        self.broker.stop()

    def end(self) -> None:
        pass


class RealWorld:
    """Everything behind a proxy, so that the broker can be taken away without stopping it."""

    def __init__(self, url: str, prefix: str, small_ledger: bool) -> None:
        self._url = url
        self._names = Names(prefix, "west")
        self._small = small_ledger
        parameters = pika.URLParameters(url)
        self.user: str = parameters.credentials.username
        self.proxy = Proxy(parameters.host, parameters.port)
        self.proxied_url = url.replace(f":{parameters.port}", f":{self.proxy.port}").replace("localhost", "127.0.0.1")
        self._sessions: list[Any] = []
        self.open().connection.close()  # declares everything

    def open(self, replica: str = "r1", cluster: str = "west") -> Any:
        session = open_broker(self.access(replica, cluster), lambda: NOW)
        self._sessions.append(session)
        return session

    def access(self, replica: str = "r1", cluster: str = "west", direct: bool = False) -> Access:
        sizes = {"ledger_max_bytes": SMALL_LEDGER, "ledger_segment_bytes": SMALL_SEGMENT} if self._small else {}
        url = self._url if direct else self.proxied_url
        return Access(urls=[url], prefix=self._names.prefix, cluster=cluster, replica=replica, **sizes)

    def get(self, queue: str) -> pika.BasicProperties:
        """Take a message out of a queue; return its properties."""
        got: list[Any] = []
        self._as_admin(lambda channel: got.extend(channel.basic_get(f"{self._names.prefix}.{queue}", auto_ack=True)))
        return got[1]

    def put(self, queue: str, body: bytes, properties: pika.BasicProperties | None = None) -> None:
        name = f"{self._names.prefix}.{queue}"
        self._as_admin(lambda channel: channel.basic_publish(way_in(name), name, body, properties, mandatory=True))

    def first_offset(self, queue: str) -> int:
        """Return the offset of the oldest message that a stream still has."""
        found: list[int] = []

        def look(channel: Any) -> None:
            channel.basic_qos(prefetch_count=1)
            of_it = channel.consume(
                f"{self._names.prefix}.{queue}", arguments={"x-stream-offset": "first"}, inactivity_timeout=10
            )
            found.append(next(of_it)[1].headers["x-stream-offset"])

        self._as_admin(look)
        return found[0]

    def delete(self, queue: str) -> None:
        self._as_admin(lambda channel: channel.queue_delete(f"{self._names.prefix}.{queue}"))

    def declare(self, queue: str, arguments: dict[str, Any]) -> None:
        self._as_admin(lambda channel: channel.queue_declare(f"{self._names.prefix}.{queue}", durable=True, arguments=arguments))

    def stop(self) -> None:
        self.proxy.cut()

    def end(self) -> None:
        for session in self._sessions:
            session.connection.drop()
        for queue in ("token", "worker.west", "worker.south", "commands", "reports", "ledger"):
            self.delete(queue)
            exchange = way_in(f"{self._names.prefix}.{queue}")
            self._as_admin(lambda channel, exchange=exchange: channel.exchange_delete(exchange))
        self.proxy.close()

    def _as_admin(self, act: Callable[[Any], object]) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            act(channel)
        finally:
            connection.close()


def until(session: Any, condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Take turns until `condition`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        session.connection.turn(0.05)


def settle(session: Any, turns: int = 4) -> None:
    """Take so many turns that what was on its way has come, for tests of what must not come."""
    for _ in range(turns):
        session.connection.turn(0.05)


def await_end(session: Any) -> None:
    """Take turns until the session says that the broker, or something of it, is gone."""
    with pytest.raises(BrokerUnavailable):
        until(session, lambda: False)


def read(session: Any, count: int) -> list[Any]:
    """Read so many entries of the ledger."""
    entries: list[Any] = []
    until(session, lambda: entries.extend(session.ledger.read()) or len(entries) >= count)
    return entries


def take(session: Any, count: int) -> list[Any]:
    """Take so many commands and reports."""
    messages: list[Any] = []
    until(session, lambda: messages.extend(session.inbox.take()) or len(messages) >= count)
    return messages
