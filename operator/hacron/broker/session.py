"""One session at the broker: a connection and everything on it, opened together and thrown away together."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hacron.broker import topology
from hacron.broker.channel import Channel, Patient, Publisher
from hacron.broker.connection import Connection, connect
from hacron.broker.inbox import QueueInbox, QueueOutbox
from hacron.broker.ledger import StreamLedger
from hacron.broker.tls import Tls
from hacron.broker.token import QueueToken
from hacron.ports import BrokerUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the broker is, and who we are there."""

    urls: Sequence[str] = field(repr=False)  # with passwords
    prefix: str
    cluster: str
    replica: str
    declares: bool = True  # False: everything is there already
    executes: bool = True  # False: it will never read commands and reports
    users: Mapping[str, str] = field(default_factory=dict)  # who speaks for which cluster; empty: whoever may write
    heartbeat_s: int = 5
    ledger_max_bytes: int = 2**30
    ledger_segment_bytes: int = 16 * 2**20
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The ports of one replica, all on one connection. After BrokerUnavailable: `connection.drop()`, and open a new one."""

    connection: Connection
    ledger: StreamLedger
    token: QueueToken
    worker_token: QueueToken
    inbox: QueueInbox
    outbox: QueueOutbox


def open_broker(access: Access, clock: Callable[[], datetime], patient: Patient = lambda _: False) -> Broker:
    """Connect, make sure that every queue exists (see Access.declares) and may be used, and open the ledger at its floor.

    Nodes are tried in random order, so that replicas spread over them: one may answer, and have no copy of the ledger at present.
    While the broker is blocked it waits, if `patient`: a connection that is dropped then stays with the broker until it is not,
    and costs memory that is scarce. Raises BrokerUnavailable, which says what each node lacks or refuses.
    """
    reasons = set()
    for url in random.sample(access.urls, len(access.urls)):
        try:
            return _open_at(url, access, clock, patient)
        except BrokerUnavailable as error:
            reasons.add(str(error))
    raise BrokerUnavailable("; ".join(sorted(reasons)) or "no URL of a broker was given")


def _open_at(url: str, access: Access, clock: Callable[[], datetime], patient: Patient) -> Broker:
    names = topology.Names(access.prefix, access.cluster)
    connection = connect(url, heartbeat_s=access.heartbeat_s, name=f"hacron {access.replica}", tls=access.tls)
    try:
        if access.declares:
            channel = Channel(connection)
            topology.declare(
                channel,
                names,
                ledger_max_bytes=access.ledger_max_bytes,
                ledger_segment_bytes=access.ledger_segment_bytes,
            )
            channel.close()
        topology.check_rights(connection, names, executes=access.executes, patient=patient)
        # Everything is published on the connection that holds the token: when the token goes, so does the way to the ledger.
        publisher = Publisher(connection)
        return Broker(
            connection=connection,
            ledger=StreamLedger(connection, publisher, names.ledger),
            token=QueueToken(connection, publisher, names.token),
            worker_token=QueueToken(connection, publisher, names.worker),
            inbox=QueueInbox(connection, names, access.users),
            outbox=QueueOutbox(publisher, names, access.replica, clock),
        )
    except BaseException:
        connection.drop()
        raise
