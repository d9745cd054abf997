"""The chart: what it renders, what it refuses, and that it knows every setting."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from hacron.settings.loading import load
from hacron.settings.showing import table, without_passwords
from tests.packaging.rendered import CHART, LEAST, REPOSITORY, HelmFailed, Manifest, from_chart, helm, one, promtool

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
SET_BY_THE_CHART = {
    *("HACRON_CLUSTER", "HACRON_CLUSTER_LABELS", "HACRON_REPLICA", "HACRON_KUBECONFIG", "HACRON_WATCH_NAMESPACES"),
    *("HACRON_BROKER_URL", "HACRON_BROKER_USER", "HACRON_BROKER_PASSWORD"),
    *(
        "HACRON_BROKER_CA_FILE",
        "HACRON_BROKER_CERT_FILE",
        "HACRON_BROKER_KEY_FILE",
        "HACRON_BROKER_CERT_USER",
        "HACRON_HTTP_PORT",
    ),
}

Values = dict[str, Any]

VALUES: dict[str, Values] = {
    "the least": {**LEAST},
    "a URL of its own": {"cluster": "west", "broker": {"url": "amqps://hacron:p%40ss@rabbit-1:5671,amqp://rabbit-2"}},
    "what it is": {**LEAST, "clusterLabels": {"tier": "prod", "zone": "a"}, "watchNamespaces": ["shop", "billing"]},
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
    ({"settings": {"heartbeat_s": "5s"}}, "at '/settings/heartbeat_s': '5s' does not match pattern"),
    ({"settings": {"log_level": "LOUD"}}, "at '/settings/log_level': value must be one of 'DEBUG', 'INFO'"),
    ({"settings": {"ledger_max_bytes": "1GB"}}, "at '/settings/ledger_max_bytes': '1GB' does not match pattern"),
    ({"settings": {"may_execute": "no"}}, "at '/settings/may_execute': got string, want null or boolean"),
    ({"replicas": -1}, "at '/replicas': minimum: got -1, want 0"),
    ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of 'Always'"),
    ({"podAnnotations": {"scrape": True}}, "at '/podAnnotations/scrape': got boolean, want string"),
    ({"settings": {"cluster_labels": "a=b"}}, "at '/settings': additional properties 'cluster_labels' not allowed"),
    ({"clusterLabels": {"tier": True}}, "at '/clusterLabels/tier': got boolean, want string"),
    ({"watchNamespaces": "shop"}, "at '/watchNamespaces': got string, want array"),
    ({"watchNamespaces": ["shop", "shop"]}, "at '/watchNamespaces': items at 0 and 1 are equal"),
    ({"broker": {"tls": {"caSecret": "ca"}}}, "at '/broker/tls/caSecret': got string, want object"),
    ({"broker": {"url": "amqps://a", "tls": {"clientUser": "hacron-west"}}}, "broker.tls.clientSecret.name names none"),
    (
        {"broker": {"url": "amqps://u:p@a", "tls": {"clientSecret": {"name": "mine"}, "clientUser": "hacron-west"}}},
        "with a password (broker.credentialsSecret, or a user in broker.url): keep one of the two",
    ),
    ({"broker": {"url": "amqp://a", "tls": {"caSecret": {"name": "ca"}}}}, "broker.tls is for amqps:// URLs only"),
    ({"image": {"repository": "hacron:1"}}, "at '/image/repository': 'hacron:1' does not match pattern"),
    ({"image": {"digest": "9f86d0"}}, "at '/image/digest': '9f86d0' does not match pattern"),
    ({"image": {"pullSecrets": ["registry"]}}, "at '/image/pullSecrets/0': got string, want object"),
    ({"resources": {"limit": {}}}, "at '/resources': additional properties 'limit' not allowed"),
    ({"affinity": {"nodeAfinity": {}}}, "at '/affinity': additional properties 'nodeAfinity' not allowed"),
    ({"topologySpreadConstraints": [{}]}, "at '/topologySpreadConstraints/0': missing properties 'topologyKey'"),
    ({"podDisruptionBudget": {"maxUnavailable": "half"}}, "at '/podDisruptionBudget/maxUnavailable': 'half' does not match"),
    ({"podDisruptionBudget": {"minAvailable": 1}}, "additional properties 'minAvailable' not allowed"),
    ({"serviceAccount": {"create": False}}, "serviceAccount.create is false: set serviceAccount.name to the one that is there"),
    ({"commonLabels": {"app.kubernetes.io/name": "cron"}}, "app.kubernetes.io/name is a label by which replicas are found"),
    ({"podLabels": {"app.kubernetes.io/instance": "a"}}, "leave it out of commonLabels and of the other labels"),
    ({"dnsPolicy": "Clusterfirst"}, "at '/dnsPolicy': value must be one of '', 'ClusterFirst'"),
    ({"hostAliases": [{"ip": "10.0.0.7"}]}, "at '/hostAliases/0': missing property 'hostnames'"),
    ({"extraObjects": ["apiVersion: v1"]}, "at '/extraObjects/0': got string, want object"),
    ({"securityContext": {"readOnlyRootFileSystem": True}}, "additional properties 'readOnlyRootFileSystem' not allowed"),
    ({"podSecurityContext": {"runAsNonroot": True}}, "additional properties 'runAsNonroot' not allowed"),
    ({"tolerations": [{"key": "a", "effects": "NoSchedule"}]}, "at '/tolerations/0': additional properties 'effects'"),
    (
        {"topologySpreadConstraints": [{"topologyKey": "a", "maxSkew": 1, "whenUnsatisfiable": "Never"}]},
        "at '/topologySpreadConstraints/0/whenUnsatisfiable': value must be one of 'DoNotSchedule'",
    ),
    ({"readinessProbe": {"periodSecond": 1}}, "at '/readinessProbe': additional properties 'periodSecond' not allowed"),
    ({"terminationGracePeriodSeconds": 1}, "at '/terminationGracePeriodSeconds': minimum: got 1, want 5"),
    (
        {"dnsPolicy": "None"},
        "dnsPolicy is None: dnsConfig.nameservers says whom replicas ask for names of hosts, and it is empty",
    ),
    ({"strategy": {"rollingUpdate": {"maxSurge": 0}}}, "with maxSurge 0 and maxUnavailable 0 nothing can be replaced"),
    ({"prometheusRule": {"enabled": True, "without": ["HACronJobLate"]}}, "prometheusRule.without: HACronJobLate is not one of"),
    (
        {"prometheusRule": {"selector": "namespace=cron"}},
        "at '/prometheusRule/selector': 'namespace=cron' does not match pattern",
    ),
    (
        {"prometheusRule": {"selector": 'namespace="cron",'}},
        "at '/prometheusRule/selector': 'namespace=\"cron\",' does not match pattern",
    ),
    ({"networkPolicy": {"brokerPorts": [0]}}, "at '/networkPolicy/brokerPorts/0': minimum: got 0, want 1"),
    ({"serviceMonitor": {"interval": 15}}, "at '/serviceMonitor/interval': got number, want string"),
    ({"extraEnv": [{"name": "A", "value": 1}]}, "at '/extraEnv/0/value': got number, want string"),
    ({"extraVolumeMounts": [{"name": "tmp"}]}, "at '/extraVolumeMounts/0': missing property 'mountPath'"),
    ({"extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp", "readonly": True}]}, "additional properties 'readonly'"),
    ({"replicaCount": 2}, "additional properties 'replicaCount' not allowed"),
    ({"livenessProbe": None}, "at '': missing property 'livenessProbe'"),
    ({"broker": {"tls": None}}, "at '/broker': missing property 'tls'"),
    ({"podDisruptionBudget": {"maxUnavailable": None}}, "at '/podDisruptionBudget': missing property 'maxUnavailable'"),
    ({"dnsPolicy": "None", "dnsConfig": None}, "dnsPolicy is None: dnsConfig.nameservers says whom"),
]


class Strict(yaml.SafeLoader):
    """Reads YAML as it is meant to be: a key that is there twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        assert len(found) == len(node.value), f"a key is there twice: {node.start_mark}"
        return found


