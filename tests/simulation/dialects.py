"""What another version of the program would write: one to come, with fields and kinds of message that this one does not know, or
one of before, without fields that came later."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.fakes.versions import Dialect

UNKNOWN = {"kind": "OfTheFuture", "about": "nobody"}
CAME_LATER = {"Proof": ("tzdata", "cluster", "since", "born"), "ClusterSeen": ("uid",)}


def newer(body: bytes) -> bytes:
    """Rewrite a batch or an envelope as a newer version would, which says more in each message, and more messages."""
    said = msgspec.json.decode(body)
    for name in ("records", "messages"):
        if name in said:
            said[name] = [*map(_grown, said[name]), UNKNOWN]
    return msgspec.json.encode(said | {"ofTheFuture": 1})


def older(body: bytes) -> bytes:
    """Rewrite a batch or an envelope as an older version would, which does not say yet what came later."""
    said = msgspec.json.decode(body)
    for name in ("records", "messages"):
        for one in said.get(name, ()):
            for later in CAME_LATER.get(one["kind"], ()):
                one.pop(later, None)
    return msgspec.json.encode(said)


def _grown(message: dict[str, Any]) -> dict[str, Any]:
    """Add a field to a message and to what is in it, but not to what users wrote."""
    grown = {name: value if name == "spec" else _within(value) for name, value in message.items()}
    return grown | {"ofTheFuture": {"is": ["unknown"]}}


def _within(value: Any) -> Any:
    if isinstance(value, list):
        return [_within(one) for one in value]
    return value | {"ofTheFuture": True} if isinstance(value, dict) and "id" in value else value


NEWER, OLDER = Dialect(writes=newer), Dialect(writes=older)
