"""Requests that were given up: none is acted upon longer than the name of its Job is kept (core/namelock.py)."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacron.kube.access import read_access
from hacron.kube.http import NO_ANSWER, ApiServer
from hacron.kube.reply import Reply
from tests.cluster.asking import job
from tests.cluster.oddities import Asked, Pair, Said, kubeconfig, odd_server, pair, server_tls
from tests.testbed.control_plane import ControlPlane
from tests.testbed.network import Network
from tests.testbed.process import Process

# Notes what it is asked, and keeps its connections open; with a certificate and its key, by TLS.
SERVES = """
import ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        print("asked for", self.path, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "16")
        self.end_headers()
        self.wfile.write(b'{"kind":"Thing"}')

server = ThreadingHTTPServer((sys.argv[1], 9999), Handler)
if sys.argv[2:]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*sys.argv[2:])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
SENT_AGAIN_FOR_S = 8.0  # after a cut of three seconds, what the system sends again and again comes by then


@pytest.mark.e2e
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_did_not_get_through_in_time_does_not_arrive_when_the_partition_heals(
    network: Network, tmp_path: Path, scheme: str
) -> None:
    """By TLS a connection that was given up is not closed at once: it would wait for a word of the other end."""
    place = network.place()
    own = pair(tmp_path, "server", f"IP:{place.address}")
    shown = [own.certificate, own.key] if scheme == "https" else []
    trusted = {"certificate-authority": str(own.certificate)} if scheme == "https" else {}
    access = read_access(kubeconfig(tmp_path / "kubeconfig", f"{scheme}://{place.address}:9999", **trusted))
    log = tmp_path / "server.log"
    server = Process("server", place.command([sys.executable, "-c", SERVES, place.address, *shown]), log=log)

    async def answered(api: ApiServer, path: str) -> bool:
        try:
            return (await api.send("POST", path, {})).status == 200
        except NO_ANSWER:
            return False

    async def until_answered(api: ApiServer, path: str) -> None:
        async with asyncio.timeout(60):
            while not await answered(api, path):
                await asyncio.sleep(0.1)

    async def go() -> None:
        api = ApiServer(access, lambda: access, connections=1, timeout_s=1.0)
        try:
            await until_answered(api, "/before")
            network.cut(network.host, place)
            assert not await answered(api, "/lost")
            await asyncio.sleep(2)
            network.heal()
            await until_answered(api, "/after")
            await asyncio.sleep(SENT_AGAIN_FOR_S)
        finally:
            await api.close()

    server.start()
    try:
        asyncio.run(go())
    finally:
        server.kill()
    asked = {line for line in log.read_text().split("\n") if line.startswith("asked for")}
    assert asked == {"asked for /before", "asked for /after"}


class Webhook:
    """It says yes, once `answers` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self._asked_for: set[str] = set()

    def review(self, asked: Asked) -> Said:
        request = json.loads(asked.body)["request"]
        self._asked_for.add(request["name"])
        self.answers.wait(25)
        verdict = {"uid": request["uid"], "allowed": True}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": verdict}
        return Said(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def is_asked_for(self, job: str) -> bool:
        return job in self._asked_for


@pytest.fixture
def webhook(west: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Webhook]:
    """A webhook that is asked about every Job of the namespace, as soon as the API server knows of it."""
    webhook, own = Webhook(), pair(tmp_path, "webhook")
    with odd_server(webhook.review, server_tls(own)) as server:
        config = tmp_path / "webhook.json"
        config.write_text(json.dumps(configuration(f"{namespace}.hacron.io", namespace, server.url, own)))
        west.kubectl("create", "-f", str(config))
        try:
            yield webhook
        finally:
            webhook.answers.set()
            west.kubectl("delete", "-f", str(config))


def configuration(name: str, namespace: str, url: str, own: Pair) -> dict[str, object]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": name,
                "clientConfig": {"url": url, "caBundle": base64.b64encode(own.certificate.read_bytes()).decode()},
                "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"], "operations": ["CREATE"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Ignore",
                "timeoutSeconds": 30,
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


@pytest.mark.cluster
def test_an_api_server_acts_upon_nothing_that_has_taken_longer_than_it_was_told_to(
    west: ControlPlane, namespace: str, webhook: Webhook
) -> None:
    """Whoever sent it may be cut off, and its connection open: nothing else would end it before the webhook answers."""
    access = read_access(west.operator_kubeconfig)
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"

    async def go() -> list[int]:
        api = ApiServer(access, lambda: access, connections=8, timeout_s=60.0)

        def made(name: str, query: str) -> asyncio.Task[Reply]:
            return asyncio.ensure_future(api.send("POST", f"{jobs}{query}", job(name, namespace)))

        async def until_asked_for(name: str) -> None:
            while not webhook.is_asked_for(name):
                await asyncio.sleep(0.05)

        try:
            async with asyncio.timeout(120):
                while not webhook.is_asked_for("tried"):
                    await made("tried", "?dryRun=All&timeout=1s")
                bounded, unbounded = made("bounded", "?timeout=2s"), made("unbounded", "")
                await until_asked_for("bounded")
                await until_asked_for("unbounded")
                told = (await bounded).status
                webhook.answers.set()
                told_later = (await unbounded).status
                found = [(await api.send("GET", f"{jobs}/{name}")).status for name in ("bounded", "unbounded")]
                return [told, told_later, *found]
        finally:
            await api.close()

    assert asyncio.run(go()) == [504, 201, 404, 200]
