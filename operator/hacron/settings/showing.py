"""How settings are shown: as a table for help texts and documentation, and as the values that a replica goes by."""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Final

from hacron.settings.fields import Settings, about_of
from hacron.settings.readers import shown_bytes

PREFIX: Final = "HACRON_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table of settings."""

    variable: str
    unit: str
    default: str | None  # None: required
    consequence: str


def table() -> tuple[Row, ...]:
    """List all settings, for help texts and documentation, in the order in which they are declared."""
    return tuple(
        Row(
            variable=variable(f.name),
            unit=about_of(f).unit,
            default=about_of(f).default_in_words or (None if f.default is MISSING else shown(f, f.default)),
            consequence=about_of(f).consequence,
        )
        for f in fields(Settings)
    )


def variable(name: str) -> str:
    """Name the environment variable of a setting."""
    return PREFIX + name.upper()


def without_passwords(settings: Settings) -> dict[str, str]:
    """Return variable → value as it would be written there, fit for logs and screens."""
    values = {variable(f.name): shown(f, getattr(settings, f.name)) for f in fields(Settings)}
    values |= {variable(f.name): "***" for f in fields(Settings) if about_of(f).secret and getattr(settings, f.name)}
    values[variable("broker_url")] = ",".join(without_password(url) for url in settings.broker_urls)
    return values


def without_password(url: str) -> str:
    """Show a URL with its user, but not with its password."""
    return re.sub(r"://([^:]*?)(:.*)?@", r"://\1:***@", url)


def shown(setting: Field[Any], value: object) -> str:
    if isinstance(value, int) and about_of(setting).unit == "bytes":
        return shown_bytes(value)
    return as_text(value)


def as_text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple():
            return ",".join(map(str, value))
        case dict():
            return ",".join(f"{key}={worth}" for key, worth in value.items())
        case _:
            return str(value)
