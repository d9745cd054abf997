"""A broker in memory, for scenarios and simulations: one log, two queues, tokens. No threads, no clock, no chance.

A session has what a real one has (`hacron.broker.session.Broker`), passes the same contract tests, and sends real bytes. What
happens at the broker happens at once; a session sees it in its next `connection.turn`. To go wrong, a test may stop or wipe the
broker, delete a queue, cut a session off, or raise from the hooks `before` and `after` that surround every effect.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import islice

from hacron.broker import codec, inbox
from hacron.broker.inbox import Way, envelopes
from hacron.broker.ledger import LOOK_BACK, PREFETCH, Noted, floor_named, start_for
from hacron.core.messages import Batch, ClusterState, Command, Entry, Proof, Report
from hacron.ports import BrokerUnavailable
from tests.fakes.versions import OURS, Dialect, lowered

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
KEPT = 100  # messages, of all but tokens
YOUNG = 4  # as hacron.broker.ledger.YOUNG; a story is short, and few messages of a lost ledger land in the next one
SIGNS_OF_LIFE = (Proof, ClusterState)
LOST = b"lost"  # in place of a message that will not come back when it is given back
TOKEN, COMMANDS, REPORTS = "token", "commands", "reports"


def worker_queue(cluster: str) -> str:
    return f"worker.{cluster}"


NAMES_NONE = -1


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the ledger."""

    offset: int
    body: bytes
    floor: int  # NAMES_NONE: it says nothing of that

    @property
    def batch(self) -> Batch:
        """What it says, to who reads all versions."""
        batch = read_entry(self.offset, lowered(self.body), len(self.body))[0].batch
        assert batch is not None, self.body
        return batch


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A message of commands or reports that is done with, as it was read, and how far the ledger went then."""

    queue: str
    body: bytes
    ledger: int  # how many had been lost before that
    taken: int  # offset of its last message when this one was taken
    end: int  # and when it was done with


@dataclass(eq=False, slots=True)
class Consumer:
    """A session that receives from a queue. `sent` is on its way, `arrived` has been seen; neither is acknowledged."""

    session: FakeSession
    sent: deque[bytes] = field(default_factory=deque)
    arrived: deque[bytes] = field(default_factory=deque)
    revoked: bool = False  # what it holds has been given to others, and it does not know
    stuck: bool = False  # it is in line, and is given nothing

    def returned(self) -> list[bytes]:
        """What goes back to the queue from here."""
        return [body for body in (*self.arrived, *self.sent) if body is not LOST]


@dataclass(slots=True)
class Queue:
    """Messages and who gets them: with `single` all go to the first in line, otherwise in turn to those that are not stuck."""

    single: bool
    ready: deque[bytes] = field(default_factory=deque)
    line: list[Consumer] = field(default_factory=list)
    stalls: bool = False  # what is ready is not delivered
    shuffle: Callable[[list[bytes]], None] = lambda _: None  # what comes back may come in another order

    def put(self, body: bytes) -> None:
        self.ready.append(body)
        self.deliver()

    def deliver(self) -> None:
        while self.ready and not self.stalls and (consumer := self._next()) is not None:
            consumer.sent.append(self.ready.popleft())
            if not self.single:
                self.line.remove(consumer)
                self.line.append(consumer)

    def _next(self) -> Consumer | None:
        served = [consumer for consumer in (self.line[:1] if self.single else self.line) if not consumer.stuck]
        return served[0] if served else None

    def leave(self, consumer: Consumer) -> None:
        if consumer in self.line:
            self.line.remove(consumer)

    def take_back(self, consumer: Consumer) -> None:
        """Requeue what the consumer has not acknowledged, in its old place."""
        if consumer.revoked:
            return
        returned = consumer.returned()
        self.shuffle(returned)
        self.ready.extendleft(reversed(returned))
        consumer.arrived.clear()
        consumer.sent.clear()
        self.deliver()


class FakeBroker:
    """The broker. `ledger_bytes` bounds the ledger; its oldest messages are dropped beyond it.

    `wakes_for_signs_of_life`: whether a session has news when the ledger only says that somebody lives. If not, it reads that
    when it turns for another reason, as if it had been on its way for so long; but where it waits for nothing else.
    """

    def __init__(self, ledger_bytes: int | None = None) -> None:
        self.down = False
        self.wakes_for_signs_of_life = True
        self.news_offset = -1  # of the last message that is more than that
        self.ledger: list[Stored] = []
        self.sessions: list[FakeSession] = []
        self.limbo: list[Callable[[], None]] = []  # what was published through nodes that were cut off
        self.kept: deque[tuple[str, bytes]] = deque(maxlen=KEPT)  # what came of late: a copy of it may be on its way
        self.acknowledged: list[Acknowledged] = []
        self._lost = 0  # ledgers
        self._end_of_lost = -1  # of the last of these
        self._ledger_bytes = ledger_bytes
        self._queues: dict[str, Queue] = {}
        self._next_offset = 0

    def connect(
        self,
        replica: str = "replica",
        cluster: str = "west",
        clock: Callable[[], datetime] = lambda: LONG_AGO,
        copy_ends: int | None = None,
    ) -> FakeSession:
        """Open a session, its ledger at the floor. Raises BrokerUnavailable when the broker is down.

        `copy_ends`: the node has come back just now, and its copy of the ledger has nothing behind that offset yet.
        """
        if self.down:
            raise BrokerUnavailable("the broker is down")
        session = FakeSession(self, replica, cluster, clock, copy_ends)
        self.sessions.append(session)
        return session

    def stop(self) -> None:
        """Break every session; what is stored stays."""
        self.down = True
        for session in list(self.sessions):
            self._disconnect(session, "the broker is gone")

    def start(self) -> None:
        self.down = False

    def wipe(self) -> None:
        """Lose everything: the ledger, the queues, the tokens, what cut-off nodes have taken. Sessions break."""
        for session in list(self.sessions):
            self._disconnect(session, "its queue is gone")
        self._queues.clear()
        self.limbo.clear()
        self._empty_ledger()

    def lose_ledger(self) -> None:
        """Lose the ledger alone, as when somebody deletes it: its readers are cancelled, and the queues have what they had."""
        self.limbo = [land for land in self.limbo if getattr(land, "func", None) != self.append]
        self._empty_ledger()
        for session in self.sessions:
            if not (session.stranded or session.deaf):
                session.doubt = session.doubt or "the broker has cancelled a consumer"

    def _empty_ledger(self) -> None:
        self._end_of_lost = self.end
        self.ledger.clear()
        self._lost += 1
        self._next_offset = 0
        self.news_offset = -1

    def cut(self, session: FakeSession) -> None:
        """Break one session, as a reset of its connection does."""
        self._disconnect(session, "the connection is gone")

    def expel(self, session: FakeSession) -> None:
        """Take back what a session holds and give it to others, without the session being told.

        What a node does that is cut off from the others: its holder goes on believing, and what it writes may still arrive.
        """
        for consumer, queue in session.consumers:
            queue.leave(consumer)
            queue.ready.extendleft(reversed(consumer.returned()))
            consumer.revoked = True
            queue.deliver()

    def strand(self, session: FakeSession) -> None:
        """Expel a session; what it publishes is taken and not confirmed, and nothing new comes to it. `unstrand` ends it."""
        self.expel(session)
        session.stranded = True

    def unstrand(self) -> None:
        """Let what cut-off nodes have taken arrive now. Who was still connected to them is cut off as they join the others."""
        limbo, self.limbo = self.limbo, []
        for land in limbo:
            land()
        for session in [session for session in self.sessions if session.stranded]:
            self._disconnect(session, "the node has joined the others again")

    def delete_queue(self, name: str) -> None:
        """Delete a queue with what is in it; its consumers are cancelled."""
        queue = self._queues.pop(name, None)
        for consumer in queue.line if queue else ():
            consumer.session.doubt = "the broker has cancelled a consumer"

    def lose(self, name: str) -> None:
        """Lose every message of a queue. What somebody holds stays with him, and is gone when he gives it back."""
        queue = self.queue(name)
        queue.ready.clear()
        for consumer in queue.line:
            consumer.arrived = deque([LOST] * len(consumer.arrived))
            consumer.sent = deque([LOST] * len(consumer.sent))

    def has(self, name: str) -> bool:
        """Whether a queue has a message, or somebody holds one that comes back."""
        queue = self.queue(name)
        return bool(queue.ready) or any(consumer.returned() for consumer in queue.line)

    def holds_what_was_lost(self, name: str) -> bool:
        """Whether somebody holds a message of a queue that will not come back when it is given back."""
        return any(LOST in (*consumer.arrived, *consumer.sent) for consumer in self.queue(name).line)

    def queue(self, name: str) -> Queue:
        return self._queues.setdefault(name, Queue(single=name not in (COMMANDS, REPORTS)))

    def put(self, name: str, body: bytes) -> None:
        """Put bytes into a queue, whatever they are."""
        if name in (COMMANDS, REPORTS):
            self.kept.append((name, body))
        self.queue(name).put(body)

    def stall(self, name: str, stalls: bool = True) -> None:
        """Let a queue deliver nothing until it does again."""
        queue = self.queue(name)
        queue.stalls = stalls
        queue.deliver()

    def stick(self, session: FakeSession, name: str) -> None:
        """Let a session's consumer of a queue bring nothing any more, for as long as its connection lives; it stays in line."""
        queue = self.queue(name)
        for consumer, consumed in session.consumers:
            consumer.stuck = consumer.stuck or consumed is queue

    @property
    def has_silent_consumers(self) -> bool:
        """Whether any connection that lives brings nothing of a queue."""
        return any(consumer.stuck for session in self.sessions for consumer, _ in session.consumers)

    def deafen(self, session: FakeSession) -> None:
        """Let nothing arrive at a session any more; what it sends arrives, and it holds what it holds."""
        session.deaf = True

    def silence(self, session: FakeSession) -> None:
        """Let nothing arrive of what a session sends, not even that it ends: it has its places in line until it is cut."""
        session.mute = True

    @property
    def end(self) -> int:
        """Offset of the last message in the ledger."""
        return self._next_offset - 1

    def append(self, body: bytes, floor: int, news: bool = True) -> None:
        """Append bytes to the ledger, whatever they are."""
        self.ledger.append(Stored(self._next_offset, body, floor))
        if news or self.wakes_for_signs_of_life:
            self.news_offset = self._next_offset
        self._next_offset += 1
        if self._ledger_bytes is not None:
            size = sum(len(stored.body) for stored in self.ledger)
            while size > self._ledger_bytes and len(self.ledger) > 1:
                size -= len(self.ledger.pop(0).body)

    def forget(self, session: FakeSession) -> None:
        """End a session; what it had not acknowledged goes to others."""
        if session in self.sessions:
            self.sessions.remove(session)
        for consumer, queue in session.consumers:
            queue.leave(consumer)
        for consumer, queue in session.consumers:
            queue.take_back(consumer)

    def note_acknowledged(self, queue: str, body: bytes, taken: int) -> None:
        """Note what is done with. Where the ledger is empty, what follows from it stands in the one that was lost just then."""
        has_begun = self.end >= 0 or self._lost == 0
        ledger, end = (self._lost, self.end) if has_begun else (self._lost - 1, self._end_of_lost)
        self.acknowledged.append(Acknowledged(queue, body, ledger, taken, end))

    def _disconnect(self, session: FakeSession, reason: str) -> None:
        session.doubt = session.doubt or reason
        self.forget(session)


