"""YAML and JSON text → documents, read as Kubernetes reads them, whatever the text is.

YAML has more meanings than Kubernetes gives it: a time stays a text here, and so does 22:30. Aliases, nesting and size are
bounded before anything is built of them. Where the values of `apiVersion` and `kind` stand is told, so that they can be exchanged
and everything else kept as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from hacron.commands.yamlbounds import DEEPEST, Bounds, Unreadable
from hacron.core.nesting import is_deeper

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C: ten times as fast


class _Loader(_Base):  # type: ignore[misc]  # the base is known at run time only
    """Scalars mean what they mean to Kubernetes' own reader, go-yaml."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] not in ("timestamp", "int", "float")]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
INT = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)\Z")
FLOAT = re.compile(r"([-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str)
# What PyYAML raises for tags that do not fit their values, such as !!int x, and json for what it does not know.
ODD = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the value of a key stands in the text of its document."""

    begin: int
    end: int
    quote: str  # what stands around it: ", ' or nothing


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    line: int  # where it begins, from 1
    text: str  # as it was written, comments included, without what marks its begin
    value: Any  # dict, list, str, int, float, bool or None: what JSON has
    spots: dict[str, Spot]  # of the keys that it has at the top, where their values are plain texts


class _Extent(NamedTuple):
    """Where a document is in the text."""

    lead: str  # comments before what marks its begin
    begin: int
    end: int
    line: int


def documents(text: str) -> Iterator[Document]:
    """Give the documents of a YAML or JSON text, one by one. Raises Unreadable at the first that is none."""
    text = text.removeprefix("\ufeff")
    none = True
    try:
        for document in _of_yaml(text):
            none = False
            yield document
    except Unreadable:
        found = _of_json(text) if none else []
        if not found:
            raise
        yield from found


def _of_json(text: str) -> list[Document]:
    """Return objects of JSON, one after the other; none if it is anything else.

    Most of JSON is YAML. What is not: a character beyond 16 bits as two escapes, and several objects without `---` between them.
    """
    found: list[Document] = []
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    at = len(text) - len(text.lstrip())
    try:
        while text.startswith("{", at):
            value, end = decoder.raw_decode(text, at)
            json.dumps(value, ensure_ascii=False).encode()  # half a character is none
            if is_deeper(value, DEEPEST):
                return []
            found.append(Document(text.count("\n", 0, at) + 1, text[at:end], value, {}))
            at = end + len(text[end:]) - len(text[end:].lstrip())
    except (ValueError, RecursionError):
        return []
    return found if at == len(text) else []


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN, which is no JSON


def _of_yaml(text: str) -> Iterator[Document]:
    extents = _extents(text)
    loader = _Loader(text)
    try:
        for lead, begin, end, line in extents:
            try:
                loader.check_node()
                node = loader.get_node()
                value = json.loads(json.dumps(loader.construct_document(node)))
                spots = _spots(node, begin - len(lead))
            except Unreadable:
                raise
            except ODD as error:
                raise _not_yaml(error, line, text) from error
            yield Document(line, lead + text[begin:end], value, spots)
    finally:
        loader.dispose()


def _extents(text: str) -> Iterator[_Extent]:
    """Give the documents' places, as soon as the text has been looked at that far."""
    held: _Extent | None = None  # a document whose end is where the next begins
    bounds, first, line = Bounds(), True, 1
    events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
    try:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if held is not None:
                    yield held._replace(end=_index(event.start_mark))
                held, bounds, line = _begun(event, text, first), Bounds(), _line(event.start_mark)
                first = False
            else:
                bounds.take(event)
    except yaml.YAMLError as error:
        raise _not_yaml(error, line, text) from error
    if held is not None:
        yield held._replace(end=len(text))


def _begun(event: yaml.DocumentStartEvent, text: str, first: bool) -> _Extent:
    start, end = _index(event.start_mark), _index(event.end_mark)
    begin = end if event.explicit else 0 if first else start
    return _Extent(_comments(text[:start]) if first and event.explicit else "", begin, len(text), _line(event.start_mark))


def _index(mark: Any) -> int:
    index: int = mark.index
    return index


def _line(mark: Any) -> int:
    line: int = mark.line + 1
    return line


def _comments(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))


def _spots(node: Any, begin: int) -> dict[str, Spot]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    found: dict[str, Spot] = {}
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in seen:
            raise Unreadable(
                f"line {key.start_mark.line + 1}: {key.value[:40]} stands there a second time; is `---` missing before?"
            )
        seen.add(key.value)
        if isinstance(value, yaml.ScalarNode) and value.style in (None, "", '"', "'"):
            found[key.value] = Spot(value.start_mark.index - begin, value.end_mark.index - begin, value.style or "")
    return found


def _not_yaml(error: Exception, line: int, text: str) -> Unreadable:
    # Not the error's own words: they may quote what is secret.
    mark = getattr(error, "problem_mark", None)
    hint = "; is it a template of Helm? Then pipe `helm template` into this" if "{{" in text else ""
    if mark is not None:
        return Unreadable(f"line {mark.line + 1}: is not YAML{hint}")
    return Unreadable(f"line {line} and after: is not YAML that Kubernetes would take{hint}")
