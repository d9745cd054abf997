"""Files, folders and standard input → the objects of Kubernetes in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hacron.commands.yamlbounds import Unreadable
from hacron.commands.yamltext import Document, documents
from hacron.core.ticks.cronfields import quoted

STDIN: Final = "-"
INPUT: Final = "standard input"  # the same, for people
LARGEST = 64 * 2**20  # bytes of one file: some 20,000 CronJobs as `kubectl get` gives them
ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Found:
    """One object in a file."""

    where: str  # file and line
    body: dict[str, Any]
    document: Document | None  # that it is all of; None if it is one of a list


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read, and why, in one sentence."""

    sentence: str


def objects(paths: Sequence[str]) -> Iterator[Found | Unread]:
    """Give every object in these files, in folders and what is below them, and for `-` in standard input.

    Lists of objects (`kind: List`, as `kubectl get` gives them) are taken apart. Empty documents are passed over.
    """
    for path in paths:
        for file in _files(path):
            if isinstance(file, Unread):
                yield file
            else:
                yield from _in_file(file)


def named(paths: Sequence[str]) -> str:
    """Name the first of these, as whoever gave them knows them."""
    return ", ".join(INPUT if path == STDIN else quoted(path) for path in paths[:3])


def _files(path: str) -> Iterator[str | Unread]:
    if path == STDIN or not os.path.isdir(path):
        yield path
        return
    closed: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(folder, name) for name in sorted(names) if name.lower().endswith(ENDINGS))
    for error in closed:
        yield Unread(f"{_shown(str(error.filename))} cannot be read: {error.strerror}")


def _in_file(path: str) -> Iterator[Found | Unread]:
    name = INPUT if path == STDIN else _shown(path)
    try:
        content = _content(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        yield Unread(f"{name} cannot be read: {getattr(error, 'strerror', None) or 'that is no name of a file'}")
        return
    if len(content) > LARGEST:
        yield Unread(f"{name} is larger than {LARGEST // 2**20} MiB: split it")
        return
    try:
        for document in documents(content.decode()):
            yield from _taken_apart(document.value, f"{name}, line {document.line}", document)
    except UnicodeDecodeError:
        yield Unread(f"{name} is not text in UTF-8")
    except Unreadable as error:
        yield Unread(f"{name}, {error}")


def _content(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read(LARGEST + 1) if sys.stdin else b""  # None: closed
    with open(path, "rb") as file:
        return file.read(LARGEST + 1)


def _taken_apart(value: object, where: str, document: Document | None) -> Iterator[Found | Unread]:
    if value is None:
        return
    if not isinstance(value, dict):
        yield Unread(f"{where}: is not an object of Kubernetes, which begins with lines such as apiVersion and kind")
        return
    kind = value.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for number, item in enumerate(value["items"]):
            # Lists as the API server gives them may leave out what the items are.
            if isinstance(item, dict) and kind != "List":
                item = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List")} | item
            yield from _taken_apart(item, f"{where}, items[{number}]", None)
        return
    yield Found(where, value, document)


def _shown(path: str) -> str:
    return path if path and path.isprintable() else repr(path)
