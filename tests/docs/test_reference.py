"""The pages of reference say what the code and the custom resources say.

`REWRITE=1 pytest tests/docs/test_reference.py` writes the tables anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from hacron.settings.showing import table as settings
from tests.docs.pages import DOCS, REPOSITORY, is_up_to_date, table

Schema = dict[str, Any]


@cache
def resource(name: str) -> Schema:
    found: Schema = yaml.safe_load((REPOSITORY / "crds" / f"{name}.yaml").read_text())["spec"]["versions"][0]
    return found


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Yield each field below a schema that has a description: its path, its schema, whether it must be there."""
    for name, inner in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        if "description" in inner:
            yield below, inner, name in schema.get("required", [])
        each = inner.get("items", {})
        yield from fields(each, f"{below}[]") if each else fields(inner, below)


def kind(schema: Schema) -> str:
    """Say what may stand in a field."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {kind(schema['items'])}s" + _bounds(schema, "minItems", "maxItems")
    if schema.get("format") == "date-time":
        return "time"
    return str(schema["type"]) + _bounds(schema, "minimum", "maximum")


def _bounds(schema: Schema, least: str, most: str) -> str:
    if most in schema and schema[most] < 2**31 - 1:
        return f", {schema.get(least, 0)}–{schema[most]}"
    return f", at least {schema[least]}" if least in schema else ""


def fields_table(name: str, part: str) -> str:
    """Return all fields of the spec or the status of a custom resource."""
    schema = resource(name)["schema"]["openAPIV3Schema"]["properties"][part]

    def row(path: str, field: Schema, required: bool) -> tuple[str, ...]:
        default = "required" if required else f"`{str(field['default']).lower()}`" if "default" in field else ""
        if isinstance(field.get("default"), str):
            default = f"`{field['default']}`"
        return (f"`{path}`", kind(field), *((default,) if part == "spec" else ()), field["description"])

    head = ("field", "type", "default", "meaning") if part == "spec" else ("field", "type", "meaning")
    return table(head, (row(*found) for found in fields(schema)))


def columns_table(name: str) -> str:
    """Return what kubectl shows of a custom resource."""
    columns = resource(name)["additionalPrinterColumns"]
    rows = ((column["name"], f"`{column['jsonPath']}`", "-o wide" if column.get("priority") else "") for column in columns)
    return table(("column", "from", "only with"), rows)


def settings_table() -> str:
    rows = (
        (f"`{row.variable}`", row.unit, "**required**" if row.default is None else row.default, row.consequence)
        for row in settings()
    )
    return table(("variable", "unit", "default", "what follows from it"), rows)


def made() -> Iterator[tuple[str, str, str]]:
    """Yield page, name and content of each table."""
    yield "settings.md", "settings", settings_table()
    for name in ("hacronjob", "hacronjobrun"):
        for part in ("spec", "status"):
            yield "reference.md", f"{name} {part}", fields_table(name, part)
        yield "reference.md", f"{name} columns", columns_table(name)


@pytest.mark.parametrize(("page", "name", "content"), [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in made()])
def test_a_page_of_reference_has_what_there_is(page: str, name: str, content: str) -> None:
    assert is_up_to_date(DOCS / page, name, content)


@pytest.mark.parametrize("name", ["hacronjob", "hacronjobrun"])
def test_every_field_of_a_custom_resource_is_described(name: str) -> None:
    schema = resource(name)["schema"]["openAPIV3Schema"]["properties"]
    silent = [path for part in ("spec", "status") for path in undescribed(schema[part], part)]
    assert silent == []


def undescribed(schema: Schema, path: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        if "description" not in inner:
            yield f"{path}.{name}"
        yield from undescribed(inner.get("items", inner), f"{path}.{name}")
