"""What the docs name is there: commands, their options, settings, metrics, alerts, fields, values of the chart, files, targets.

A name that is no longer, or never was, is what readers try first.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hacron import __main__ as hacron
from hacron.core import manifests
from hacron.plugin import __main__ as plugin
from hacron.settings.loading import CONFIG
from hacron.settings.showing import PREFIX
from hacron.settings.showing import table as settings
from tests.docs.pages import PAGES, REPOSITORY, commands, name_of, phrases
from tests.docs.test_reference import resource
from tests.packaging.test_monitoring import known_names, rules

READ_HERE = [page for page in PAGES if page.name not in ("CHANGELOG.md",)]  # what was, is in the changelog
SETTINGS = {row.variable for row in settings()}
VALUES: dict[str, Any] = yaml.safe_load((REPOSITORY / "charts" / "hacron" / "values.yaml").read_text())
IN_CONTAINERS = {"HACRON_SCHEDULED_TIME", "HACRON_RUN_ID", "HACRON_FENCING_TOKEN"}
KINDS = {"HACronJob", "HACronJobs", "HACronJobRun", "HACronJobRuns"}


def code(text: str) -> list[str]:
    return [*phrases(text), *commands(text)]


# --- commands -----------------------------------------------------------------------------------------------------------


@cache
def helps(program: str) -> dict[str, str]:
    """Return what each command of a program says of itself."""

    def said(*arguments: str) -> str:
        main = hacron.main if program == "hacron" else plugin.main
        with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit):
            main([*arguments, "--help"])
        return printed.getvalue()

    return {name: said(name) for name in re.findall(r"^    (\w+) ", said(), re.MULTILINE)}


def wrong_calls(text: str) -> Iterator[str]:
    """Yield calls of `hacron` and `kubectl hacron` with a command or an option that there is not."""
    for line in code(text):
        for call in re.split(r"&&|\||;|\$\(", line):
            found = re.match(r"\s*(?:python -m )?((?:kubectl )?hacron) ([a-z]\w*)(.*)", call)
            if found is None:
                continue
            program, command, rest = found.groups()
            known = helps(program)
            options = re.findall(r"(?<![\w-])(--[a-z][a-z-]*|-[a-zA-Z])(?![\w-])", re.sub(r'"[^"]*"', "", rest))
            if command not in known or any(not re.search(rf"{option}(?![\w-])", known[command]) for option in options):
                yield call.strip()


def wrong_targets(text: str) -> Iterator[str]:
    known = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for line in code(text):
        found = re.match(r"make ([a-z0-9-]+)", line)
        if found and found[1] not in known:
            yield found[0]


# --- names --------------------------------------------------------------------------------------------------------------


def wrong_settings(text: str) -> Iterator[str]:
    for name in re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text):
        if name not in SETTINGS | IN_CONTAINERS | {CONFIG}:
            yield name


def wrong_metrics(text: str) -> Iterator[str]:
    for phrase in code(text):
        yield from set(re.findall(r"\bhacron_\w+", phrase)) - known_names()


def wrong_alerts(text: str) -> Iterator[str]:
    known = {rule["alert"] for rule in rules()}
    yield from set(re.findall(r"\bHACronJobs?[A-Z]\w+", text)) - known - KINDS


def wrong_annotations(text: str) -> Iterator[str]:
    known = {value for value in vars(manifests).values() if isinstance(value, str)} | {"hacron.io/accept-from"}
    yield from set(re.findall(r"(?<!\.)\bhacron\.io/[\w-]+\w", text)) - known


PATH = re.compile(r"(?<![\w./-])((?:deploy|charts|crds|docs|tests|operator|bench)/[\w./-]*[\w/])(?:::(\w+))?")


def wrong_files(text: str) -> Iterator[str]:
    """Yield paths below folders of the repository that are not there; `x.py::test` names a test in it."""
    for phrase in code(text):
        for path, test in PATH.findall(phrase):
            file = REPOSITORY / path
            if not file.exists() or (test and test not in file.read_text()):
                yield path


# --- fields and values --------------------------------------------------------------------------------------------------


FIELD = re.compile(r"\.?([a-z]\w*(?:\.[a-z]\w+)+)(?:: .*)?")


def _is_in(schema: dict[str, Any], path: list[str]) -> bool:
    for name in path:
        schema = schema.get("items", schema)
        if schema.get("x-kubernetes-preserve-unknown-fields") and name not in schema.get("properties", {}):
            return True
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


def wrong_fields(text: str) -> Iterator[str]:
    """Yield fields, with at least one dot, that neither custom resource has."""
    whole = [resource(name)["schema"]["openAPIV3Schema"] for name in ("hacronjob", "hacronjobrun")]
    starts = ("spec", "status")
    inner = {name for schema in whole for part in starts for name in schema["properties"][part]["properties"]}
    for phrase in phrases(text):
        field = FIELD.fullmatch(phrase)
        path = field[1].split(".") if field else []
        if not path or (path[0] not in starts and path[0] not in inner):
            continue
        paths = [path] if path[0] in starts else [[part, *path] for part in starts]
        if not any(_is_in(schema, each) for schema in whole for each in paths):
            yield phrase


def wrong_values(text: str) -> Iterator[str]:
    """Yield values of the chart that it does not have, named in sentences or set in commands."""
    named = [phrase for phrase in phrases(text) if re.fullmatch(r"[a-z]\w*(\.\w+)+(=\S*|: .*)?", phrase)]
    named = [name for name in named if name.split(".")[0] in VALUES]
    for line in commands(text):
        if "helm " in line:
            named += re.findall(r"--set(?:-string)? '?([\w.]+)=", line)
    for name in named:
        path = re.split(r"[=:]", name)[0].split(".")
        if path[0] == "settings" and f"{PREFIX}{path[-1].upper()}" in SETTINGS:
            continue
        if not _has(VALUES, path):
            yield name


def _has(values: Any, path: list[str]) -> bool:
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


CHECKS: tuple[Callable[[str], Iterator[str]], ...] = (
    wrong_calls,
    wrong_targets,
    wrong_settings,
    wrong_metrics,
    wrong_alerts,
    wrong_annotations,
    wrong_files,
    wrong_fields,
    wrong_values,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("page", READ_HERE, ids=name_of)
def test_what_a_page_names_is_there(page: Path, check: Callable[[str], Iterator[str]]) -> None:
    assert list(check(page.read_text())) == []


@pytest.mark.parametrize("program", ["hacron", "kubectl hacron"])
def test_the_page_of_the_command_line_has_every_command(program: str) -> None:
    told = (REPOSITORY / "docs" / "cli.md").read_text()
    assert [name for name in helps(program) if f"`{program} {name}" not in told and name != "run"] == []


WRONG = """\
`hacron nxt`, `kubectl hacron list --all`, `make tea`, HACRON_CLUSTERS, `hacron_executors`, HACronJobNoTea, `hacron.io/paws`,
`deploy/nowhere.yaml`, `spec.placement.clusterLabels`, `broker.uri`, and what is there: `hacron next`, `kubectl hacron list -A`,
`make test`, HACRON_CLUSTER, `hacron_executor`, HACronJobNoExecutor, `hacron.io/pause`, `deploy/Dockerfile`, `catchUp.limit`,
`settings.page`

    helm install hacron charts/hacron --set clusters=west --set cluster=west
"""


def test_what_is_not_there_is_found() -> None:
    found = [name for check in CHECKS for name in check(WRONG)]
    assert found == [
        "hacron nxt",
        "kubectl hacron list --all",
        "make tea",
        "HACRON_CLUSTERS",
        "hacron_executors",
        "HACronJobNoTea",
        "hacron.io/paws",
        "deploy/nowhere.yaml",
        "spec.placement.clusterLabels",
        "broker.uri",
        "clusters",
    ]
