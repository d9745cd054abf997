"""The command line: what is asked for is printed, what is wrong is one line each and exit code 2."""

from __future__ import annotations

import json
import logging
import os
import platform
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from hacron.__main__ import main
from hacron.core.ticks.cron import tzdata_version
from hacron.settings.fields import Settings
from hacron.settings.showing import table
from hacron.telemetry.metrics import table as metrics_table
from hacron.telemetry.version import program_version


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("HACRON_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")
    return monkeypatch


@pytest.fixture
def enough(environ: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    environ.setenv("HACRON_CLUSTER", "west")
    environ.setenv("HACRON_BROKER_URL", "amqp://user:secret@rabbit")
    return environ


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, restored_logging: None) -> list[Settings]:  # noqa: ARG001
    """Put a replica in place that ends at once with exit code 7, and give what it was run with."""
    seen: list[Settings] = []
    fake = types.ModuleType("hacron.replica")

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 7

    vars(fake)["run"] = run
    monkeypatch.setitem(sys.modules, "hacron.replica", fake)
    monkeypatch.setattr("hacron.replica", fake, raising=False)
    return seen


Output = pytest.CaptureFixture[str]


def test_run_hands_the_settings_to_the_replica_and_returns_its_exit_code(
    enough: pytest.MonkeyPatch, runs: list[Settings]
) -> None:
    enough.setenv("HACRON_HEARTBEAT_S", "4")
    assert main(["run"]) == 7
    assert [(settings.cluster, settings.heartbeat_s) for settings in runs] == [("west", 4)]


def test_run_sets_up_logs_as_the_settings_say(enough: pytest.MonkeyPatch, runs: list[Settings]) -> None:
    enough.setenv("HACRON_LOG_LEVEL", "WARNING")
    main(["run"])
    assert len(runs) == 1
    assert logging.getLogger().level == logging.WARNING


def test_run_reads_the_file_that_it_is_given(runs: list[Settings], tmp_path: Path) -> None:
    file = tmp_path / "hacron.yaml"
    file.write_text("cluster: south\nbroker_url: amqp://rabbit\n")
    assert main(["run", "--config", str(file)]) == 7
    assert runs[0].cluster == "south"


@pytest.mark.parametrize("command", [["run"], ["settings", "--check"]], ids=" ".join)
def test_invalid_settings_are_a_line_each_and_exit_code_2(
    command: list[str], environ: pytest.MonkeyPatch, capsys: Output
) -> None:
    environ.setenv("HACRON_HEARTBEATS", "5")
    assert main(command) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[0] == "hacron: HACRON_HEARTBEATS is not a setting; is HACRON_HEARTBEAT_S meant?"
    assert [line.split()[1] for line in lines[1:]] == ["HACRON_CLUSTER", "HACRON_BROKER_URL"]


