"""What readers copy works: manifests are understood, Helm renders what its commands say, the quick start is of one piece."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from hacron.core.demand.wanted import read
from hacron.core.model import Kind, key_of
from hacron.core.spec import parse
from tests.docs.pages import DOCS, PAGES, blocks, commands, name_of
from tests.packaging.rendered import HelmFailed, helm

QUICK_START = commands((DOCS / "quickstart.md").read_text())


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield page and body of each HACronJob and HACronJobRun that a page shows."""
    for page in PAGES:
        for block in blocks(page.read_text(), "yaml"):
            for body in yaml.safe_load_all(block):
                if isinstance(body, dict) and body.get("kind") in set(Kind):
                    yield name_of(page), body


@pytest.mark.parametrize(("page", "body"), list(manifests()))
def test_a_manifest_is_understood(page: str, body: dict[str, Any]) -> None:
    spec = msgspec.json.encode(body["spec"])
    if body["kind"] == Kind.CRONJOB:
        assert parse(key_of("default", page), spec).schedule
    else:
        assert read(spec)[0]


def installing(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of `helm install` and `helm upgrade` with the chart of this repository."""
    for line in commands(page.read_text()):
        if re.match(r"helm (install|upgrade) \S+ charts/hacron ", line):
            yield shlex.split(line)[2:]


def render(arguments: list[str]) -> list[dict[str, Any]]:
    """Render what a command would install. Raises HelmFailed."""
    settings = [value for name, value in pairwise(arguments) if name == "--set"]
    given = {name for setting in settings for name in [setting.partition("=")[0]]}
    # An upgrade of what was installed before, as the pages say it; $RABBITMQ is what a shell puts in.
    missing: dict[str, Any] = {} if "cluster" in given else {"cluster": "west"}
    if not any(name.startswith("broker.") for name in given):
        missing["broker"] = {"existingSecret": {"name": "hacron-broker"}}
    flags = [flag for setting in settings for flag in ("--set", setting.replace("$RABBITMQ", "172.18.0.4"))]
    return [body for body in yaml.safe_load_all(helm("template", *arguments[:2], *flags, values=missing)) if body]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_helm_renders_what_a_command_says(page: Path) -> None:
    for arguments in installing(page):
        assert "Deployment" in {body["kind"] for body in render(arguments)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_helm_is_told_the_namespace(page: Path) -> None:
    """Without it Helm finds no release, or installs another one where somebody happens to be."""
    calls = [line for line in commands(page.read_text()) if re.match(r"helm (install|upgrade|uninstall|test|rollback) \S", line)]
    assert [call for call in calls if "--namespace " not in call] == []


def test_helm_says_no_to_two_urls_behind_one_set() -> None:
    """Helm takes a comma for the end of a value: what a page must not show."""
    with pytest.raises(HelmFailed, match="has no value"):
        render(shlex.split("hacron charts/hacron --set cluster=west --set broker.url='amqp://a:b@c,amqp://a:b@d'"))


def test_the_quick_start_uses_the_clusters_and_the_image_that_it_makes() -> None:
    (made,) = [re.findall(r"--name (\w+)", "\n".join(line for line in QUICK_START if line.startswith("kind create")))]
    used = {name for line in QUICK_START for name in re.findall(r"kind-(\w+)|(\w+)-control-plane", line) for name in name if name}
    assert made == ["west", "east"]
    assert used == set(made)
    (tag,) = {image for line in QUICK_START for image in re.findall(r"hacron:[\w.]+(?=\s|$)", line) if "amqp" not in line}
    for arguments in installing(DOCS / "quickstart.md"):
        (deployment,) = [body for body in render(arguments) if body["kind"] == "Deployment"]
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == tag


def test_the_quick_start_installs_in_each_cluster_under_its_name() -> None:
    calls = [" ".join(arguments) for arguments in installing(DOCS / "quickstart.md")]
    assert [re.findall(r"kind-(\w+).*cluster=(\w+)", call) for call in calls] == [[("west", "west")], [("east", "east")]]
