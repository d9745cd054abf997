"""What people have said of cronjobs in a world, as its API servers have kept it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from msgspec.structs import replace

from hacron.core import manifests
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, InvalidCronJob, Key, Kind
from hacron.core.spec import parse
from tests.fakes.kubernetes import Body, FakeCluster
from tests.scenarios.world import World


def read(key: Key, body: Body) -> CronJob | InvalidCronJob:
    """Return what a HACronJob says."""
    return read_spec(key, bytes(manifests.declared("", body).spec))


@lru_cache(maxsize=10_000)
def read_spec(key: Key, spec: bytes) -> CronJob | InvalidCronJob:
    """Return what the spec of a HACronJob says, given as JSON."""
    try:
        return parse(key, spec)
    except InvalidCronJob as invalid:
        return invalid.to_keep()


def ever(world: World) -> Iterator[tuple[Key, CronJob]]:
    """Yield all that was ever said in any cluster and can be understood."""
    for cluster in world.clusters.values():
        for _, key, kind, body in cluster.annals:
            if kind is Kind.CRONJOB and body is not None:
                found = read(key, body)
                if isinstance(found, CronJob):
                    yield key, found


def at_least(world: World) -> dict[Key, CronJob]:
    """Return what holds of each cronjob all the while: the weakest of its rules."""
    found: dict[Key, CronJob] = {}
    for key, cronjob in ever(world):
        known = found.get(key, cronjob)
        guarantee = cronjob.guarantee if may_run_again(cronjob) else known.guarantee
        same = (known.policy, known.max_active) == (cronjob.policy, cronjob.max_active)
        found[key] = replace(known, guarantee=guarantee, policy=known.policy if same else ConcurrencyPolicy.ALLOW)
    return found


def is_another(key: Key, since: datetime, until: datetime, world: World) -> bool:
    """Whether what was declared then had all been deleted, in each of its homes, by the later instant: others may be there."""
    return all(_is_gone(cluster, key, since, until) for cluster in world.clusters.values())


def _is_gone(cluster: FakeCluster, key: Key, since: datetime, until: datetime) -> bool:
    said = [(at, _uid(body)) for at, whose, kind, body in cluster.annals if (whose, kind) == (key, Kind.CRONJOB) and at <= until]
    before = [uid for at, uid in said if at <= since][-1:]
    return before in ([], [""]) or any(at > since and uid != before[0] for at, uid in said)


def _uid(body: Body | None) -> str:
    return body["metadata"]["uid"] if body is not None else ""


def longest_job(key: Key, world: World) -> timedelta:
    """Return for how long the Job of a cronjob runs, by whatever was declared of it."""
    told = [
        body
        for cluster in world.clusters.values()
        for _, whose, kind, body in cluster.annals
        if (whose, kind) == (key, Kind.CRONJOB)
    ]
    templates = [body["spec"]["jobTemplate"]["spec"]["template"] for body in told if body is not None]
    return timedelta(seconds=max((float(one["metadata"]["annotations"]["testbed/run-seconds"]) for one in templates), default=0))


def may_run_again(cronjob: CronJob | None) -> bool:
    return cronjob is not None and cronjob.guarantee is Guarantee.AT_LEAST_ONCE
