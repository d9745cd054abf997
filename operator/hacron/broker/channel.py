"""One channel: declare, publish, consume, with an end to every wait.

A channel that the broker closes, and a consumer that it cancels, put the whole connection in doubt; pika itself would go on as if
nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

import pika  # type: ignore[import-untyped]
from pika import spec
from pika.channel import Channel as PikaChannel  # type: ignore[import-untyped]
from pika.exceptions import ChannelClosedByBroker, ChannelClosedByClient  # type: ignore[import-untyped]

from hacron.broker import refusals
from hacron.broker.connection import REPLY_TIMEOUT_S, Connection
from hacron.broker.frames import NoProperties
from hacron.core.messages import BODY_BYTES

IN_FLIGHT: Final = 64
"""So many messages may wait for their confirms: enough to fill the way, few enough to hold in memory."""

PERSISTENT: Final = 2

CONFIRM_TIMEOUT_S: Final = 2.0
"""An executor proves itself every second and must stop after three without proof; it must not hang in a publish meanwhile."""

FINDING_TIMEOUT_S: Final = 15.0
"""Of the first use of a stream. RabbitMQ 4 then asks its nodes where the stream is led, one after the other and up to twice, also
those that are lost; it gives one up after 7 s (Erlang's net_setuptime). The channel answers nothing else meanwhile."""

ASK_AGAIN_S: Final = 1.0

Patient = Callable[[str], bool]
"""Asked whether to wait on for a broker that is blocked, and for what ("low on memory")."""

DECLARE_TIMEOUT_S: Final = 10.0
"""A new stream or quorum queue elects its leader first, on all nodes of the cluster."""


class Delivery(NamedTuple):
    """A message as it came."""

    tag: int  # what it is acknowledged by
    body: bytes
    headers: Mapping[str, object]
    user: str | None = None  # who published it: the broker lets nobody name another user than itself; None: not said
    unreadable: str = ""  # why it is to be set aside: its headers cannot be read, or its body is too long to be kept
    let_go: int = 0  # bytes of a body that was not kept

    @property
    def size(self) -> int:
        """How long its body was when it came."""
        return self.let_go or len(self.body)

    def without_body(self) -> Delivery:
        return self._replace(body=b"", let_go=self.size)


class Outgoing(NamedTuple):
    """A message to be published."""

    queue: str
    body: bytes
    headers: Mapping[str, int] | None = None


def way_in(queue: str) -> str:
    """Return the name of a queue's own exchange, by which alone messages come to it.

    Who may write to which exchange is what RabbitMQ looks at for every message. The routing key, which topic permissions are for,
    is before 4.0.5 not all that it goes by: headers CC and BCC name further ones.
    """
    return f"{queue}.in"


class Channel:
    """An open channel; with a prefetch when it is to consume. A body of more than `longest` bytes is let go as it comes."""

    def __init__(self, connection: Connection, prefetch: int = 0, longest: int = BODY_BYTES) -> None:
        self._connection = connection
        self._longest = longest
        self._channel = channel = connection.new_channel()
        self._doing = ""  # what to say was asked for if the broker closes the channel over it
        channel.add_on_close_callback(self._on_closed)
        channel.add_on_cancel_callback(self._on_cancelled)
        connection.wait(lambda: channel.is_open, "opening a channel")
        if prefetch:
            self._ask("qos", lambda reply: channel.basic_qos(prefetch_count=prefetch, callback=reply))

    @property
    def pika(self) -> PikaChannel:
        """The channel itself, for the publisher."""
        return self._channel

    # --- topology ---

    def declare_queue(self, name: str, arguments: Mapping[str, str | int | bool]) -> None:
        """Make sure that the queue exists, with these arguments."""
        self._ask(
            f"declaring queue {name}",
            lambda reply: self._channel.queue_declare(name, durable=True, arguments=dict(arguments), callback=reply),
            DECLARE_TIMEOUT_S,
        )

    def count_ready(self, queue: str, answer: Callable[[int], None]) -> None:
        """Ask how many messages wait in the queue and are with no consumer; the answer comes in a later turn."""
        self._connection.check()
        self._doing = f"looking at queue {queue}"
        with self._connection.translated():
            self._channel.queue_declare(queue, passive=True, callback=lambda reply: answer(reply.method.message_count))

    def declare_way_in(self, queue: str) -> None:
        """Make sure that messages can come to the queue."""
        exchange = way_in(queue)
        self._ask(
            f"declaring exchange {exchange}",
            lambda reply: self._channel.exchange_declare(exchange, "direct", durable=True, callback=reply),
        )
        self._ask(
            f"binding queue {queue}",
            lambda reply: self._channel.queue_bind(queue, exchange, routing_key=queue, callback=reply),
        )

    # --- rights, which the broker looks at only when they are needed ---

    def look_into(self, queue: str) -> None:
        """Make sure that we may read the queue, and close this channel; what comes meanwhile goes back to its beginning.

        Told by the broker's answer to a consumer, which is there before anything is delivered: what is delivered may be tables
        within tables, over which RabbitMQ itself takes seconds. For the same reason nobody waits for the channel's end.
        """
        self.consume(queue, lambda _: None, doing="looking into")
        with self._connection.translated():
            self._channel.close()

    def publish_nothing(self, queues: Iterable[str], patient: Patient) -> None:
        """Make sure that we may publish to these queues: by messages that none of them takes.

        A broker whose memory or disk runs out reads nothing more from whoever has published until that is over. Then this waits
        for as long as `patient`, which is asked every second, and otherwise raises BrokerUnavailable.
        """
        self._doing = "publishing"
        replies: list[object] = []
        with self._connection.translated():
            for queue in queues:
                self._channel.basic_publish(way_in(queue), "nothing", b"", pika.BasicProperties(user_id=self._connection.user))
            self._channel.flow(True, replies.append)
        while True:
            self._connection.wait(lambda: replies or self._connection.blocked, self._doing)
            if replies:
                return
            if not patient(self._connection.blocked):
                self._connection.doubt(f"blocked by the broker, {self._connection.blocked}")
            self._connection.turn(ASK_AGAIN_S)

    # --- consuming ---

    def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        arguments: Mapping[str, str | int] | None = None,
        doing: str = "consuming from",
        timeout_s: float = REPLY_TIMEOUT_S,
    ) -> str:
        """Begin to receive; return the consumer's tag. `on_delivery` only puts it somewhere: it runs inside pika."""

        def deliver(_: PikaChannel, method: spec.Basic.Deliver, properties: spec.BasicProperties, body: bytes) -> None:
            unreadable = properties.why if isinstance(properties, NoProperties) else ""
            delivery = Delivery(method.delivery_tag, body, properties.headers or {}, properties.user_id, unreadable)
            if len(body) > self._longest:  # hundreds of them would fill the memory of whoever comes to be executor
                why = unreadable or f"{len(body)} bytes, more than {self._longest}"
                delivery = delivery.without_body()._replace(unreadable=why)
            on_delivery(delivery)
            self._connection.notice()

        tags: list[str] = []
        self._ask(
            f"{doing} {queue}",
            lambda reply: tags.append(
                self._channel.basic_consume(queue, deliver, arguments=dict(arguments or {}), callback=reply)
            ),
            timeout_s,
            # A node of RabbitMQ 3.10 that is killed half a second after it has made a quorum queue comes back with one that
            # never answers again, while everything else does.
            hint="; a queue that never answers while others do has lost its leader for good: delete it, it is made again",
        )
        return tags[0]

    def cancel(self, consumer_tag: str) -> None:
        self._ask("cancelling a consumer", lambda reply: self._channel.basic_cancel(consumer_tag, reply))

    def acknowledge(self, tag: int, *, all_before: bool = False) -> None:
        """Acknowledge; it is sent in the next turn."""
        self._connection.check()
        with self._connection.translated():
            self._channel.basic_ack(tag, multiple=all_before)

    def give_back(self, tag: int) -> None:
        """Return a message to its queue, and wait until the broker has done it."""
        self.send_back(tag)
        self.barrier()

    def send_back(self, tag: int) -> None:
        """Return a message to its queue, in the next turn; it comes again."""
        self._connection.check()
        with self._connection.translated():
            self._channel.basic_nack(tag, requeue=True)

    def barrier(self, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        """Return when the broker has done all that was asked for before, and we have all that it sent before it answered.

        Both directions of a channel are in order; any question does, and this one changes nothing.
        """
        self._ask("a sign of life", lambda reply: self._channel.flow(True, reply), timeout_s)

    def close(self) -> None:
        """Close only this channel; its consumers end with it."""
        self._connection.check()
        with self._connection.translated():
            self._channel.close()
        self._connection.wait(lambda: self._channel.is_closed, "closing a channel")

    # --- inside ---

    def _ask(
        self, what: str, ask: Callable[[Callable[[object], None]], object], timeout_s: float = REPLY_TIMEOUT_S, hint: str = ""
    ) -> None:
        replies: list[object] = []
        self._connection.check()
        if what != "a sign of life":
            self._doing = what
        with self._connection.translated():
            ask(replies.append)
        self._connection.wait(lambda: replies, what + hint, timeout_s)

    def _on_closed(self, _: PikaChannel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByClient):
            return
        said = refusals.explain(str(reason))
        if isinstance(reason, ChannelClosedByBroker):
            said = refusals.of_channel(self._doing, f"{reason.reply_code} {reason.reply_text}")
        self._connection.doubt(said)

    def _on_cancelled(self, _: object) -> None:
        self._connection.doubt("the broker has cancelled a consumer: its queue is gone, or its time is over")


class Publisher:
    """A channel to publish on: confirmed, persistent, never silently dropped."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._published = 0  # the broker counts messages from 1 and confirms by number
        self._unconfirmed: set[int] = set()
        replies: list[object] = []
        self._line = Channel(connection)
        self._channel = self._line.pika
        self._channel.add_on_return_callback(self._on_returned)
        with connection.translated():
            self._channel.confirm_delivery(self._on_confirm, replies.append)
        connection.wait(lambda: replies, "switching confirms on")

    def publish(self, messages: Iterable[Outgoing], found_within_s: float = 0.0) -> None:
        """Publish all of them, in order, and return when the broker has confirmed each.

        `found_within_s`: how long the broker may look for the queue, if this is the first for it. Once found, it confirms as soon
        as ever, or not at all: RabbitMQ 3.10 hands what comes as a stream's leader is replaced to the one that is dead.
        Raises BrokerUnavailable: then nobody knows which of them have arrived.
        """
        for message in messages:
            self._send(message)
            if found_within_s:
                self._line.barrier(found_within_s)
                found_within_s = 0.0
            self._wait_for(IN_FLIGHT)
        self._wait_for(0)

    def _send(self, message: Outgoing) -> None:
        self._connection.check()
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=PERSISTENT,
            headers=dict(message.headers) if message.headers else None,
            user_id=self._connection.user,  # the broker refuses a false one, so that readers may trust it
        )
        with self._connection.translated():
            # Mandatory: what no queue is bound for would otherwise be confirmed, and gone.
            self._channel.basic_publish(way_in(message.queue), message.queue, message.body, properties, mandatory=True)
        self._published += 1
        self._unconfirmed.add(self._published)

    def _wait_for(self, most: int) -> None:
        """Wait until no more than so many are unconfirmed."""
        while (count := len(self._unconfirmed)) > most:
            self._connection.wait(partial(self._fewer_than, count), "a publisher confirm", CONFIRM_TIMEOUT_S)

    def _fewer_than(self, count: int) -> bool:
        return len(self._unconfirmed) < count

    def _on_confirm(self, frame: pika.frame.Method[spec.Basic.Ack | spec.Basic.Nack]) -> None:
        method = frame.method
        done = {tag for tag in self._unconfirmed if tag <= method.delivery_tag} if method.multiple else {method.delivery_tag}
        self._unconfirmed -= done
        if isinstance(method, spec.Basic.Nack):
            self._connection.doubt("the broker has refused a message")

    def _on_returned(self, _: PikaChannel, method: spec.Basic.Return, *__: object) -> None:
        self._connection.doubt(f"no queue takes messages for {method.routing_key}: it has been deleted, or its binding")
