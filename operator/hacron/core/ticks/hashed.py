"""`H` in a schedule → a slot of its own for each cronjob, so that a thousand of them do not all start at the full hour.

The slot is the first eight bytes of SHA-256 over "<namespace>/<name> <field>", read as a big-endian number, modulo how many
values there are to choose from; <field> is minute, hour, day, month or weekday. It is the same in every cluster and, for ever, in
every version: whoever changes this moves everybody's cronjobs.

    H           one value of the field; of the days 1-28, so that every month has it
    H(0-29)     one value of the range
    H/15        every 15, beginning somewhere in the first 15 values
    H(0-29)/10  the same within the range
"""

from __future__ import annotations

import hashlib
import re

from hacron.core.ticks.cronfields import FIELDS, InvalidSchedule, Kind, number, quoted, split

LAST_DAY = 28
_SLOT = re.compile(r"H(?:\(([^()-]+)-([^()-]+)\))?(?:/(.*))?", re.DOTALL)


def resolve(text: str, key: str) -> str:
    """Put the slots of the cronjob "namespace/name" in the place of every H. Raises InvalidSchedule.

    What is not an H stays as it is, to be parsed afterwards.
    """
    if text.startswith("@"):
        raise InvalidSchedule("schedule", f"{quoted(text)} has no five fields in which an H could stand; write it in schedule")
    fields = zip(FIELDS, split(text), strict=True)
    return " ".join(",".join(_item(item, kind, key) for item in field.split(",")) for kind, field in fields)


def _item(item: str, kind: Kind, key: str) -> str:
    if not item.startswith("H"):
        return item
    match = _SLOT.fullmatch(item)
    if match is None:
        raise _wrong(item, kind, "is not understood; write H, H(0-29), H/15 or H(0-29)/10")
    low, high = _range(item, kind, match[1], match[2])
    size = high - low + 1
    if match[3] is None:
        return str(low + _slot(key, kind) % size)
    step = number(match[3], {})
    if step is None or not 1 <= step <= size:
        raise _wrong(item, kind, f"must have a step from 1 to {size}, the number of values from {low} to {high}")
    first = low + _slot(key, kind) % step
    return f"{first}-{high}/{step}"


def _range(item: str, kind: Kind, low_text: str | None, high_text: str | None) -> tuple[int, int]:
    highest = min(kind.highest, LAST_DAY) if kind.name == "day" else kind.highest
    if low_text is None or high_text is None:
        return kind.lowest, highest
    low, high = number(low_text, kind.names), number(high_text, kind.names)
    if low is None or high is None or not kind.lowest <= low <= high <= highest:
        why = ", which every month has" if kind.name == "day" else ""
        raise _wrong(item, kind, f"must have a range that goes upwards within {kind.lowest}-{highest}{why}, such as H(1-5)")
    return low, high


def _slot(key: str, kind: Kind) -> int:
    return int.from_bytes(hashlib.sha256(f"{key} {kind.name}".encode()).digest()[:8], "big")


def _wrong(item: str, kind: Kind, reason: str) -> InvalidSchedule:
    return InvalidSchedule("schedule", f"{kind.name} {quoted(item)} {reason}")
