"""Connections to the API server that share certificates: opened as requests need them, and closed together.

When aiohttp closes a session, whoever reads a stream or waits for a connection is not told in a way that can be worked with: here
they get an error like any other. And what was given up does not arrive later, through a partition that heals.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import aiohttp

from hacron.kube.access import Access
from hacron.telemetry.version import program_version

# Longer than a minute, so that the ticks of the next minute find open connections; shorter than the 90 s after which the API
# server closes them: a request that meets a closing connection is lost.
KEEP_ALIVE_S: Final = 75.0


class Connections:
    """At most `limit` connections, with the certificates of `access`."""

    def __init__(self, access: Access, limit: int, timeout_s: float = 10.0) -> None:
        """What the other end has not received within `timeout_s` is not sent again, and its connection has ended."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limit,
                ssl=access.tls(),
                keepalive_timeout=KEEP_ALIVE_S,
                socket_factory=partial(_forgetful_socket, timeout_s),
            ),
            headers={"User-Agent": f"hacron/{program_version()}"},
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=access.proxy,
        )
        self._streams: set[aiohttp.ClientResponse] = set()

    async def ask(
        self,
        method: str,
        access: Access,
        path: str,
        *,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
        data: aiohttp.Payload | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response, its body still to be read. Raises aiohttp's errors, TimeoutError, OSError."""
        try:
            return await self._session.request(
                method,
                access.server + path,
                data=data,
                headers={**headers, **access.headers()},
                timeout=timeout,
                allow_redirects=False,
                server_hostname=access.server_name,
            )
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody has cancelled us: aiohttp does so to those who wait for a name or a free connection when it closes.
            raise aiohttp.ClientConnectionError("closed before it was connected") from None

    @asynccontextmanager
    async def held_open(self, response: aiohttp.ClientResponse) -> AsyncGenerator[None, None]:
        """Read a response that goes on for long; `end_streams` ends it with an error."""
        self._streams.add(response)
        try:
            async with response:
                yield
        finally:
            self._streams.discard(response)

    def end_streams(self) -> None:
        """Have whoever reads a stream get a ClientConnectionError."""
        for response in self._streams:
            response.close()

    async def close(self) -> None:
        """Close all connections. Streams first: aiohttp takes their connections and does not wake who waits for more."""
        self.end_streams()
        await self._session.close()


def _forgetful_socket(timeout_s: float, address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that lets go of what does not get through: the system would go on sending it for minutes.

    In time, also where it is not closed, since TLS waits for a word of the other end; and at once when it is, or we die.
    """
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(timeout_s * 1000)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock
