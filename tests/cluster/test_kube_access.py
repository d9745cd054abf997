"""Who a replica is to its API server: tokens that are renewed, certificates, and the ways there."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hacron.kube import access, http
from hacron.ports import GetJob
from hacron.settings.loading import InvalidSettings
from tests.cluster.asking import Asking, asking, create, job_that_stands, some_key, with_user
from tests.cluster.oddities import (
    JOB,
    Asked,
    HttpProxy,
    Said,
    http_proxy,
    kubeconfig,
    odd_server,
    pair,
    server_tls,
    status,
    watch,
)
from tests.testbed.control_plane import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, ControlPlane
from tests.testbed.wait import until

on_a_cluster = pytest.mark.cluster


def get(name: str, namespace: str = "default") -> GetJob:
    return GetJob(key=some_key(namespace), run_id=name, namespace=namespace, name=name)


# --- tokens ---------------------------------------------------------------------------------------------------------------------


def token_of(west: ControlPlane) -> str:
    return west.kubectl("create", "token", OPERATOR_ACCOUNT, "--namespace", OPERATOR_NAMESPACE).strip()


@on_a_cluster
def test_a_token_file_is_read_again_when_its_token_has_ended(west: ControlPlane, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("has-ended")
    with asking(with_user(west, tmp_path / "kubeconfig", tokenFile=str(file))) as kube:
        answer = kube.ask(get("hello"))
        assert answer.status == 401
        assert answer.unreachable, "it is worth another try"
        until(lambda: not kube.client.reachable, 20, "the word that it is of no use")
        file.write_text(token_of(west) + "\n")
        until(lambda: kube.ask(get("hello")).status == 404, 20, "being let in")
        assert kube.client.reachable


@on_a_cluster
def test_in_a_pod_the_service_account_is_used(west: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = urlsplit(west.url)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    config = json.loads(west.operator_kubeconfig.read_text())
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    (tmp_path / "ca.crt").write_bytes(authority)
    (tmp_path / "token").write_text("has-ended")
    with asking(None, service_account=tmp_path) as kube:
        assert kube.ask(get("hello")).status == 401
        (tmp_path / "token").write_text(token_of(west))
        until(lambda: kube.ask(get("hello")).status == 404, 20, "being let in")
        connection = kube.client.connection()
    assert (connection["scheme"], connection["token"]) == ("Bearer", (tmp_path / "token").read_text())
    assert connection["server"] == west.url


def test_a_token_that_was_renewed_in_time_costs_nobody_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server says no to the old one, it is read again, and the request goes again: one answer."""
    monkeypatch.setattr(http, "READ_ACCESS_AGAIN_S", 0.0)
    file = tmp_path / "token"
    file.write_text("old")
    good = ["old"]
    with odd_server(lambda asked: JOB if asked.token in good else status(401, "Unauthorized")) as server:
        with asking(kubeconfig(tmp_path / "kubeconfig", server.url, user={"tokenFile": str(file)})) as kube:
            assert kube.ask(create("hello", "default")).status == 201
            good[:] = ["new"]
            file.write_text("new")
            assert [answer.status for answer in kube.ask_all([create(f"{n}", "default") for n in range(40)])] == [201] * 40
            assert kube.client.reachable
        assert {asked.token for asked in server.asked} == {"old", "new"}


def test_a_token_is_read_again_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_ACCESS_AGAIN_S", 0.0)
    monkeypatch.setattr(http, "READ_ACCESS_S", 0.1)
    file = tmp_path / "token"
    file.write_text("old")
    with odd_server(lambda _: JOB) as server:
        with asking(kubeconfig(tmp_path / "kubeconfig", server.url, user={"tokenFile": str(file)})) as kube:
            replaced: list[None] = []
            kube.client.on_new_connections = lambda: replaced.append(None)
            kube.ask(get("hello"))
            file.write_text("new")
            until(lambda: kube.ask(get("hello")) and server.asked[-1].token == "new", 20, "the new token")
            assert not replaced, "it goes with each request"
        assert server.asked[0].token == "old"


def test_a_kubeconfig_that_cannot_be_read_for_a_while_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_ACCESS_AGAIN_S", 0.0)
    lets_in = [False]
    with odd_server(lambda _: JOB if lets_in[0] else status(401)) as server:
        path = kubeconfig(tmp_path / "kubeconfig", server.url, user={"token": "good"})
        with asking(path) as kube:
            path.write_text("half of a kubecon")
            assert kube.ask(get("hello")).status == 401
            lets_in[0] = True
            assert kube.ask(get("hello")).status == 201


PROGRAM = """#!/bin/sh
if [ -e {folder}/hangs ]; then sleep 20; fi
if [ -e {folder}/fails ]; then echo of no use >&2; exit 3; fi
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
echo '"status": {{"token": "'$(cat {folder}/token)'"}}}}'
"""


def with_program(folder: Path, server: str) -> Path:
    """Write a kubeconfig whose program prints what is in the file `token`; while there is a file `hangs` or `fails`, it does."""
    program = folder / "program"
    program.write_text(PROGRAM.format(folder=folder))
    program.chmod(0o755)
    (folder / "token").write_text("old")
    how = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    return kubeconfig(folder / "kubeconfig", server, user={"exec": how})


def test_a_program_that_hangs_leaves_no_request_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answers are what the API server says to the token of before, until the program is well again."""
    monkeypatch.setattr(http, "READ_ACCESS_AGAIN_S", 0.0)
    monkeypatch.setattr(http, "PROBE_S", 1.0)
    monkeypatch.setattr(access, "PROGRAM_S", 8.0)
    good = ["old"]
    with ExitStack() as stack:
        server = stack.enter_context(odd_server(lambda asked: JOB if asked.token in good else status(401)))
        kube = stack.enter_context(asking(with_program(tmp_path, server.url), timeout_s=2.0))
        assert kube.ask(get("hello")).status == 201
        (tmp_path / "hangs").touch()
        good[:] = ["new"]
        server.works = False  # a probe is told the same as others
        assert [answer.status for answer in kube.ask_all([get(f"{n}") for n in range(40)])] == [401] * 40
        until(lambda: not kube.client.reachable, 20, "the word that it is of no use")
        until(lambda: "not done within 8 s" in why(caplog), 30, "a program that was killed")
        (tmp_path / "token").write_text("new")
        (tmp_path / "hangs").unlink()
        until(lambda: kube.ask(get("hello")).status == 201, 20, "being let in")
        until(lambda: kube.client.reachable, 20, "the word that it is of use")


def why(caplog: pytest.LogCaptureFixture) -> str:
    """Return why token and certificates could not be read again."""
    return " ".join(each.why for each in caplog.records if "cannot be read again" in each.message)  # type: ignore[attr-defined]


def test_a_program_that_fails_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The token of before may be good for long."""
    monkeypatch.setattr(http, "READ_ACCESS_S", 0.1)
    with odd_server(lambda _: JOB) as server:
        path = with_program(tmp_path, server.url)
        (tmp_path / "fails").touch()
        with pytest.raises(InvalidSettings, match=r"its program failed: exec: process returned 3\. of no use"):
            access.read_access(path)
        (tmp_path / "fails").unlink()
        with asking(path) as kube:
            (tmp_path / "fails").touch()
            until(lambda: "of no use" in why(caplog), 20, "a program that failed")
            kube.ask(get("hello"))
        assert server.asked[-1].token == "old"


def test_a_program_that_hangs_is_told_of_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "PROGRAM_S", 0.3)
    path = with_program(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "hangs").touch()
    with pytest.raises(InvalidSettings, match=r"its program was not done within 0.3 s"):
        access.read_access(path)


