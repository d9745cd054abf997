"""Headers written byte by byte: what RabbitMQ takes and passes on although pika can neither write nor read it."""

from __future__ import annotations

import struct

import pika
from pika import spec


class RawHeaders(spec.BasicProperties):
    """Properties that are nothing but the table of headers, given as its bytes."""

    def __init__(self, table: bytes) -> None:
        super().__init__()
        self._table = table

    def encode(self) -> list[bytes]:
        return [struct.pack(">H", self.FLAG_HEADERS), self._table]


def _table(value: bytes) -> bytes:
    """Return a table of one field, named a."""
    field = b"\x01a" + value
    return struct.pack(">I", len(field)) + field


def _nested(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"F" + _table(value)
    return _table(value)


def _array_in_array(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value
    return _table(value)


# Tables are as deep as a frame can hold: RabbitMQ itself takes a second or more over each such message.
UNREADABLE: dict[str, pika.BasicProperties] = {
    "a year beyond 9999": RawHeaders(_table(b"T" + struct.pack(">Q", 2**55))),
    "seconds beyond all years": RawHeaders(_table(b"T" + struct.pack(">Q", 2**64 - 1))),
    "tables within tables": RawHeaders(_nested(18_000)),
    "arrays within arrays": RawHeaders(_array_in_array(20_000)),
}
