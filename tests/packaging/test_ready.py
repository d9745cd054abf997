"""What `helm test` runs, against a replica's own server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from hacron.telemetry.health import Health
from hacron.telemetry.metrics import Metrics
from hacron.telemetry.server import HttpServer
from tests.packaging.rendered import CHART


@pytest.fixture
def server() -> Iterator[HttpServer]:
    found = HttpServer(Metrics(replica="west-0", cluster="west", tzdata=""), "127.0.0.1", 0)
    found.start()
    yield found
    found.stop()


def ask(url: str, count: int) -> tuple[int, list[str]]:
    """Return the exit code and the lines that are printed."""
    script = (CHART / "files" / "ready.py").read_text()
    done = subprocess.run(
        [sys.executable, "-c", script, url, str(count), "0"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_replicas_that_are_ready_pass(server: HttpServer) -> None:
    server.health = Health(ready=True, executor=True, turned_at=0.0)
    code, lines = ask(f"http://127.0.0.1:{server.port}/readyz", 1)
    assert (code, lines) == (0, ["127.0.0.1: ready, executor, not worker", "1 of 1 replicas are ready"])


def test_one_that_is_not_says_why(server: HttpServer) -> None:
    server.health = Health(ready=False, reasons=("broker: the broker has no virtual host hacron",), turned_at=0.0)
    code, lines = ask(f"http://127.0.0.1:{server.port}/readyz", 1)
    assert (code, lines) == (1, ["127.0.0.1: broker: the broker has no virtual host hacron", "0 of 1 replicas are ready"])


def test_too_few_of_them_fail(server: HttpServer) -> None:
    server.health = Health(ready=True, turned_at=0.0)
    code, lines = ask(f"http://127.0.0.1:{server.port}/readyz", 2)
    assert (code, lines[-1]) == (1, "1 of 2 replicas are ready")


def test_where_none_is_wanted_none_need_be_there() -> None:
    """Flux puts an upgrade back whose test fails: with `replicas: 0` they would be there again."""
    assert ask("http://no-such-host.invalid:8080/readyz", 0)[0] == 0


def test_nobody_there_and_no_such_name_fail() -> None:
    code, lines = ask("http://127.0.0.1:1/readyz", 1)
    assert code == 1
    assert "no answer" in lines[0]
    code, lines = ask("http://no-such-host.invalid:8080/readyz", 1)
    assert code == 1
    assert lines[0].startswith("no-such-host.invalid: ")
