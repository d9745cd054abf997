"""Every setting: its unit, its default, and what follows from it. Nothing else reads the environment.

Values come from `HACRON_<NAME>` over a YAML file over the defaults. All problems are told at once, and a name
that nobody knows is a problem: a misspelt setting would otherwise be a default that nobody wanted. An empty
variable is as good as none. How a value is read and what it may be stands with its field; what two values
must be to each other, in `CHECKS`.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

PREFIX: Final = "HACRON_"
CONFIG: Final = "HACRON_CONFIG"
"""The variable that names the YAML file."""


class InvalidSettings(ValueError):
    """Whoever set this up must change it. `problems` are sentences, one for each thing that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# --- readers: from a text, or what YAML made of it, to a value. A ValueError says what would be right. ------

Reader = Callable[[object], object]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text; put it in quotes")  # YAML reads the names `no` and `1` as something else
    return value.strip()


def _matching(pattern: str, right: str) -> Reader:
    def read(value: object) -> str:
        text = _text(value)
        if not re.fullmatch(pattern, text):
            raise ValueError(right)
        return text

    return read


def _one_of(*choices: str) -> Reader:
    def read(value: object) -> str:
        for choice in choices:
            if _text(value).lower() == choice.lower():
                return choice
        raise ValueError(f"one of {', '.join(choices)}")

    return read


def _whole(least: int, most: int) -> Reader:
    right = f"a whole number from {least} to {most}"

    def read(value: object) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", str(value).strip()):
            raise ValueError(right)
        number = int(str(value))
        if not least <= number <= most:
            raise ValueError(right)
        return number

    return read


def _seconds(least: float, most: float) -> Reader:
    right = f"a number of seconds from {least:g} to {most:g}, without a unit"

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(right)
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise ValueError(right) from None
        if not math.isfinite(number) or not least <= number <= most:
            raise ValueError(right)
        return number

    return read


_BYTES = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def _shown_bytes(number: int) -> str:
    """Show a number with the greatest binary unit that leaves it whole."""
    for unit, size in reversed(_BYTES.items()):
        if unit and number and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def _bytes(least: int) -> Reader:
    right = f"a number of bytes such as 16777216 or 16MiB, at least {_shown_bytes(least)}"

    def read(value: object) -> int:
        match = re.fullmatch(r"([0-9]{1,18})\s*([KMGT]iB|)", str(value).strip())
        if isinstance(value, bool) or match is None:
            raise ValueError(right)
        number = int(match[1]) * _BYTES[match[2]]
        if not least <= number < 2**63:
            raise ValueError(right)
        return number

    return read


def _yes_or_no(value: object) -> bool:
    word = str(value).strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError("true or false")


def _labels(value: object) -> dict[str, str]:
    right = "Kubernetes labels such as tier=prod,zone=a"
    pairs = list(value.items()) if isinstance(value, dict) else _pairs(_text(value), right)
    labels: dict[str, str] = {}
    for key, worth in pairs:
        if not (isinstance(key, str) and isinstance(worth, str) and _LABEL_KEY.fullmatch(key)):
            raise ValueError(right)
        if key in labels or not _LABEL_VALUE.fullmatch(worth):
            raise ValueError(right)
        labels[key] = worth
    return labels


_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)


def _pairs(text: str, right: str) -> list[tuple[str, str]]:
    parts = [part.split("=") for part in text.split(",") if part.strip()]
    if any(len(part) != 2 for part in parts):
        raise ValueError(right)
    return [(key.strip(), worth.strip()) for key, worth in parts]


def _existing_file(value: object) -> Path:
    path = Path(_text(value)).expanduser()
    if not path.is_file():
        raise ValueError("the path of a file that exists")
    return path


def _broker_url(value: object) -> str:
    """Read one or more AMQP URLs. What is wrong is told by position: the text holds a password."""
    texts = [_text(url) for url in value] if isinstance(value, list) else _text(value).split(",")
    urls = [url.strip() for url in texts]
    for position, url in enumerate(urls, start=1):
        if not _is_amqp(url):
            raise ValueError(
                "amqp:// or amqps:// URLs such as amqps://user:password@host:5671/vhost, separated by"
                " commas, with"
                f" , / @ : and % in the password percent-encoded; number {position} of {len(urls)} is not one"
            )
    return ",".join(urls)


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("amqp", "amqps")
        and bool(parts.hostname)
        and port != 0
        and url.count("@") == parts.netloc.count("@") <= 1  # elsewhere: a password that is not encoded
        and not re.search(r"\s", url)
    )


