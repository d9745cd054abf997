"""The fields of a spec, as its author wrote them → values; what is wrong is told in one sentence, whatever was written.

`field` is the path below `spec` where that is not the name itself.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from hacron.core import nesting
from hacron.core.messages import SPEC_BYTES
from hacron.core.model import InvalidCronJob

TOO_LONG = "tooLong"  # in place of a spec that is: how many bytes it has

E = TypeVar("E", bound=StrEnum)


def encoded(spec: Any) -> msgspec.Raw:
    """Return a spec as JSON, as it is sent; of one that is too long, that it is."""
    whole = nesting.encoded(spec)
    size = len(bytes(whole))
    return whole if size <= SPEC_BYTES else msgspec.Raw(msgspec.json.encode({TOO_LONG: size}))


def decoded(spec: msgspec.Raw | bytes) -> dict[str, Any]:
    """Return the fields of a spec in JSON. Raises InvalidCronJob, whatever the input."""
    size = len(bytes(spec))
    if size > SPEC_BYTES:
        raise _too_long(size)
    try:
        fields = msgspec.json.decode(bytes(spec))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCronJob("", "spec is not readable JSON") from error
    if not isinstance(fields, dict):
        raise InvalidCronJob("", "spec must be an object")
    told = fields.get(TOO_LONG)
    if isinstance(told, int) and SPEC_BYTES < told < 2**31:
        raise _too_long(told)
    return fields


def _too_long(size: int) -> InvalidCronJob:
    sentence = f"spec has {size} bytes in JSON, and no more than {SPEC_BYTES} are taken: put what is long into a ConfigMap"
    return InvalidCronJob("", sentence)


def flag(fields: dict[str, Any], name: str, field: str = "") -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidCronJob(field or name, f"{field or name} must be true or false")
    return bool(value)


def count(fields: dict[str, Any], name: str, field: str, default: int | None) -> int | None:
    return default if fields.get(name) is None else number(fields, name, field, range(2**31), 0)


def number(fields: dict[str, Any], name: str, field: str, allowed: range, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise InvalidCronJob(field, f"{field} must be a whole number from {allowed[0]} to {allowed[-1]}")
    return value


def choice(fields: dict[str, Any], name: str, default: E, field: str = "") -> E:
    value = fields.get(name)
    if value is None:
        return default
    try:
        return type(default)(value)
    except (ValueError, TypeError) as error:
        raise InvalidCronJob(field or name, f"{field or name} must be one of {', '.join(type(default))}") from error
