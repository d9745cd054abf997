"""Settings: variables over file over defaults; what is wrong is told at once, by name, without passwords."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from hacron.settings.checks import CHECKS
from hacron.settings.fields import Settings, about_of
from hacron.settings.loading import InvalidSettings, load
from hacron.settings.showing import table, without_password, without_passwords

ENOUGH = {"HACRON_CLUSTER": "west", "HACRON_BROKER_URL": "amqp://user:secret@rabbit/vhost"}


def problems(environ: dict[str, str], file: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        load(environ, file)
    return caught.value.problems


def the_problem(environ: dict[str, str], file: Path | None = None) -> str:
    (problem,) = problems(environ, file)
    return problem


def written(folder: Path, text: str) -> Path:
    path = folder / "hacron.yaml"
    path.write_text(text)
    return path


# --- where values come from -----------------------------------------------------------------------


def test_cluster_and_broker_are_enough() -> None:
    settings = load(ENOUGH)
    assert settings.cluster == "west"
    assert settings.broker_urls == ("amqp://user:secret@rabbit/vhost",)
    assert settings.heartbeat_s == 5
    assert settings.ledger_max_bytes == 2**30
    assert settings.may_execute
    assert settings.kubeconfig is None


def test_a_variable_goes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    file = written(tmp_path, "heartbeat_s: 4\nrecent_limit: 20\n")
    settings = load(ENOUGH | {"HACRON_HEARTBEAT_S": "3"}, file)
    assert (settings.heartbeat_s, settings.recent_limit, settings.kube_concurrency) == (3, 20, 32)


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    file = written(tmp_path, "cluster: south\nbroker_url: amqp://rabbit")
    assert load({"HACRON_CONFIG": str(file)}).cluster == "south"


def test_a_file_that_is_named_by_the_call_goes_before_the_one_named_by_the_variable(tmp_path: Path) -> None:
    file = written(tmp_path, "heartbeat_s: 4")
    assert load(ENOUGH | {"HACRON_CONFIG": str(tmp_path / "absent")}, file).heartbeat_s == 4


def test_an_empty_variable_is_as_good_as_none() -> None:
    settings = load(ENOUGH | {"HACRON_KUBECONFIG": "", "HACRON_HEARTBEAT_S": " "})
    assert settings.kubeconfig is None
    assert settings.heartbeat_s == 5


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    assert load(ENOUGH, written(tmp_path, "# nothing\n")) == load(ENOUGH)


def test_a_file_may_hold_lists_and_mappings(tmp_path: Path) -> None:
    file = written(tmp_path, "cluster: west\nbroker_url: [amqp://a, amqps://b]\ncluster_labels: {tier: prod, zone: a}\n")
    settings = load({}, file)
    assert settings.broker_urls == ("amqp://a", "amqps://b")
    assert settings.cluster_labels == {"tier": "prod", "zone": "a"}


def test_the_replica_is_named_after_host_and_process_unless_told() -> None:
    assert load(ENOUGH).replica == load(ENOUGH).replica != ""
    assert load(ENOUGH | {"HACRON_REPLICA": "hacron-0"}).replica == "hacron-0"


# --- how values are read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ledger_max_bytes", "2GiB", 2 * 2**30),
        ("ledger_max_bytes", "2147483648", 2 * 2**30),
        ("cluster_labels", "tier=prod, zone=a,", {"tier": "prod", "zone": "a"}),
        ("cluster_labels", "example.com/tier=", {"example.com/tier": ""}),
        ("broker_users", "west=hacron-west, east=hacron-east", {"west": "hacron-west", "east": "hacron-east"}),
        ("may_execute", "False", False),
        ("may_execute", "on", True),
        ("log_level", "debug", "DEBUG"),
        ("log_format", "JSON", "json"),
        ("silent_after_s", "12.5", 12.5),
        ("decide_ahead_s", "0", 0.0),
        ("http_port", "0", 0),
        ("http_host", "::", "::"),
        ("cordoned", "False", ""),
        ("cordoned", "no", ""),
        ("cordoned", "no more disks", "no more disks"),
        ("page_hosts", "hacron.example.com, Page.internal ,", ("hacron.example.com", "Page.internal")),
    ],
)
def test_a_value_is_read(name: str, text: str, value: object) -> None:
    assert getattr(load(ENOUGH | {f"HACRON_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("variable", "text", "right"),
    [
        ("HACRON_CLUSTER", "West_1", "a DNS label"),
        ("HACRON_CLUSTER", "-west", "a DNS label"),
        ("HACRON_CLUSTER", "w" * 64, "a DNS label"),
        ("HACRON_HEARTBEAT_S", "0", "a whole number from 1"),
        ("HACRON_HEARTBEAT_S", "5s", "a whole number from 1"),
        ("HACRON_HEARTBEAT_S", "5.5", "a whole number from 1"),
        ("HACRON_SILENT_AFTER_S", "nan", "a number of seconds"),
        ("HACRON_SILENT_AFTER_S", "inf", "a number of seconds"),
        ("HACRON_SILENT_AFTER_S", "15s", "without a unit"),
        ("HACRON_LEDGER_MAX_BYTES", "1GB", "such as 16777216 or 16MiB"),
        ("HACRON_LEDGER_MAX_BYTES", "1", "at least 1MiB"),
        ("HACRON_MAY_EXECUTE", "maybe", "true or false"),
        ("HACRON_CLUSTER_LABELS", "tier", "such as tier=prod"),
        ("HACRON_BROKER_USERS", "west", "such as west=hacron-west"),
        ("HACRON_BROKER_USERS", "west=", "such as west=hacron-west"),
        ("HACRON_BROKER_USERS", "west=a,west=b", "such as west=hacron-west"),
        ("HACRON_CLUSTER_LABELS", "tier=a,tier=b", "such as tier=prod"),
        ("HACRON_CLUSTER_LABELS", "tier=a b", "such as tier=prod"),
        ("HACRON_CLUSTER_LABELS", ",".join(f"{number}=" for number in range(101)), "at most 100 labels"),
        ("HACRON_LOG_LEVEL", "loud", "one of DEBUG, INFO, WARNING, ERROR"),
        ("HACRON_BROKER_PREFIX", "amq.hacron", "a name"),
        ("HACRON_REPLICA", "a b", "a name"),
        ("HACRON_HTTP_PORT", "65536", "from 0 to 65535"),
        ("HACRON_PAGE_HOSTS", "hacron.example.com:8080", "without a port"),
        ("HACRON_KUBECONFIG", "/nowhere/at/all", "the path of a file that exists"),
    ],
)
def test_a_value_that_is_wrong_is_told_with_its_name_and_what_would_be_right(variable: str, text: str, right: str) -> None:
    problem = the_problem(ENOUGH | {variable: text})
    assert problem.startswith(f"{variable} is {text!r}, but must be ")
    assert right in problem


def test_what_yaml_takes_for_something_else_is_not_taken_for_a_name(tmp_path: Path) -> None:
    file = written(tmp_path, "cluster: no\n")
    problem = the_problem({"HACRON_BROKER_URL": "amqp://rabbit"}, file)
    assert problem == f"cluster in {file} is 'false', but must be a text; put it in quotes"


@pytest.mark.parametrize("name", ["heartbeat_s", "silent_after_s", "ledger_max_bytes"])
def test_true_is_not_a_number(tmp_path: Path, name: str) -> None:
    assert f"{name} in " in the_problem(ENOUGH, written(tmp_path, f"{name}: true"))


# --- names that nobody knows ----------------------------------------------------------------------


def test_a_misspelt_variable_is_told_with_the_nearest_name() -> None:
    problem = the_problem(ENOUGH | {"HACRON_HEARTBEATS": "5"})
    assert problem == "HACRON_HEARTBEATS is not a setting; is HACRON_HEARTBEAT_S meant?"


def test_a_name_that_only_begins_as_all_of_them_is_near_to_none() -> None:
    assert the_problem(ENOUGH | {"HACRON_FOO": "5"}) == "HACRON_FOO is not a setting"


def test_a_misspelt_key_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    file = written(tmp_path, "recentLimit: 5")
    assert the_problem(ENOUGH, file) == f"recentLimit in {file} is not a setting; is recent_limit meant?"


def test_variables_of_others_do_not_matter() -> None:
    assert load(ENOUGH | {"PATH": "/bin", "HACRONISTIC": "yes"}) == load(ENOUGH)


def test_what_kubernetes_adds_for_services_near_by_does_not_matter() -> None:
    address = "tcp://10.0.0.1:8080"
    links = {
        "HACRON_SERVICE_HOST": "10.0.0.1",
        "HACRON_SERVICE_PORT": "8080",
        "HACRON_SERVICE_PORT_METRICS": "8080",
        "HACRON_PORT": address,
        "HACRON_PORT_8080_TCP": address,
        "HACRON_PORT_8080_TCP_PROTO": "tcp",
        "HACRON_PORT_8080_TCP_PORT": "8080",
        "HACRON_PORT_8080_TCP_ADDR": "10.0.0.1",
        "HACRON_METRICS_SERVICE_HOST": "10.0.0.1",
        "HACRON_METRICS_PORT": address,
        "HACRON_HTTP_PORT": address,  # of a Service named hacron-http
    }
    assert load(ENOUGH | links) == load(ENOUGH)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    assert the_problem(ENOUGH, path) == f"{path} cannot be read: No such file or directory"


def test_a_file_that_is_not_yaml_is_told_by_its_line_and_not_by_its_words(tmp_path: Path) -> None:
    problem = the_problem(ENOUGH, written(tmp_path, "cluster: west\nbroker_url: *secret\n"))
    assert problem.endswith("is not YAML: look at line 2")
    assert "secret" not in problem


@pytest.mark.parametrize(
    "content", [b"cluster: \xff", b"cluster: 2026-02-30", b"a: [", b"? {}\n: 1", b"a: !!int ''", b"a: !!timestamp x", b"[" * 5000]
)
def test_a_file_that_yaml_cannot_read_is_a_problem(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hacron.yaml"
    path.write_bytes(content)
    assert "is not YAML" in the_problem(ENOUGH, path)


def test_a_file_that_is_a_list_is_a_problem(tmp_path: Path) -> None:
    assert "must hold lines such as `cluster: west`" in the_problem(ENOUGH, written(tmp_path, "- west"))


# --- all at once ----------------------------------------------------------------------------------


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "colour: red\nrecent_limit: many\n")
    told = "\n".join(problems({"HACRON_CLUSTR": "west", "HACRON_PROOF_LEASE_S": "1"}, file))
    for part in (
        "colour in ",
        "recent_limit in ",
        "HACRON_CLUSTR is not a setting",
        "HACRON_CLUSTER is missing",
        "HACRON_BROKER_URL is missing",
        "HACRON_PROOF_LEASE_S (1) and HACRON_PROOF_INTERVAL_S (1)",
    ):
        assert part in told
    assert len(told.splitlines()) == 6


# --- what two values must be to each other --------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"proof_lease_s": "1.9", "proof_interval_s": "1"},
        {"token_missing_after_s": "10", "heartbeat_s": "5"},
        {"token_missing_after_s": "12", "proof_lease_s": "12"},
        {"silent_after_s": "9", "seen_interval_s": "5"},
        {"lost_after_s": "14", "silent_after_s": "15"},
        {"start_window_s": "2", "skew_margin_s": "2"},
        {"start_window_s": "5", "backup_after_s": "5"},
        {"forget_after_s": "20", "start_window_s": "20"},
        {"ledger_max_bytes": "127MiB", "ledger_segment_bytes": "16MiB"},
    ],
    ids=" ".join,
)
def test_settings_that_disagree_are_told_together(wrong: dict[str, str]) -> None:
    given = {f"HACRON_{name.upper()}": value for name, value in wrong.items()}
    both = " and ".join(f"{variable} ({value})" for variable, value in given.items())
    assert the_problem(ENOUGH | given).startswith(f"{both}: ")


def test_a_worker_speaks_more_often_than_its_token_is_missed() -> None:
    given = {"HACRON_SEEN_INTERVAL_S": "8.1", "HACRON_SILENT_AFTER_S": "30"}
    assert the_problem(ENOUGH | given).startswith("HACRON_TOKEN_MISSING_AFTER_S (12) and HACRON_SEEN_INTERVAL_S (8.1): ")
    assert load(ENOUGH | {"HACRON_SEEN_INTERVAL_S": "7.5"}).seen_interval_s == 7.5


@pytest.mark.parametrize("name", ["HACRON_GONE_CLUSTERS", "HACRON_FORGOTTEN_CLUSTERS"])
def test_a_cluster_that_is_alive_is_not_said_to_be_gone_by_itself(name: str) -> None:
    told = the_problem({"HACRON_CLUSTER": "west", "HACRON_BROKER_URL": "amqp://user:pass@broker", name: "south,west"})
    assert told.startswith(f"{name} (south,west) and HACRON_CLUSTER (west): only other clusters")


def test_a_check_names_settings_that_exist() -> None:
    names = {f.name for f in fields(Settings)}
    assert all(names.issuperset(check.names) for check in CHECKS)


# --- passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "amqp://user:hush/hush@rabbit",
        "amqp://user:hush#1@rabbit",
        "amqp://user:1?hush@rabbit",
        "amqp://user:hush@hush@rabbit",
        "amqp://user:hush,hush@rabbit",
        "amqp://us/er:hush@rabbit",
        "http://user:hush@rabbit",
        "amqp://user:hush@",
        "amqp://user:hush@rabbit:port",
        "amqp://user:hush@rabbit, ",
        "amqp://user:hush@rabbit/a/b",
    ],
)
def test_a_url_that_is_wrong_is_told_without_its_password(url: str) -> None:
    problem = the_problem(ENOUGH | {"HACRON_BROKER_URL": url})
    assert problem.startswith("HACRON_BROKER_URL must be amqp://")
    assert "hush" not in problem


@pytest.mark.parametrize(
    ("url", "fit"),
    [
        ("amqp://user:hush@rabbit:5672/v", "amqp://user:***@rabbit:5672/v"),
        ("amqp://us/er:hush@rabbit", "amqp://us/er:***@rabbit"),
        ("amqp://user:hu@sh@rabbit", "amqp://user:***@rabbit"),
        ("amqp://:hush@rabbit", "amqp://:***@rabbit"),
        ("amqp://rabbit:5672/v", "amqp://rabbit:5672/v"),
        ("amqps://[::1]:5671", "amqps://[::1]:5671"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, fit: str) -> None:
    assert without_password(url) == fit


def test_settings_do_not_show_a_password() -> None:
    settings = load(ENOUGH)
    assert "secret" not in repr(settings)
    assert "secret" not in str(without_passwords(settings))
    assert without_passwords(settings)["HACRON_BROKER_URL"] == "amqp://user:***@rabbit/vhost"


# --- who we are at the broker -----------------------------------------------------------------------

TWO_NODES = {"HACRON_CLUSTER": "west", "HACRON_BROKER_URL": "amqps://one:5671/v,amqps://who:w@two:5671/v"}
USER = {"HACRON_BROKER_USER": "hacron-west", "HACRON_BROKER_PASSWORD": "p@ss/w:%"}


def test_a_user_of_its_own_logs_in_where_a_url_names_none() -> None:
    urls = load(TWO_NODES | USER).broker_urls
    assert urls == ("amqps://hacron-west:p%40ss%2Fw%3A%25@one:5671/v", "amqps://who:w@two:5671/v")


def test_its_password_is_shown_nowhere() -> None:
    settings = load(TWO_NODES | USER)
    assert "p@ss" not in repr(settings)
    shown = without_passwords(settings)
    assert shown["HACRON_BROKER_PASSWORD"] == "***"
    assert shown["HACRON_BROKER_URL"] == "amqps://hacron-west:***@one:5671/v,amqps://who:***@two:5671/v"


BY_CERTIFICATE = {
    "HACRON_BROKER_URL": "amqps://h",
    "HACRON_BROKER_CERT_FILE": __file__,
    "HACRON_BROKER_KEY_FILE": __file__,
    "HACRON_BROKER_CERT_USER": "west",
}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"HACRON_BROKER_USER": "a"}, "HACRON_BROKER_USER (a) and HACRON_BROKER_PASSWORD: a user and its password are given"),
        ({"HACRON_BROKER_PASSWORD": "s3cret"}, "a user and its password are given together"),
        ({"HACRON_BROKER_CERT_FILE": __file__}, "a certificate and its key are given together"),
        ({"HACRON_BROKER_CERT_USER": "west", "HACRON_BROKER_URL": "amqps://h"}, "to log in by a certificate, one is needed"),
        ({**BY_CERTIFICATE, "HACRON_BROKER_USER": "west", "HACRON_BROKER_PASSWORD": "s3cret"}, "keep one of the two"),
        ({**BY_CERTIFICATE, "HACRON_BROKER_URL": "amqps://u:s3cret@h"}, "no URL may name a user"),
        (
            {"HACRON_BROKER_CA_FILE": "/nowhere"},
            "HACRON_BROKER_CA_FILE is '/nowhere', but must be the path of a file that exists",
        ),
        ({"HACRON_BROKER_CA_FILE": __file__, "HACRON_BROKER_URL": "amqp://u:s3cret@h"}, "the file is for amqps:// URLs only"),
    ],
)
def test_what_does_not_go_together_is_told_without_passwords(given: dict[str, str], says: str) -> None:
    problem = the_problem(TWO_NODES | given)
    assert says in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("shop", ("shop",)),
        (" shop, billing,shop", ("shop", "billing")),
    ],
    ids=["one", "two"],
)
def test_namespaces_are_listed_with_commas(text: str, names: tuple[str, ...]) -> None:
    assert load(ENOUGH | {"HACRON_WATCH_NAMESPACES": text}).watch_namespaces == names


def test_a_list_that_came_out_empty_is_refused() -> None:
    """Without the setting it would be all namespaces."""
    assert "must be names of namespaces, separated by commas" in the_problem(ENOUGH | {"HACRON_WATCH_NAMESPACES": " , "})


@pytest.mark.parametrize("users", ["West=hacron-west,west=w", "east=hacron-east"])
def test_who_speaks_for_clusters_is_said_of_ones_own_and_of_none_that_cannot_be(users: str) -> None:
    problem = the_problem(ENOUGH | {"HACRON_BROKER_USERS": users})
    assert "must be clusters and their users" in problem or "this cluster is not among those" in problem


def test_a_namespace_that_can_be_none_is_refused() -> None:
    assert "must be names of namespaces, separated by commas" in the_problem(
        ENOUGH | {"HACRON_WATCH_NAMESPACES": "shop,Kube_System"}
    )


# --- the table ------------------------------------------------------------------------------------


def test_every_setting_has_unit_and_consequence() -> None:
    for row in table():
        assert row.unit
        assert row.consequence.endswith(".")


def test_only_cluster_and_broker_are_required() -> None:
    assert [row.variable for row in table() if row.default is None] == ["HACRON_CLUSTER", "HACRON_BROKER_URL"]


def test_what_is_shown_can_be_read_again() -> None:
    settings = load(ENOUGH | {"HACRON_CLUSTER_LABELS": "a=b", "HACRON_HTTP_PORT": "8192"})
    again = load(without_passwords(settings) | {"HACRON_BROKER_URL": settings.broker_url})
    assert again == settings


def test_the_defaults_are_allowed_values() -> None:
    settings = load(ENOUGH)
    for setting in fields(Settings):
        value = getattr(settings, setting.name)
        if value is not None:
            assert about_of(setting).read(value) == value