# What a release of a chart before did not have, where somebody upgrades with --reuse-values; null is the same.
MAY_BE_ABSENT = (
    *("commonLabels", "podLabels", "annotations", "podAnnotations", "nodeSelector", "tolerations", "affinity", "resources"),
    *("priorityClassName", "dnsPolicy", "dnsConfig", "hostAliases", "automountServiceAccountToken", "revisionHistoryLimit"),
    *("podSecurityContext", "securityContext", "serviceMonitor", "prometheusRule", "dashboard", "networkPolicy", "clusterLabels"),
    *("extraEnv", "extraEnvFrom", "extraVolumes", "extraVolumeMounts", "extraInitContainers", "extraContainers", "extraObjects"),
    *("testResources", "settings", "watchNamespaces"),
)


def settings_of(manifests: list[Manifest]) -> dict[str, str]:
    """Return the environment of a replica, without its name."""
    environment: dict[str, str] = dict(one(manifests, "ConfigMap")["data"])
    secrets = [manifest for manifest in manifests if manifest["kind"] == "Secret"]
    urls = [secret["stringData"]["url"] for secret in secrets]
    return environment | {"HACRON_BROKER_URL": urls[0] if urls else "amqp://elsewhere"}


def test_the_custom_resource_is_the_one_of_this_repository() -> None:
    for name in ("hacronjob.yaml", "hacronjobrun.yaml"):
        assert (CHART / "crds" / name).read_bytes() == (REPOSITORY / "crds" / name).read_bytes()


