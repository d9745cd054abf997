"""A HACronJobRun → the command that it is, and what its spec wants; what is wrong with it is told in one sentence."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from hacron.core.demand.accounts import remembered
from hacron.core.fields import decoded, encoded, flag, number
from hacron.core.manifests import identity, instant, made_at, version
from hacron.core.messages import RunsDemanded
from hacron.core.model import InvalidCronJob, Wanted

MOST = 1000  # ticks of one range
NAME = re.compile(r"[-.a-z0-9]{1,253}")
DEFAULT_LIMIT = 100


def demanded(cluster: str, body: dict[str, Any]) -> RunsDemanded:
    """Say in a command what a HACronJobRun object, as the API server gives it, asks for."""
    one = identity(body)
    return RunsDemanded(
        key=one.key,
        cluster=cluster,
        uid=one.uid,
        generation=one.generation,
        created_at=made_at(body),
        spec=encoded(body.get("spec") or {}),
        account=remembered(body.get("status")),
        version=version(body["metadata"].get("resourceVersion")),
    )


def read(spec: msgspec.Raw | bytes) -> tuple[str, Wanted]:
    """Return the name of the HACronJob, and what is wanted of it. Raises InvalidCronJob, whatever the input."""
    fields = decoded(spec)
    ignores = flag(fields, "ignoreSuspend")
    at, span = fields.get("scheduledTime"), fields.get("range")
    if at is not None and span is not None:
        raise InvalidCronJob("range", "only one of scheduledTime and range may be set")
    wanted = Wanted(ignore_suspend=ignores, at=_time(at, "scheduledTime") if at is not None else None)
    return _name(fields), wanted if span is None else _ranged(wanted, span)


def _name(fields: dict[str, Any]) -> str:
    name = fields.get("cronJob")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidCronJob("cronJob", "cronJob must be the name of a HACronJob in the same namespace")
    return name


def _ranged(wanted: Wanted, span: object) -> Wanted:
    if not isinstance(span, dict):
        raise InvalidCronJob("range", "range must be an object with from and to")
    begin, end = _time(span.get("from"), "range.from"), _time(span.get("to"), "range.to")
    if end < begin:
        raise InvalidCronJob("range.to", "range.to must not be before range.from")
    limit = number(span, "limit", "range.limit", range(1, MOST + 1), DEFAULT_LIMIT)
    return msgspec.structs.replace(wanted, begin=begin, end=end, limit=limit)


def _time(text: object, field: str) -> datetime:
    found = instant(text)
    if found is None or found.year < 1970:
        raise InvalidCronJob(field, f"{field} must be a time with its zone, such as 2026-11-24T02:00:00Z")
    return found.replace(microsecond=0)
