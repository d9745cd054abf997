"""One request to the API server: out over aiohttp as plain dicts, and what came back.

Plain dicts, because the typed models of the `kubernetes` client refuse legal pod templates and drop fields that they do not know;
aiohttp, because it needs a fifth of that client's CPU. Nothing is retried here but a request that the API server did not let in
with an old token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import msgspec

from hacron.aside import aside
from hacron.kube.access import Access
from hacron.kube.clock import DistantClock
from hacron.kube.connections import Connections
from hacron.kube.reply import NoAnswer, NotNow, Reply, TooLate, understood
from hacron.ports import lacks_right, seconds_to_wait
from hacron.settings.loading import InvalidSettings

log = logging.getLogger(__name__)

JSON, MERGE_PATCH, JSON_PATCH = "application/json", "application/merge-patch+json", "application/json-patch+json"
CONNECT_S: Final = 5.0
NO_ANSWER: Final = (aiohttp.ClientError, TimeoutError, OSError, NoAnswer)  # what a request raises that got none
READ_ACCESS_S: Final = 60.0  # a token in a pod is renewed long before it ends
READ_ACCESS_AGAIN_S: Final = 1.0  # after a request that was not let in
READING_S: Final = 30.0  # longer than a kubeconfig's program may take
PROBED: Final = "default"  # a namespace that every cluster has
PROBE_S: Final = 5.0
PROBE_AGAIN_S: Final = 1.0

NOT_LET_IN: Final = 401
TOO_MANY: Final = 429
NOT_SERVING: Final = (401, 500, 502, 503, 504)  # an answer that leaves in doubt whether the API server can be worked with
FAILED: Final = 500
FAILURES: Final = 3  # in a row: then it is not one request that fails, but what the API server stores in is away


def probe(namespace: str) -> str:
    """Return the path of a Job that there is not: to say so takes the API server, what it stores in, and the rights for runs."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs/hacron-probe"


class Timed(aiohttp.BytesPayload):
    """A body that knows when it left, and does not leave after `not_after`.

    Opening a connection may take seconds. The headers go with the body: nothing has been sent when this looks at the clock.
    """

    def __init__(self, value: bytes, content_type: str, not_after: datetime | None) -> None:
        super().__init__(value, content_type=content_type)
        self._not_after = not_after
        self.sent_at: datetime | None = None
        self.late = False

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        now = datetime.now(UTC)
        self.late = self._not_after is not None and now > self._not_after
        if self.late:
            raise TooLate
        self.sent_at = now
        await super().write_with_length(writer, content_length)


