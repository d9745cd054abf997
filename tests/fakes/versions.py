"""What other versions of the program write.

One to come has fields and kinds of message that this one does not know; one of before lacks fields that came later; and one of
the next message version is not read by this one, and reads both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from hacron.core.messages import VERSION

Rewrite = Callable[[bytes], bytes]

OF_THE_FUTURE, FORECAST = "ofTheFuture", "Forecast"  # a field and a kind that are unknown here
UNKNOWN = {"kind": "OfTheFuture", "about": "nobody"}
CAME_LATER = {"Proof": ("tzdata", "cluster", "since", "born"), "ClusterSeen": ("uid",)}
_OURS, _NEXT = (b'"v":%d' % version for version in (VERSION, VERSION + 1))
_OF_THE_WHOLE = re.compile(rb'(?<=^\{)"v":\d+|"v":\d+(?=\}$)')  # a batch begins with it, an envelope ends with it


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """What another version makes of a batch or an envelope: `writes` of what this one would write, `reads` of what comes."""

    writes: Rewrite = lambda body: body
    reads: Rewrite = lambda body: body


def newer(body: bytes) -> bytes:
    """Rewrite a batch or an envelope as a newer version would, which says more in each message, and more messages."""
    said = msgspec.json.decode(body)
    for name in ("records", "messages"):
        if name in said:
            forecasts = [_forecast(one) for one in said[name] if one["kind"] == "Definition"]
            said[name] = [*map(_grown, said[name]), *forecasts, UNKNOWN]
    return msgspec.json.encode(said | {OF_THE_FUTURE: 1})


def older(body: bytes) -> bytes:
    """Rewrite a batch or an envelope as an older version would, which does not say yet what came later."""
    said = msgspec.json.decode(body)
    for name in ("records", "messages"):
        for one in said.get(name, ()):
            for later in CAME_LATER.get(one["kind"], ()):
                one.pop(later, None)
    return msgspec.json.encode(said)


def raised(body: bytes) -> bytes:
    """Return a batch or an envelope as one of the next message version: it says whether it begins with a checkpoint."""
    begins = b',"begins":true' if b'"records":[{"kind":"Checkpoint"' in body else b""
    return _OF_THE_WHOLE.sub(_NEXT + begins, body, count=1)


def lowered(body: bytes) -> bytes:
    """Return a batch or an envelope of any message version as one of this."""
    return _OF_THE_WHOLE.sub(_OURS, body, count=1) if _NEXT in body else body


def is_of_next(body: bytes) -> bool:
    return lowered(body) != body


def _grown(message: dict[str, Any]) -> dict[str, Any]:
    """Add a field to a message and to what is in it, but not to what users wrote."""
    grown = {name: value if name == "spec" else _within(value) for name, value in message.items()}
    return grown | {OF_THE_FUTURE: {"is": ["unknown"]}}


def _forecast(definition: dict[str, Any]) -> dict[str, Any]:
    """Return a record of a kind to come: it is about what a cluster declares."""
    return {"kind": FORECAST, "key": definition["key"], "cluster": definition["cluster"], "of": definition["generation"]}


def _within(value: Any) -> Any:
    if isinstance(value, list):
        return [_within(one) for one in value]
    return value | {OF_THE_FUTURE: True} if isinstance(value, dict) and "id" in value else value


OURS, NEWER, OLDER, NEXT = Dialect(), Dialect(writes=newer), Dialect(writes=older), Dialect(writes=raised, reads=lowered)
