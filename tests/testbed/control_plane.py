"""A cluster without machines: a real API server with real controllers and scheduler, and a node that is KWOK's.

Everything is as in any cluster, Jobs and pods too, except that no container runs: stages.yaml tells when a pod
is Running and how it ends. RBAC is on.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.testbed import tools
from tests.testbed.cluster import Cluster
from tests.testbed.process import Process, free_port, remove_at_exit
from tests.testbed.wait import until

OPERATOR_NAMESPACE, OPERATOR_ACCOUNT = "hacron-system", "hacron"

_STAGES = Path(__file__).parent / "stages.yaml"
_GROUPS = f"system:serviceaccounts,system:serviceaccounts:{OPERATOR_NAMESPACE}"
# kwok ends at times: "concurrent map writes", in what reads its stages.
_AGAIN = ("/bin/sh", "-c", 'until "$0" "$@"; do echo "it has ended, and is started again"; sleep 0.2; done')
# The defaults (20 and 30 requests a second) would make the Jobs' pods what every test of many runs waits for.
_FAST_CLIENT = ("--kube-api-qps=200", "--kube-api-burst=400")


class ControlPlane(Cluster):
    """A cluster named `name` whose data, keys and logs are in `directory`; one object is one start and one stop.

    The kubeconfigs are there once `start` has returned, and stay the same.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.admin_kubeconfig = directory / "admin.kubeconfig"
        # The operator's ServiceAccount: may do what the ClusterRole grants it.
        self.operator_kubeconfig = directory / "operator.kubeconfig"
        self._data = directory / "data"
        self._certificate = directory / "certificates" / "apiserver.crt"
        self._admin_token, self._operator_token = secrets.token_hex(16), secrets.token_hex(16)
        self._port = free_port()
        self._parts = tools.control_plane()
        etcd, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._etcd_url = etcd
        self._etcd = self._process("etcd", *self._etcd_flags(etcd, peers))
        self._apiserver = self._process("kube-apiserver", *self._apiserver_flags(etcd))
        kubeconfig = f"--kubeconfig={self.admin_kubeconfig}"
        alone = ("--leader-elect=false", "--secure-port=0", *_FAST_CLIENT)
        key = f"--service-account-private-key-file={directory / 'sa.key'}"
        self._others = [
            # On a busy machine kwok is late with the node's signs of life; pods of a node that is given up never end.
            self._process("kube-controller-manager", kubeconfig, key, *alone, "--node-monitor-grace-period=1h"),
            self._process("kube-scheduler", kubeconfig, *alone),
            self._process("kwok", kubeconfig, "--manage-all-nodes=true", "--server-address=", f"--config={_STAGES}", by=_AGAIN),
        ]

    @property
    def url(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start everything and wait until Jobs can be created and have a node to run on."""
        self._data.mkdir(parents=True, exist_ok=True)
        remove_at_exit(self._data)
        self._write_credentials()
        self._etcd.start()
        until(self._etcd_answers, 60, f"etcd of {self.name}", every=0.02)
        self._apiserver.start()
        # It signs its own certificate and writes the key behind it, well before it answers.
        until(self._certificate.with_suffix(".key").exists, 60, f"certificate of the API server of {self.name}")
        self._write_kubeconfigs()
        self._await_apiserver()
        until(self._node_is_made, 60, f"a node for {self.name}")
        for process in self._others:
            process.start()
        until(self._node_is_ready, 60, f"the node of {self.name}")

    def stop(self) -> None:
        """Stop everything for good and delete the data; keys and logs stay."""
        for process in (*self._others, self._apiserver, self._etcd):
            process.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    def stop_apiserver(self) -> None:
        """Kill the API server: connections are refused until it is started again."""
        self._apiserver.kill()

    def start_apiserver(self) -> None:
        """Start the API server again, if it was stopped, and wait until it is ready and Jobs get pods.

        The controllers are started anew with it: they would look for it in pauses that grow to more than a minute.
        """
        if self._apiserver.alive:
            return
        self._apiserver.start()
        self._await_apiserver()
        for process in self._others:
            process.kill()
            process.start()
        until(self._node_is_ready, 60, f"the node of {self.name}")

    def save(self, folder: Path) -> None:
        """Copy all that is stored into a folder that does not exist yet."""
        self._etcd.freeze()
        try:
            shutil.copytree(self._data, folder)
        finally:
            self._etcd.thaw()

    def put_back(self, folder: Path) -> None:
        """Begin again with what `save` has copied, as from a backup: nothing that came after it has ever been."""
        self._apiserver.kill()
        self._etcd.kill()
        shutil.rmtree(self._data)
        shutil.copytree(folder, self._data)
        self._etcd.start()
        until(self._etcd_answers, 60, f"etcd of {self.name}", every=0.02)
        self.start_apiserver()

    def freeze_apiserver(self) -> None:
        """Make the API server hang: it takes connections and answers none."""
        self._apiserver.freeze()

    def thaw_apiserver(self) -> None:
        """Let a frozen API server go on, with what it was sent meanwhile."""
        self._apiserver.thaw()

    def _process(self, part: str, *flags: str, by: tuple[str, ...] = ()) -> Process:
        log = self.directory / "logs" / f"{part}.log"
        return Process(f"{part} of {self.name}", [*by, self._parts[part], *flags], log=log)

    def _etcd_flags(self, clients: str, peers: str) -> list[str]:
        return [
            f"--data-dir={self._data / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # the data need not survive the machine
            "--log-level=warn",
        ]

    def _apiserver_flags(self, etcd: str) -> list[str]:
        return [
            f"--etcd-servers={etcd}",
            f"--secure-port={self._port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--cert-dir={self.directory / 'certificates'}",
            f"--service-account-key-file={self.directory / 'sa.pub'}",
            f"--service-account-signing-key-file={self.directory / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",  # or pods wait for a namespace's default account
            "--allow-privileged=true",
        ]

    def _write_credentials(self) -> None:
        key, public = self.directory / "sa.key", self.directory / "sa.pub"
        openssl = tools.openssl()
        subprocess.run([openssl, "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        subprocess.run([openssl, "rsa", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
        operator = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}"
        (self.directory / "tokens.csv").write_text(
            f'{self._admin_token},admin,admin,"system:masters"\n{self._operator_token},{operator},operator,"{_GROUPS}"\n'
        )

    def _write_kubeconfigs(self) -> None:
        # The file holds the self-signed certificate and, behind it, the authority that signed it.
        authority = base64.b64encode(self._certificate.read_bytes()).decode()
        for path, token in ((self.admin_kubeconfig, self._admin_token), (self.operator_kubeconfig, self._operator_token)):
            cluster = {"server": self.url, "certificate-authority-data": authority}
            context = {"cluster": self.name, "user": "user", "namespace": "default"}
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": self.name, "cluster": cluster}],
                "users": [{"name": "user", "user": {"token": token}}],
                "contexts": [{"name": self.name, "context": context}],
                "current-context": self.name,
            }
            path.write_text(json.dumps(config, indent=2) + "\n")

    def _etcd_answers(self) -> bool:
        self._etcd.check()
        try:
            with urllib.request.urlopen(f"{self._etcd_url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _await_apiserver(self) -> None:
        def ready() -> bool:
            self._apiserver.check()
            try:
                self._request("GET", "/readyz")
            except OSError:
                return False
            return True

        until(ready, 60, f"API server of {self.name}")

    def _node_is_made(self) -> bool:
        """Whether there is one now; an API server that has just started may not answer in time, and have acted."""
        try:
            self._request("POST", "/api/v1/nodes", _node(f"{self.name}-node"))
        except urllib.error.HTTPError as error:
            return error.code == 409
        except OSError:
            return False
        return True

    def _node_is_ready(self) -> bool:
        for process in self._others:
            process.check()
        try:
            node = json.loads(self._request("GET", f"/api/v1/nodes/{self.name}-node"))
        except OSError:
            return False
        conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
        return conditions.get("Ready") == "True" and not node["spec"].get("taints")

    def _request(self, method: str, path: str, body: object = None) -> bytes:
        """Ask the API server as admin; HTTP errors are OSErrors, as those of the connection are."""
        headers = {"Authorization": f"Bearer {self._admin_token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self._certificate))
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            content: bytes = answer.read()
        return content


def _node(name: str) -> object:
    """Return a node with more room than any test needs."""
    room = {"cpu": "100k", "memory": "100Ti", "pods": "20000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}},
        "status": {"capacity": room, "allocatable": room},
    }
