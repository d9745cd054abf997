"""Every queue, its name, and the reason for each of its arguments. Each has an exchange of its own, the only way into it.

Declaring is idempotent: every replica does it at every start, and the broker compares. What a queue is for is told by the
module that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hacron.broker.channel import Channel, Patient
from hacron.broker.connection import Connection

Arguments = Mapping[str, str | int | bool]

_QUORUM: Arguments = {
    # Replicated by Raft: survives the loss of a node without losing or reordering what was confirmed.
    "x-queue-type": "quorum",
    # Since RabbitMQ 4.0 a message is dropped after 20 returns by default, and -1 drops it at the first one on 3.10. A token
    # must outlive any number of executors, and a command any number of takeovers.
    "x-delivery-limit": 1_000_000,
}

TOKEN: Arguments = {
    **_QUORUM,
    # One consumer at a time gets everything: a second token goes to the holder of the first, instead of making a second
    # holder; when the holder's connection goes, the next in line is active at once.
    "x-single-active-consumer": True,
    # The token is never acknowledged. By default the broker would take that amiss after 30 minutes. (Ten years; 3.10 does not
    # know the argument and closes the channel all the same: an ordinary takeover of some milliseconds.)
    "x-consumer-timeout": 315_360_000_000,
    # How long the broker waits for a consumer whose node has vanished. RabbitMQ 4.3 would wait a minute, and nothing would
    # fire meanwhile. Older versions do not know it and do not wait.
    "x-consumer-disconnected-timeout": 5_000,
}

MAIL: Arguments = _QUORUM  # no length limit: commands that wait for an executor must not push each other out


def ledger_arguments(max_bytes: int, segment_bytes: int) -> Arguments:
    return {
        # Append-only, replicated, read by everybody from any offset without being used up.
        "x-queue-type": "stream",
        # Retention is by size alone: by age, a quiet ledger would lose records that still matter.
        "x-max-length-bytes": max_bytes,
        # Only whole segments are dropped, so they are small against the whole.
        "x-stream-max-segment-size-bytes": segment_bytes,
    }


@dataclass(frozen=True, slots=True)
class Names:
    """What everything is called at the broker. Another prefix is another world."""

    prefix: str
    cluster: str

    @property
    def token(self) -> str:
        return f"{self.prefix}.token"

    @property
    def worker(self) -> str:
        return f"{self.prefix}.worker.{self.cluster}"

    @property
    def commands(self) -> str:
        return f"{self.prefix}.commands"

    @property
    def reports(self) -> str:
        return f"{self.prefix}.reports"

    @property
    def ledger(self) -> str:
        return f"{self.prefix}.ledger"


def declare(channel: Channel, names: Names, *, ledger_max_bytes: int, ledger_segment_bytes: int) -> None:
    """Make sure that everything exists.

    Raises BrokerUnavailable, which names the queue that exists with other arguments, if one does.
    """
    queues = {
        names.token: TOKEN,
        names.worker: TOKEN,
        names.commands: MAIL,
        names.reports: MAIL,
        names.ledger: ledger_arguments(ledger_max_bytes, ledger_segment_bytes),
    }
    for queue, arguments in queues.items():
        channel.declare_queue(queue, arguments)
        channel.declare_way_in(queue)


def check_rights(connection: Connection, names: Names, *, executes: bool, patient: Patient) -> None:
    """Make sure that everything may be used: an executor that may not read its inbox would take the token for nothing.

    The ledger and the tokens are read at once anyway. Publishing comes last, because a broker that is blocked reads nothing after
    it. Raises BrokerUnavailable, which names the permission.
    """
    for queue in (names.commands, names.reports) if executes else ():
        Channel(connection, prefetch=1).look_into(queue)
    channel = Channel(connection)
    executors_alone = (names.token, names.ledger) if executes else ()
    channel.publish_nothing((names.commands, names.reports, names.worker, *executors_alone), patient)
    channel.close()
