"""charts/hacron/README.md lists every value of the chart: its default, and what values.yaml says of it.

`REWRITE=1 pytest tests/docs/test_values.py` writes the table anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.docs.pages import REPOSITORY, is_up_to_date, table

CHART = REPOSITORY / "charts" / "hacron"
VALUES = (CHART / "values.yaml").read_text()
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def comments(text: str) -> dict[str, str]:
    """Return what stands right above each value, by its path."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith("#"):
            said.append(line.lstrip()[1:])
        elif key := re.match(r" *(\w+):", line):
            path = [*(each for each in path if each[0] < indent), (indent, key[1])]
            if said:
                found[".".join(name for _, name in path)] = _sentence(said)
            said = []
        else:
            said = []
    return found


def _sentence(lines: list[str]) -> str:
    """Put the lines of a comment together; those that stand further in are examples."""
    text = " ".join(f"`{line.strip()}`" if line.startswith("  ") else line.strip() for line in lines)
    return re.sub(r"` (?=[A-Z])", "`. ", text.replace("` `", "`, `"))


def rows(values: dict[str, Any], schema: dict[str, Any], said: dict[str, str], path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield path, default and meaning of each value; groups only if something is said of them."""
    for name, value in values.items():
        whole, known = f"{path}{name}", schema["properties"][name]
        inner = value if isinstance(value, dict) and value and "properties" in known else None
        if inner is None or whole in said:
            default = "" if inner is not None else f"`{json.dumps(value)}`"
            yield f"`{whole}`", default, said.get(whole, known["description"])
        if inner is not None:
            yield from rows(inner, known, said, f"{whole}.")


def test_the_page_has_every_value() -> None:
    made = table(("value", "default", "meaning"), rows(yaml.safe_load(VALUES), SCHEMA, comments(VALUES)))
    assert is_up_to_date(CHART / "README.md", "values", made)


def test_comments_are_found_where_they_stand() -> None:
    text = "# Of all.\n\n# One,\n# such as\n#   x: 1\n#   y: 2\n# Else.\na:\n  # Two.\n  b: 1\n  c: 2\nd: {}\n"
    assert comments(text) == {"a": "One, such as `x: 1`, `y: 2`. Else.", "a.b": "Two."}