def test_a_reading_that_hangs_is_told_of_and_used_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of files, or of whatever else a kubeconfig asks."""
    monkeypatch.setattr(http, "READ_ACCESS_S", 0.1)
    monkeypatch.setattr(http, "READING_S", 0.2)
    over = threading.Event()
    with odd_server(lambda _: JOB) as server:
        path = kubeconfig(tmp_path / "kubeconfig", server.url, user={"token": "old"})
        with asking(path) as kube:
            good = access.read_access(path)

            def read() -> access.Access:
                over.wait(30)
                return replace(good, token="new")

            monkeypatch.setattr(kube.client._api, "_read_access", read)
            until(lambda: "they have been read for 0.2 s" in why(caplog), 20, "the word that it takes long")
            assert kube.ask(get("hello")).status == 201
            assert server.asked[-1].token == "old"
            over.set()
            until(lambda: kube.ask(get("hello")) and server.asked[-1].token == "new", 20, "the new token")


def test_work_that_hangs_does_not_keep_a_process_from_ending() -> None:
    hangs = "asyncio.wait_for(aside(lambda: time.sleep(600)), 0.1)"
    text = f"import asyncio, time\nfrom hacron.aside import aside\nasync def go(): await {hangs}\nasyncio.run(go())"
    run = subprocess.run([sys.executable, "-c", text], timeout=60, check=False, capture_output=True, text=True)
    assert "TimeoutError" in run.stderr


# --- certificates ---------------------------------------------------------------------------------------------------------------


def says_who(asked: Asked) -> Said:
    return Said(200, json.dumps({"kind": "Job", "shown": asked.shown}).encode())


@pytest.mark.parametrize("verified", [True, False])
def test_a_client_certificate_is_shown(tmp_path: Path, verified: bool) -> None:
    """Also to a server that is not verified."""
    server_pair, ours = pair(tmp_path, "server"), pair(tmp_path, "ours")
    with odd_server(says_who, server_tls(server_pair, lets_in=ours.certificate)) as server:
        trust = {"certificate-authority": str(server_pair.certificate)} if verified else {"insecure-skip-tls-verify": True}
        user = {"client-certificate": str(ours.certificate), "client-key": str(ours.key)}
        with asking(kubeconfig(tmp_path / "kubeconfig", server.url, user=user, **trust)) as kube:
            assert kube.ask(get("hello")).body["shown"] == "ours"
            assert kube.client.connection()["certificate_path"] == str(ours.certificate)


def test_a_certificate_that_was_replaced_in_its_file_is_shown_on_new_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_ACCESS_AGAIN_S", 0.0)
    server_pair, old, new = (pair(tmp_path / name, name) for name in ("server", "old", "new"))
    both = tmp_path / "both.crt"
    both.write_text(old.certificate.read_text() + new.certificate.read_text())
    good = ["old"]

    def lets_in(asked: Asked) -> Said:
        return says_who(asked) if asked.shown in good else status(401)

    with odd_server(lets_in, server_tls(server_pair, lets_in=both)) as server:
        user = {"client-certificate": str(old.certificate), "client-key": str(old.key)}
        trust = {"certificate-authority": str(server_pair.certificate)}
        with asking(kubeconfig(tmp_path / "kubeconfig", server.url, user=user, **trust)) as kube:
            assert kube.ask(get("hello")).body["shown"] == "old"
            good[:] = ["new"]
            shutil.copy(new.certificate, old.certificate)
            shutil.copy(new.key, old.key)
            assert kube.ask(get("hello")).body["shown"] == "new"


def test_the_watch_on_jobs_goes_on_when_certificates_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it goes on where it was, at once: it would not end with the connections of before."""
    monkeypatch.setattr(http, "READ_ACCESS_S", 0.2)
    monkeypatch.setattr(http, "READ_ACCESS_AGAIN_S", 0.0)
    server_pair, other = pair(tmp_path, "server"), pair(tmp_path, "other")
    since: list[str] = []

    def watched(asked: Asked) -> Said:
        if "watch=true" not in asked.path:
            return Said(200, b'{"kind": "JobList", "metadata": {"resourceVersion": "5"}, "items": []}')
        since.append(asked.path.rpartition("resourceVersion=")[2])
        event = {"type": "ADDED", "object": job_that_stands("hello", 6 + len(since))}
        return Said(200, watch(event).content, {"Content-Length": "100000"})  # there is more to come

    with odd_server(watched, server_tls(server_pair)) as server:
        trust = {"certificate-authority": str(server_pair.certificate)}
        with asking(kubeconfig(tmp_path / "kubeconfig", server.url, **trust), timeout_s=1.0) as kube:
            replaced: list[None] = []
            kube.client.on_new_connections = lambda: replaced.append(None)
            kube.client.watch_jobs(True)
            until(lambda: kube.sightings("hello"), 20, "the Job")
            with server_pair.certificate.open("a") as file:
                file.write(other.certificate.read_text())
            until(lambda: len(kube.sightings("hello")) == 2, 20, "a change of it")
            assert since == ["5", "7"]
            assert len(kube.lists()) == 1
            assert len(replaced) == 1, "others have connections of their own"


