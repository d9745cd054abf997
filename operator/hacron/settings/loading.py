"""Put the settings together: `HACRON_<NAME>` over a YAML file over the defaults. Nothing else reads the environment.

All problems are told at once, and a name that nobody knows is a problem: a misspelt setting would otherwise be a default that
nobody wanted. An empty variable is as good as none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import yaml

from hacron.settings.checks import CHECKS
from hacron.settings.fields import Settings, about_of
from hacron.settings.showing import PREFIX, as_text, shown, variable

CONFIG: Final = "HACRON_CONFIG"
"""The variable that names the YAML file."""


class InvalidSettings(ValueError):
    """Whoever set this up must change it. `problems` are sentences, one for each thing that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """Put the settings together from HACRON_* variables, over a YAML file, over the defaults.

    The file is `file`, or else the one that HACRON_CONFIG names; none is fine. Raises InvalidSettings,
    with all problems at once.
    """
    problems: list[str] = []
    path = file or (Path(environ[CONFIG]) if environ.get(CONFIG) else None)
    given = _from_file(path, problems) | _from_environment(environ, problems)
    values: dict[str, Any] = {}
    bad: set[str] = set()
    for setting in fields(Settings):
        try:
            values[setting.name] = _value(setting, given)
        except ValueError as error:
            bad.add(setting.name)
            problems.append(str(error))
    problems += _disagreements(values, bad)
    if problems:
        raise InvalidSettings(tuple(problems))
    return Settings(**values)


@dataclass(frozen=True, slots=True)
class _Given:
    where: str  # the variable, or the key and its file
    value: object


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, _Given]:
    known = {variable(f.name): f.name for f in fields(Settings)}
    given: dict[str, _Given] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name == CONFIG or not text.strip() or _is_service_link(name, text):
            continue
        if name in known:
            given[known[name]] = _Given(name, text)
        else:
            problems.append(f"{name} is not a setting{_nearest(name, [*known, CONFIG])}")
    return given


def _is_service_link(name: str, text: str) -> bool:
    """Whether Kubernetes put the variable there, because a Service hacron or hacron-<something> is near.

    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    A Service `hacron-http` even makes a HACRON_HTTP_PORT; its value is a URL; what the pod sets replaces it.
    """
    if re.search(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$", name):
        return True
    return name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", text) is not None


def _from_file(path: Path | None, problems: list[str]) -> dict[str, _Given]:
    if path is None:
        return {}
    names = [f.name for f in fields(Settings)]
    given: dict[str, _Given] = {}
    for key, value in _mapping(path, problems).items():
        if key not in names:
            problems.append(f"{key} in {path} is not a setting{_nearest(str(key), names)}")
        elif value is not None:
            given[str(key)] = _Given(f"{key} in {path}", value)
    return given


def _mapping(path: Path, problems: list[str]) -> dict[object, object]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
        return {}
    # The others: a date such as 2026-02-30, a tag that does not fit its value, brackets in brackets in brackets.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # Not the error's own words: they may quote a password.
        mark = getattr(error, "problem_mark", None)
        problems.append(f"{path} is not YAML" + (f": look at line {mark.line + 1}" if mark else ""))
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path} must hold lines such as `cluster: west`")
        return {}
    return content


def _nearest(name: str, known: list[str]) -> str:
    """Ask whether a name that is known was meant; what all names begin with makes none of them near."""
    by_rest = {known_name.removeprefix(PREFIX).lower(): known_name for known_name in known}
    nearest = get_close_matches(name.removeprefix(PREFIX).lower(), by_rest, n=1)
    return f"; is {by_rest[nearest[0]]} meant?" if nearest else ""


def _value(setting: Field[Any], given: Mapping[str, _Given]) -> object:
    about = about_of(setting)
    found = given.get(setting.name)
    if found is None:
        if setting.default is MISSING and setting.default_factory is MISSING:
            raise ValueError(f"{variable(setting.name)} is missing. {about.consequence}")
        return setting.default if setting.default_factory is MISSING else setting.default_factory()
    try:
        return about.read(found.value)
    except ValueError as error:
        was = "" if about.secret else f" is {as_text(found.value)!r}, but"
        raise ValueError(f"{found.where}{was} must be {error}") from None


def _disagreements(values: Mapping[str, Any], bad: set[str]) -> Iterator[str]:
    by_name = {f.name: f for f in fields(Settings)}
    for check in CHECKS:
        if not bad.intersection(check.names) and not check.holds(*(values[name] for name in check.names)):
            what = " and ".join(_told(by_name[name], values[name]) for name in check.names)
            yield f"{what}: {check.sentence}"


def _told(setting: Field[Any], value: object) -> str:
    return variable(setting.name) if about_of(setting).secret else f"{variable(setting.name)} ({shown(setting, value)})"