def test_the_custom_resources_are_two_also_where_their_files_stand_one_behind_the_other() -> None:
    """So Helm 3 shows them, with nothing in between."""
    joined = "\n".join(file.read_text() for file in sorted((CHART / "crds").iterdir()))
    names = [one["metadata"]["name"] for one in yaml.safe_load_all(joined) if one]
    assert names == ["hacronjobs.hacron.io", "hacronjobruns.hacron.io"]


def test_every_value_is_in_the_schema_and_has_a_comment() -> None:
    text = (CHART / "values.yaml").read_text()
    assert set(yaml.safe_load(text)) == set(SCHEMA["properties"]) - {"global", "enabled"}
    paragraphs = [paragraph.splitlines() for paragraph in text.split("\n\n")[1:]]
    assert [lines[0] for lines in paragraphs if not (lines[0].startswith("#") or lines[1].strip().startswith("#"))] == []


def undescribed(schema: dict[str, Any], values: object, path: str = "") -> list[str]:
    """Return the values, at any depth, that the schema lacks or does not describe."""
    if not isinstance(values, dict) or "properties" not in schema:
        return []
    found = []
    for name, inner in values.items():
        known = schema["properties"].get(name, {})
        if not known.get("description"):
            found.append(f"{path}.{name}")
        found += undescribed(known, inner, f"{path}.{name}")
    return found


def test_the_schema_describes_every_value_at_any_depth() -> None:
    assert undescribed(SCHEMA, yaml.safe_load((CHART / "values.yaml").read_text())) == []
    assert undescribed({"properties": {}}, {"a": 1}) == [".a"]


def test_what_it_shows_to_prometheus_and_grafana_is_the_text_of_this_repository() -> None:
    for name in ("alerts.yaml", "dashboard.json"):
        assert (CHART / "files" / name).read_bytes() == (REPOSITORY / "deploy" / "monitoring" / name).read_bytes()


def test_it_knows_every_setting_but_those_that_it_sets_itself() -> None:
    known = {f"HACRON_{name.upper()}" for name in SCHEMA["properties"]["settings"]["properties"]}
    assert known == {row.variable for row in table()} - SET_BY_THE_CHART


