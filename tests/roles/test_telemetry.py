"""Logs for machines and people, metrics by Prometheus' conventions, and a server that keeps answering."""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
import socket
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hacron import telemetry
from hacron.telemetry import Health, HttpServer, Metrics, respond_health, respond_ready, setup_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    third_parties = {name: logging.getLogger(name).level for name in telemetry.THIRD_PARTIES}
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(False)
    for name, level in third_parties.items():
        logging.getLogger(name).setLevel(level)


def new_metrics() -> Metrics:
    return Metrics(replica="west-0", cluster="west", tzdata="2026f", monotonic=lambda: 0.0)


HEALTH = Health(ready=True, turned_at=100.0)


# --- logs -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("restored_logging")
class TestLogs:
    def json_line(self, *args: object, **kwargs: object) -> dict[str, object]:
        stream = io.StringIO()
        setup_logging("json", "INFO", stream)
        logging.getLogger("hacron.executor").info(*args, **kwargs)  # type: ignore[arg-type]
        (line,) = stream.getvalue().splitlines()
        read = json.loads(line)
        assert isinstance(read, dict)
        return read

    def text_line(self, *args: object, **kwargs: object) -> str:
        stream = io.StringIO()
        setup_logging("text", "INFO", stream)
        logging.getLogger("hacron.executor").info(*args, **kwargs)  # type: ignore[arg-type]
        return stream.getvalue()

    def test_a_json_line_has_time_level_logger_and_message_and_then_the_fields(self) -> None:
        line = self.json_line("run decided", extra={"cronjob": "shop/report", "attempt": 2})
        assert list(line) == ["ts", "level", "logger", "msg", "cronjob", "attempt"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["ts"]))
        assert line | {"ts": ""} == {
            "ts": "",
            "level": "INFO",
            "logger": "hacron.executor",
            "msg": "run decided",
            "cronjob": "shop/report",
            "attempt": 2,
        }

    def test_instants_are_written_in_utc_with_milliseconds(self) -> None:
        tick = datetime(2026, 3, 1, 2, 0, tzinfo=timezone(timedelta(hours=1)))
        assert self.json_line("x", extra={"tick": tick})["tick"] == "2026-03-01T01:00:00.000Z"

    def test_a_field_does_not_hide_what_every_line_has(self) -> None:
        line = self.json_line("x", extra={"level": "full"})
        assert (line["level"], line["level_"]) == ("INFO", "full")

    def test_what_json_does_not_know_is_written_as_text(self) -> None:
        assert self.json_line("x", extra={"error": OSError("no route")})["error"] == "no route"

    def test_a_stray_surrogate_costs_no_line(self) -> None:
        assert self.json_line("x", extra={"name_given": "\udce4"})["name_given"] == "\udce4"

    def test_a_stack_trace_stays_in_its_line(self) -> None:
        try:
            raise OSError("no route")
        except OSError:
            line = self.json_line("broker unreachable", exc_info=True)
        assert line["msg"] == "broker unreachable"
        assert str(line["trace"]).endswith("OSError: no route")

    def test_a_text_line_has_columns_and_then_key_and_value(self) -> None:
        line = self.text_line("run decided", extra={"cronjob": "shop/report", "tick": datetime(2026, 3, 1, tzinfo=UTC)})
        assert re.fullmatch(r"\S+Z INFO    executor +run decided +cronjob=shop/report tick=2026-03-01T00:00:00\.000Z\n", line)

    def test_a_value_with_spaces_or_line_breaks_is_quoted(self) -> None:
        line = self.text_line("verdict", extra={"why": 'not "now"\nline 2', "reason": ""})
        assert line.endswith('why="not \\"now\\"\\nline 2" reason=""\n')

    @pytest.mark.parametrize(("stream", "starts"), [(Terminal(), "2"), (io.StringIO(), "{")], ids=["terminal", "elsewhere"])
    def test_auto_is_text_on_a_terminal_and_json_elsewhere(self, stream: io.StringIO, starts: str) -> None:
        setup_logging("auto", "INFO", stream)
        logging.getLogger("hacron").info("x")
        assert stream.getvalue().startswith(starts)

    def test_libraries_are_heard_from_warning_on(self) -> None:
        stream = io.StringIO()
        setup_logging("json", "DEBUG", stream)
        for name in ("pika.adapters", "kopf.objects", "aiohttp.access"):
            logging.getLogger(name).info("chatter")
            logging.getLogger(name).warning("trouble")
        assert [json.loads(line)["msg"] for line in stream.getvalue().splitlines()] == ["trouble"] * 3

    def test_libraries_are_not_louder_than_the_level(self) -> None:
        stream = io.StringIO()
        setup_logging("json", "ERROR", stream)
        logging.getLogger("pika").warning("trouble")
        assert stream.getvalue() == ""

    def test_a_second_setup_replaces_the_first(self) -> None:
        first, second = io.StringIO(), io.StringIO()
        setup_logging("json", "INFO", first)
        setup_logging("json", "INFO", second)
        logging.getLogger("hacron").info("x")
        assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)

    def test_warnings_are_log_lines(self) -> None:
        stream = io.StringIO()
        setup_logging("json", "INFO", stream)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn("old", stacklevel=1)
        assert json.loads(stream.getvalue())["logger"] == "py.warnings"


