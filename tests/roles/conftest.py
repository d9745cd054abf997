"""What the tests of this folder share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from hacron.telemetry.logs import NOISE, THIRD_PARTIES


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Undo what setup_logging does to the loggers of this process."""
    loggers = [logging.getLogger(name) for name in ("", *THIRD_PARTIES, *NOISE)]
    before = [(logger, logger.level) for logger in loggers]
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)
    for logger, level in before:
        logger.setLevel(level)
