"""Where the API server is, and who we are there. The only module that imports `kubernetes`: its part is to find this out.

Read again now and then, because all of it changes under a program that runs for months: tokens within the hour, certificates
within the year.
"""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from kubernetes import client, config
from kubernetes.client.rest import should_bypass_proxies
from kubernetes.config import exec_provider, kube_config
from kubernetes.config.exec_provider import ExecProvider
from kubernetes.config.incluster_config import SERVICE_CERT_FILENAME, SERVICE_TOKEN_FILENAME, InClusterConfigLoader

from hacron.settings.loading import InvalidSettings

SERVICE_ACCOUNT: Final = Path(SERVICE_TOKEN_FILENAME).parent
"""Where a pod finds its token and the cluster's certificate authority."""

PROGRAM_S = 20.0  # a kubeconfig's program has to be done by then


class _Bounded(subprocess.Popen[str]):
    """A program that is killed, with what it has started, when it takes too long; not where somebody may be typing a password."""

    def __init__(self, args: Any, *, stdin: Any = None, **how: Any) -> None:
        self._unattended = stdin is None
        super().__init__(args, stdin=stdin, start_new_session=self._unattended, **how)

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        try:
            return super().communicate(input, PROGRAM_S if self._unattended else timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()
            raise


class _ProgramFailed(BaseException):
    """Not an Exception: the loader takes those for "no credentials", and goes on without any."""


class _Program(ExecProvider):
    def run(self, previous_response: Any = None) -> Any:
        try:
            return super().run(previous_response)  # type: ignore[no-untyped-call]
        except subprocess.TimeoutExpired:
            raise _ProgramFailed(f"was not done within {PROGRAM_S:g} s") from None
        except config.ConfigException as error:
            raise _ProgramFailed(f"failed: {' '.join(str(error).split())}") from None
        except Exception as error:  # noqa: BLE001  its own text may show credentials
            raise _ProgramFailed(f"failed: {type(error).__name__}") from None


# The loader of kubeconfigs lets nobody choose.
exec_provider.subprocess = SimpleNamespace(Popen=_Bounded, PIPE=subprocess.PIPE)  # type: ignore[assignment, attr-defined]
kube_config.ExecProvider = _Program  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an API server. Equal values need no new connections."""

    server: str  # URL, without a slash at its end
    token: str | None = field(repr=False)
    authority: str | None  # path; None: the authorities that this machine trusts
    certificate: str | None  # path
    key: str | None  # path
    insecure: bool  # whatever certificate the server shows
    server_name: str | None  # what the server's certificate is for, if not for the host of `server`
    proxy: str | None
    content: str  # digest of authority, certificate and key, which change in place

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def same_connections(self, other: Access) -> bool:
        """Whether connections that were opened for `other` are good for this one: a token goes with each request."""
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__ if name != "token")

    def tls(self) -> ssl.SSLContext:
        """Return what checks the server, and shows our certificate if we have one."""
        context = ssl.create_default_context(cafile=self.authority)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


def read_access(kubeconfig: Path | None, service_account: Path = SERVICE_ACCOUNT) -> Access:
    """Read a kubeconfig, or what a pod is given. Raises InvalidSettings. May run a kubeconfig's program, for PROGRAM_S."""
    configuration = client.Configuration()
    try:
        if kubeconfig is not None:
            config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            token, authority = service_account / "token", service_account / Path(SERVICE_CERT_FILENAME).name
            InClusterConfigLoader(str(token), str(authority), environ=os.environ).load_and_set(configuration)  # type: ignore[no-untyped-call]
        return _access(configuration)
    except config.ConfigException as error:
        said = f"({kubeconfig}): {' '.join(str(error).split())}"
        if kubeconfig is None:
            said = f"is missing, and this is not a pod with a service account ({error}): set it to the path of a kubeconfig"
        raise InvalidSettings((f"HACRON_KUBECONFIG {said}",)) from error
    except _ProgramFailed as error:
        raise InvalidSettings((f"HACRON_KUBECONFIG ({kubeconfig}): its program {error}",)) from None
    except Exception as error:  # noqa: BLE001  whatever its loader stumbles over; its own text may show credentials
        raise InvalidSettings((f"HACRON_KUBECONFIG ({kubeconfig}) is not a kubeconfig ({type(error).__name__})",)) from None


def _access(configuration: Any) -> Access:
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    access = Access(
        server=configuration.host.rstrip("/"),
        # Its scheme is "Bearer" by a kubeconfig and "bearer" in a pod; a token file may end in a line break.
        token=configuration.api_key.get("BearerToken", "").partition(" ")[2].strip() or None,
        authority=configuration.ssl_ca_cert,
        certificate=configuration.cert_file,
        key=configuration.key_file,
        insecure=not configuration.verify_ssl,
        server_name=configuration.tls_server_name,
        proxy=_proxy(configuration),
        content=_digest(files),
    )
    access.tls()  # raises what is wrong with the certificates; also when a pair is read while it is being replaced
    return access


def _proxy(configuration: Any) -> str | None:
    """The kubeconfig's proxy-url, else HTTPS_PROXY but for NO_PROXY (names, domains, addresses, CIDRs), as kubectl has it."""
    if not configuration.proxy or should_bypass_proxies(configuration.host, configuration.no_proxy or ""):
        return None
    return str(configuration.proxy)


def _digest(paths: tuple[str | None, ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes() if path else b"-")
    return digest.hexdigest()
