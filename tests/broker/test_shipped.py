"""deploy/rabbitmq: with these definitions, at a real broker, replicas of a cluster may do what they need and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hacron.broker.session import Access
from tests.broker.test_refused import open_and_close, refusal
from tests.testbed.broker import Broker

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