# --- the settings -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What there is to know of a setting, beyond its name and default; in the metadata of its field."""

    unit: str
    consequence: str
    read: Reader
    default: str | None = None  # in words, where the value itself would not tell
    secret: bool = False  # its value is in no message


def _about(unit: str, read: Reader, consequence: str, default: str | None = None) -> dict[str, About]:
    return {"about": About(unit=unit, consequence=consequence, read=read, default=default)}


def _host_and_pid() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one replica is told at its start; get it from load(). Each field is a variable HACRON_<NAME>."""

    # Where it is
    cluster: str = field(
        metadata=_about(
            "DNS label",
            _matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a DNS label: a-z, 0-9 and -, at most 63"),
            "The name of this replica's cluster in placements, records and metrics. The same for all"
            " replicas of a cluster, different in every cluster.",
        )
    )
    cluster_labels: dict[str, str] = field(
        default_factory=dict,
        hash=False,
        metadata=_about(
            "key=value,…",
            _labels,
            "What spec.placement.clusterSelector chooses this cluster by.",
            default="none",
        ),
    )
    replica: str = field(
        default_factory=_host_and_pid,
        metadata=_about(
            "name",
            _matching(r"[A-Za-z0-9]([-\w.]{0,251}[A-Za-z0-9])?", "a name of letters, digits and - . _"),
            "The name of this replica in records, logs and metrics. Two replicas of one name cannot be told apart.",
            default="<host name>-<process id>",
        ),
    )
    kubeconfig: Path | None = field(
        default=None,
        metadata=_about(
            "path",
            _existing_file,
            "How to reach this cluster's API server. Absent: as the pod's service account.",
            default="in-cluster",
        ),
    )

    # The broker
    broker_url: str = field(
        repr=False,
        metadata={
            "about": About(
                unit="URLs",
                consequence="Where RabbitMQ is: one amqp:// or amqps:// URL per node, separated by commas,"
                " tried in turn. A password is never shown.",
                read=_broker_url,
                secret=True,
            )
        },
    )
    broker_prefix: str = field(
        default="hacron",
        metadata=_about(
            "name",
            _matching(r"(?!amq\.)[A-Za-z0-9]([-\w.]{0,62}[A-Za-z0-9])?", "a name of letters, digits and - . _"),
            "What the names of all queues begin with. Replicas share cronjobs if they share this, the"
            " broker and the virtual host; another prefix is another world.",
        ),
    )
    heartbeat_s: int = field(
        default=5,
        metadata=_about(
            "seconds",
            _whole(1, 300),
            "A frozen or cut-off executor is replaced within twice this and a second. Shorter: a busy"
            " machine loses its connection for nothing.",
        ),
    )
    ledger_max_bytes: int = field(
        default=2**30,
        metadata=_about(
            "bytes",
            _bytes(2**20),
            "Disk per broker node for the ledger; the broker drops its oldest segments beyond it. Must stay"
            " several times what is live; hacron_ledger_span_bytes tells.",
        ),
    )
    ledger_segment_bytes: int = field(
        default=16 * 2**20,
        metadata=_about(
            "bytes",
            _bytes(2**16),
            "The ledger is dropped in pieces of this size. Takes effect when it is created.",
        ),
    )

    # The executor
    may_execute: bool = field(
        default=True,
        metadata=_about(
            "true or false",
            _yes_or_no,
            "False: this replica never competes for the token. If no replica does, nothing fires.",
        ),
    )
    proof_interval_s: float = field(
        default=1.0,
        metadata=_about("seconds", _seconds(0.1, 60), "How often the executor proves that it reaches the ledger."),
    )
    proof_lease_s: float = field(
        default=3.0,
        metadata=_about(
            "seconds",
            _seconds(0.2, 300),
            "An executor that has not read back a proof for so long steps down. Shorter: a broker that"
            " pauses makes takeovers; longer: nothing fires for longer when it is cut off.",
        ),
    )
    token_missing_after_s: float = field(
        default=12.0,
        metadata=_about(
            "seconds",
            _seconds(1, 3600),
            "Without any executor's proof for so long, the token counts as gone and is put back. A second"
            " token does no harm, but makes a takeover.",
        ),
    )

    # When runs start
    decide_ahead_s: float = field(
        default=5.0,
        metadata=_about(
            "seconds",
            _seconds(0, 30),
            "A tick is decided so long before it comes. An executor that dies within it makes no run late;"
            " after it a change of the cronjob may come too late for this tick.",
        ),
    )
    start_window_s: float = field(
        default=20.0,
        metadata=_about(
            "seconds",
            _seconds(1, 3600),
            "A run may start so long after its tick, or its decision when that is later; then it is missed,"
            " or under AtLeastOnce tried elsewhere.",
        ),
    )
    backup_after_s: float = field(
        default=1.0,
        metadata=_about(
            "seconds",
            _seconds(0.1, 300),
            "A replica that is not its cluster's worker makes a Job that is still pending so long after its"
            " tick. Less: more requests that find the Job there; more: runs are later when a worker is"
            " frozen.",
        ),
    )
    skew_margin_s: float = field(
        default=2.0,
        metadata=_about(
            "seconds",
            _seconds(0, 300),
            "How far the clocks of two clusters may differ. Under AtLeastOnce an attempt elsewhere waits so"
            " much longer; clocks that differ more can make a run twice.",
        ),
    )

    # Clusters that are not heard of
    seen_interval_s: float = field(
        default=5.0,
        metadata=_about("seconds", _seconds(0.1, 300), "How often a worker says that its cluster lives."),
    )
    silent_after_s: float = field(
        default=15.0,
        metadata=_about(
            "seconds",
            _seconds(0.2, 3600),
            "Without a word from a cluster for so long, it is silent: no new run is placed there.",
        ),
    )
    lost_after_s: float = field(
        default=300.0,
        metadata=_about(
            "seconds",
            _seconds(1, 7 * _DAY_S),
            "Under AtLeastOnce a run in a cluster that has been silent for so long is given up and tried"
            " elsewhere. Shorter: more runs that ran twice; longer: later.",
        ),
    )

    # What is kept
    inventory_interval_s: float = field(
        default=300.0,
        metadata=_about(
            "seconds",
            _seconds(1, _DAY_S),
            "How often a relay lists the HACronJobs of its cluster, to find deletions that it was not told of.",
        ),
    )
    forget_after_s: float = field(
        default=600.0,
        metadata=_about(
            "seconds",
            _seconds(1, 7 * _DAY_S),
            "A withdrawn cronjob is remembered so long, to delete its Jobs. A cluster that is away for longer keeps them.",
        ),
    )
    recent_limit: int = field(
        default=10,
        metadata=_about(
            "verdicts",
            _whole(1, 100),
            "How many verdicts .status.recent keeps of each cronjob; each makes the ledger longer.",
        ),
    )

    # The API server
    kube_concurrency: int = field(
        default=32,
        metadata=_about(
            "requests",
            _whole(1, 1000),
            "How many requests to the API server are under way at once. Many Jobs in one second want many.",
        ),
    )
    kube_timeout_s: float = field(
        default=10.0,
        metadata=_about(
            "seconds",
            _seconds(0.1, 300),
            "A request without an answer for so long is given up and tried again.",
        ),
    )

    # Who looks at it
    http_host: str = field(
        default="0.0.0.0",
        metadata=_about(
            "address",
            _matching(r"[\w.:%-]+", "an address or host name"),
            "Where /healthz, /readyz and /metrics are.",
        ),
    )
    http_port: int = field(
        default=8080,
        metadata=_about("port", _whole(0, 65535), "The same, its port. 0: any that is free; the log says which."),
    )
    log_format: str = field(
        default="auto",
        metadata=_about(
            "auto, text or json",
            _one_of("auto", "text", "json"),
            "How logs look. auto: text on a terminal, else JSON.",
        ),
    )
    log_level: str = field(
        default="INFO",
        metadata=_about(
            "level",
            _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
            "The least important lines that are logged. INFO says why each tick was skipped.",
        ),
    )

    @property
    def broker_urls(self) -> tuple[str, ...]:
        """The URLs of the broker's nodes, with their passwords."""
        return tuple(self.broker_url.split(","))

    @property
    def without_passwords(self) -> dict[str, str]:
        """Variable → value as it would be written there, fit for logs and screens."""
        values = {variable(f.name): _shown(f, getattr(self, f.name)) for f in fields(self)}
        values[variable("broker_url")] = ",".join(without_password(url) for url in self.broker_urls)
        return values


