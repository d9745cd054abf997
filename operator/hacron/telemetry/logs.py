"""Log lines: JSON for machines, columns for people on a terminal.

A line is constant text and fields; the fields are those of `extra`.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

THIRD_PARTIES: Final = ("pika", "kopf", "aiohttp", "kubernetes", "asyncio", "urllib3")
"""Loggers that are heard from WARNING on, whatever the level: what matters of their work we say ourselves."""

NOISE: Final = (
    *(f"kopf._core.reactor.{part}" for part in ("running", "observation", "orchestration")),
    *(f"kopf._cogs.clients.{part}" for part in ("api", "watching")),
)
"""They tell in pages of traceback that a watch has ended, of every second in which the API server is away, and at each start of
what is meant so."""


def setup_logging(format: str, level: str, stream: TextIO | None = None) -> None:
    """Send all log lines to a stream, standard error unless named, in place of whatever was set up before.

    `format` is text, json, or auto: text on a terminal, else JSON.
    """
    stream = stream or sys.stderr
    as_text = format == "text" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in THIRD_PARTIES:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    for name in NOISE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(says_something)
    logging.captureWarnings(True)


def says_something(record: logging.LogRecord) -> bool:
    """Not that a session of aiohttp was left open: Kopf does so whenever it is ended, and it is closed when it is forgotten."""
    return not record.getMessage().startswith("Unclosed ")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, msg, then the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for name, value in _extra(record).items():
            line[f"{name}_" if name in line else name] = value
        if trace := _trace(self, record):
            line["trace"] = trace
        # ASCII: a stream of any encoding takes it, and a stray surrogate costs no line
        return json.dumps(line, default=_plain, skipkeys=True)


class TextFormatter(logging.Formatter):
    """For people: time, level, logger and message in columns, then the fields of `extra` as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        when = _rfc3339(datetime.fromtimestamp(record.created, UTC))
        logger = record.name.removeprefix("hacron.")
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _extra(record).items())
        line = f"{when} {record.levelname:<7} {logger:<16} {record.getMessage():<36} {fields}".rstrip()
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


_ORDINARY: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _ORDINARY}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _plain(value: object) -> str:
    return _rfc3339(value) if isinstance(value, datetime) else str(value)


def _quoted(value: object) -> str:
    text = _plain(value)
    if text and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    return json.dumps(text, ensure_ascii=False)  # also: a line break in a value makes no second line


def _rfc3339(instant: datetime) -> str:
    if instant.tzinfo is None:
        return instant.isoformat()  # whose time it is, nobody knows
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Alarm:
    """Something that may go wrong: told once when it begins, and once when it is over."""

    def __init__(self, logger: logging.Logger, begins: str, ends: str) -> None:
        self._logger = logger
        self._begins = begins
        self._ends = ends
        self._on = False

    def look(self, wrong: bool, **fields: object) -> None:
        """Note how it is now; `fields` say more."""
        if wrong and not self._on:
            self._logger.warning(self._begins, extra=fields)
        elif self._on and not wrong:
            self._logger.info(self._ends, extra=fields)
        self._on = wrong
