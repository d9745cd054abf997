"""`hacron`, or, by TALKS in its environment, another version of it: `newer` writes fields and kinds that are unknown to this one,
`older` leaves out fields that came later."""

from __future__ import annotations

import os
import sys

from hacron.__main__ import main
from hacron.broker import codec
from hacron.core.messages import Batch, Envelope
from tests.simulation.dialects import newer, older

NEWER, OLDER = {"TALKS": "newer"}, {"TALKS": "older"}
_DIALECTS = {"newer": newer, "older": older}

_encode_batch, _encode_envelope = codec.encode_batch, codec.encode_envelope


def _talk(dialect: str) -> None:
    rewrite = _DIALECTS[dialect]

    def batch(batch: Batch) -> bytes:
        return rewrite(_encode_batch(batch))

    def envelope(envelope: Envelope) -> bytes:
        return rewrite(_encode_envelope(envelope))

    codec.encode_batch, codec.encode_envelope = batch, envelope


if __name__ == "__main__":
    if "TALKS" in os.environ:
        _talk(os.environ["TALKS"])
    sys.exit(main())