@dataclass(frozen=True, slots=True)
class Check:
    """What several settings must be to each other, and why."""

    names: tuple[str, ...]
    holds: Callable[..., bool]
    sentence: str


CHECKS: Final = (
    Check(
        ("proof_lease_s", "proof_interval_s"),
        lambda lease, interval: lease >= 2 * interval,
        "the lease must be at least twice the interval, or one late proof makes the executor step down",
    ),
    Check(
        ("token_missing_after_s", "heartbeat_s"),
        lambda missing, heartbeat: missing > 2 * heartbeat,
        "the first must be more than twice the heartbeat, or the token is put back while the broker is"
        " still about to take it from a frozen holder",
    ),
    Check(
        ("token_missing_after_s", "proof_lease_s"),
        lambda missing, lease: missing > lease,
        "the first must be more than the lease, or the token is put back while its holder still believes in itself",
    ),
    Check(
        ("silent_after_s", "seen_interval_s"),
        lambda silent, seen: silent >= 2 * seen,
        "the first must be at least twice the interval, or one late word makes a cluster silent",
    ),
    Check(
        ("lost_after_s", "silent_after_s"),
        lambda lost, silent: lost >= silent,
        "the first must be at least the second: a run is given up only in a cluster that is silent",
    ),
    Check(
        ("start_window_s", "skew_margin_s"),
        lambda window, skew: window > skew,
        "the window must be more than the margin, or a cluster whose clock is ahead starts nothing",
    ),
    Check(
        ("start_window_s", "backup_after_s"),
        lambda window, backup: window > backup,
        "the window must be more than the second, or a frozen worker's runs are too late for anybody else",
    ),
    Check(
        ("forget_after_s", "start_window_s"),
        lambda forget, window: forget > window,
        "the first must be more than the window, or a cronjob is forgotten while one of its runs may still start",
    ),
    Check(
        ("ledger_max_bytes", "ledger_segment_bytes"),
        lambda ledger, segment: ledger >= 8 * segment,
        "the ledger must hold at least 8 segments, because only whole ones are dropped, and records that"
        " are live must not be among them",
    ),
)


