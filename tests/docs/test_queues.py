"""The queues that docs/security.md tells of, and definitions-restricted.json makes, are those that replicas make.

At a real broker it is compared in tests/broker/test_shipped.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hacron.broker.topology import MAIL, TOKEN, Arguments, Names, ledger_arguments
from hacron.settings.fields import Settings

DEFAULT = Settings(cluster="CLUSTER", replica="r", broker_url="amqp://b")
NAMES = Names(DEFAULT.broker_prefix, DEFAULT.cluster)
LEDGER = ledger_arguments(DEFAULT.ledger_max_bytes, DEFAULT.ledger_segment_bytes)
ROW = re.compile(r"^ *\| (`hacron\..*) \| (`x-.*) \|$", re.MULTILINE)


def in_docs() -> dict[str, dict[str, str]]:
    """Return the arguments of each queue as they stand there."""
    rows = ROW.findall(Path("docs/security.md").read_text())
    return {
        queue: dict(argument.split(": ") for argument in re.findall(r"`(x-[^`]*)`", arguments))
        for queues, arguments in rows
        for queue in re.findall(r"`([^`]+)`", queues)
    }


def shipped() -> dict[str, dict[str, Any]]:
    """Return the arguments of each queue as the file has them."""
    queues = json.loads(Path("deploy/rabbitmq/definitions-restricted.json").read_text())["queues"]
    return {queue["name"].replace("worker.west", "worker.CLUSTER"): queue["arguments"] for queue in queues}


@pytest.mark.parametrize(
    ("queue", "arguments"),
    [(NAMES.token, TOKEN), (NAMES.worker, TOKEN), (NAMES.commands, MAIL), (NAMES.reports, MAIL), (NAMES.ledger, LEDGER)],
)
def test_a_queue_has_the_arguments_with_which_replicas_make_it(queue: str, arguments: Arguments) -> None:
    assert in_docs()[queue] == {name: str(value).lower() for name, value in arguments.items()}
    assert shipped()[queue] == arguments


def test_no_other_queue_stands_there() -> None:
    assert len(in_docs()) == 5
