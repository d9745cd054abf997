"""What another version of the program wrote and this one does not know: it is kept, and written again with what is known.

A record takes the place of the one before it, and an executor writes many anew to keep the ledger short. If it wrote only what it
knows, an upgrade would lose what the newer version had noted, wherever the executor was of the older one meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from hacron.core.model import Key

MOST_BYTES: Final = 128 * 2**10
"""Of one record, as it came. What is unknown of a longer one is not kept."""

IDENTITIES: Final = ("id", "uid", "cronjob_id", "tick")
"""By these fields what has the same place is the same thing; where one differs, another has come."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A record of a kind that is unknown here.

    It is taken to say how something is, as the known ones do: the newest of its kind, key and cluster counts, for as long as what
    it is about is there: a HACronJobRun if its kind begins with "Demand", else a HACronJob, or what one cluster declares of it.
    """

    kind: str
    key: Key
    cluster: str  # empty: it is not about what one cluster declares
    came: bytes

    @property
    def of_demand(self) -> bool:
        return self.kind.startswith("Demand")


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def says_more(came: bytes, understood: bytes) -> bool:
    """Whether a record, as it came, has fields that it lacks as it was understood."""
    if came == understood or len(came) > MOST_BYTES:
        return False
    try:
        return with_unknown(came, understood, understood) != understood
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False  # what is unknown has only been skimmed


def with_unknown(came: bytes, understood: bytes, now: bytes) -> bytes:
    """Return what is to be written in place of a record: with those fields of what came that were not understood, as they came.

    In a list, what has the same `id` is the same thing; what has none, if it was understood alike.
    """
    if came == understood:
        return now
    match came.lstrip()[:1], understood[:1], now[:1]:
        case b"{", b"{", b"{":
            return _object_with_unknown(*map(_object.decode, (came, understood, now)))
        case b"[", b"[", b"[":
            return _array_with_unknown(*map(_array.decode, (came, understood, now)))
        case _:
            return now


_Object = Mapping[str, msgspec.Raw]


def _object_with_unknown(came: _Object, understood: _Object, now: _Object) -> bytes:
    known = {
        name: msgspec.Raw(with_unknown(bytes(came[name]), bytes(understood[name]), bytes(value)))
        if name in came and name in understood
        else value
        for name, value in now.items()
    }
    is_another = any(understood.get(name) != now.get(name) for name in IDENTITIES)
    unknown = {} if is_another else {name: value for name, value in came.items() if name not in understood and name not in now}
    return msgspec.json.encode(known | unknown)


def _array_with_unknown(came: Sequence[msgspec.Raw], understood: Sequence[msgspec.Raw], now: Sequence[msgspec.Raw]) -> bytes:
    if len(came) != len(understood):
        return msgspec.json.encode(now)
    known = {_same(ours): (bytes(theirs), bytes(ours)) for theirs, ours in zip(came, understood, strict=True)}
    items = (msgspec.Raw(with_unknown(*known[same], bytes(item))) if (same := _same(item)) in known else item for item in now)
    return msgspec.json.encode(list(items))


def _same(item: msgspec.Raw) -> bytes:
    """Return what two items of a list have alike if they are the same thing."""
    whole = bytes(item)
    return bytes(_object.decode(whole).get("id", item)) if whole[:1] == b"{" else whole
