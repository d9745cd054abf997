"""The chart: what it renders, what it refuses, and that it knows every setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hacron.settings.loading import load
from hacron.settings.showing import table, without_passwords
from tests.packaging.rendered import CHART, LEAST, REPOSITORY, HelmFailed, Manifest, from_chart, helm, one

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
SET_BY_THE_CHART = {"HACRON_CLUSTER", "HACRON_REPLICA", "HACRON_KUBECONFIG", "HACRON_BROKER_URL", "HACRON_HTTP_PORT"}

Values = dict[str, Any]

VALUES: dict[str, Values] = {
    "the least": {**LEAST},
    "a URL of its own": {"cluster": "west", "broker": {"url": "amqps://hacron:p%40ss@rabbit-1:5671,amqp://rabbit-2"}},
    "settings": {**LEAST, "settings": {"log_level": "DEBUG", "silent_after_s": 30, "may_execute": False}},
    "where to run": {
        **LEAST,
        "replicas": 3,
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "cron", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "important",
        "resources": {},
    },
    "a registry": {
        **LEAST,
        "image": {"repository": "r.example.com/hacron", "tag": "1", "pullPolicy": "Always", "pullSecrets": [{"name": "r"}]},
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "ops"},
    },
}

WRONG: list[tuple[Values, str]] = [
    ({"cluster": ""}, "what is this cluster called? Set cluster to its name"),
    ({"cluster": "West"}, "at '/cluster': 'West' does not match pattern"),
    ({"broker": {}}, "where is RabbitMQ? Set broker.existingSecret.name to a Secret"),
    ({"broker": {"url": "amqp://a", "existingSecret": {"name": "b"}}}, "are both set: keep the one"),
    ({"broker": {"url": "http://user:secret@rabbit"}}, "broker.url must be amqp:// or amqps:// URLs such as"),
    ({"broker": {"existingSecret": "hacron-broker"}}, "at '/broker/existingSecret': got string, want object"),
    ({"settings": {"heartbeats": 5}}, "at '/settings': additional properties 'heartbeats' not allowed"),
    ({"settings": {"broker_url": "amqp://a"}}, "at '/settings': additional properties 'broker_url' not allowed"),
    ({"settings": {"heartbeat_s": "5s"}}, "at '/settings/heartbeat_s': got string, want null or number"),
    ({"settings": {"log_level": "LOUD"}}, "at '/settings/log_level': value must be one of 'DEBUG', 'INFO'"),
    ({"settings": {"ledger_max_bytes": "1GB"}}, "at '/settings/ledger_max_bytes': '1GB' does not match pattern"),
    ({"settings": {"may_execute": "no"}}, "at '/settings/may_execute': got string, want null or boolean"),
    ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
    ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of 'Always'"),
    ({"podAnnotations": {"scrape": True}}, "at '/podAnnotations/scrape': got boolean, want string"),
    ({"replicaCount": 2}, "additional properties 'replicaCount' not allowed"),
]


def settings_of(manifests: list[Manifest]) -> dict[str, str]:
    """Return the environment of a replica, without its name."""
    environment: dict[str, str] = dict(one(manifests, "ConfigMap")["data"])
    secrets = [manifest for manifest in manifests if manifest["kind"] == "Secret"]
    urls = [secret["stringData"]["url"] for secret in secrets]
    return environment | {"HACRON_BROKER_URL": urls[0] if urls else "amqp://elsewhere"}


def test_the_custom_resource_is_the_one_of_this_repository() -> None:
    for name in ("hacronjob.yaml", "hacronjobrun.yaml"):
        assert (CHART / "crds" / name).read_bytes() == (REPOSITORY / "crds" / name).read_bytes()


def test_every_value_is_in_the_schema_and_has_a_comment() -> None:
    text = (CHART / "values.yaml").read_text()
    assert set(yaml.safe_load(text)) == set(SCHEMA["properties"]) - {"global"}
    paragraphs = [paragraph.splitlines() for paragraph in text.split("\n\n")[1:]]
    assert [lines[0] for lines in paragraphs if not (lines[0].startswith("#") or lines[1].strip().startswith("#"))] == []


def test_it_knows_every_setting_but_those_that_it_sets_itself() -> None:
    known = {f"HACRON_{name.upper()}" for name in SCHEMA["properties"]["settings"]["properties"]}
    assert known == {row.variable for row in table()} - SET_BY_THE_CHART


@pytest.mark.cluster
class TestRendered:
    @pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
    def test_good_values_pass_lint_and_give_settings_that_a_replica_takes(self, values: Values) -> None:
        assert "0 chart(s) failed" in helm("lint", "--strict", CHART, values=values)
        assert load(settings_of(from_chart(values))).cluster == "west"

    @pytest.mark.parametrize(("values", "says"), WRONG, ids=lambda part: json.dumps(part) if isinstance(part, dict) else "")
    def test_a_wrong_value_is_refused_with_a_message_that_helps(self, values: Values, says: str) -> None:
        with pytest.raises(HelmFailed) as failed:
            from_chart({**LEAST, **values})
        assert says in str(failed.value)
        assert "secret@" not in str(failed.value)

    def test_every_setting_arrives_as_it_was_given(self) -> None:
        given = {
            "cluster_labels": "tier=prod,zone=a",
            "broker_prefix": "other",
            "heartbeat_s": 7,
            "ledger_max_bytes": 5 * 2**30,
            "ledger_segment_bytes": "32MiB",
            "may_execute": False,
            "proof_interval_s": 0.25,
            "proof_lease_s": 4,
            "token_missing_after_s": 30.5,
            "decide_ahead_s": 4,
            "start_window_s": 19,
            "backup_after_s": 1.5,
            "skew_margin_s": 3,
            "seen_interval_s": 6,
            "silent_after_s": 18,
            "lost_after_s": 301,
            "inventory_interval_s": 299,
            "forget_after_s": 1e3,
            "recent_limit": 9,
            "kube_concurrency": 31,
            "kube_timeout_s": 11,
            "http_host": "::",
            "log_format": "text",
            "events": "Problems",
            "log_level": "DEBUG",
        }
        assert set(given) == set(SCHEMA["properties"]["settings"]["properties"])
        shown = without_passwords(load(settings_of(from_chart({**LEAST, "settings": given}))))
        expected = {"ledger_max_bytes": "5GiB", "may_execute": "false", "forget_after_s": "1000"}
        assert {name: shown[f"HACRON_{name.upper()}"] for name in given} == {
            name: expected.get(name, str(value)) for name, value in given.items()
        }

    def test_a_setting_that_is_null_has_its_default(self) -> None:
        assert "HACRON_LOG_LEVEL" not in settings_of(from_chart({**LEAST, "settings": {"log_level": None}}))

    def test_a_password_is_in_the_secret_and_nowhere_else(self) -> None:
        url = "amqps://hacron:hunter2@rabbit:5671"
        manifests = from_chart({"cluster": "west", "broker": {"url": url}})
        assert one(manifests, "Secret")["stringData"] == {"url": url}
        assert "hunter2" not in json.dumps([manifest for manifest in manifests if manifest["kind"] != "Secret"])

    def test_new_settings_or_a_new_url_start_new_replicas(self) -> None:
        def pod(**values: object) -> object:
            least = {"cluster": "west", "broker": {"url": "amqp://a"}}
            return one(from_chart({**least, **values}), "Deployment")["spec"]["template"]

        assert pod() == pod()
        assert pod() != pod(settings={"heartbeat_s": 6})
        assert pod() != pod(broker={"url": "amqp://b"})

    def test_two_releases_share_nothing(self) -> None:
        def names(release: str) -> set[tuple[str, str, str]]:
            manifests = from_chart(LEAST, release=release, namespace=release)
            return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in manifests}

        assert names("one") & names("two") == set()

    def test_a_packed_chart_brings_the_custom_resource(self, tmp_path: Path) -> None:
        helm("package", CHART, "--destination", tmp_path)
        (packed,) = tmp_path.glob("*.tgz")
        assert (CHART / "crds" / "hacronjob.yaml").read_text().strip() in helm("show", "crds", packed)
