"""How large and how deep a YAML document may be, aliases counted as what they stand for. Told before anything is built of it."""

from __future__ import annotations

from typing import Any

import yaml

MOST_VALUES = 2_000_000  # of one document, which take a GiB while it is read: some 10,000 CronJobs in one list
DEEPEST = 100  # a pod template is about 12 deep
MOST_BY_ALIASES = 10_000_000  # characters that the aliases of one document may stand for
_EACH = 8  # characters that any value counts for, beside those that it has


class Unreadable(ValueError):
    """The text is not YAML, or more than anybody can have meant; the text is one sentence, with the line."""


class Bounds:
    """Looks at the events of one document, one after the other."""

    def __init__(self) -> None:
        self._sizes = [0]  # of the collections that are open, so far
        self._names: list[str | None] = []  # their anchors
        self._anchored: dict[str, int] = {}  # how many characters each anchor that is complete stands for
        self._aliased = 0
        self._values = 0

    def take(self, event: Any) -> None:
        """Raises Unreadable when a bound is passed, and for an alias of nothing or of what it is in."""
        self._values += 1
        if self._values > 2 * MOST_VALUES:  # names count, too, and so do ends
            raise _at(event, f"there are more than {MOST_VALUES:,} values before it in one document: split it")
        match event:
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.CollectionStartEvent():
                self._names.append(event.anchor)
                self._sizes.append(_EACH)
                if event.anchor:
                    self._anchored.pop(event.anchor, None)
                if len(self._names) > DEEPEST:
                    raise _at(event, f"is nested more than {DEEPEST} deep")
            case yaml.CollectionEndEvent():
                self._count(self._names.pop(), self._sizes.pop())
            case yaml.ScalarEvent():
                self._count(event.anchor, _EACH + len(event.value))

    def _alias(self, event: Any) -> None:
        size = self._anchored.get(event.anchor)
        if size is None:
            raise _at(event, f"*{event.anchor[:40]} stands for nothing that is complete before it")
        self._aliased += size
        self._sizes[-1] += size
        if self._aliased > MOST_BY_ALIASES:
            raise _at(event, f"aliases stand for more than {MOST_BY_ALIASES:,} characters")

    def _count(self, anchor: str | None, size: int) -> None:
        self._sizes[-1] += size
        if anchor:
            self._anchored[anchor] = size


def _at(event: Any, says: str) -> Unreadable:
    return Unreadable(f"line {event.start_mark.line + 1}: {says}")
