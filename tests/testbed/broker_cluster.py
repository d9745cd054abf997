"""A RabbitMQ cluster of several nodes on one machine, each in a network namespace of its own."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from pathlib import Path

from tests.testbed.broker import VHOST, Broker
from tests.testbed.cluster import start_together
from tests.testbed.network import Network
from tests.testbed.wait import until

TICK_S = 15  # after so long, give or take a quarter, nodes give up one that does not answer; 60 by default
SETUP_S = 1  # and after so long one that does not take a connection, whenever one of their processes asks it; 7 by default


class BrokerCluster:
    """`count` nodes that form one cluster when they are started; their data and logs are in folders of `directory`."""

    def __init__(
        self,
        directory: Path,
        network: Network,
        *,
        count: int = 3,
        version: str | None = None,
    ) -> None:
        self.directory = directory
        secret = secrets.token_hex(8)
        settings = f"cluster_partition_handling = pause_minority\nnet_ticktime = {TICK_S}\n"
        advanced = f"[{{kernel, [{{net_setuptime, {SETUP_S}}}]}}]."
        self.nodes: list[Broker] = []
        for number in range(1, count + 1):
            place = network.place()
            first = self.nodes[0].name if self.nodes else f"hacron@{place.address}"
            forming = _forming(first, f"hacron@{place.address}") if self.nodes else ""
            folder = directory / f"node-{number}"
            node = Broker(folder, place=place, version=version, secret=secret, settings=settings + forming, advanced=advanced)
            self.nodes.append(node)

    @property
    def url(self) -> str:
        """The AMQP addresses of all nodes, separated by commas."""
        return ",".join(node.url for node in self.nodes)

    @property
    def majority(self) -> int:
        """How many nodes must be there for anything to go on."""
        return len(self.nodes) // 2 + 1

    def start(self) -> None:
        """Start the first node, then the others, which join it; return when they are one cluster."""
        first, *others = self.nodes
        first.start()
        start_together(others)
        self.await_all()

    def await_all(self, timeout: float = 120) -> None:
        """Wait until every node sees all of them."""

        def whole() -> bool:
            return all(len(self._running(node)) == len(self.nodes) for node in self.nodes)

        until(whole, timeout, "all nodes of the broker in one cluster", every=0.5)

    def mend(self) -> None:
        """Wait until every node sees all; restart, as a person must, those that go on by themselves after a partition."""
        for _ in self.nodes:
            with suppress(TimeoutError):
                self.await_all(20)
                return
            min(self.nodes, key=lambda node: len(self._running(node))).restart()
        self.await_all()

    def wipe(self) -> None:
        """Take everything away that all nodes have stored, and form a new cluster at the same addresses."""
        for node in self.nodes:
            node.erase()
        self.start()

    def grow(self, stream: str) -> None:
        """Give every queue and the stream a copy on each node, as a person must if they were made while nodes were missing."""
        asked = self.nodes[0]
        for node in self.nodes:
            asked.ctl("grow", node.name, "all", "--vhost-pattern", VHOST, program="rabbitmq-queues")
            asked.ctl("add_replica", "--vhost", VHOST, stream, node.name, program="rabbitmq-streams")

    def leader(self, queue: str) -> Broker:
        """Return the node that leads a quorum queue or a stream."""

        def found() -> Broker | None:
            for asked in self.nodes:
                try:
                    queues = asked.list_queues("name", "leader")
                except RuntimeError:  # this one is away
                    continue
                leaders = {each["name"]: str(each["leader"]) for each in queues}
                return next((node for node in self.nodes if node.name == leaders.get(queue)), None)
            return None

        return until(found, 60, f"the leader of {queue}", every=0.5)

    def close(self) -> None:
        """Stop all nodes for good and delete their data; the logs stay."""
        for node in self.nodes:
            node.close()

    @staticmethod
    def _running(node: Broker) -> list[str]:
        try:
            status = json.loads(node.ctl("cluster_status", "--formatter=json"))
        except (RuntimeError, ValueError):
            return []
        running: list[str] = status["running_nodes"]
        return running


def _forming(first: str, own: str) -> str:
    return (
        "cluster_formation.peer_discovery_backend = classic_config\n"
        f"cluster_formation.classic_config.nodes.1 = {first}\n"
        f"cluster_formation.classic_config.nodes.2 = {own}\n"
    )
