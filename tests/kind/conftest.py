"""Fixtures: a docker engine, and two kind clusters with the operator in them. Each starts when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kind.estate import BEFORE, IMAGE, NAMESPACE, NOW, RESTRICTED, Estate
from tests.kind.work import BUSYBOX, Load, build_busybox
from tests.testbed import image
from tests.testbed.broker import Broker
from tests.testbed.cluster import start_together
from tests.testbed.kind.cluster import KindCluster, Net
from tests.testbed.kind.engine import Engine
from tests.testbed.kind.node_image import node_image
from tests.testbed.network import Place

IMAGES = (f"{IMAGE}:{NOW}", f"{IMAGE}:{BEFORE}", BUSYBOX)


@pytest.fixture(scope="session")
def estate(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """Clusters west and east with the operator of this work tree in both, and its broker."""
    folder = tmp_path_factory.mktemp("estate")
    node = node_image(docker)
    with ExitStack() as undo, ThreadPoolExecutor() as pool:
        built = pool.submit(build_images, docker)
        net = Net(docker)
        undo.callback(net.stop)
        net.start()
        broker = Broker(folder / "broker", place=Place("", net.gateway))
        undo.callback(broker.close)
        clusters = {name: KindCluster(name, folder / name, net, node) for name in ("west", "east")}
        for cluster in clusters.values():
            undo.callback(cluster.stop)
        start_together([broker, *clusters.values()])
        built.result()
        list(pool.map(lambda cluster: cluster.load(*IMAGES), clusters.values()))
        for cluster in clusters.values():
            cluster.kubectl("create", "namespace", NAMESPACE)
            cluster.kubectl("label", "namespace", NAMESPACE, RESTRICTED)
        found = Estate(clusters, broker)
        found.install()
        found.executor()
        yield found


@pytest.fixture
def west(estate: Estate) -> KindCluster:
    """One of the clusters."""
    return estate.clusters["west"]


@pytest.fixture
def load(estate: Estate, tmp_path: Path) -> Iterator[Load]:
    """Some tens of cronjobs that run."""
    load = Load(estate.clusters, tmp_path)
    try:
        load.start()
        yield load
    finally:
        load.stop()


def build_images(docker: Engine) -> None:
    """Build what the clusters run: the operator, and busybox for the pods of Jobs."""
    image.build(docker, f"{IMAGE}:{NOW}")
    image.build(docker, f"{IMAGE}:{BEFORE}", arguments={"REVISION": "before"})  # or it would be the same image with two names
    build_busybox(docker)
