"""Values → YAML text that every reader of YAML takes for the same values, go-yaml's and Python's."""

from __future__ import annotations

import re
from typing import Any

import yaml

from hacron.commands.yamltext import FLOAT, INT

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BOOLEAN = re.compile(r"[yYnN]\Z")  # to go-yaml


class _Dumper(_Base):  # type: ignore[misc]  # the base is known at run time only
    """Texts that another reader would take for something else are quoted, those of several lines are written as lines."""


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else '"' if any(each.match(value) for each in (INT, FLOAT, _BOOLEAN)) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dumped(value: object) -> str:
    """Write a value as one YAML document."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**16)
    return text
