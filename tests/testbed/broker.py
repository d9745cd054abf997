"""A RabbitMQ node of the testbed's own: its ports, folders, cookie and port mapper are nobody else's.

It runs as whoever runs the tests, on 127.0.0.1 or in a network namespace of the testbed's, and never touches a RabbitMQ that the
machine may run.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.testbed import tools
from tests.testbed.network import HERE, Place
from tests.testbed.process import Process, free_port, inherited_environment, remove_at_exit
from tests.testbed.wait import until

USER, VHOST = "hacron", "hacron"
_PACKAGED = Path("/usr/lib/rabbitmq/bin")  # in the folder of a newer version
_ENTER = Path(__file__).with_name("enter-root")

# A machine that runs tests may have little disk left; the default raises an alarm that blocks every publisher.
_SETTINGS = """
default_user = {user}
default_pass = {password}
default_vhost = {vhost}
default_user_tags.administrator = true
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
raft.wal_max_size_bytes = 67108864
log.console = true
log.console.level = info
log.file = false
"""


class Broker:
    """One RabbitMQ node whose data and log are in `directory`.

    The port stays the same for the life of the object, through every restart. `version` is one of tools.RABBITMQ; without one, it
    is what the machine has. `settings` are further lines of rabbitmq.conf, `advanced` is what stands in advanced.config. Nodes of
    one cluster share a `secret`; `plugins` are switched on. With a `tls_port` it has no other listener than what `settings` have
    there, where whoever connects need not show a certificate.
    """

    def __init__(
        self,
        directory: Path,
        *,
        place: Place = HERE,
        version: str | None = None,
        secret: str = "",
        settings: str = "",
        advanced: str = "[].",
        plugins: Sequence[str] = (),
        tls_port: int | None = None,
    ) -> None:
        self.directory = directory
        self.place = place
        self.port = free_port()
        self._tls_port = tls_port
        self.password = self._cookie = secret or secrets.token_hex(8)
        self.log = directory / "rabbitmq.log"
        self.name = f"hacron@{place.address}" if place.namespace else f"hacron-{secrets.token_hex(4)}@localhost"
        self._settings, self._advanced, self._plugins = settings, advanced, plugins
        self._data = directory / "data"
        self._environment = self._make_environment()
        self._root = tools.newer_rabbitmq(version) if version else None
        self._programs = _PACKAGED if self._root else tools.rabbitmq()
        self._server = Process("rabbitmq", self._command("rabbitmq-server"), log=self.log, env=self._environment)
        # The port mapper (epmd) would otherwise be started by the node as a daemon, for the whole machine.
        tools.rabbitmq()  # brings it
        mapper = ["epmd", "-port", self._environment["ERL_EPMD_PORT"], "-address", place.address]
        self._port_mapper = Process("epmd", place.command(mapper), log=directory / "epmd.log")

    @property
    def url(self) -> str:
        """The AMQP address, with user, password and virtual host."""
        return f"amqp://{USER}:{self.password}@{self.place.address}:{self.port}/{VHOST}"

    @property
    def pid(self) -> int:
        """The process id of the Erlang VM."""
        return self._server.pid

    def start(self) -> None:
        """Start the node and wait until it takes connections; what it stored before is there again."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_settings()
        self._port_mapper.start()
        self._server.start()
        until(self._accepts, 60, f"RabbitMQ at port {self.port}")

    def stop(self) -> None:
        """Stop the node in an orderly way (SIGTERM); its data stays."""
        self._server.terminate(timeout=30)
        self._port_mapper.kill()

    def kill(self) -> None:
        """Kill the node as a power failure would (SIGKILL); its data stays."""
        self._server.kill()
        self._port_mapper.kill()

    def restart(self) -> None:
        """Stop and start the node."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Stop the node, delete all that it stored and start it on the same port, empty."""
        self.erase()
        self.start()

    def erase(self) -> None:
        """Stop the node and delete all that it stored."""
        self.kill()  # nothing of what an orderly stop would write down is kept
        shutil.rmtree(self._data)

    def close(self) -> None:
        """Stop the node for good and delete its data; the log stays."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    def freeze(self) -> None:
        """Stop the node in its tracks (SIGSTOP): connections stay open, nothing answers."""
        self._server.freeze()

    def thaw(self) -> None:
        """Let a frozen node go on (SIGCONT)."""
        self._server.thaw()

    def ctl(self, *arguments: str, program: str = "rabbitmqctl") -> str:
        """Run rabbitmqctl, or a `program` like it, with `arguments` and return what it prints. Takes about a second."""
        command = self._command(program, "--quiet", *arguments)
        # When the port mapper is down it starts one, as a daemon; by the marks that ends with ours.
        environment = {**inherited_environment(), **self._environment, **self._port_mapper.marks}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def list_queues(self, *columns: str) -> list[dict[str, Any]]:
        """Return the queues with the named columns of `rabbitmqctl list_queues`."""
        columns = columns or ("name", "type", "messages")
        queues: list[dict[str, Any]] = json.loads(self.ctl("list_queues", "-p", VHOST, "--formatter=json", *columns))
        return queues

    def _command(self, program: str, *arguments: str) -> list[str | Path]:
        words: list[str | Path] = [self._programs / program, *arguments]
        if self._root is not None:
            words = ["unshare", "--mount", _ENTER, self._root, self.directory, *words]
        return self.place.command(words)

    def _make_environment(self) -> dict[str, str]:
        address = self.place.address
        own = {
            "NODENAME": self.name,
            "USE_LONGNAME": "true" if self.place.namespace else "false",
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(free_port()),
            "MNESIA_BASE": str(self._data),
            "LOG_BASE": str(self.directory),
            "LOGS": "-",
            "PID_FILE": str(self._data / "pid"),
            "CONF_ENV_FILE": str(self.directory / "none.conf"),  # not the machine's
            "CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "GENERATED_CONFIG_DIR": str(self._data / "config"),
            "ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            # Two schedulers that do not spin: the tests share a small machine with what they test.
            "SERVER_ADDITIONAL_ERL_ARGS": (
                f"+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {{{address.replace('.', ',')}}}"
            ),
        }
        return {
            **{f"RABBITMQ_{key}": value for key, value in own.items()},
            # Nodes of one cluster ask each other's port mapper, so in a namespace it has the port that everybody expects.
            "ERL_EPMD_PORT": "4369" if self.place.namespace else str(free_port()),
            "ERL_EPMD_ADDRESS": address,
            "HOME": str(self._data),  # Erlang keeps its cookie there
            "RUNNING_UNDER_SYSTEMD": "1",  # lets the script become the Erlang VM instead of staying its parent
        }

    def _write_settings(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        remove_at_exit(self._data)
        cookie = self._data / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(self._cookie)
        listener = "" if self._tls_port else f"listeners.tcp.1 = {self.place.address}:{self.port}"
        settings = listener + _SETTINGS.format(user=USER, password=self.password, vhost=VHOST)
        (self.directory / "rabbitmq.conf").write_text(settings + self._settings)
        (self.directory / "advanced.config").write_text(f"{self._advanced}\n")
        (self.directory / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")
        (self.directory / "none.conf").touch()

    def _accepts(self) -> bool:
        self._server.check()
        try:
            with self._connect() as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(connection.recv(1))  # the first octet of Connection.Start
        except OSError:
            return False

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((self.place.address, self._tls_port or self.port), timeout=1)
        if self._tls_port is None:
            return connection
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        with connection:
            return anybody.wrap_socket(connection)
