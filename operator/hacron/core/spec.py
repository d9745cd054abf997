"""The spec of a HACronJob → CronJob: every field checked, with CronJob's defaults; what is wrong is told in one sentence."""

from __future__ import annotations

from typing import Any

import msgspec

from hacron.core import placement_spec, template
from hacron.core.fields import choice, count, decoded, flag, number
from hacron.core.model import CatchUp, CatchUpPolicy, ConcurrencyPolicy, CronJob, Guarantee, InvalidCronJob, Key
from hacron.core.ticks import when

MOST_ACTIVE = 100  # maxActive
MOST_MADE_UP_FOR = 100  # catchUp.limit
LONGEST_SPREAD_S = 86_400


def parse(key: Key, spec: msgspec.Raw | bytes) -> CronJob:
    """Return what the spec (JSON) says, with CronJob's defaults. Raises InvalidCronJob, whatever the input."""
    fields = decoded(spec)
    job_template = fields.get("jobTemplate")
    if not isinstance(job_template, dict):
        raise InvalidCronJob("jobTemplate", "jobTemplate is missing or is not an object")
    template.check(job_template)
    job_spec = job_template["spec"]
    policy = choice(fields, "concurrencyPolicy", ConcurrencyPolicy.ALLOW)
    return CronJob(
        key=key,
        schedule=when.read(key, fields),
        suspend=flag(fields, "suspend"),
        starting_deadline_s=count(fields, "startingDeadlineSeconds", "startingDeadlineSeconds", None),
        policy=policy,
        max_active=_max_active(fields, policy),
        catch_up=_catch_up(fields, policy),
        guarantee=choice(fields, "guarantee", Guarantee.AT_MOST_ONCE),
        placement=placement_spec.read(fields),
        active_deadline_s=count(job_spec, "activeDeadlineSeconds", "jobTemplate.spec.activeDeadlineSeconds", None),
        grace_s=template.grace_s(job_template),
        indexes=template.indexes(job_template),
        successful_limit=count(fields, "successfulJobsHistoryLimit", "successfulJobsHistoryLimit", 3) or 0,
        failed_limit=count(fields, "failedJobsHistoryLimit", "failedJobsHistoryLimit", 1) or 0,
    )


def says_the_same(key: Key, one: msgspec.Raw, other: msgspec.Raw) -> bool:
    """Return whether two specs mean the same and have the same template: defaults may have been added to one of them."""
    return bytes(one) == bytes(other) or _meaning(key, one) == _meaning(key, other)


def _meaning(key: Key, spec: msgspec.Raw) -> tuple[object, object]:
    try:
        return parse(key, spec), decoded(spec)["jobTemplate"]
    except InvalidCronJob as invalid:
        return str(invalid), None


def _max_active(fields: dict[str, Any], policy: ConcurrencyPolicy) -> int:
    if fields.get("maxActive") is not None and policy is not ConcurrencyPolicy.QUEUE:
        raise InvalidCronJob("maxActive", "maxActive goes with concurrencyPolicy Queue only")
    return number(fields, "maxActive", "maxActive", range(1, MOST_ACTIVE + 1), 1)


def _catch_up(fields: dict[str, Any], policy: ConcurrencyPolicy) -> CatchUp:
    found = fields.get("catchUp")
    if found is not None and not isinstance(found, dict):
        raise InvalidCronJob("catchUp", "catchUp must be an object with policy, windowSeconds, limit, spreadSeconds, afterEdits")
    given: dict[str, Any] = found or {}
    usual = CatchUpPolicy.ALL if policy is ConcurrencyPolicy.QUEUE else CatchUpPolicy.LAST
    chosen = choice(given, "policy", usual, "catchUp.policy")
    if policy is ConcurrencyPolicy.QUEUE and chosen is not CatchUpPolicy.ALL:
        raise InvalidCronJob("catchUp.policy", "catchUp.policy must be All with concurrencyPolicy Queue, where every tick waits")
    if policy is ConcurrencyPolicy.REPLACE and chosen is CatchUpPolicy.ALL:
        raise InvalidCronJob(
            "catchUp.policy", "catchUp.policy All goes not with concurrencyPolicy Replace: each would end the last"
        )
    return CatchUp(
        policy=chosen,
        window_s=count(given, "windowSeconds", "catchUp.windowSeconds", None),
        limit=number(given, "limit", "catchUp.limit", range(1, MOST_MADE_UP_FOR + 1), CatchUp().limit),
        spread_s=number(given, "spreadSeconds", "catchUp.spreadSeconds", range(LONGEST_SPREAD_S + 1), 0),
        after_edits=flag(given, "afterEdits", "catchUp.afterEdits"),
    )