class FakeSession:
    """One replica's connection and its ports."""

    def __init__(
        self, broker: FakeBroker, replica: str, cluster: str, clock: Callable[[], datetime], copy_ends: int | None
    ) -> None:
        self.broker = broker
        self.copy_ends = copy_ends  # offset of the last message in its node's copy of the ledger; None: it has all
        self.replica = replica
        self.cluster = cluster
        self.doubt: str | None = None
        self.stranded = False  # on a node that is cut off from the others
        self.deaf = False  # its connection works in one direction only: nothing comes
        self.mute = False  # or nothing arrives of what it sends
        self.reads_nothing = False  # the ledger's messages are late; all else arrives
        self.wants_signs_of_life = False  # whether these are news to it
        self.dialect: Dialect = OURS
        self.consumers: list[tuple[Consumer, Queue]] = []
        self.before: Callable[[str], None] = lambda _: None  # called with the name of an effect; may raise
        self.after: Callable[[str], None] = lambda _: None
        self.connection = FakeConnection(self)
        self.ledger = FakeLedger(self)
        self.token = FakeToken(self, TOKEN)
        self.worker_token = FakeToken(self, worker_queue(cluster))
        self.inbox = FakeInbox(self)
        self.outbox = FakeOutbox(self, clock)

    @property
    def has_news(self) -> bool:
        """Whether the next turn brings something."""
        if self.doubt is not None or self.ledger.has_news:
            return True
        return any(consumer.sent and self.is_served(consumer) for consumer, _ in self.consumers)

    def is_served(self, consumer: Consumer) -> bool:
        return not (consumer.revoked or consumer.stuck or self.deaf)

    def check(self) -> None:
        if self.doubt is not None:
            raise BrokerUnavailable(self.doubt)

    def effect(self, name: str) -> Effect:
        """Surround what changes the broker. A BrokerUnavailable from a hook breaks the session, as a real one would."""
        return Effect(self, name)

    def publish(self, land: Callable[[], None]) -> None:
        """Let a message arrive, now or when the node that it went to joins the others."""
        if self.stranded:
            self.broker.limbo.append(land)
            raise BrokerUnavailable("no answer for 2 s: a publisher confirm")
        land()

    def consume(self, queue: Queue) -> Consumer:
        consumer = Consumer(self)
        queue.line.append(consumer)
        self.consumers.append((consumer, queue))
        queue.deliver()
        return consumer


