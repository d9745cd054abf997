"""The token: compete for it, hold it, notice losing it, put it back.

The queue gives all tokens to one consumer at a time. Whoever holds one and gets another keeps the newest: a holder that was
revoked without being told may be given the real token a second time, and would destroy it by acknowledging the later one.
"""

from __future__ import annotations

from typing import Final

from hacron.broker.channel import Channel, Delivery, Outgoing, Publisher
from hacron.broker.connection import Connection

PREFETCH: Final = 10  # never filled: surplus tokens are acknowledged as they come


class QueueToken:
    """The token on one queue. Implements `ports.Token`."""

    def __init__(self, connection: Connection, publisher: Publisher, queue: str) -> None:
        self._channel = Channel(connection, PREFETCH)
        self._connection = connection
        self._publisher = publisher
        self._queue = queue
        self._consumer: str | None = None
        self._tag: int | None = None  # of the token in hand

    def compete(self) -> None:
        if self._consumer is None:
            self._consumer = self._channel.consume(self._queue, self._on_token)

    @property
    def held(self) -> bool:
        return self._tag is not None and self._connection.usable

    def give_back(self) -> None:
        """Leave the line, then return the token. The other way round, the broker would give it back to us."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            self._channel.cancel(consumer)
        if self._tag is not None:
            tag, self._tag = self._tag, None
            self._channel.give_back(tag)

    def put_back(self) -> None:
        self._publisher.publish([Outgoing(self._queue, b"{}")])

    def _on_token(self, token: Delivery) -> None:
        if self._tag is not None:
            self._channel.acknowledge(self._tag)
        self._tag = token.tag
