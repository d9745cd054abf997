"""Servers that do what an API server in good order never does, and what stands between it and us: on 127.0.0.1, in threads."""

from __future__ import annotations

import json
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from hacron.kube.client import WHICH
from hacron.kube.http import PROBED, probe
from tests.testbed import tools


class Asked(NamedTuple):
    """What a client has asked for."""

    method: str
    path: str
    token: str  # "" for none
    shown: str  # common name of the client's certificate; "" for none
    body: bytes = b""


class Said(NamedTuple):
    """What the server says."""

    status: int
    content: bytes = b'{"kind": "Status"}'
    headers: dict[str, str] = {}  # noqa: RUF012  never changed


JOB = Said(201, b'{"kind": "Job", "metadata": {"name": "odd"}}')


def status(code: int, message: str = "") -> Said:
    """Return what an API server says when it says no."""
    return Said(code, json.dumps({"kind": "Status", "message": message, "code": code}).encode())


def watch(*events: dict[str, Any]) -> Said:
    return Said(200, b"".join(json.dumps(event).encode() + b"\n" for event in events))


class OddServer(ThreadingHTTPServer):
    """Says what `reply` returns, and remembers what it was asked. Probes of the client are answered as a good one does."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, reply: Callable[[Asked], Said], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.asked: list[Asked] = []
        self.works = True  # as far as probes are told
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away, or are not let in."""


class _Handler(BaseHTTPRequestHandler):
    server: OddServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path in (probe(PROBED), WHICH) and self.server.works:
            said = Said(404, b'{"kind": "Status"}')
        else:
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            asked = Asked(self.command, self.path, token, self._shown(), body)
            self.server.asked.append(asked)
            said = self.server.reply(asked)
        self.send_response(said.status)
        for name, value in {"Content-Length": str(len(said.content)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.content)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _shown(self) -> str:
        certificate: Any = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        subject = (certificate or {}).get("subject", ())
        return next((value for part in subject for name, value in part if name == "commonName"), "")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def odd_server(reply: Callable[[Asked], Said], tls: ssl.SSLContext | None = None) -> Iterator[OddServer]:
    with _serving(OddServer(reply, tls)) as server:
        yield server


@contextmanager
def _serving(server: OddServer) -> Iterator[OddServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class HttpProxy:
    """A proxy that takes CONNECT, after `delay_s`, and remembers where to."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.connected: list[str] = []
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(near,), daemon=True).start()

    def _tunnel(self, near: socket.socket) -> None:
        with suppress(OSError), closing(near):
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            target = head.split()[1].decode()
            self.connected.append(target)
            self._ended.wait(self.delay_s)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._forward(near, far)

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        while not self._ended.is_set():
            readable, _, _ = select.select([near, far], [], [], 0.1)
            for source in readable:
                data = source.recv(65536)
                if not data:
                    return
                (far if source is near else near).sendall(data)


@contextmanager
def http_proxy() -> Iterator[HttpProxy]:
    with closing(HttpProxy()) as proxy:
        yield proxy


# --- who is who -----------------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A certificate that vouches for itself, and its key."""

    certificate: Path
    key: Path


def pair(folder: Path, name: str, alternative: str = "IP:127.0.0.1") -> Pair:
    """Make a certificate for `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    about = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}"]
    where = ["-keyout", found.key, "-out", found.certificate]
    subprocess.run([tools.openssl(), *made, *about, *where], check=True, capture_output=True)
    return found


def server_tls(own: Pair, lets_in: Path | None = None) -> ssl.SSLContext:
    """Return the TLS of a server; with `lets_in`, a file of certificates, only for clients that show one of them."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(lets_in) if lets_in else None)
    context.load_cert_chain(own.certificate, own.key)
    if lets_in is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def kubeconfig(path: Path, server: str, *, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    """Write a kubeconfig."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "odd", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "odd", "user": user or {}}],
        "contexts": [{"name": "odd", "context": {"cluster": "odd", "user": "odd"}}],
        "current-context": "odd",
    }
    path.write_text(json.dumps(config))
    return path
