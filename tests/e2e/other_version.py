"""`hacron`, or, by TALKS in its environment, another version of it.

`newer` writes fields and kinds that are unknown to this one, `older` leaves out fields that came later, and `next` writes the
next message version, which this one cannot read, and reads both.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from hacron.__main__ import main
from hacron.broker import codec
from hacron.core.messages import Batch, Envelope
from tests.fakes import versions

NEWER, OLDER, NEXT = {"TALKS": "newer"}, {"TALKS": "older"}, {"TALKS": "next"}
_DIALECTS = {"newer": versions.NEWER, "older": versions.OLDER, "next": versions.NEXT}

_encode_batch, _encode_envelope, _decode = codec.encode_batch, codec.encode_envelope, codec._decode


def _talk(dialect: versions.Dialect) -> None:
    def batch(batch: Batch) -> bytes:
        return dialect.writes(_encode_batch(batch))

    def envelope(envelope: Envelope) -> bytes:
        return dialect.writes(_encode_envelope(envelope))

    def decode(decoder: Any, body: bytes, most: int) -> Any:
        return _decode(decoder, dialect.reads(body), most)

    codec.encode_batch, codec.encode_envelope, codec._decode = batch, envelope, decode


if __name__ == "__main__":
    if "TALKS" in os.environ:
        _talk(_DIALECTS[os.environ["TALKS"]])
    sys.exit(main())