# --- metrics --------------------------------------------------------------------------------------


def test_every_metric_begins_with_hacron_and_has_a_sentence() -> None:
    for family in new_metrics().registry.collect():
        if not family.name.startswith("process_"):
            assert all(sample.name.startswith("hacron_") for sample in family.samples)
            assert family.documentation.endswith(".")


def test_times_and_sizes_carry_their_unit() -> None:
    for family in new_metrics().registry.collect():
        if re.search(r"_(age|lag|duration)", family.name):
            assert family.name.endswith("_seconds")
        if "_span" in family.name:
            assert family.name.endswith("_bytes")


def test_two_replicas_in_one_process_do_not_share_numbers() -> None:
    one, other = new_metrics(), new_metrics()
    one.takeovers.inc()
    assert one.registry.get_sample_value("hacron_takeovers_total") == 1
    assert other.registry.get_sample_value("hacron_takeovers_total") == 0


def test_the_info_tells_which_replica_this_is() -> None:
    labels = {
        "version": telemetry.program_version(),
        "replica": "west-0",
        "cluster": "west",
        "tzdata": "2026f",
    }
    assert new_metrics().registry.get_sample_value("hacron_info", labels) == 1


def test_labels_are_the_documented_ones() -> None:
    metrics = new_metrics()
    metrics.step_downs.labels(reason="Fenced").inc()
    metrics.cronjobs.labels(condition="valid").set(3)
    metrics.runs_open.labels(state="Pending").set(1)
    metrics.runs.labels(verdict="Succeeded").inc()
    metrics.records_written.labels(kind="Progress").inc()
    metrics.commands_taken.labels(kind="CronJobDeclared").inc()
    metrics.reports_taken.labels(kind="RunStarted").inc()
    metrics.messages_unreadable.labels(queue="commands").inc()
    metrics.kube_requests.labels(verb="create", code="201").inc()
    assert metrics.registry.get_sample_value("hacron_kube_requests_total", {"verb": "create", "code": "201"}) == 1


def test_tick_lag_is_told_apart_from_a_millisecond_to_a_minute() -> None:
    metrics = new_metrics()
    metrics.tick_lag.observe(0.003)
    bucket = "hacron_tick_lag_seconds_bucket"
    assert metrics.registry.get_sample_value(bucket, {"le": "0.001"}) == 0
    assert metrics.registry.get_sample_value(bucket, {"le": "0.005"}) == 1
    assert metrics.registry.get_sample_value(bucket, {"le": "60.0"}) == 1


def test_an_age_grows_without_being_set() -> None:
    clock = [100.0]
    metrics = Metrics(replica="west-0", cluster="west", tzdata="2026f", monotonic=lambda: clock[0])
    metrics.proof_age.set(0.5)
    metrics.cluster_seen_age.set(2.0, "south")
    clock[0] = 103.0
    assert metrics.registry.get_sample_value("hacron_proof_age_seconds") == 3.5
    assert metrics.registry.get_sample_value("hacron_cluster_seen_age_seconds", {"cluster": "south"}) == 5.0


def test_a_proof_that_was_never_read_is_as_old_as_the_replica() -> None:
    clock = [100.0]
    metrics = Metrics(replica="west-0", cluster="west", tzdata="2026f", monotonic=lambda: clock[0])
    clock[0] = 160.0
    assert metrics.registry.get_sample_value("hacron_proof_age_seconds") == 60.0


# --- health ---------------------------------------------------------------------------------------


