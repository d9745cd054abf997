"""What nobody would send in good faith: broken messages on every queue, objects at every limit, a storm of changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import pytest

from hacron.broker.channel import way_in
from tests.testbed import judge
from tests.testbed.api import Api
from tests.testbed.broker import Broker
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import await_status, condition, deepened, manifest
from tests.testbed.fleet import Fleet
from tests.testbed.raw_headers import UNREADABLE
from tests.testbed.wait import until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.cluster]

HACRONJOBS = "/apis/hacron.io/v1/namespaces/default/hacronjobs"
QUEUES = ("commands", "reports", "ledger", "token", "worker.west")
ENVELOPE = {"v": 1, "id": "x", "sent_at": "2030-01-01T00:00:00Z", "from": "nobody", "messages": [{"kind": "Nonsense"}]}
BODIES = [
    b"",
    b"\x00\xff" * 50,
    b"{" * 100_000,
    b"[" * 100_000,
    b'{"v": 1',
    b"null",
    json.dumps({"v": 99, "messages": []}).encode(),
    json.dumps(ENVELOPE).encode(),
    json.dumps(ENVELOPE | {"messages": [0] * 300_000}).encode(),
    json.dumps({"v": 1, "epoch": 2**60, "from": "x", "sent_at": "2030-01-01T00:00:00Z", "records": []}).encode(),
    json.dumps({"v": 1, "epoch": -1, "from": "x", "sent_at": "no time", "records": [{"kind": "Proof"}]}).encode(),
    b'"' + b"x" * 3_000_000 + b'"',
    b"x" * 12_000_000,
]


def test_broken_messages_on_every_queue_stop_nothing(fleet: Fleet, west: ControlPlane, broker: Broker, prefix: str) -> None:
    west.apply(manifest("steady", "@every 2s"))
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue in QUEUES:
            at = way_in(f"{prefix}.{queue}"), f"{prefix}.{queue}"
            for body in BODIES:
                channel.basic_publish(*at, body, mandatory=True)
            for headers in UNREADABLE.values():
                channel.basic_publish(*at, b"{}", headers, mandatory=True)
    since = datetime.now(UTC)
    until(lambda: len([r for r in judge.jobs([west]) if r.tick > since]) >= 4, 60, "runs after the storm", every=0.5)
    assert judge.doubled(judge.jobs([west])) == []
    assert all(replica.alive for replica in fleet)
    executor = fleet.await_executor()
    unreadable = {
        queue: executor.metrics().get(f'hacron_messages_unreadable_total{{queue="{queue}"}}', 0.0)
        for queue in ("commands", "reports", "ledger")
    }
    assert all(count >= len(BODIES) - 1 for count in unreadable.values()), unreadable


def test_what_others_say_that_a_cluster_declares_is_not_made_there(
    fleet: Fleet, west: ControlPlane, broker: Broker, prefix: str
) -> None:
    west.apply(manifest("steady", "@every 2s"))
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number in range(50):
            channel.basic_publish(way_in(f"{prefix}.commands"), f"{prefix}.commands", _forged_command(number), mandatory=True)
            if number == 25:
                channel.basic_publish(way_in(f"{prefix}.ledger"), f"{prefix}.ledger", _forged_run(), mandatory=True)
            connection.sleep(0.2)
    fleet.await_executor()
    jobs = json.loads(west.kubectl("get", "jobs", "--namespace", "kube-system", "--output", "json"))["items"]
    assert [job["metadata"]["name"] for job in jobs if not job["spec"]["suspend"]] == []
    since = datetime.now(UTC)
    until(lambda: len([r for r in judge.jobs([west]) if r.tick > since]) >= 3, 60, "runs of what is there", every=0.5)


def _forged(now: datetime, name: str) -> dict[str, Any]:
    """A HACronJob of west that is not there."""
    spec = json.loads(manifest(name, "@every 1s"))["spec"]
    made = (now - timedelta(seconds=3)).isoformat()
    said = {"key": f"kube-system/{name}", "cluster": "west", "uid": f"{name}-uid", "generation": 1, "created_at": made}
    return said | {"spec": spec}


def _forged_command(number: int) -> bytes:
    now = datetime.now(UTC)
    return json.dumps(ENVELOPE | {"messages": [{"kind": "CronJobDeclared"} | _forged(now, f"evil-{number}")]}).encode()


def _forged_run() -> bytes:
    """Records of an executor that is none: it says what west declares, and gives it a run."""
    now = datetime.now(UTC)
    at, later, epoch = now.isoformat(), (now + timedelta(seconds=20)).isoformat(), int(now.timestamp() * 1000) + 1000
    run = {"id": "evil.1.1", "tick": at, "cluster": "west", "start_by": later, "fencing": epoch, "job": "evil-1"}
    progress = {"key": "kube-system/evil", "cronjob_id": "evil", "last_tick": at, "fencing": epoch, "open": [run]}
    records = [
        {"kind": "Checkpoint", "replica": "nobody", "cluster": "west", "at": at, "born": at},
        {"kind": "Definition", "revision": 2**50, "changed_at": at} | _forged(now, "evil"),
        {"kind": "Progress"} | progress,
    ]
    return json.dumps({"v": 1, "epoch": epoch, "from": "nobody", "sent_at": at, "records": records}).encode()


def test_a_thousand_changes_of_one_object_in_a_moment_end_with_the_last(fleet: Fleet, west: ControlPlane) -> None:
    west.apply(manifest("steady", "@every 2s"))
    west.apply(manifest("stormy", "@every 1h"))
    Api(west).patch(f"{HACRONJOBS}/stormy", [{"spec": {"startingDeadlineSeconds": number}} for number in range(1, 1000)])
    west.kubectl("patch", "hacj", "stormy", "--type=merge", "-p", '{"spec":{"schedule":"@every 2s"}}')
    since = datetime.now(UTC)

    def both_run() -> bool:
        found = [one for one in judge.jobs([west]) if one.tick > since]
        return all(len(judge.of(found, name)) >= 3 for name in ("steady", "stormy"))

    until(both_run, 60, "runs after the storm", every=0.5)
    status = await_status(west, "stormy", lambda s: s.get("observedGeneration", 0) >= 1000, "the newest generation")
    assert condition(status, "Accepted")["status"] == "True"
    assert all(replica.alive for replica in fleet)


def test_what_is_nested_deeper_than_python_follows_runs_beside_the_others(fleet: Fleet, west: ControlPlane) -> None:
    depths = {f"deep-{levels}": levels for levels in (300, 600, 900, 1500, 9000)}
    west.apply(manifest("steady"))
    for name, levels in depths.items():
        west.apply(deepened(manifest(name), levels))
    fleet["west-2"].kill()  # whoever lists them, and does not hear of each alone, reads them, too
    fleet["west-2"].start()
    for name in ("steady", *depths):
        until(lambda name=name: len(judge.of(judge.jobs([west]), name)) >= 3, 60, f"runs of {name}", every=0.5)
    west.apply(manifest("later"))
    until(lambda: judge.of(judge.jobs([west]), "later"), 30, "a run of what was declared after them", every=0.5)
    assert judge.doubled(judge.jobs([west])) == []
    assert all(replica.alive for replica in fleet)


def test_a_second_cluster_of_the_same_name_takes_no_part_and_says_why(
    stopped_fleet: Fleet, west: ControlPlane, east: ControlPlane
) -> None:
    fleet, first, copied = stopped_fleet, stopped_fleet["west-1"], stopped_fleet["east-1"]
    first.start()
    first.wait_ready()
    west.apply(manifest("both"))
    until(lambda: judge.of(judge.jobs([west]), "both"), 60, "a run", every=0.5)
    copied.env["HACRON_CLUSTER"] = "west"
    copied.start()
    east.apply(manifest("both"))
    east.apply(manifest("theirs"))
    until(
        lambda: "another cluster is called west, too" in " ".join(copied.told().get("reasons", [])), 60, "the reason", every=0.5
    )
    since = datetime.now(UTC)
    until(lambda: len([r for r in judge.jobs([west]) if r.tick > since]) >= 4, 60, "runs in west", every=0.5)
    assert judge.jobs([east]) == []
    assert fleet.await_executor() is first


def test_objects_at_their_limits_are_told_what_is_wrong_with_them(fleet: Fleet, west: ControlPlane) -> None:
    long_name = "n" * 52
    west.apply(manifest(long_name, "@every 2s"))
    west.apply(manifest("long-list", ",".join(str(n % 60) for n in range(300)) + " * * * *"))
    west.apply(manifest("never", "0 0 31 2 *"))
    name = until(lambda: judge.of(judge.jobs([west]), long_name), 30, "a run of the long name", every=0.5)[0].job
    assert len(name) <= 63
    status = await_status(west, "long-list", lambda s: condition(s, "Accepted"), "a word on the long list")
    assert condition(status, "Accepted")["status"] == "True"
    status = await_status(west, "never", lambda s: condition(s, "Scheduled"), "a word on what never fires")
    assert condition(status, "Scheduled")["reason"] == "NeverFires"
    assert all(replica.alive for replica in fleet)
