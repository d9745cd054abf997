"""An authority of the tests' own, and the certificates that it signs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.testbed import tools


class Authority:
    """Signs certificates, each in `folder` as NAME.crt and NAME.key."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl("req", "-x509", "-subj", f"/CN={name}", "-days", "2", *self._new_key(name), "-out", f"{name}.crt")
        self.file = folder / f"{name}.crt"

    def sign(self, name: str, subject_alternative: str) -> tuple[Path, Path]:
        """Return the files of a new certificate and of its key."""
        self._openssl("req", "-subj", f"/CN={name}", *self._new_key(name), "-out", f"{name}.csr")
        (self._folder / f"{name}.ext").write_text(f"subjectAltName={subject_alternative}\n")
        signer = ("-CA", f"{self._name}.crt", "-CAkey", f"{self._name}.key", "-CAcreateserial")
        signed = ("-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signer, *signed)
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"

    def listener(self, port: int) -> str:
        """Return settings of a RabbitMQ that speaks TLS there, with whoever shows a certificate of this authority."""
        certificate, key = self.sign("broker", "IP:127.0.0.1")
        files = {"cacertfile": self.file, "certfile": certificate, "keyfile": key}
        options = [f"ssl_options.{name} = {file}" for name, file in files.items()]
        options += ["ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true"]
        return "\n".join([f"listeners.ssl.1 = 127.0.0.1:{port}", *options, ""])

    def _new_key(self, name: str) -> tuple[str, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run([tools.openssl(), *arguments], cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
