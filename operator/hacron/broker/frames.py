"""pika's connection, but for one thing: a message with headers that pika cannot read is a message all the same.

RabbitMQ passes on headers that pika's decoder raises on: a timestamp beyond the year 9999, tables within tables a few hundred
deep. pika then gives the connection up; the message stays where it was, for the next connection to end by. Here such a message
comes with its body and without its properties, to be set aside by whoever reads it.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pika import frame, spec  # type: ignore[import-untyped]
from pika.adapters.select_connection import SelectConnection  # type: ignore[import-untyped]

_START: Final = struct.Struct(">BHI")  # of a frame: its type, channel, and how much follows
_HEADER: Final = struct.Struct(">HHQ")  # of a header frame: class, weight, length of the body


class NoProperties(spec.BasicProperties):  # type: ignore[misc]  # pika has no types
    """What stands in place of properties that pika cannot read."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class TolerantConnection(SelectConnection):  # type: ignore[misc]  # pika has no types
    """A SelectConnection that no message can end. Leans on one private method of pika's, which the tests would miss."""

    def _read_frame(self) -> tuple[int, Any]:
        try:
            read: tuple[int, Any] = super()._read_frame()
        except Exception as error:  # a decoder trips over other people's bytes in more ways than can be told
            kind, channel, size = _START.unpack_from(self._frame_buffer)
            if kind != spec.FRAME_HEADER:
                raise
            _, _, body_size = _HEADER.unpack_from(self._frame_buffer, _START.size)
            why = f"pika cannot read its headers: {type(error).__name__}: {error}"[:200]
            return _START.size + size + spec.FRAME_END_SIZE, frame.Header(channel, body_size, NoProperties(why))
        return read
