"""JSON that is nested as deep as one likes."""

from __future__ import annotations

from typing import Any


def nested(levels: int, inside: Any = 1) -> Any:
    """Return an object in an object, so many of them, and something in the last."""
    value = inside
    for _ in range(levels):
        value = {"a": value}
    return value


def nested_text(levels: int, inside: str = "1") -> str:
    """Return the same as JSON, also where it is too deep for Python to write it."""
    return '{"a":' * levels + inside + "}" * levels