class ApiServer:
    """An API server, reached from one asyncio loop. Raises aiohttp's errors, TimeoutError, OSError, NoAnswer."""

    def __init__(
        self,
        access: Access,
        read_access: Callable[[], Access],
        *,
        connections: int,
        timeout_s: float,
        on_new_connections: Callable[[], None] = lambda: None,
        probed: Sequence[str] = (PROBED,),
    ) -> None:
        """`on_new_connections` is called when other certificates, or another server, have taken the place of those before.

        `probed` are namespaces in which we may look at Jobs; one that answers is enough.
        """
        self.tally: dict[tuple[str, int], int] = {}  # (verb, HTTP status; 0: no answer) → requests sent
        self.clock = DistantClock()
        self._access = access
        self._read_access = read_access  # may wait for a program, or hang, so it is called in a thread
        self._on_new_connections = on_new_connections
        self._probes = tuple(map(probe, probed))
        self._read_at = time.monotonic()
        self._reading: asyncio.Task[None] | None = None
        self._limit = connections
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_S)
        self._connections: Connections | None = None
        self._answered_at = 0.0
        self._doubt = asyncio.Event()
        self._works = asyncio.Event()  # what the newest probe found, or an answer since
        self._works.set()
        self.trouble = ""  # why it does not
        self._ending: set[asyncio.Task[None]] = set()  # ends connections that were replaced

    @property
    def reachable(self) -> bool:
        """Whether the API server can be worked with."""
        return self._works.is_set()

    async def until_reachable(self) -> None:
        """Wait until the API server can be worked with."""
        await self._works.wait()

    async def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | list[Any] | msgspec.Raw | None = None,
        *,
        kind: str = JSON,
        accept: str = JSON,
        not_after: datetime | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Send one request and return what the API server says. Raises TooLate when it was not sent before `not_after`."""
        data = msgspec.json.encode(body) if body is not None else None
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s) if timeout_s else self._timeout
        access = self._access
        payload = Timed(data, kind, not_after) if data is not None else None
        reply = await self._exchange(access, method, path, payload, accept, timeout)
        if reply.status == NOT_LET_IN and await self._renewed(access, timeout.total or CONNECT_S):
            payload = Timed(data, kind, not_after) if data is not None else None
            reply = await self._exchange(self._access, method, path, payload, accept, timeout)
        return reply

    async def lines(self, path: str, quiet_s: float) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch until the server ends it.

        Raises TimeoutError when nothing comes for `quiet_s`, NotNow when it may begin later as it is.
        """
        connections, timeout = self._connected(), aiohttp.ClientTimeout(total=None, connect=CONNECT_S)
        # Timeouts of our own: those of aiohttp end with the session, and whoever waits then waits for ever.
        async with asyncio.timeout(CONNECT_S + quiet_s):
            response = await connections.ask("GET", self._access, path, headers={}, timeout=timeout)
        async with connections.held_open(response):
            self._count("WATCH", response.status)
            rest = b""
            while True:
                async with asyncio.timeout(quiet_s):
                    chunk = await response.content.readany()
                if response.status != 200:
                    raise _refusal(response, chunk[:200].decode(errors="replace"))
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line

    async def probe(self) -> None:
        """Keep `reachable` true to the facts, for ever: ask something small when nothing was answered lately, or in doubt."""
        while True:
            self._doubt.clear()
            await self._look()
            await asyncio.sleep(PROBE_AGAIN_S)
            while self.reachable and not self._doubt.is_set() and time.monotonic() - self._answered_at < PROBE_S:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._doubt.wait(), PROBE_S - (time.monotonic() - self._answered_at))

    async def _look(self) -> None:
        """Find out whether the API server can be worked with, unless an answer to something else says so meanwhile."""
        answered_at = self._answered_at
        for turn in range(FAILURES):
            if turn:
                await asyncio.sleep(PROBE_AGAIN_S)
            status, why = await self._ask()
            if self._answered_at != answered_at:
                return
            if status != FAILED:
                break
        self._doubt_is_right(why[:300])

    async def _ask(self) -> tuple[int, str]:
        """Ask something small; return the status, 0 if there is no answer, and what is wrong."""
        try:
            async with asyncio.timeout(2 * PROBE_S):  # with a token that has to be renewed
                reply = await self._ask_something_small()
        except Exception as error:  # noqa: BLE001  whatever it is, it is no answer
            return 0, f"{type(error).__name__}: {str(error) or 'no answer came'}"
        return reply.status, f"status {reply.status}: {reply.body.get('message', '')}"

    async def _ask_something_small(self) -> Reply:
        """Ask where we may look at Jobs, if that is anywhere."""
        for path in self._probes:
            reply = await self.send("GET", path, timeout_s=PROBE_S)
            if not lacks_right(reply.status, reply.body):
                self._doubt.clear()  # which those before may have raised
                break
        return reply

    async def renew_access(self) -> None:
        """Read token and certificates again and again, for ever."""
        while True:
            await asyncio.sleep(READ_ACCESS_S)
            if not await self._renew(READING_S):
                self._say_unread(f"they have been read for {READING_S:g} s")

    async def close(self) -> None:
        """End all connections."""
        if self._reading is not None:
            self._reading.cancel()
        for task in list(self._ending):
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        if self._connections is not None:
            await self._connections.close()

    # --- one exchange ---

    async def _exchange(
        self, access: Access, method: str, path: str, payload: Timed | None, accept: str, timeout: aiohttp.ClientTimeout
    ) -> Reply:
        began, began_mono = datetime.now(UTC), time.monotonic()
        status: int | None = 0
        try:
            ask = self._connected().ask(method, access, path, headers={"Accept": accept}, timeout=timeout, data=payload)
            async with await ask as response:
                self.clock.hear(response.headers.get("Date"), began_mono, time.monotonic())
                content = await response.read()
                status = response.status
        except aiohttp.ClientError:
            if payload is not None and payload.late:
                status = None  # nothing was sent
                raise TooLate from None
            raise
        finally:
            if status is not None:
                self._count(method, status)
            if status in (0, *NOT_SERVING):
                self._doubt.set()
        sent_at = (payload.sent_at if payload is not None else None) or began
        body = understood(status, content)
        if lacks_right(status, body):
            self._doubt.set()
        elif status not in NOT_SERVING:
            self._answered()
        return Reply(status, body, sent_at, seconds_to_wait(response.headers.get("Retry-After")))

    def _answered(self) -> None:
        self._answered_at = time.monotonic()
        self._works.set()
        self.trouble = ""

    def _doubt_is_right(self, why: str) -> None:
        if self.reachable:
            log.info("the API server cannot be worked with", extra={"why": why})
        self.trouble = why
        self._works.clear()

    def _count(self, verb: str, status: int) -> None:
        self.tally[verb, status] = self.tally.get((verb, status), 0) + 1

    def _connected(self) -> Connections:
        if self._connections is None:
            self._connections = Connections(self._access, self._limit, self._timeout.total or CONNECT_S)
        return self._connections

    # --- who we are ---

    async def _renewed(self, refused: Access, patience_s: float) -> bool:
        """Whether there is another token or certificate now than the one that was not let in."""
        if self._access == refused and time.monotonic() - self._read_at > READ_ACCESS_AGAIN_S:
            await self._renew(patience_s)
        return self._access != refused

    async def _renew(self, patience_s: float) -> bool:
        """Read token and certificates again, one reading at a time; return whether that was done in time. It goes on if not."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read_again())
        done, _ = await asyncio.wait([self._reading], timeout=patience_s)
        return bool(done)

    async def _read_again(self) -> None:
        try:
            access = await aside(self._read_access)
        except InvalidSettings as error:
            self._say_unread(str(error))
            access = self._access
        self._read_at = time.monotonic()
        if access == self._access:
            return
        log.info("goes on with a new token or certificate")
        before, self._access = self._access, access
        if not access.same_connections(before):
            self._replace_connections()
            self._on_new_connections()

    def _say_unread(self, why: str) -> None:
        log.warning("token and certificates cannot be read again; goes on with those it has", extra={"why": why})

    def _replace_connections(self) -> None:
        """New requests get new connections; those under way have time to end. A watch would not end: it begins anew at once."""
        old, self._connections = self._connections, None
        if old is not None:
            old.end_streams()
            task = asyncio.get_running_loop().create_task(self._close_later(old))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _close_later(self, connections: Connections) -> None:
        try:
            await asyncio.sleep(self._timeout.total or CONNECT_S)
        finally:
            await connections.close()


def _refusal(response: aiohttp.ClientResponse, text: str) -> NoAnswer:
    if response.status == TOO_MANY or response.status >= 500:
        return NotNow(response.status, text, seconds_to_wait(response.headers.get("Retry-After")))
    return NoAnswer(response.status, text)
