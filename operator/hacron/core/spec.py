"""The spec of a HACronJob → CronJob: every field checked, with CronJob's defaults; what is wrong is told in one sentence."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from hacron.core import cron, template
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, InvalidCronJob, Key

E = TypeVar("E", Guarantee, ConcurrencyPolicy)


def parse(key: Key, spec: msgspec.Raw | bytes) -> CronJob:
    """Return what the spec (JSON) says, with CronJob's defaults. Raises InvalidCronJob, whatever the input."""
    try:
        fields = msgspec.json.decode(bytes(spec))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCronJob("", "spec is not readable JSON") from error
    if not isinstance(fields, dict):
        raise InvalidCronJob("", "spec must be an object")
    job_template = fields.get("jobTemplate")
    if not isinstance(job_template, dict):
        raise InvalidCronJob("jobTemplate", "jobTemplate is missing or is not an object")
    template.check(job_template)
    job_spec = job_template["spec"]
    if fields.get("schedule") is None:
        raise InvalidCronJob("schedule", 'schedule is missing: write five fields such as "0 2 * * *"')
    try:
        schedule = cron.parse(fields["schedule"], fields.get("timeZone"))
    except cron.InvalidSchedule as invalid:
        raise InvalidCronJob(invalid.field, str(invalid)) from invalid
    return CronJob(
        key=key,
        schedule=schedule,
        suspend=_flag(fields, "suspend"),
        starting_deadline_s=_count(fields, "startingDeadlineSeconds", "startingDeadlineSeconds", None),
        policy=_choice(fields, "concurrencyPolicy", ConcurrencyPolicy.ALLOW),
        guarantee=_choice(fields, "guarantee", Guarantee.AT_MOST_ONCE),
        clusters=_clusters(fields),
        active_deadline_s=_count(job_spec, "activeDeadlineSeconds", "jobTemplate.spec.activeDeadlineSeconds", None),
        successful_limit=_count(fields, "successfulJobsHistoryLimit", "successfulJobsHistoryLimit", 3) or 0,
        failed_limit=_count(fields, "failedJobsHistoryLimit", "failedJobsHistoryLimit", 1) or 0,
    )


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidCronJob(name, f"{name} must be true or false")
    return bool(value)


def _count(fields: dict[str, Any], name: str, field: str, default: int | None) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**31 - 1:
        raise InvalidCronJob(field, f"{field} must be a whole number from 0 to 2147483647")
    return value


def _choice(fields: dict[str, Any], name: str, default: E) -> E:
    value = fields.get(name)
    if value is None:
        return default
    try:
        return type(default)(value)
    except (ValueError, TypeError) as error:
        raise InvalidCronJob(name, f"{name} must be one of {', '.join(type(default))}") from error


def _clusters(fields: dict[str, Any]) -> tuple[str, ...]:
    place = fields.get("placement")
    if place is None:
        return ()
    names = place.get("clusters") if isinstance(place, dict) else place
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names) or len(names) > 32:
        raise InvalidCronJob("placement.clusters", "placement.clusters must be a list of at most 32 names of clusters")
    return tuple(dict.fromkeys(names))
