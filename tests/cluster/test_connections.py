"""Connections that are closed under those who use them: they hear of it, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest

from hacron.kube.access import Access, read_access
from hacron.kube.connections import Connections
from hacron.kube.http import ApiServer
from tests.cluster.oddities import Asked, OddServer, Said, kubeconfig, odd_server

PATIENCE = aiohttp.ClientTimeout(total=None)
FIRST_LINE = Said(200, b"hello\n", {"Content-Length": "1000"})  # the rest never comes


@pytest.fixture
def server() -> Iterator[OddServer]:
    over = threading.Event()

    def reply(asked: Asked) -> Said:
        if asked.path == "/never":
            over.wait(30)
        return FIRST_LINE

    with odd_server(reply) as server:
        yield server
        over.set()


@pytest.fixture
def access(server: OddServer, tmp_path: Path) -> Access:
    return read_access(kubeconfig(tmp_path / "kubeconfig", server.url))


async def asked(connections: Connections, access: Access, path: str) -> aiohttp.ClientResponse:
    return await connections.ask("GET", access, path, headers={}, timeout=PATIENCE)


async def until_asked(server: OddServer, times: int) -> None:
    async with asyncio.timeout(20):
        while len(server.asked) < times:
            await asyncio.sleep(0.01)


async def outcome_when_closed(connections: Connections, waiting: Awaitable[object]) -> object:
    """Close, and return what came of it to whoever waits."""
    await connections.close()
    async with asyncio.timeout(20):
        return (await asyncio.gather(waiting, return_exceptions=True))[0]


def test_who_waits_for_a_free_connection_gets_an_error_and_is_not_cancelled(server: OddServer, access: Access) -> None:
    """A task that is cancelled by nobody would end without a word: a lane for requests, the probe."""

    async def go() -> object:
        connections = Connections(access, limit=1)
        first = asyncio.ensure_future(asked(connections, access, "/never"))
        await until_asked(server, 1)
        second = asyncio.ensure_future(asked(connections, access, "/"))
        await asyncio.sleep(0)
        try:
            return await outcome_when_closed(connections, second)
        finally:
            first.cancel()

    assert isinstance(asyncio.run(go()), aiohttp.ClientConnectionError)


def test_who_is_cancelled_while_he_waits_is_cancelled(server: OddServer, access: Access) -> None:
    async def go() -> object:
        connections = Connections(access, limit=1)
        waiting = asyncio.ensure_future(asked(connections, access, "/never"))
        await until_asked(server, 1)
        waiting.cancel()
        return await outcome_when_closed(connections, waiting)

    assert isinstance(asyncio.run(go()), asyncio.CancelledError)


def test_who_reads_a_stream_gets_an_error(access: Access) -> None:
    async def go() -> object:
        connections = Connections(access, limit=1)
        response = await asked(connections, access, "/")

        async def read() -> bytes:
            async with connections.held_open(response):
                return await response.content.read(1000) + await response.content.read(1000)

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        return await outcome_when_closed(connections, reading)

    assert isinstance(asyncio.run(go()), aiohttp.ClientConnectionError)


@pytest.mark.parametrize("path", ["/", "/never"])
def test_a_watch_notices_silence_even_when_its_connection_was_closed(
    server: OddServer, access: Access, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Before its first word, and after it."""
    monkeypatch.setattr("hacron.kube.http.CONNECT_S", 0.2)

    async def heard(lines: AsyncGenerator[bytes, None]) -> list[bytes]:
        async with aclosing(lines):
            return [line async for line in lines]

    async def go() -> BaseException | None:
        api = ApiServer(access, lambda: access, connections=1, timeout_s=5)
        watching = asyncio.ensure_future(heard(api.lines(path, 0.2)))
        await until_asked(server, 1)
        assert api._connections is not None
        await api._connections._session.close()  # as aiohttp does it
        ended, _ = await asyncio.wait([watching], timeout=20)
        await api.close()
        assert ended
        return watching.exception()

    assert isinstance(asyncio.run(go()), TimeoutError | aiohttp.ClientError)
