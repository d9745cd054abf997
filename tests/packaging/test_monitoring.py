"""What is watched: docs/metrics.md says what the code shows, alerts fire when they should, the dashboard asks for what there is.

`REWRITE=1 pytest tests/packaging/test_monitoring.py` writes the tables in docs/metrics.md anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client import generate_latest

from hacron.telemetry.metrics import Metrics, Row, table
from tests.docs.pages import is_up_to_date
from tests.docs.pages import table as as_table
from tests.packaging.rendered import REPOSITORY, promtool

MONITORING = REPOSITORY / "deploy" / "monitoring"
ALERTS = MONITORING / "alerts.yaml"
PAGE = REPOSITORY / "docs" / "metrics.md"
SUFFIXES = ("", "_bucket", "_count", "_sum")


@cache
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


# --- docs/metrics.md ----------------------------------------------------------------------------------------------------


def labels(row: Row) -> str:
    return "<br>".join(f"`{name}`" + (f": {', '.join(values)}" if values else "") for name, values in row.labels.items())


def metrics_table() -> str:
    rows = ((f"`{row.name}`", row.type, labels(row), row.meaning) for row in table())
    return as_table(("name", "type", "labels", "meaning"), rows)


def alerts_table() -> str:
    def waits(rule: dict[str, Any]) -> str:
        return f", for {rule['for']}" if "for" in rule else ""

    rows = (
        (rule["alert"], rule["labels"]["severity"], f"`{rule['expr']}`{waits(rule)}", rule["annotations"]["description"])
        for rule in rules()
    )
    return as_table(("alert", "severity", "when", "what it means"), rows)


@pytest.mark.parametrize(("name", "made"), [("metrics", metrics_table), ("alerts", alerts_table)])
def test_the_page_has_the_table_of_what_there_is(name: str, made: Any) -> None:
    assert is_up_to_date(PAGE, name, made())


# --- names --------------------------------------------------------------------------------------------------------------


@cache
def known_names() -> set[str]:
    """Return every name of a sample that a replica shows."""
    registry = Metrics(replica="", cluster="", tzdata="").registry
    of_ours = {f"{row.name}{suffix}" for row in table() for suffix in SUFFIXES if not suffix or row.type == "histogram"}
    return of_ours | {sample.name for family in registry.collect() for sample in family.samples}


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:hacron|process)_\w+", query))


def labels_in(query: str) -> Iterator[tuple[str, str, str]]:
    """Yield metric, label and value of each comparison with a literal."""
    for name, selector in re.findall(r"\b(hacron_\w+)\{([^}]*)\}", query):
        for label, _, value in re.findall(r'(\w+)(=~|=|!=)"([^"]*)"', selector):
            yield name, label, value


def wrong_in(query: str) -> list[str]:
    """Return what a query asks for that no replica shows."""
    wrong = sorted(names_in(query) - known_names())
    rows = {f"{row.name}{suffix}": row for row in table() for suffix in SUFFIXES}
    for name, label, value in labels_in(query):
        if label == "instance" or name not in rows:
            continue
        known = rows[name].labels.get(label)
        if known is None or (known and not set(value.split("|")) <= set(known)):
            wrong.append(f'{name}{{{label}="{value}"}}')
    return wrong


def test_what_is_wrong_with_a_query_is_found() -> None:
    assert wrong_in("sum(hacron_executors)") == ["hacron_executors"]
    assert wrong_in('hacron_verdicts_total{verdict="Late"}') == ['hacron_verdicts_total{verdict="Late"}']
    assert wrong_in('hacron_executor{state="a"}') == ['hacron_executor{state="a"}']
    assert wrong_in('rate(hacron_tick_lag_seconds_bucket[5m]) + hacron_verdicts_total{verdict=~"Lost|Missed"}') == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_tells_what_to_do(rule: dict[str, Any]) -> None:
    assert wrong_in(rule["expr"]) == []
    assert names_in(rule["expr"])
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["summary"].rstrip().endswith((".", ". "))
    assert re.search(r"^1\. ", rule["annotations"]["runbook"])
    assert set(re.findall(r"hacron_\w+", rule["annotations"]["runbook"])) <= known_names()


# --- the dashboard ------------------------------------------------------------------------------------------------------


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return found


def test_every_query_of_the_dashboard_asks_for_what_there_is() -> None:
    queries = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    assert len(queries) > 25
    assert {query: wrong for query in queries if (wrong := wrong_in(query))} == {}


def test_panels_say_what_they_show_in_which_unit_and_none_hides_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not taken & cells
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
    assert len({panel["id"] for panel in panels()}) == len(panels())


# --- promtool -----------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """Series every 15 seconds that make an alert fire within so long, and others that do not."""

    after: str
    fires: dict[str, str]
    quiet: dict[str, str]


LAG = "hacron_tick_lag_seconds_bucket"
INFO = 'hacron_info{{instance="{0}",cluster="{1}",tzdata="{2}"}}'

CONNECTED = {
    'hacron_broker_connected{instance="a"}': "1x20",
    'hacron_broker_connected{instance="b"}': "1x20",
    'hacron_broker_connected{instance="cut off"}': "0x20",
}

CASES: dict[str, Case] = {
    "HACronJobNoReplicas": Case("3m", {"other": "1x20"}, {INFO.format("a", "west", "f"): "1x20"}),
    "HACronJobNoExecutor": Case(
        "45s",
        {'hacron_proof_age_seconds{instance="a"}': "0+15x20", 'hacron_proof_age_seconds{instance="b"}': "1+15x20"},
        {'hacron_proof_age_seconds{instance="a"}': "0+15x20", 'hacron_proof_age_seconds{instance="b"}': "0 1 0 1x20"},
    ),
    "HACronJobTwoExecutors": Case(
        "1m",
        {'hacron_executor{instance="a"}': "1x20", 'hacron_executor{instance="b"}': "1x20"},
        {'hacron_executor{instance="a"}': "1 1 0x20", 'hacron_executor{instance="b"}': "0 1 1x20"},
    ),
    "HACronJobNoWorker": Case(
        "2m",
        {
            'hacron_worker{instance="a",cluster="west"}': "0x20",
            'hacron_worker{instance="b",cluster="east"}': "1x20",
            **CONNECTED,
        },
        {
            'hacron_worker{instance="a",cluster="west"}': "0 0 1x20",
            'hacron_worker{instance="b",cluster="west"}': "1 1 0x20",
            'hacron_worker{instance="cut off",cluster="east"}': "0x20",
            **CONNECTED,
        },
    ),
    "HACronJobBrokerUnreachable": Case(
        "75s", {'hacron_broker_connected{instance="a"}': "0x20"}, {'hacron_broker_connected{instance="a"}': "0 0 1x20"}
    ),
    "HACronJobApiServerUnreachable": Case(
        "135s", {'hacron_kube_reachable{instance="a"}': "0x20"}, {'hacron_kube_reachable{instance="a"}': "0 0 0 1x20"}
    ),
    "HACronJobTicksLate": Case(
        "9m",
        {f'{LAG}{{le="1"}}': "0+95x40", f'{LAG}{{le="5"}}': "0+100x40", f'{LAG}{{le="+Inf"}}': "0+100x40"},
        {f'{LAG}{{le="1"}}': "0+100x40", f'{LAG}{{le="5"}}': "0+100x40", f'{LAG}{{le="+Inf"}}': "0+100x40"},
    ),
    "HACronJobTicksMissed": Case(
        "2m",
        {'hacron_verdicts_total{verdict="Missed",reason="MissSchedule"}': "0 0 1x20"},
        {
            'hacron_verdicts_total{verdict="Missed",reason="MissSchedule"}': "7x20",
            'hacron_verdicts_total{verdict="Succeeded",reason="x"}': "0+9x20",
        },
    ),
    "HACronJobRunsLost": Case(
        "2m",
        {'hacron_verdicts_total{verdict="Lost",reason="ClusterSilent"}': "0 0 1x20"},
        {'hacron_verdicts_total{verdict="Lost",reason="ClusterSilent"}': "3x20"},
    ),
    "HACronJobRunsFailed": Case(
        "2m",
        {'hacron_verdicts_total{verdict="Failed",reason="BackoffLimitExceeded"}': "0 0 2x20"},
        {'hacron_verdicts_total{verdict="Succeeded",reason="x"}': "0+9x20"},
    ),
    "HACronJobClusterSilent": Case(
        "2m",
        {
            'hacron_cluster_seen_age_seconds{cluster="east",instance="a"}': "0+15x20",
            'hacron_cluster_seen_age_seconds{cluster="east",instance="b"}': "0+15x20",
            'hacron_cluster_seen_age_seconds{cluster="west",instance="a"}': "4x20",
            'hacron_silent_after_seconds{instance="a"}': "15x20",
            **CONNECTED,
        },
        {
            'hacron_cluster_seen_age_seconds{cluster="east",instance="a"}': "0+15x20",
            'hacron_cluster_seen_age_seconds{cluster="east",instance="b"}': "4x20",
            'hacron_cluster_seen_age_seconds{cluster="west",instance="a"}': "100x20",
            'hacron_cluster_seen_age_seconds{cluster="north",instance="cut off"}': "500x20",
            'hacron_silent_after_seconds{instance="a"}': "120x20",
            **CONNECTED,
        },
    ),
    "HACronJobLedgerNearRetention": Case(
        "11m",
        {"hacron_ledger_span_bytes": "400x50", "hacron_ledger_max_bytes": "1000x50"},
        {"hacron_ledger_span_bytes": "300x50", "hacron_ledger_max_bytes": "1000x50"},
    ),
    "HACronJobRelayBehind": Case(
        "2m",
        {'hacron_relay_behind_seconds{instance="a"}': "0+15x20"},
        {'hacron_relay_behind_seconds{instance="a"}': "0 15 30 0 15 30 0x20"},
    ),
    "HACronJobClockSkew": Case(
        "150s", {'hacron_clock_skew_seconds{instance="a"}': "-1.5x20"}, {'hacron_clock_skew_seconds{instance="a"}': "-0.2x20"}
    ),
    "HACronJobTimeZonesDiffer": Case(
        "31m",
        {INFO.format("a", "west", "2026e"): "1x150", INFO.format("b", "west", "2026f"): "1x150"},
        {INFO.format("a", "west", "2026f"): "1x150", INFO.format("b", "east", "2026f"): "1x150"},
    ),
    "HACronJobMessagesUnreadable": Case(
        "2m",
        {'hacron_messages_unreadable_total{queue="commands"}': "0 0 1x20"},
        {'hacron_messages_unreadable_total{queue="commands"}': "5x20"},
    ),
    "HACronJobFaults": Case(
        "2m",
        {'hacron_faults_total{role="executor"}': "0 0 1x20"},
        {'hacron_faults_total{role="executor"}': "5x20"},
    ),
    "HACronJobEventsDropped": Case(
        "15m",
        {'hacron_events_total{outcome="dropped"}': "0+1x80"},
        {'hacron_events_total{outcome="posted"}': "0+9x80", 'hacron_events_total{outcome="dropped"}': "0 1x80"},
    ),
    "HACronJobsInvalid": Case(
        "16m", {'hacron_cronjobs{condition="invalid"}': "1x80"}, {'hacron_cronjobs{condition="invalid"}': "1 1 1 0x80"}
    ),
}


def series(given: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in given.items()]


def expected(alert: str, after: str, count: int) -> dict[str, Any]:
    """Say how many alerts of that name fire then."""
    expr = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    return {"expr": expr, "eval_time": after, "exp_samples": [{"labels": "{}", "value": count}]}


def test_each_alert_has_a_case() -> None:
    assert set(CASES) == {rule["alert"] for rule in rules()}


def test_each_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    tests = [
        {"interval": "15s", "input_series": series(given), "promql_expr_test": [expected(alert, case.after, count)]}
        for alert, case in CASES.items()
        for given, count in ((case.fires, 1), (case.quiet, 0))
    ]
    for test, alert in zip(tests, (name for name in CASES for _ in range(2)), strict=True):
        test["name"] = alert
    (tmp_path / "tests.yaml").write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "15s", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", "tests.yaml", folder=tmp_path)


def test_texts_are_filled_in(tmp_path: Path) -> None:
    """The annotations of one alert, as whoever is paged reads them."""
    case = CASES["HACronJobClusterSilent"]
    (rule,) = (each for each in rules() if each["alert"] == "HACronJobClusterSilent")
    annotations = {**rule["annotations"], "summary": "Nothing has been heard of cluster east for 1m 45s."}
    alert = {"exp_labels": {"severity": "warning", "cluster": "east"}, "exp_annotations": annotations}
    test = {"eval_time": "105s", "alertname": "HACronJobClusterSilent", "exp_alerts": [alert]}
    tests = [{"interval": "15s", "input_series": series(case.fires), "alert_rule_test": [test]}]
    (tmp_path / "tests.yaml").write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "15s", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", "tests.yaml", folder=tmp_path)


def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    recorded = [{"record": f"dashboard:{number}", "expr": query} for number, query in enumerate(queries)]
    checked = tmp_path / "rules.yaml"
    checked.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", checked)
    checked.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [{"record": "one", "expr": f"sum({queries[0]}"}]}]}))
    with pytest.raises(AssertionError, match="could not parse expression"):
        promtool("check", "rules", checked)


def test_promtool_finds_nothing_to_say_against_the_rules_and_the_names() -> None:
    promtool("check", "rules", "--lint-fatal", str(ALERTS))
    shown = generate_latest(Metrics(replica="r", cluster="c", tzdata="2026f").registry)
    assert promtool("check", "metrics", given=shown) == ""


# --- kube-state-metrics -------------------------------------------------------------------------------------------------


STATES = ["True", "False", "Unknown"]  # of a condition: kube-state-metrics takes the first two for 1 and 0


def of_each_object() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((MONITORING / "kube-state-metrics.yaml").read_text())["spec"]["resources"]
    return found


def schema(kind: str) -> dict[str, Any]:
    """Return what the custom resource says of an object, with what every object has."""
    (crd,) = (one for one in yaml.safe_load_all((REPOSITORY / "crds" / f"{kind.lower()}.yaml").read_text()) if one)
    (version,) = crd["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    text = {"type": "string"}
    metadata = {"namespace": text, "name": text, "creationTimestamp": text | {"format": "date-time"}}
    return {"properties": properties | {"metadata": {"properties": metadata}}}


def at(path: list[str], within: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a schema that a path leads to; of a list, what it holds."""
    for name in path:
        within = within.get("items", within)["properties"][name]
    return within.get("items", within)


@pytest.mark.parametrize("resource", of_each_object(), ids=lambda one: one["groupVersionKind"]["kind"])
def test_kube_state_metrics_is_told_of_fields_that_there_are(resource: dict[str, Any]) -> None:
    whole = schema(resource["groupVersionKind"]["kind"])
    for path in resource["labelsFromPath"].values():
        assert at(path, whole)["type"] == "string"
    names = [metric["name"] for metric in resource["metrics"]]
    assert len(set(names)) == len(names) > 3
    for metric in resource["metrics"]:
        (how,) = (metric["each"][key] for key in ("gauge", "info") if key in metric["each"])
        assert metric["each"]["type"].lower() in metric["each"]
        field = at(how.get("path", []), whole)
        for path in how.get("labelsFromPath", {}).values():
            assert at(path, field)["type"] == "string"
        shown = at(how.get("valueFrom", []), field)
        is_number = shown.get("type") in ("integer", "boolean") or shown.get("format") == "date-time"
        assert is_number or "info" in metric["each"] or shown.get("enum") == STATES, metric
