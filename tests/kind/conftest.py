"""Fixtures: two kind clusters with the operator in them, as docs/quickstart.md makes them.

They start when the first test of this folder asks for it, and go with the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kind.estate import BEFORE, IMAGE, NAMESPACE, RESTRICTED, Estate
from tests.kind.quick_start import QuickStart, section
from tests.kind.work import BUSYBOX, Load
from tests.testbed import image
from tests.testbed.cluster import start_together
from tests.testbed.kind import stand_ins
from tests.testbed.kind.cluster import KindCluster, Net
from tests.testbed.kind.engine import Engine
from tests.testbed.kind.node_image import node_image


@pytest.fixture(scope="package")
def quick_start(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickStart]:
    """The quick start as far as the operator runs in both clusters; in the end, by its own commands, all of it goes."""
    with ExitStack() as undo, ThreadPoolExecutor() as pool:
        net = Net(docker)
        undo.callback(net.stop)
        net.start()
        node, options = pool.submit(node_image, docker), pool.submit(image.needed, docker)
        ours = stand_ins.fill_in(docker)
        for name in ours:
            undo.callback(docker.run, "rmi", name)
        reader = QuickStart(tmp_path_factory.mktemp("quick-start"), docker, node.result(), options.result())
        undo.callback(reader.stop)
        reader.start()

        built = pool.submit(build_images, docker)  # also of what the page builds, which takes longest, beside the clusters
        clusters_and_broker, build = *section(1), *section(2)
        reader.run(clusters_and_broker)
        built.result()
        reader.run(build)
        install, logs = section(3)
        assert reader.run(install).count("successfully rolled out") == 2
        assert "hacron" in reader.run(logs)
        start_together(reader.clusters.values())
        if stand_ins.BUSYBOX in ours:
            list(pool.map(lambda cluster: cluster.load(stand_ins.BUSYBOX), reader.clusters.values()))
        yield reader
        if reader.is_open:
            (away,) = section(7)
            reader.run(away)
            assert reader.left() == []


@pytest.fixture(scope="package")
def estate(quick_start: QuickStart) -> Estate:
    """The same clusters, with an operator that notices faults sooner, of which only restricted pods are let in."""
    found = Estate(quick_start.clusters, quick_start.broker_url)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda cluster: cluster.load(f"{IMAGE}:{BEFORE}", BUSYBOX), found.clusters.values()))
    for cluster in found.clusters.values():
        cluster.kubectl("label", "namespace", NAMESPACE, RESTRICTED)
    found.install()
    found.executor()
    return found


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
    """Build what the clusters run besides: the operator of the chart before, and busybox for the pods of Jobs."""
    image.build(docker, f"{IMAGE}:{BEFORE}", arguments={"REVISION": "before"})  # or it would be the same image with two names
    stand_ins.make_busybox(docker, BUSYBOX)