@pytest.mark.usefixtures("enough")
def test_check_shows_what_a_replica_would_go_by_without_passwords(capsys: Output) -> None:
    assert main(["settings", "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "HACRON_CLUSTER=west" in lines
    assert "HACRON_BROKER_URL=amqp://user:***@rabbit" in lines
    assert "HACRON_LEDGER_MAX_BYTES=1GiB" in lines


@pytest.mark.usefixtures("enough")
def test_check_speaks_json(capsys: Output) -> None:
    assert main(["settings", "--check", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["HACRON_HEARTBEAT_S"] == "5"


def test_settings_lists_every_setting_without_needing_any(capsys: Output) -> None:
    assert main(["settings"]) == 0
    printed = capsys.readouterr().out
    assert "HACRON_CLUSTER  (DNS label; required)\n" in printed
    assert "HACRON_HEARTBEAT_S  (seconds; default: 5)\n" in printed
    assert all(row.variable in printed for row in table())


def test_settings_as_json_is_the_table(capsys: Output) -> None:
    assert main(["settings", "--output", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["variable"] for row in rows] == [row.variable for row in table()]
    assert set(rows[0]) == {"variable", "unit", "default", "consequence"}


def test_metrics_lists_every_metric_with_its_labels_and_what_they_may_be(capsys: Output) -> None:
    assert main(["metrics"]) == 0
    printed = capsys.readouterr().out
    assert "\nhacron_runs_open{state}  (gauge)\n" in printed
    assert "state: Pending, Running, Stopping,\n    Lost.\n" in printed
    assert all(f"{row.name}" in printed for row in metrics_table())


def test_metrics_as_json_is_the_table(capsys: Output) -> None:
    assert main(["metrics", "--output", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [row.name for row in metrics_table()]
    assert rows[0] | {"meaning": ""} == {
        "name": "hacron_info",
        "type": "gauge",
        "meaning": "",
        "labels": {"version": [], "replica": [], "cluster": [], "tzdata": []},
    }


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m hacron settings | head -1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("HACRON_CLUSTER  (DNS label; required)\n", "")


# --- a run that cannot begin ----------------------------------------------------------------------


def run_in_vain(capsys: Output) -> str:
    """Run a real replica that must not get as far as to start, and return the one line that it says."""
    assert main(["run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.usefixtures("enough", "restored_logging")
def test_outside_of_a_pod_a_kubeconfig_is_asked_for(environ: pytest.MonkeyPatch, capsys: Output) -> None:
    environ.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    line = run_in_vain(capsys)
    assert line.startswith("hacron: HACRON_KUBECONFIG is missing, and this is not a pod with a service account (")
    assert line.endswith("): set it to the path of a kubeconfig")


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("content", ["", "a: [", "secret", "current-context: x\ncontexts: []\n"])
def test_a_kubeconfig_that_cannot_be_used_is_named(
    content: str, enough: pytest.MonkeyPatch, tmp_path: Path, capsys: Output
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(content)
    enough.setenv("HACRON_KUBECONFIG", str(file))
    line = run_in_vain(capsys)
    assert line.startswith(f"hacron: HACRON_KUBECONFIG ({file})")
    assert "secret" not in line


@pytest.mark.usefixtures("restored_logging")
def test_a_port_that_is_taken_is_named(enough: pytest.MonkeyPatch, tmp_path: Path, capsys: Output) -> None:
    user = {"name": "x", "user": {"token": "t"}}
    config = {
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1"}}],
        "users": [user],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name, value in {"KUBECONFIG": tmp_path / "kubeconfig", "HTTP_HOST": "127.0.0.1", "HTTP_PORT": port}.items():
            enough.setenv(f"HACRON_{name}", str(value))
        line = run_in_vain(capsys)
    assert line == (
        f"hacron: HACRON_HTTP_HOST (127.0.0.1) and HACRON_HTTP_PORT ({port}): cannot listen there: Address already in use"
    )


def test_version_tells_what_replicas_must_agree_on(capsys: Output) -> None:
    assert main(["version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"hacron {program_version()}"
    assert lines[1].startswith("Python 3.")
    assert lines[2] == f"tzdata {tzdata_version()}"


def test_version_speaks_json(capsys: Output) -> None:
    assert main(["version", "--output", "json"]) == 0
    versions = json.loads(capsys.readouterr().out)
    assert versions == {"hacron": program_version(), "python": platform.python_version(), "tzdata": tzdata_version()}


def test_the_version_option_tells_the_version(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"hacron {program_version()}\n"


def test_help_names_the_required_variables_and_gives_an_example(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = capsys.readouterr().out
    for row in table():
        if row.default is None:
            assert f"\n  {row.variable} " in printed
            assert f"export {row.variable}=" in printed


@pytest.mark.parametrize("wrong", [[], ["walk"], ["run", "--fast"], ["settings", "--output", "xml"]], ids=str)
def test_a_call_that_is_wrong_has_exit_code_2(wrong: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(wrong)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hacron: ")
    assert line.endswith(" --help")


@pytest.mark.parametrize("command", ["next", "explain", "convert", "version"])
def test_each_command_has_help_with_examples(command: str, capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    printed = capsys.readouterr().out
    assert f"\n  hacron {command}" in printed
    assert "Exit codes: 0 " in printed or command == "version"


def test_output_that_cannot_be_written_is_a_line_and_exit_code_1() -> None:
    with open("/dev/full", "w") as full:
        call = [sys.executable, "-m", "hacron", "version"]
        ended = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, "hacron: standard output cannot be written: No space left on device\n")


def test_the_module_runs_as_a_program() -> None:
    ended = subprocess.run([sys.executable, "-m", "hacron", "run"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("hacron: HACRON_CLUSTER is missing.")