def test_it_says_of_each_setting_what_the_replicas_say() -> None:
    """Editors show it beside the value."""
    said = {
        f"HACRON_{name.upper()}": each["description"] for name, each in SCHEMA["properties"]["settings"]["properties"].items()
    }
    rows = {row.variable: f"{row.unit}; default: {row.default}. {row.consequence}" for row in table()}
    assert said == {variable: rows[variable] for variable in said}


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
            "cordoned": "new switches, until noon",
            "gone_clusters": "north,south",
            "forgotten_clusters": "north",
            "broker_prefix": "other",
            "broker_declare": False,
            "broker_users": "west=hacron-west,east=hacron-east",
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
            "events": "Problems",
            "http_host": "::",
            "page": True,
            "page_hosts": "hacron.example.com",
            "log_format": "text",
            "log_level": "DEBUG",
        }
        assert set(given) == set(SCHEMA["properties"]["settings"]["properties"])
        shown = without_passwords(load(settings_of(from_chart({**LEAST, "settings": given}))))
        expected = {
            "ledger_max_bytes": "5GiB",
            "forget_after_s": "1000",
            "may_execute": "false",
            "broker_declare": "false",
            "page": "true",
        }
        assert {name: shown[f"HACRON_{name.upper()}"] for name in given} == {
            name: expected.get(name, str(value)) for name, value in given.items()
        }

    def test_labels_and_namespaces_arrive_as_settings(self) -> None:
        settings = load(settings_of(from_chart(VALUES["what it is"])))
        assert settings.cluster_labels == {"tier": "prod", "zone": "a"}
        assert settings.watch_namespaces == ("shop", "billing")

    def test_certificates_arrive_where_the_settings_say(self) -> None:
        tls = {"caSecret": {"name": "ca", "key": "root.pem"}, "clientSecret": {"name": "mine", "certKey": "c", "keyKey": "k"}}
        manifests = from_chart({"cluster": "west", "broker": {"url": "amqps://a", "tls": tls}})
        data = one(manifests, "ConfigMap")["data"]
        pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
        (volume,), (mount,) = pod["volumes"], pod["containers"][0]["volumeMounts"]
        assert volume["name"] == mount["name"]
        held = {
            f"{mount['mountPath']}/{item['path']}": (source["secret"]["name"], item["key"])
            for source in volume["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        expected = {"CA": ("ca", "root.pem"), "CERT": ("mine", "c"), "KEY": ("mine", "k")}
        assert {name: held[data[f"HACRON_BROKER_{name}_FILE"]] for name in expected} == expected

    @pytest.mark.parametrize(
        ("image", "shown"),
        [
            ({}, "hacron:0.1.0"),
            ({"tag": "1"}, "hacron:1"),
            ({"tag": None, "digest": None}, "hacron:0.1.0"),
            ({"digest": f"sha256:{'0' * 64}"}, f"hacron@sha256:{'0' * 64}"),
            ({"tag": "1", "digest": f"sha256:{'0' * 64}"}, f"hacron:1@sha256:{'0' * 64}"),
        ],
    )
    def test_an_image_is_named_by_tag_and_digest(self, image: Values, shown: str) -> None:
        (container,) = one(from_chart({**LEAST, "image": image}), "Deployment")["spec"]["template"]["spec"]["containers"]
        assert container["image"] == shown

    def test_a_setting_that_is_null_has_its_default(self) -> None:
        assert "HACRON_LOG_LEVEL" not in settings_of(from_chart({**LEAST, "settings": {"log_level": None}}))

    def test_a_name_that_yaml_takes_for_a_number_is_a_name(self) -> None:
        values = {**LEAST, "watchNamespaces": ["2024", "1e3"], "fullnameOverride": "no", "priorityClassName": "007"}
        values |= {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard", "networkPolicy")}
        manifests = from_chart(values, release="17", namespace="123")
        metadata = [manifest["metadata"] for manifest in manifests]
        assert {type(value) for each in metadata for value in (each["name"], each.get("namespace", ""))} == {str}
        assert {value for each in metadata for value in each["labels"].values() if not isinstance(value, str)} == set()
        assert {each["metadata"]["namespace"] for each in manifests if each["kind"] == "Role"} == {"2024", "1e3"}
        pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
        assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("no", "007")

    def test_a_release_whose_name_no_service_could_have_is_refused(self) -> None:
        with pytest.raises(HelmFailed, match="a Service's name begins with a letter, and the release is called 17"):
            from_chart(LEAST, release="17")

    def test_in_another_chart_it_may_be_called_otherwise_and_be_there_on_a_condition(self, tmp_path: Path) -> None:
        (tmp_path / "Chart.yaml").write_text(
            "{apiVersion: v2, name: platform, version: 1.0.0, dependencies: "
            "[{name: hacron, version: '*', alias: cron, condition: cron.enabled}]}"
        )
        shutil.copytree(CHART, tmp_path / "charts" / "hacron")
        shown = {}
        for enabled in (True, False):
            text = helm("template", "all", tmp_path, "--skip-tests", values={"cron": {**LEAST, "enabled": enabled}})
            shown[enabled] = [manifest for manifest in yaml.safe_load_all(text) if manifest]
        assert shown[False] == []
        labels = one(shown[True], "Deployment")["spec"]["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "hacron", "by this kubectl hacron finds replicas"

    def test_a_password_is_in_the_secret_and_nowhere_else(self) -> None:
        url = "amqps://hacron:hunter2@rabbit:5671"
        manifests = from_chart({"cluster": "west", "broker": {"url": url}})
        assert one(manifests, "Secret")["stringData"] == {"url": url}
        assert "hunter2" not in json.dumps([manifest for manifest in manifests if manifest["kind"] != "Secret"])

    def test_nothing_but_the_secret_tells_one_password_from_another(self) -> None:
        """Not by a hash either, on which whoever may look at pods could try passwords."""

        def others(password: str) -> list[Manifest]:
            manifests = from_chart({"cluster": "west", "broker": {"url": f"amqps://hacron:{password}@rabbit:5671"}})
            return [manifest for manifest in manifests if manifest["kind"] != "Secret"]

        assert others("hunter2") == others("hunter3")

    def test_new_settings_start_new_replicas(self) -> None:
        def pod(**values: object) -> object:
            return one(from_chart({**LEAST, **values}), "Deployment")["spec"]["template"]

        assert pod() == pod()
        assert pod() != pod(settings={"heartbeat_s": 6})

    def test_a_label_that_is_given_twice_is_there_once(self) -> None:
        """The nearer counts. Twice in the text, whoever reads it strictly (Kustomize, Argo CD's diff) would refuse all of it."""
        near = {"team": "near"}
        monitoring = {name: {"enabled": True, "labels": near} for name in ("serviceMonitor", "prometheusRule", "dashboard")}
        common = {"team": "common", "app.kubernetes.io/version": "7"}
        text = helm("template", "hacron", CHART, values={**LEAST, **monitoring, "commonLabels": common, "podLabels": near})
        manifests = [each for each in yaml.load_all(text, Loader=Strict) if each]
        labels = {(each["kind"], each["metadata"]["name"]): each["metadata"]["labels"] for each in manifests}
        assert sorted(kind for (kind, _), found in labels.items() if found["team"] == "near") == [
            *("ConfigMap", "PrometheusRule", "ServiceMonitor"),
        ]
        assert one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]["team"] == "near"
        assert {found["app.kubernetes.io/version"] for found in labels.values()} == {"7"}

    @pytest.mark.parametrize("absent", MAY_BE_ABSENT)
    def test_a_value_may_be_absent(self, absent: str) -> None:
        deployment = one(from_chart({**LEAST, absent: None}), "Deployment")["spec"]
        assert (deployment["replicas"], deployment["template"]["spec"]["automountServiceAccountToken"]) == (2, True)

    def test_a_value_within_another_may_be_absent(self) -> None:
        tls = {"caSecret": {"name": "ca"}, "clientSecret": {"name": "mine"}, "clientUser": "west"}
        broker = {"url": None, "existingSecret": {"name": "there"}, "tls": tls}
        rule = {"enabled": True, "selector": 'namespace="cron"', "alertLabels": None, "without": None}
        manifests = from_chart({**LEAST, "broker": broker, "prometheusRule": rule})
        (group,) = one(manifests, "PrometheusRule")["spec"]["groups"]
        assert {each["labels"].keys() >= {"severity"} for each in group["rules"]} == {True}
        assert "Secret" not in {manifest["kind"] for manifest in manifests}

    def test_all_replicas_may_be_kept_away(self) -> None:
        """By Git, where a GitOps tool would undo `kubectl scale`."""
        assert one(from_chart({**LEAST, "replicas": 0}), "Deployment")["spec"]["replicas"] == 0

    def test_user_and_group_may_be_left_to_the_cluster(self) -> None:
        """OpenShift gives each namespace a range of its own, and refuses pods that choose another."""
        values = {**LEAST, "podSecurityContext": {"runAsUser": None, "runAsGroup": None}}
        pod = one(from_chart(values), "Deployment")["spec"]["template"]["spec"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}

    def test_recreate_needs_nothing_else(self) -> None:
        """An API server refuses maxSurge beside it, which values.yaml gives."""
        assert one(from_chart({**LEAST, "strategy": {"type": "Recreate"}}), "Deployment")["spec"]["strategy"] == {
            "type": "Recreate"
        }

    def test_a_network_policy_lets_helm_test_ask(self) -> None:
        """Also when it says who may: the pod that asks is none of those."""
        policy = {"enabled": True, "from": [{"namespaceSelector": {}}]}
        text = helm("template", "hacron", CHART, values={**LEAST, "networkPolicy": policy})
        manifests = [each for each in yaml.safe_load_all(text) if each]
        (rule,) = one(manifests, "NetworkPolicy")["spec"]["ingress"]
        labels = one(manifests, "Pod")["metadata"]["labels"]
        (ours,) = (each["podSelector"]["matchLabels"] for each in rule["from"] if "podSelector" in each)
        assert ours.items() <= labels.items()
        assert not ours.items() <= one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()

    def test_what_may_go_out_is_what_is_said_and_no_more(self) -> None:
        """A rule without ports would let out everything."""
        further = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 5671}]}
        policy = {"enabled": True, "brokerPorts": [], "apiServerPorts": [], "extraEgress": [further]}
        named, *others = one(from_chart({**LEAST, "networkPolicy": policy}), "NetworkPolicy")["spec"]["egress"]
        assert {each["port"] for each in named["ports"]} == {53, 5353}
        assert others == [further]
        nothing = {"enabled": True, "dnsPorts": [], "brokerPorts": [], "apiServerPorts": []}
        assert one(from_chart({**LEAST, "networkPolicy": nothing}), "NetworkPolicy")["spec"]["egress"] is None
        absent = {"enabled": True, "brokerPorts": None, "apiServerPorts": None, "dnsPorts": None}
        least = one(from_chart({**LEAST, "networkPolicy": absent}), "NetworkPolicy")["spec"]["egress"]
        usual = one(from_chart({**LEAST, "networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]["egress"]
        assert (least, len(usual)) == (usual[:1], 2)

    def test_alerts_may_be_narrowed_left_out_and_labelled(self, tmp_path: Path) -> None:
        rule: dict[str, Any] = {"enabled": True, "selector": 'namespace="cron", job!~"a|b$"', "without": ["HACronJobRunsFailed"]}
        rule["alertLabels"] = {"team": "ops", "severity": "page"}
        (group,) = one(from_chart({**LEAST, "prometheusRule": rule}), "PrometheusRule")["spec"]["groups"]
        (usual,) = one(from_chart({**LEAST, "prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"]["groups"]
        before = {each["alert"]: each for each in usual["rules"]}
        after = {each["alert"]: each for each in group["rules"]}
        assert before.keys() - after.keys() == {"HACronJobRunsFailed"}
        for name, each in after.items():
            numbers = re.findall(r"hacron_\w+", before[name]["expr"])
            assert each["expr"].count('{namespace="cron", job!~"a|b$"') == len(numbers) > 0
            assert re.sub(r'\{namespace="cron", job!~"a\|b\$",?', "{", each["expr"]).replace("{}", "") == before[name]["expr"]
            assert each["labels"] == {"team": "ops", **before[name]["labels"]}
            assert each["annotations"] == before[name]["annotations"]
        (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [group]}))
        promtool("check", "rules", "--lint-fatal", tmp_path / "rules.yaml")
        odd = from_chart({**LEAST, "prometheusRule": {"enabled": True, "selector": 'namespace=~"a{1,}"'}})
        assert 'absent(hacron_info{namespace=~"a{1,}"})' in json.dumps(odd).replace('\\"', '"')

    def test_a_release_may_have_a_dot_in_its_name(self) -> None:
        """Helm allows it, and a Service does not."""
        for each in from_chart(LEAST, release="cron.v1"):
            assert "." not in each["metadata"]["name"]
            assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "cron.v1"

    def test_two_releases_share_nothing(self) -> None:
        def names(release: str) -> set[tuple[str, str, str]]:
            manifests = from_chart(LEAST, release=release, namespace=release)
            return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in manifests}

        assert names("one") & names("two") == set()

    def test_a_packed_chart_brings_the_custom_resource(self, tmp_path: Path) -> None:
        helm("package", CHART, "--destination", tmp_path)
        (packed,) = tmp_path.glob("*.tgz")
        assert (CHART / "crds" / "hacronjob.yaml").read_text().strip() in helm("show", "crds", packed)