def test_a_replica_is_healthy_while_its_engine_turns() -> None:
    assert respond_health(HEALTH, now=130.0, stalled_after_s=30.0).code == HTTPStatus.OK


def test_a_replica_whose_engine_is_stuck_says_since_when() -> None:
    response = respond_health(HEALTH, now=145.0, stalled_after_s=30.0)
    assert response.code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert response.body == b"The engine has not turned for 45 s; after 30 s it counts as stuck.\n"


def test_a_replica_that_is_not_ready_says_why_a_line_each() -> None:
    reasons = ("broker: connection refused, trying again in 4 s", "kubernetes: no answer for 12 s")
    response = respond_ready(replace(HEALTH, ready=False, reasons=reasons), accept="*/*")
    assert response.code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.body.decode().splitlines() == list(reasons)


def test_a_replica_that_is_ready_says_its_roles() -> None:
    response = respond_ready(replace(HEALTH, executor=True, worker=True), accept="")
    assert (response.code, response.body) == (HTTPStatus.OK, b"ready\nexecutor, worker\n")


def test_readiness_as_json_tells_all() -> None:
    response = respond_ready(replace(HEALTH, epoch=7, position=42), accept="application/json")
    assert response.content_type == "application/json"
    assert json.loads(response.body) == {
        "ready": True,
        "reasons": [],
        "role": "standby",
        "epoch": 7,
        "worker": False,
        "position": 42,
    }


# --- the server -----------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[HttpServer]:
    server = HttpServer(new_metrics(), "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


def ask(server: HttpServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def test_the_server_answers_on_each_path(server: HttpServer) -> None:
    assert ask(server, "/healthz")[0] == 200
    assert ask(server, "/readyz")[::2] == (503, "engine: starting\n")
    assert "/metrics" in ask(server, "/")[2]
    assert ask(server, "/elsewhere")[0] == 404


def test_a_new_health_is_seen_at_once(server: HttpServer) -> None:
    server.health = replace(HEALTH, executor=True)
    assert ask(server, "/readyz?verbose")[::2] == (200, "ready\nexecutor, not worker\n")
    assert json.loads(ask(server, "/readyz", Accept="application/json")[2])["role"] == "executor"


def test_metrics_can_be_read_by_prometheus(server: HttpServer) -> None:
    status, content_type, body = ask(server, "/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    names = {family.name for family in text_string_to_metric_families(body)}
    assert {"hacron_executor", "hacron_takeovers", "hacron_tick_lag_seconds"} <= names


def test_open_metrics_are_given_to_who_asks_for_them(server: HttpServer) -> None:
    accept = "application/openmetrics-text;version=1.0.0"
    _, content_type, body = ask(server, "/metrics", Accept=accept)
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_a_head_request_gets_no_body(server: HttpServer) -> None:
    assert ask(server, "/healthz", "HEAD")[::2] == (200, "")


def test_other_methods_are_refused(server: HttpServer) -> None:
    assert ask(server, "/healthz", "POST")[0] == 501


def test_any_free_port_is_taken_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hacron.telemetry"):
        server = HttpServer(new_metrics(), "127.0.0.1", 0)
        server.start()
    server.stop()
    (record,) = caplog.records
    assert server.port == vars(record)["port"] > 0


def test_a_port_that_is_taken_is_an_error_at_once(server: HttpServer) -> None:
    with pytest.raises(OSError, match="in use"):
        HttpServer(new_metrics(), "127.0.0.1", server.port)


def test_clients_that_say_nothing_are_cut_off_and_others_are_answered_again(
    monkeypatch: pytest.MonkeyPatch, server: HttpServer
) -> None:
    monkeypatch.setattr(telemetry, "PATIENCE_S", 0.2)
    address = ("127.0.0.1", server.port)
    silent = [socket.create_connection(address, timeout=10) for _ in range(telemetry.MAX_CONNECTIONS + 4)]
    assert [connection.recv(1) for connection in silent] == [b""] * len(silent)
    for connection in silent:
        connection.close()
    assert ask(server, "/healthz")[0] == 200


def test_one_more_than_the_bound_is_turned_away(server: HttpServer) -> None:
    address = ("127.0.0.1", server.port)
    patient = [socket.create_connection(address, timeout=10) for _ in range(telemetry.MAX_CONNECTIONS)]
    with socket.create_connection(address, timeout=1) as surplus:
        assert surplus.recv(1) == b""
    for connection in patient:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.0 200"
        connection.close()