class Effect:
    """Something that a session does to the broker, between its hooks."""

    __slots__ = ("_name", "_session")

    def __init__(self, session: FakeSession, name: str) -> None:
        self._session = session
        self._name = name

    def __enter__(self) -> None:
        session = self._session
        session.check()
        if session.mute:
            session.doubt = "no answer for 2 s"
            session.check()
        try:
            session.before(self._name)
        except BrokerUnavailable as error:
            self._break(error)
            raise
        session.check()

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if error is None:
            try:
                self._session.after(self._name)
            except BrokerUnavailable as late:
                self._break(late)
                raise
            self._session.check()
        elif isinstance(error, BrokerUnavailable):
            self._break(error)

    def _break(self, error: BrokerUnavailable) -> None:
        self._session.doubt = self._session.doubt or str(error)


class FakeConnection:
    """The connection of a session."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session

    @property
    def usable(self) -> bool:
        return self._session.doubt is None

    def turn(self, timeout_s: float) -> None:  # noqa: ARG002 - there is nothing to wait for
        session = self._session
        session.check()
        for consumer, _ in session.consumers:
            if consumer.sent and session.is_served(consumer):
                consumer.arrived.extend(consumer.sent)
                consumer.sent.clear()
        session.ledger.receive()
        session.token.receive()
        session.worker_token.receive()

    def wake(self) -> None:
        pass

    def drop(self) -> None:
        self._session.doubt = self._session.doubt or "the connection was dropped"
        if not self._session.mute:  # else the broker does not hear of it
            self._session.broker.forget(self._session)

    def close(self) -> None:
        self.drop()


class FakeLedger:
    """Implements `ports.Ledger`."""

    @property
    def is_whole(self) -> bool:
        return not self.truncated and not self.unreadable

    def __init__(self, session: FakeSession) -> None:
        self._session = session
        self._arrived: deque[Stored] = deque()
        self.unreadable = 0
        self._at_once = PREFETCH if session.copy_ends is not None else None  # what is late comes in parts
        ledger = self._copy
        last = ledger[-1] if ledger else None
        floor = floor_named(Noted(one.offset, one.body, one.floor) for one in ledger[-LOOK_BACK:]) or 0
        self.truncated = bool(ledger) and ledger[0].offset > floor
        self._end = last.offset if last else -1
        start = start_for(floor, YOUNG)
        self._next = start if not ledger or ledger[0].offset <= start else floor
        self._read_up_to = -1
        self._written_up_to = -1

    @property
    def caught_up(self) -> bool:
        return self._read_up_to >= self._end

    @property
    def has_news(self) -> bool:
        session = self._session
        broker, ends, following = session.broker, session.copy_ends, self._next
        if session.wants_signs_of_life:
            is_news = broker.end >= following
        else:
            is_news = broker.news_offset >= following or self._written_up_to >= following
        return is_news and (ends is None or ends >= following) and self._is_served

    @property
    def _copy(self) -> list[Stored]:
        """What the node has of the ledger."""
        ledger, ends = self._session.broker.ledger, self._session.copy_ends
        return ledger if ends is None else [stored for stored in ledger if stored.offset <= ends]

    @property
    def _is_served(self) -> bool:
        session = self._session
        return not (session.stranded or session.deaf or session.reads_nothing)

    @property
    def has_arrived(self) -> bool:
        return bool(self._arrived)

    def receive(self) -> None:
        """Take in what has been appended since the last time."""
        ledger = self._copy if self._is_served else []
        if ledger and ledger[-1].offset >= self._next:
            arrived = ledger[max(0, self._next - ledger[0].offset) :][: self._at_once]
            self._arrived.extend(arrived)
            self._next = arrived[-1].offset + 1

    def read(self) -> Sequence[Entry]:
        entries = []
        while self._arrived:
            stored = self._arrived.popleft()
            self._read_up_to = stored.offset
            entries.append(self._decode(stored))
        return entries

    def append(self, batches: Sequence[Batch], floor: int | None) -> None:
        broker, floor = self._session.broker, floor if floor is not None else NAMES_NONE
        for batch in batches:
            body = self._session.dialect.writes(codec.encode_batch(batch))
            news = not all(isinstance(record, SIGNS_OF_LIFE) for record in batch.records)
            with self._session.effect("append"):
                self._session.publish(partial(broker.append, body, floor, news))
                self._written_up_to = broker.ledger[-1].offset

    def _decode(self, stored: Stored) -> Entry:
        entry, unreadable = read_entry(stored.offset, self._session.dialect.reads(stored.body), len(stored.body))
        self.unreadable += unreadable
        return entry


@lru_cache(maxsize=4096)  # all sessions read the same, sooner or later
def read_entry(offset: int, body: bytes, size: int) -> tuple[Entry, int]:
    """Return a message as it is read, and of how many records that fails. The reasons would hold whole worlds: tracebacks."""
    entry, unreadable = codec.read_entry(offset, body, size)
    return entry, len(unreadable)


class FakeToken:
    """Implements `ports.Token`."""

    def __init__(self, session: FakeSession, queue: str) -> None:
        self._session = session
        self._name = queue
        self._consumer: Consumer | None = None

    def compete(self) -> None:
        if self._consumer is None:
            with self._session.effect("compete"):
                self._consumer = self._session.consume(self._queue)

    @property
    def held(self) -> bool:
        return bool(self._consumer and self._consumer.arrived) and self._session.doubt is None

    def give_back(self) -> None:
        self._session.check()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with self._session.effect("give_back"):
                self._queue.leave(consumer)
                self._queue.deliver()
                self._queue.take_back(consumer)

    def put_back(self) -> None:
        with self._session.effect("put_back"):
            self._session.publish(partial(self._session.broker.put, self._name, b"{}"))

    def receive(self) -> None:
        """Acknowledge all tokens but the newest."""
        while self._consumer and len(self._consumer.arrived) > 1:
            self._consumer.arrived.popleft()

    @property
    def _queue(self) -> Queue:
        return self._session.broker.queue(self._name)


class FakeInbox:
    """Implements `ports.Inbox`."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session
        self._ways: list[tuple[Consumer, Way]] = []
        self._taken: list[list[int]] = []  # of each way: of those that have arrived, how far the ledger went when they were taken
        self._waiting: set[str] = set()  # of which kinds some were ready when last looked at, and none has come since
        self.unreadable = {COMMANDS: 0, REPORTS: 0}

    def open(self) -> None:
        if self._ways:
            return
        with self._session.effect("open"):
            for way in (inbox.COMMANDS, inbox.REPORTS):
                self._ways.append((self._session.consume(self._session.broker.queue(way.kind)), way))
            self._taken = [[] for _ in self._ways]

    def look(self) -> None:
        self._waiting = {kind for kind in (COMMANDS, REPORTS) if self._session.broker.queue(kind).ready}

    @property
    def held_up(self) -> Collection[str]:
        if not self._waiting:
            return ()
        return self._waiting - {way.kind for consumer, way in self._ways if consumer.arrived}

    def take(self) -> Sequence[Command | Report]:
        messages: list[Command | Report] = []
        for (consumer, way), taken in zip(self._ways, self._taken, strict=True):
            if len(consumer.arrived) > len(taken):
                for body in islice(consumer.arrived, len(taken), None):
                    messages.extend(self._read(body, way))
                    taken.append(self._session.broker.end)
                self._waiting.discard(way.kind)
            del taken[len(consumer.arrived) :]
        return messages

    def acknowledge(self) -> None:
        if not any(self._taken):
            return
        with self._session.effect("acknowledge"):
            for (consumer, way), taken in zip(self._ways, self._taken, strict=True):
                for end in taken[: len(consumer.arrived)]:
                    body = consumer.arrived.popleft()
                    if not consumer.revoked:  # or others have it
                        self._session.broker.note_acknowledged(way.kind, self._session.dialect.reads(body), end)
                taken.clear()

    def _read(self, body: bytes, way: Way) -> Sequence[Command | Report]:
        try:
            messages, unreadable = way.decode(self._session.dialect.reads(body))
        except codec.Unreadable:
            self.unreadable[way.kind] += 1
            return []
        self.unreadable[way.kind] += len(unreadable)
        return messages


class FakeOutbox:
    """Implements `ports.Outbox`."""

    def __init__(self, session: FakeSession, clock: Callable[[], datetime]) -> None:
        self._session = session
        self._clock = clock

    def send_commands(self, commands: Sequence[Command]) -> None:
        self._send("send_commands", COMMANDS, commands)

    def send_reports(self, reports: Sequence[Report]) -> None:
        self._send("send_reports", REPORTS, reports)

    def _send(self, effect: str, queue: str, messages: Iterable[Command | Report]) -> None:
        with self._session.effect(effect):
            for body in map(self._session.dialect.writes, envelopes(messages, self._session.replica, self._clock())):
                self._session.publish(partial(self._session.broker.put, queue, body))
