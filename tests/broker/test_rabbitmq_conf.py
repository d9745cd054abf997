"""deploy/rabbitmq/rabbitmq.conf and advanced.config: three real nodes become a cluster with them, and speak TLS alone."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hacron.broker.session import Access, open_broker
from hacron.broker.tls import Tls
from hacron.ports import BrokerUnavailable
from tests.broker.certificates import Authority
from tests.broker.test_contract import batch
from tests.broker.test_refused import open_and_close
from tests.broker.worlds import NOW
from tests.testbed.broker import USER, VHOST, Broker
from tests.testbed.cluster import start_together
from tests.testbed.network import HERE, Network, Place
from tests.testbed.process import free_port
from tests.testbed.wait import until

FOLDER = Path(__file__).parents[2] / "deploy" / "rabbitmq"
CONF = (FOLDER / "rabbitmq.conf").read_text()
VERSION = os.environ.get("RABBITMQ")  # as in conftest
ADVANCED = (FOLDER / "advanced.config").read_text()
FOR_CERTIFICATES = re.compile(r"^#(?=\w+[.\w]* = )", re.MULTILINE)


def settings(conf: str) -> dict[str, str]:
    """Return what stands there, without comments."""
    lines = [line for line in conf.splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition(" = ") for line in lines)}


def test_the_cluster_operator_is_told_the_same() -> None:
    (cluster, _) = yaml.safe_load_all((FOLDER / "rabbitmqcluster.yaml").read_text())
    told = cluster["spec"]["rabbitmq"]
    assert told["advancedConfig"].strip() == ADVANCED.splitlines()[-1]
    assert settings(told["additionalConfig"]).items() <= settings(CONF).items()


def fitted(conf: str, authority: Authority, place: Place, folder: Path, names: Sequence[str] = ()) -> str:
    """Put into what is shipped what a machine has of its own; it gets its certificate in `folder`."""
    certificate, key = authority.sign(place.address, f"IP:{place.address}")
    folder.mkdir(parents=True)
    ca_file, cert_file, key_file = (shutil.copy(file, folder) for file in (authority.file, certificate, key))
    own = {
        "/etc/rabbitmq/tls/ca.crt": ca_file,
        "/etc/rabbitmq/tls/tls.crt": cert_file,
        "/etc/rabbitmq/tls/tls.key": key_file,
        "= 2GB": "= 50MB",  # a machine that runs tests may have little left
        **{f"rabbit@rabbitmq-{number}": name for number, name in enumerate(names, 1)},
    }
    for shipped, here in own.items():
        assert conf.count(shipped) == 1, shipped
        conf = conf.replace(shipped, str(here))
    return conf


def access(broker: Broker, authority: Authority, port: int = 5671) -> Access:
    """What lets a replica in at a node."""
    urls = [f"amqps://{USER}:{broker.password}@{broker.place.address}:{port}/{VHOST}"]
    return Access(urls=urls, prefix="hacron", cluster="west", replica="r1", tls=Tls(authority=authority.file))


@pytest.mark.broker
class TestThreeNodes:
    @pytest.fixture(scope="class")
    @staticmethod
    def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
        return Authority(tmp_path_factory.mktemp("authority"))

    @pytest.fixture(scope="class")
    @staticmethod
    def nodes(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Broker]]:
        """Three of them, each in a network namespace of its own, that are started at the same time."""
        network, folder, secret = Network(), tmp_path_factory.mktemp("nodes"), secrets.token_hex(8)
        network.start()
        nodes: list[Broker] = []
        try:
            places = [network.place() for _ in range(3)]
            for place in places:
                directory = folder / place.namespace
                conf = fitted(CONF, authority, place, directory / "tls", [f"hacron@{each.address}" for each in places])
                node = Broker(
                    directory, place=place, version=VERSION, secret=secret, settings=conf, advanced=ADVANCED, tls_port=5671
                )
                nodes.append(node)
            start_together(nodes)
            yield nodes
        finally:
            for node in nodes:
                node.close()
            network.close()

    def test_they_become_one_cluster(self, nodes: list[Broker]) -> None:
        def running(node: Broker) -> list[str]:
            return sorted(json.loads(node.ctl("cluster_status", "--formatter=json"))["running_nodes"])

        all_of_them = sorted(node.name for node in nodes)
        until(lambda: all(running(node) == all_of_them for node in nodes), 60, "one cluster")

    def test_a_replica_is_let_in_by_tls_and_only_so(self, nodes: list[Broker], authority: Authority) -> None:
        for node in nodes:
            open_and_close(access(node, authority))
            for port in (5672, node.port):
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((node.place.address, port), timeout=5)

    def test_what_it_says_is_in_force(self, nodes: list[Broker]) -> None:
        asked = {
            "application:get_env(rabbit, cluster_partition_handling)": "{ok,pause_minority}",
            "application:get_env(rabbit, max_message_size)": "{ok,8388608}",
            "application:get_env(kernel, net_setuptime)": "{ok,1}",
            "net_kernel:get_net_ticktime()": "15",
        }
        found = nodes[0].ctl("eval", f"[{', '.join(asked)}].")
        assert "".join(found.split()) == f"[{','.join(asked.values())}]"

    def test_a_message_of_more_than_8_mib_is_refused(self, nodes: list[Broker], authority: Authority) -> None:
        session = open_broker(access(nodes[0], authority), lambda: NOW)
        with pytest.raises(BrokerUnavailable, match="larger than configured max size 8388608"):
            session.ledger.append([batch(padding=8 * 2**20)], 0)
        session.connection.drop()


@pytest.mark.broker
def test_with_the_lines_for_certificates_a_replica_needs_no_password(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "authority"), free_port()
    conf = re.sub(r"^cluster_formation[.].*\n", "", CONF, flags=re.MULTILINE)
    conf = FOR_CERTIFICATES.sub("", conf).replace("= 5671", f"= 127.0.0.1:{port}")
    broker = Broker(
        tmp_path / "node",
        version=VERSION,
        settings=fitted(conf, authority, HERE, tmp_path / "node" / "tls"),
        advanced=ADVANCED,
        plugins=["rabbitmq_auth_mechanism_ssl"],
        tls_port=port,
    )
    broker.start()
    try:
        open_and_close(access(broker, authority, port))
        certificate, key = authority.sign(USER, f"DNS:{USER}")
        named = Tls(authority=authority.file, certificate=certificate, key=key, user=USER)
        open_and_close(replace(access(broker, authority, port), urls=[f"amqps://127.0.0.1:{port}/{VHOST}"], tls=named))
    finally:
        broker.close()