def test_a_server_that_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    server_pair, other = pair(tmp_path, "server"), pair(tmp_path, "other")
    with odd_server(lambda _: JOB, server_tls(server_pair)) as server:
        trust = {"certificate-authority": str(other.certificate)}
        with asking(kubeconfig(tmp_path / "kubeconfig", server.url, user={"token": "secret"}, **trust)) as kube:
            answer = kube.ask(get("hello"))
            assert answer.status == 0
            assert "CERTIFICATE_VERIFY_FAILED" in answer.reason
            until(lambda: not kube.client.reachable, 20, "the word that it is of no use")
        assert server.asked == []


def test_a_server_may_go_by_another_name(tmp_path: Path) -> None:
    named = pair(tmp_path, "server", alternative="DNS:api.internal")
    trust = {"certificate-authority": str(named.certificate)}
    with odd_server(lambda _: JOB, server_tls(named)) as server:
        with asking(kubeconfig(tmp_path / "without", server.url, **trust)) as kube:
            assert kube.ask(get("hello")).status == 0
        with asking(kubeconfig(tmp_path / "with", server.url, **trust, **{"tls-server-name": "api.internal"})) as kube:
            assert kube.ask(get("hello")).status == 201


# --- proxies --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpProxy]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with http_proxy() as found:
        yield found


def ask_and_stop(kube: Asking) -> str | None:
    """Have a request answered; return the proxy that Kopf is told of."""
    assert kube.ask(get("hello")).status == 404
    told: str | None = kube.client.connection()["proxy_url"]
    return told


@on_a_cluster
def test_requests_go_through_the_proxy_of_the_environment(
    west: ControlPlane, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with asking(west.operator_kubeconfig) as kube:
        assert ask_and_stop(kube) == proxy.url
    assert set(proxy.connected) == {urlsplit(west.url).netloc}


@on_a_cluster
@pytest.mark.parametrize("exception", ["127.0.0.1", "10.0.0.0/8,127.0.0.0/8", "*"])
def test_requests_do_not_go_through_a_proxy_that_is_not_for_them(
    west: ControlPlane, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    """In a pod the API server is an address, and NO_PROXY has a range of them."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", exception)
    with asking(west.operator_kubeconfig) as kube:
        assert ask_and_stop(kube) is None
    assert proxy.connected == []


@on_a_cluster
def test_the_proxy_of_the_kubeconfig_comes_first(
    west: ControlPlane, proxy: HttpProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    config = json.loads(west.operator_kubeconfig.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = proxy.url
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    with asking(path) as kube:
        assert ask_and_stop(kube) == proxy.url
    assert set(proxy.connected) == {urlsplit(west.url).netloc}


@on_a_cluster
def test_a_job_is_not_sent_when_the_way_there_took_too_long(
    west: ControlPlane, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    """It was in time when its turn came, and is looked at again when the connection stands."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setattr(http, "CONNECT_S", 30.0)
    with asking(west.operator_kubeconfig, timeout_s=60) as kube:
        proxy.delay_s = 6.0
        late = kube.ask(create("late", namespace, not_after=datetime.now(UTC) + timedelta(seconds=4)))
        proxy.delay_s = 0.0
        assert proxy.connected
        assert (late.status, late.reason) == (0, "TooLate")
        assert kube.count("POST") == 0
        assert kube.ask(get("late", namespace)).status == 404
