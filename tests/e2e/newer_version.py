"""`hacron`, and with TALKS=newer in its environment the next version of it, which writes fields and kinds unknown to this one."""

from __future__ import annotations

import os
import sys

from hacron.__main__ import main
from hacron.broker import codec
from hacron.core.messages import Batch, Envelope
from tests.simulation.dialects import newer

NEWER = {"TALKS": "newer"}

_encode_batch, _encode_envelope = codec.encode_batch, codec.encode_envelope


def _batch(batch: Batch) -> bytes:
    return newer(_encode_batch(batch))


def _envelope(envelope: Envelope) -> bytes:
    return newer(_encode_envelope(envelope))


if __name__ == "__main__":
    if os.environ.get("TALKS") == "newer":
        codec.encode_batch, codec.encode_envelope = _batch, _envelope
    sys.exit(main())
