"""What the chart renders for several files of values, word by word; and an API server takes all of it.

`REWRITE=1 pytest tests/packaging/test_golden.py` writes the files anew, to be reviewed like code.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.rendered import CHART, FULL_OVERLAY, NAMESPACE, helm
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane
from tests.testbed.install import wait_established

pytestmark = pytest.mark.cluster

CASES = sorted((CHART / "ci").glob("*-values.yaml"))
GOLDEN = Path(__file__).parent / "golden"
PROMETHEUS_OPERATOR = Path(__file__).parent / "prometheus-operator-crds.yaml"


def values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def rendered(path: Path) -> str:
    return helm("template", "hacron", CHART, "--namespace", NAMESPACE, values=values(path))


def shortened(text: str) -> str:
    """Leave out what stands in files of its own, word by word."""
    for name, indent in (("alerts.yaml", 2), ("dashboard.json", 4), ("ready.py", 10)):
        whole = textwrap.indent((CHART / "files" / name).read_text().strip("\n"), " " * indent, lambda _: True)
        whole = "\n".join(line.rstrip() if not line.strip() else line for line in whole.split("\n"))
        text = "\n".join(line.rstrip() for line in text.split("\n")).replace(whole, f"{' ' * indent}# files/{name}")
    return text


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_it_renders_this(case: Path) -> None:
    golden = GOLDEN / f"{case.stem.removesuffix('-values')}.yaml"
    found = shortened(rendered(case))
    if os.environ.get("REWRITE"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found)
    assert found == golden.read_text()


def test_together_they_give_every_value() -> None:
    given = {name for case in CASES for name in values(case)}
    assert given | {"securityContext"} == set(yaml.safe_load((CHART / "values.yaml").read_text()))


class TestTaken:
    @pytest.fixture(scope="class")
    @staticmethod
    def ready(west: ControlPlane) -> Iterator[ControlPlane]:
        """A cluster with the resources of the Prometheus operator, and namespaces of tenants."""
        west.apply(PROMETHEUS_OPERATOR)
        wait_established(west, "crd/servicemonitors.monitoring.coreos.com", "crd/prometheusrules.monitoring.coreos.com")
        for namespace in ("shop", "billing"):
            west.kubectl("create", "namespace", namespace)
        yield west
        west.kubectl("delete", "namespace", "shop", "billing", "--wait=false")
        west.kubectl("delete", "-f", str(PROMETHEUS_OPERATOR))

    @pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
    def test_an_api_server_takes_all_of_it_without_a_warning(self, case: Path, ready: ControlPlane) -> None:
        """`--validate=strict` also refuses fields that it does not know; pods of the namespace have to be restricted."""
        text = rendered(case)
        server = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
        taken = ready.kubectl(*server, input=text).splitlines()
        assert len(taken) == len([each for each in yaml.safe_load_all(text) if each])

    def test_it_takes_the_overlay_with_every_component_too(self, ready: ControlPlane) -> None:
        text = ready.kubectl("kustomize", str(FULL_OVERLAY))
        server = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
        taken = ready.kubectl(*server, input=text).splitlines()
        assert len(taken) == len([each for each in yaml.safe_load_all(text) if each])

    def test_it_would_refuse_what_it_does_not_know(self, ready: ControlPlane) -> None:
        text = rendered(CHART / "ci" / "monitored-values.yaml").replace("scrapeTimeout", "scrapePatience")
        with pytest.raises(KubectlFailed, match="scrapePatience"):
            ready.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", input=text)
