"""How deep JSON may be nested. A custom resource may be 10,000 levels deep, and parsers follow as far as Python's version has it.

What is deeper than any field of Kubernetes (about 20 levels) is left out, as the API server leaves out of a Job what it does not
know: else one such object would end the watch of all others, or be read by one replica and set aside by another.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

MOST: Final = 200
"""Levels of a spec."""

MOST_IN_ALL: Final = MOST + 20
"""Levels of what a spec stands in: an object, an event, a list. So a spec is cut at the same place wherever it is read."""

_CONTAINERS = (dict, list)  # the union of both takes isinstance twice the time

_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def is_deeper(value: object, levels: int = MOST) -> bool:
    """Return whether there is a list or an object inside so many others."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(levels):
        inside = (one.values() if isinstance(one, dict) else one for one in level)
        level = [child for children in inside for child in children if isinstance(child, _CONTAINERS)]
        if not level:
            return False
    return bool(level)


def may_be_deeper(text: str | bytes, levels: int = MOST) -> bool:
    """Return whether it is worth looking: in a few brackets nothing is deep."""
    brackets = text.count("{") + text.count("[") if isinstance(text, str) else text.count(b"{") + text.count(b"[")
    return brackets > levels


def cut(value: Any, levels: int = MOST) -> Any:
    """Return what is not deeper; None stands for the rest."""
    if not isinstance(value, _CONTAINERS):
        return value
    if levels == 0:
        return None
    if isinstance(value, dict):
        return {name: cut(one, levels - 1) for name, one in value.items()}
    return [cut(one, levels - 1) for one in value]


def cut_text(text: str, levels: int = MOST) -> str:
    """Do the same with JSON that no parser follows any more: null stands for the rest."""
    pieces: list[str] = []
    depth = kept_from = 0
    for token in _TOKENS.finditer(text):
        mark = token.group()
        if mark in ("{", "["):
            depth += 1
            if depth == levels + 1:
                pieces += [text[kept_from : token.start()], "null"]
        elif mark in ("}", "]"):
            if depth == levels + 1:
                kept_from = token.end()
            depth -= 1
    return "".join([*pieces, text[kept_from:]])


def bounded(parse: Callable[[str], Any], text: str) -> Any:
    """Return what JSON says, without what is too deep; `parse` may raise RecursionError, at any depth that it likes."""
    try:
        value = parse(text)
    except RecursionError:
        return parse(cut_text(text, MOST_IN_ALL))
    return cut(value, MOST_IN_ALL) if may_be_deeper(text, MOST_IN_ALL) and is_deeper(value, MOST_IN_ALL) else value


def decoded(text: bytes) -> Any:
    """Return what JSON says, without what is too deep. Raises ValueError."""
    return bounded(msgspec.json.decode, text.decode())


def encoded(spec: Any) -> msgspec.Raw:
    """Return a spec as JSON, without what is too deep."""
    with suppress(RecursionError):
        text = msgspec.json.encode(spec)
        if not (may_be_deeper(text) and is_deeper(spec)):
            return msgspec.Raw(text)
    return msgspec.Raw(msgspec.json.encode(cut(spec)))
