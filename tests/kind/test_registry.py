"""Where a registry has an image it is pulled, kind's node among them, and nothing is built; tried with a registry of our own."""

from __future__ import annotations

import gzip
import hashlib
import json
import ssl
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.broker.certificates import Authority
from tests.kind.work import BUSYBOX
from tests.testbed.kind import node_image
from tests.testbed.kind.engine import Engine
from tests.testbed.kind.stand_ins import make_busybox

pytestmark = pytest.mark.docker

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def in_registry(saved: Path) -> dict[str, tuple[str, bytes]]:
    """Return what a registry answers of one image, which `docker save` has written: by the end of the path, its type and itself.

    https://distribution.github.io/distribution/spec/manifest-v2-2/
    """
    with tarfile.open(saved) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(name)
            assert member is not None
            return member.read()

        (about,) = json.loads(read("manifest.json"))
        config, layers = read(about["Config"]), [gzip.compress(read(name)) for name in about["Layers"]]
    described = [_described("application/vnd.docker.image.rootfs.diff.tar.gzip", layer) for layer in layers]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _described("application/vnd.docker.container.image.v1+json", config),
            "layers": described,
        }
    ).encode()
    answers = {f"blobs/{_digest(body)}": ("application/octet-stream", body) for body in (config, *layers)}
    return {**answers, "manifests/1": (MANIFEST, manifest), f"manifests/{_digest(manifest)}": (MANIFEST, manifest)}


def _described(kind: str, body: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(body), "digest": _digest(body)}


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@contextmanager
def registry(answers: dict[str, tuple[str, bytes]], certificate: Path, key: Path) -> Iterator[str]:
    """Serve one image by TLS; yield its name there."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            kind, body = answers.get(self.path.removeprefix("/v2/some/image/"), ("", b""))
            self.send_response(200 if body or self.path == "/v2/" else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = answer  # noqa: N815  by these names it is called

        def log_message(self, *_: object) -> None:
            pass

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}/some/image:1"
        finally:
            server.shutdown()


def test_the_node_is_pulled_where_a_registry_has_it(docker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_busybox(docker, BUSYBOX)
    docker.run("save", f"--output={tmp_path / 'image.tar'}", BUSYBOX)
    monkeypatch.setattr(node_image, "_ours", lambda _: "built")
    authority = Authority(tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # for `docker`; a daemon trusts whoever is on this machine
    with registry(in_registry(tmp_path / "image.tar"), *authority.sign("registry", "IP:127.0.0.1")) as name:
        monkeypatch.setattr(node_image, "_official", lambda: name)
        assert node_image.node_image(docker) == name
        try:
            assert docker.run("run", "--rm", "--network=none", name, "busybox", "echo", "here") == "here\n"
        finally:
            docker.run("rmi", name)
        monkeypatch.setattr(node_image, "_official", lambda: name.replace("image", "other"))
        assert node_image.node_image(docker) == "built"
    assert node_image.node_image(docker) == "built", "nor where it cannot be reached"
