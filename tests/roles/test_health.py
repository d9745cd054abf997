"""Health and readiness, and a server that keeps answering."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from socketserver import TCPServer

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hacron.telemetry import server as server_module
from hacron.telemetry.health import Health, Response, respond_health, respond_ready
from hacron.telemetry.metrics import Metrics
from hacron.telemetry.server import MAX_CONNECTIONS, HttpServer
from tests.testbed.wait import until

HEALTH = Health(ready=True, turned_at=100.0)


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


def new_server(port: int = 0) -> HttpServer:
    return HttpServer(Metrics(replica="west-0", cluster="west", tzdata="2026f"), "127.0.0.1", port)


@pytest.mark.parametrize(("host", "reached"), [("::", ["127.0.0.1", "::1"]), ("0.0.0.0", ["127.0.0.1"]), ("::1", ["::1"])])
def test_it_listens_where_it_is_told(host: str, reached: list[str]) -> None:
    server = HttpServer(Metrics(replica="west-0", cluster="west", tzdata="2026f"), host, 0)
    server.start()
    try:
        for address in reached:
            connection = http.client.HTTPConnection(address, server.port, timeout=10)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
    finally:
        server.stop()


def test_connections_that_say_nothing_keep_no_probe_out(server: HttpServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3 * MAX_CONNECTIONS)]
    half = silent[-1]
    half.sendall(b"GET /healthz HTTP/1.1\r\n")
    try:
        for _ in range(5):
            assert ask(server, "/healthz")[0] == 200
    finally:
        for connection in silent:
            connection.close()


MUCH = b"x" * 30_000_000  # more than fits into the buffers of a connection


@pytest.mark.parametrize("path", ["/page/cronjobs.json?limit=200", "/page", "/metrics"])
def test_those_who_ask_for_much_and_read_nothing_keep_no_probe_out(
    server: HttpServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.page = lambda _path, _headers: Response(HTTPStatus.OK, "text/plain", MUCH)
    monkeypatch.setattr(server_module, "choose_encoder", lambda _: (lambda _: MUCH, "text/plain"))
    stubborn = []
    try:
        for _ in range(2 * MAX_CONNECTIONS):
            stubborn.append(socket.create_connection(("127.0.0.1", server.port)))
            stubborn[-1].sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        until(lambda: ask(server, path)[0] == 503, 60, "the word that there are too many")
        for probe in ("/healthz", "/readyz") * 5:
            assert "engine" in ask(server, probe)[2].lower()
    finally:
        for connection in stubborn:
            connection.close()
    until(lambda: ask(server, path)[0] == 200, 60, "a place that is free again")


def test_where_a_machine_has_no_ipv6_everywhere_is_every_address_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its kernel was started with `ipv6.disable=1`."""

    def bind(self: TCPServer) -> None:
        if self.address_family is socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        of_tcp(self)

    of_tcp = TCPServer.server_bind
    monkeypatch.setattr(TCPServer, "server_bind", bind)
    server = HttpServer(Metrics(replica="west-0", cluster="west", tzdata="2026f"), "::", 0)
    server.start()
    assert ask(server, "/healthz")[0] == 200
    server.stop()


@pytest.fixture
def server() -> Iterator[HttpServer]:
    server = new_server()
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
    with caplog.at_level(logging.INFO, "hacron.telemetry.server"):
        server = new_server()
        server.start()
    server.stop()
    (record,) = caplog.records
    assert server.port == vars(record)["port"] > 0


def test_a_port_that_is_taken_is_an_error_at_once(server: HttpServer) -> None:
    with pytest.raises(OSError, match="in use"):
        new_server(server.port)


def test_clients_that_say_nothing_are_cut_off_and_others_are_answered_again(
    monkeypatch: pytest.MonkeyPatch, server: HttpServer
) -> None:
    monkeypatch.setattr(server_module, "PATIENCE_S", 0.2)
    address = ("127.0.0.1", server.port)
    silent = [socket.create_connection(address, timeout=10) for _ in range(MAX_CONNECTIONS + 4)]
    assert [connection.recv(1) for connection in silent] == [b""] * len(silent)
    for connection in silent:
        connection.close()
    assert ask(server, "/healthz")[0] == 200


def test_one_more_than_the_bound_takes_the_place_of_the_one_that_has_said_nothing_for_longest(server: HttpServer) -> None:
    address = ("127.0.0.1", server.port)
    first, *patient = [socket.create_connection(address, timeout=10) for _ in range(MAX_CONNECTIONS + 1)]
    with first:
        assert first.recv(1) == b""
    for connection in patient:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.0 200"
        connection.close()