# --- loading ------------------------------------------------------------------------------------------------


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
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-02-30
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
    nearest = get_close_matches(name.upper() if name.isupper() else name.lower(), known, n=1)
    return f"; is {nearest[0]} meant?" if nearest else ""


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
        was = "" if about.secret else f" is {_as_text(found.value)!r}, but"
        raise ValueError(f"{found.where}{was} must be {error}") from None


def _disagreements(values: Mapping[str, Any], bad: set[str]) -> Iterator[str]:
    by_name = {f.name: f for f in fields(Settings)}
    for check in CHECKS:
        if not bad.intersection(check.names) and not check.holds(*(values[name] for name in check.names)):
            what = " and ".join(f"{variable(name)} ({_shown(by_name[name], values[name])})" for name in check.names)
            yield f"{what}: {check.sentence}"


# --- showing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table of settings."""

    variable: str
    unit: str
    default: str | None  # None: required
    consequence: str


def table() -> tuple[Row, ...]:
    """List all settings, for help texts and documentation, in the order in which they are declared."""
    return tuple(
        Row(
            variable=variable(f.name),
            unit=about_of(f).unit,
            default=about_of(f).default or (None if f.default is MISSING else _shown(f, f.default)),
            consequence=about_of(f).consequence,
        )
        for f in fields(Settings)
    )


def about_of(setting: Field[Any]) -> About:
    about = setting.metadata["about"]
    assert isinstance(about, About)
    return about


def variable(name: str) -> str:
    """Name the environment variable of a setting."""
    return PREFIX + name.upper()


def without_password(url: str) -> str:
    """Show a URL with its user, but not with its password."""
    return re.sub(r"://([^:]*?)(:.*)?@", r"://\1:***@", url)


def _shown(setting: Field[Any], value: object) -> str:
    if isinstance(value, int) and about_of(setting).unit == "bytes":
        return _shown_bytes(value)
    return _as_text(value)


def _as_text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case dict():
            return ",".join(f"{key}={worth}" for key, worth in value.items())
        case _:
            return str(value)
