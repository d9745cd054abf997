"""deploy/rabbitmq: with these definitions, at a real broker, replicas of a cluster may do what they need and no more.

What nobody may do with definitions-restricted.json is tried in test_permissions.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from hacron.broker.session import Access
from hacron.ports import BrokerUnavailable
from tests.broker.neighbours import DEFINITIONS as RESTRICTED
from tests.broker.neighbours import EXECUTORS, PREFIX, USERS, Neighbours, own_broker
from tests.broker.test_refused import open_and_close, refusal, running
from tests.testbed.broker import USER, Broker
from tests.testbed.wait import until

FOLDER = Path(__file__).parents[2] / "deploy" / "rabbitmq"
DEFINITIONS: dict[str, Any] = json.loads((FOLDER / "definitions.json").read_text())


def by_operator(kind: str) -> list[dict[str, Any]]:
    return [each["spec"] for each in yaml.safe_load_all((FOLDER / "topology.yaml").read_text()) if each["kind"] == kind]


def test_both_ways_make_the_same() -> None:
    assert [{"name": each["name"]} for each in by_operator("Vhost")] == DEFINITIONS["vhosts"]
    granted = [
        {"user": each["userReference"]["name"], "vhost": each["vhost"], **each["permissions"]}
        for each in by_operator("Permission")
    ]
    assert granted == DEFINITIONS["permissions"]
    users = {each["importCredentialsSecret"]["name"] for each in by_operator("User")}
    assert users == {each["name"] for each in DEFINITIONS["users"]}
    policies = [{"apply-to": each.pop("applyTo"), **each} for each in by_operator("Policy")]
    assert [{name: each[name] for name in DEFINITIONS["policies"][0]} for each in policies] == DEFINITIONS["policies"]


@pytest.mark.broker
class TestImported:
    @pytest.fixture(scope="class")
    @staticmethod
    def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
        found = Broker(tmp_path_factory.mktemp("shipped"))
        found.start()
        try:
            found.ctl("import_definitions", str(FOLDER / "definitions.json"))
            yield found
        finally:
            found.close()

    def access(self, broker: Broker, user: str, cluster: str, password: str = "pw") -> Access:
        url = f"amqp://{user}:{password}@127.0.0.1:{broker.port}/hacron"
        return Access(urls=[url], prefix="hacron", cluster=cluster, replica="r1")

    def test_nobody_logs_in_before_a_password_was_set(self, broker: Broker) -> None:
        for password in ("", "pw"):
            assert "no such user with this password" in refusal(self.access(broker, "hacron-west", "west", password))

    def test_each_cluster_has_what_it_needs_and_not_the_worker_of_another(self, broker: Broker) -> None:
        for cluster in ("west", "east"):
            broker.ctl("change_password", f"hacron-{cluster}", "pw")
            open_and_close(self.access(broker, f"hacron-{cluster}", cluster))
        words = refusal(self.access(broker, "hacron-west", "east"))
        assert "user hacron-west lacks a permission on queue hacron.worker.east in virtual host hacron" in words

    def test_a_policy_for_all_queues_does_not_reach_ours(self, broker: Broker) -> None:
        broker.ctl("change_password", "hacron-west", "pw")
        open_and_close(self.access(broker, "hacron-west", "west"))
        broker.ctl("set_policy", "-p", "hacron", "--priority", "50", "--apply-to", "queues", "all", ".*", '{"message-ttl": 1000}')
        policies = {each["name"]: each["policy"] for each in broker.list_queues("name", "policy")}
        assert set(policies.values()) == {"hacron"}
        assert len(policies) >= 5


@pytest.mark.broker
class TestRestricted:
    @pytest.fixture(scope="class")
    @staticmethod
    def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
        with own_broker(tmp_path_factory.mktemp("restricted")) as broker:
            yield Neighbours(broker)

    def test_it_makes_what_replicas_make(self, neighbours: Neighbours) -> None:
        broker = neighbours.broker
        broker.ctl("add_vhost", "by-replicas")
        broker.ctl("set_permissions", "-p", "by-replicas", USER, ".*", ".*", ".*")
        for cluster in USERS:
            url = f"{broker.url.rpartition('/')[0]}/by-replicas"
            open_and_close(Access(urls=[url], prefix=PREFIX, cluster=cluster, replica="r1"))
        for part in ("queues", "exchanges", "bindings"):
            made = neighbours.made(part)
            assert made == neighbours.made(part, "by-replicas"), part
            assert len(made) == len(RESTRICTED[part]) == 4 + len(USERS), part

    def test_who_may_make_queues_finds_them_as_they_would_be_made(self, neighbours: Neighbours) -> None:
        for cluster in USERS:
            open_and_close(Access(urls=[neighbours.broker.url], prefix=PREFIX, cluster=cluster, replica="r1"))

    def test_replicas_with_the_settings_that_belong_to_it_have_an_executor_and_workers(self, neighbours: Neighbours) -> None:
        with ExitStack() as stack:
            seen = {cluster: stack.enter_context(running(settings(neighbours, cluster))) for cluster in USERS}
            until(lambda: all(any(health.worker for health in told) for told in seen.values()), 60, "a worker in each cluster")
            until(lambda: any(health.executor for told in seen.values() for health in told), 60, "an executor")
        assert not any(health.executor for health in seen["edge"])
        reasons = {reason for told in seen.values() for health in told for reason in health.reasons}
        assert {reason for reason in reasons if reason.startswith("broker: ")} == {"broker: connecting"}

    def test_a_cluster_is_added_by_its_own_part_and_the_passwords_of_others_stay(self, neighbours: Neighbours) -> None:
        neighbours.define(part_of("north"))
        neighbours.broker.ctl("change_password", "hacron-north", "pw")
        url = f"amqp://hacron-north:pw@127.0.0.1:{neighbours.broker.port}/hacron"
        open_and_close(Access(urls=[url], prefix=PREFIX, cluster="north", replica="r1", declares=False))
        neighbours.open("west")

    def test_all_of_it_once_more_takes_the_passwords_away(self, neighbours: Neighbours) -> None:
        neighbours.define(RESTRICTED)
        for cluster in USERS:
            with pytest.raises(BrokerUnavailable, match="no such user with this password"):
                neighbours.open(cluster)


def settings(neighbours: Neighbours, cluster: str) -> dict[str, str]:
    """Return what docs/security.md has set for the replicas of a cluster."""
    return {
        "HACRON_CLUSTER": cluster,
        "HACRON_BROKER_URL": neighbours.url(cluster),
        "HACRON_BROKER_DECLARE": "false",
        "HACRON_BROKER_USERS": ",".join(f"{each}={user}" for each, user in USERS.items()),
        "HACRON_MAY_EXECUTE": str(cluster in EXECUTORS).lower(),
    }


def part_of(cluster: str) -> dict[str, Any]:
    """Return what is of east alone, copied for another cluster."""
    parts = {part: [each for each in RESTRICTED[part] if "east" in json.dumps(each)] for part in RESTRICTED}
    copied: dict[str, Any] = json.loads(json.dumps(parts).replace("east", cluster))
    return copied
