"""From a text, or what YAML made of it, to a value. A ValueError says what would be right: "must be" goes before its words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from hacron.core.model import MOST_LABELS

DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
Reader = Callable[[object], object]


def some_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text; put it in quotes")  # YAML reads the names `no` and `1` as something else
    return value.strip()


def reason(longest: int) -> Reader:
    """Read why something is so, in at most so many characters; empty, and `false` or its like: it is not."""

    def read(value: object) -> str:
        found = "" if _is_no(value) else some_text(value)
        if len(found) > longest:
            raise ValueError(f"a text of at most {longest} characters")
        return found

    return read


def matching(pattern: str, right: str) -> Reader:
    def read(value: object) -> str:
        found = some_text(value)
        if not re.fullmatch(pattern, found):
            raise ValueError(right)
        return found

    return read


def names(pattern: str, right: str) -> Reader:
    def read(value: object) -> tuple[str, ...]:
        found = value if isinstance(value, list | tuple) else [part for part in some_text(value).split(",") if part.strip()]
        listed = [some_text(name) for name in found]
        if not listed and not isinstance(value, list | tuple):
            raise ValueError(right)  # empty, when it was to be a list: none of them is not what was meant
        if not all(re.fullmatch(pattern, name) for name in listed):
            raise ValueError(right)
        return tuple(dict.fromkeys(listed))  # each once

    return read


def one_of(*choices: str) -> Reader:
    def read(value: object) -> str:
        for choice in choices:
            if some_text(value).lower() == choice.lower():
                return choice
        raise ValueError(f"one of {', '.join(choices)}")

    return read


def whole(least: int, most: int) -> Reader:
    right = f"a whole number from {least} to {most}"

    def read(value: object) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", str(value).strip()):
            raise ValueError(right)
        number = int(str(value))
        if not least <= number <= most:
            raise ValueError(right)
        return number

    return read


def seconds(least: float, most: float) -> Reader:
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


_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def shown_bytes(number: int) -> str:
    """Show a number with the greatest binary unit that leaves it whole."""
    for unit, size in reversed(_UNITS.items()):
        if unit and number and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def size_in_bytes(least: int) -> Reader:
    right = f"a number of bytes such as 16777216 or 16MiB, at least {shown_bytes(least)}"

    def read(value: object) -> int:
        match = re.fullmatch(r"([0-9]{1,18})\s*([KMGT]iB|)", str(value).strip())
        if isinstance(value, bool) or match is None:
            raise ValueError(right)
        number = int(match[1]) * _UNITS[match[2]]
        if not least <= number < 2**63:
            raise ValueError(right)
        return number

    return read


def yes_or_no(value: object) -> bool:
    word = str(value).strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if _is_no(value):
        return False
    raise ValueError("true or false")


def _is_no(value: object) -> bool:
    return str(value).strip().lower() in ("false", "no", "off", "0")


def labels(value: object) -> dict[str, str]:
    right = "Kubernetes labels such as tier=prod,zone=a"
    pairs = list(value.items()) if isinstance(value, dict) else _pairs(some_text(value), right)
    labels: dict[str, str] = {}
    for key, worth in pairs:
        if not (isinstance(key, str) and isinstance(worth, str) and _LABEL_KEY.fullmatch(key)):
            raise ValueError(right)
        if key in labels or not _LABEL_VALUE.fullmatch(worth):
            raise ValueError(right)
        labels[key] = worth
    if len(labels) > MOST_LABELS:
        raise ValueError(f"at most {MOST_LABELS} labels")
    return labels


def users(value: object) -> dict[str, str]:
    right = "clusters and their users such as west=hacron-west,east=hacron-east"
    pairs = list(value.items()) if isinstance(value, dict) else _pairs(some_text(value), right)
    users = {cluster: user for cluster, user in pairs if isinstance(cluster, str) and isinstance(user, str) and cluster and user}
    if len(users) < len(pairs) or not all(re.fullmatch(DNS_LABEL, cluster) for cluster in users):
        raise ValueError(right)
    return users


_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)


def _pairs(text: str, right: str) -> list[tuple[str, str]]:
    parts = [part.split("=") for part in text.split(",") if part.strip()]
    if any(len(part) != 2 for part in parts):
        raise ValueError(right)
    return [(key.strip(), worth.strip()) for key, worth in parts]


def existing_file(value: object) -> Path:
    path = Path(some_text(value)).expanduser()
    if not path.is_file():
        raise ValueError("the path of a file that exists")
    return path


def amqp_urls(value: object) -> str:
    """Read one or more AMQP URLs. What is wrong is told by position: the text holds a password."""
    texts = [some_text(url) for url in value] if isinstance(value, list) else some_text(value).split(",")
    urls = [url.strip() for url in texts]
    for position, url in enumerate(urls, start=1):
        if not _is_amqp(url):
            raise ValueError(
                "amqp:// or amqps:// URLs such as amqps://user:password@host:5671/vhost, separated by commas, with"
                f" , / @ : and % in the password and / in the vhost percent-encoded; number {position} of {len(urls)} is not one"
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
        and parts.path.count("/") <= 1  # what stands behind a second one would not be read
    )
