"""One connection to the broker: open it, take turns with it, drop it.

pika's callback-style connection is driven from here by a loop of our own, because its blocking one waits for the broker without
any bound: against a frozen node, a confirm would take minutes, and an executor that cannot stop in time is a danger. Here every
wait has an end. Nothing is ever resumed: after any doubt the connection is dropped, with everything that was opened on it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

import pika  # type: ignore[import-untyped]
from pika.adapters.select_connection import IOLoop  # type: ignore[import-untyped]
from pika.channel import Channel as PikaChannel  # type: ignore[import-untyped]
from pika.credentials import ExternalCredentials  # type: ignore[import-untyped]
from pika.exceptions import AMQPError  # type: ignore[import-untyped]

from hacron.broker import refusals
from hacron.broker.frames import TolerantConnection
from hacron.broker.tls import Tls
from hacron.ports import BrokerUnavailable

OPEN_TIMEOUT_S: Final = 3.0  # of one node; the next one is tried after it
CLOSE_TIMEOUT_S: Final = 1.0

REPLY_TIMEOUT_S: Final = 3.0
"""A broker that answers nothing for so long is as good as gone."""

# It logs every refused connection several times with a traceback. What matters of it is raised here, in one line.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class Connection:
    """An open connection. All methods but `wake` are for the thread that opened it."""

    def __init__(self, loop: IOLoop, connection: TolerantConnection, user: str) -> None:
        self._loop = loop
        self._connection = connection
        self._doubt: str | None = None  # why nothing here may be trusted any more
        self._noticed = False  # something was delivered, or somebody woke us
        self._released = False
        self.blocked = ""  # why the broker reads nothing from us at present: an alarm, of all its nodes; empty: it does
        self.user = user
        connection.add_on_connection_blocked_callback(lambda _, frame: self._on_blocked(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda *_: self._on_blocked(""))
        connection.add_on_close_callback(lambda _, reason: self.doubt(f"the broker is gone: {refusals.explain(short(reason))}"))

    @property
    def too_old(self) -> str:
        """Why the broker's version will not do; empty: it will."""
        properties = self._connection.server_properties or {}
        return refusals.too_old(properties.get("product"), properties.get("version"))

    @property
    def usable(self) -> bool:
        return self._doubt is None

    def turn(self, timeout_s: float) -> None:
        """Let deliveries and heartbeats happen; return as soon as something was delivered, or somebody woke us.

        Raises BrokerUnavailable when the connection, or anything opened on it, is closed or in doubt.
        """
        self._pump(lambda: self._noticed, timeout_s)
        self._noticed = False
        self.check()

    def wait(self, done: Callable[[], object], what: str, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        """Return when `done`. Raises BrokerUnavailable when the time is over, or the connection is in doubt."""
        self.check()
        self._pump(done, timeout_s)
        self.check()
        if not done():
            self.doubt(f"blocked by the broker, {self.blocked}" if self.blocked else f"no answer for {timeout_s:g} s: {what}")
            self.check()

    def new_channel(self) -> PikaChannel:
        """Begin to open a channel of pika's, for a `Channel`."""
        self.check()
        with self.translated():
            return self._connection.channel()

    def wake(self) -> None:
        """End the turn that is under way, or else the next one. From any thread; harmless when closed."""
        # A loop that is being closed meanwhile has no socket to be woken by, and nobody who would need to be.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._loop.add_callback_threadsafe(self.notice)

    def drop(self) -> None:
        """Close the socket at once: nothing that is still buffered is sent, neither here nor by the system. Never raises.

        A record or an acknowledgement that has not left yet must not arrive after a successor has begun.
        """
        if self._released:
            return
        self.doubt("the connection was dropped")
        self._released = True
        _sever(self._connection)
        self._loop.deactivate_poller()
        self._loop.close()

    def close(self) -> None:
        """Say goodbye in order; what cannot be said in a second is left unsaid. Never raises."""
        if self._released:
            return
        if self.usable:
            with contextlib.suppress(BrokerUnavailable), self.translated():
                self._connection.close()
                self._pump(lambda: self._connection.is_closed, CLOSE_TIMEOUT_S)
        self.drop()

    # --- for the other modules of this room ---

    def check(self) -> None:
        """Raise BrokerUnavailable if anything is in doubt."""
        if self._doubt is not None:
            raise BrokerUnavailable(self._doubt)

    def doubt(self, reason: str) -> None:
        """Remember the first reason not to trust this connection."""
        self._noticed = True
        if self._doubt is None:
            self._doubt = reason

    def notice(self) -> None:
        """End the turn that is under way."""
        self._noticed = True

    def _on_blocked(self, why: str) -> None:
        self.blocked = why
        self.notice()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what pika raises into BrokerUnavailable."""
        try:
            yield
        except (AMQPError, OSError) as error:
            self.doubt(refusals.explain(short(error)))
            raise BrokerUnavailable(self._doubt) from error

    def _pump(self, done: Callable[[], object], timeout_s: float) -> None:
        """Run the loop at least once, then until `done`, doubt, or the time is over."""
        if self._doubt is not None:
            return
        with self.translated():
            _run(self._loop, lambda: done() or self._doubt is not None, timeout_s)


def connect(url: str, *, heartbeat_s: int, name: str, tls: Tls) -> Connection:
    """Open a connection to a node. `name` is what the broker's own tools show for it. Raises BrokerUnavailable."""
    parameters = _parameters(url, heartbeat_s, name, tls)
    user = tls.user or parameters.credentials.username
    where = f"{parameters.host}:{parameters.port}"
    results: list[BaseException | None] = []
    loop = IOLoop()
    loop.activate_poller()
    connection = TolerantConnection(
        parameters,
        on_open_callback=lambda _: results.append(None),
        on_open_error_callback=lambda _, error: results.append(error),
        custom_ioloop=loop,
    )
    opened = Connection(loop, connection, user)
    try:
        with opened.translated():
            _run(loop, lambda: results, OPEN_TIMEOUT_S + 1)  # pika's own timeouts clean up better, so they go first
        if not results:
            raise BrokerUnavailable("no answer")
        if results[0] is not None:
            said = short(results[0])
            # pika tells it in five parts, of which none says what it comes down to.
            if "Timeout while setting up" in said:
                said = f"no answer for {OPEN_TIMEOUT_S:g} s"
            raise BrokerUnavailable(refusals.explain_opening(said))
        opened.check()
        if opened.too_old:
            raise BrokerUnavailable(opened.too_old)
    except BrokerUnavailable as error:
        opened.drop()
        raise BrokerUnavailable(f"{where}: {error}") from error
    return opened


def _parameters(url: str, heartbeat_s: int, name: str, tls: Tls) -> pika.URLParameters:
    try:
        parameters = pika.URLParameters(url)
    except Exception as error:  # noqa: BLE001 - whatever pika dislikes; its own text would show the password
        raise BrokerUnavailable(f"this URL of a broker cannot be read ({type(error).__name__})") from None
    if url.startswith("amqps:"):
        parameters.ssl_options = pika.SSLOptions(tls.context(), parameters.host)
    if tls.user:
        parameters.credentials = ExternalCredentials()
    parameters.heartbeat = heartbeat_s
    parameters.socket_timeout = OPEN_TIMEOUT_S
    parameters.stack_timeout = OPEN_TIMEOUT_S
    parameters.connection_attempts = 1  # whoever owns the loop tries again
    parameters.client_properties = {"connection_name": name}
    return parameters


def _run(loop: IOLoop, done: Callable[[], object], timeout_s: float) -> None:
    """Run the loop at least once, so that what waits to be sent is sent; then until `done` or the time is over."""
    over: list[bool] = []
    timer = loop.call_later(0.0 if done() else max(0.0, timeout_s), lambda: over.append(True))
    try:
        while True:
            loop.poll()
            loop.process_timeouts()
            if over or done():
                return
    finally:
        loop.remove_timeout(timer)


def _sever(connection: TolerantConnection) -> None:
    """Close the socket below pika, which would only do it by and by, in turns of a loop that ends here."""
    transport = connection._transport
    sock: socket.socket | None = getattr(transport, "_sock", None)
    if sock is None:
        return
    with contextlib.suppress(OSError):
        # Lingering for zero seconds: the system discards what it has not sent, and resets the connection. It would otherwise
        # go on delivering for minutes, through a partition that heals.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        sock.close()


def short(error: BaseException) -> str:
    """Say in one line what an error of pika's comes down to: it wraps them up to three times."""
    while (cause := _wrapped(error)) is not None:
        error = cause
    return " ".join((str(error) or repr(error)).split())[:300]


def _wrapped(error: BaseException) -> BaseException | None:
    candidates = [*getattr(error, "exceptions", ())[-1:], getattr(error, "exception", None), *error.args[:1]]
    return next((cause for cause in candidates if isinstance(cause, BaseException)), None)
