"""A proxy in front of an API server, with troubles to order: slow, refusing, failing, failing after having acted."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from tests.testbed.api import tls
from tests.testbed.control_plane import ControlPlane

_HOP_BY_HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}
WRITES = ("POST", "PUT", "PATCH", "DELETE")
REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What befalls a share of the requests."""

    share: float = 1.0
    delay_s: float = 0.0
    status: int | None = None  # answered instead
    acted: bool = False  # only after the API server has done what was asked
    refused: bool = False  # the connection is closed without an answer
    writes_only: bool = False


class ApiProxy:
    """Stands in front of `cluster` for whoever uses `kubeconfig`, at `host`, without TLS; watches pass through it too."""

    def __init__(self, cluster: ControlPlane, directory: Path, host: str) -> None:
        config = yaml.safe_load(cluster.operator_kubeconfig.read_text())
        self._target: str = config["clusters"][0]["cluster"]["server"]
        self._tls = tls(config["clusters"][0]["cluster"]["certificate-authority-data"])
        self._config = config
        self._host = host
        self._trouble = Trouble(share=0)
        self._open: set[asyncio.Transport] = set()
        self.kubeconfig = directory / f"{cluster.name}-by-proxy.kubeconfig"
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy of {cluster.name}", daemon=True)

    def start(self) -> None:
        """Listen, and write the kubeconfig."""
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
        self.url = f"http://{self._host}:{port}"
        self._config["clusters"][0]["cluster"] = {"server": self.url}
        self.kubeconfig.write_text(json.dumps(self._config))

    def stop(self) -> None:
        """Close everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @contextmanager
    def trouble(self, trouble: Trouble) -> Iterator[None]:
        """Let it happen until the end of the block. One that refuses also cuts the connections that are open."""
        self._trouble = trouble
        if trouble.refused and trouble.share == 1:
            self._loop.call_soon_threadsafe(self._cut)
        try:
            yield
        finally:
            self._trouble = Trouble(share=0)

    def _cut(self) -> None:
        for transport in self._open:
            transport.abort()

    async def _listen(self) -> int:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, read_bufsize=2**22)
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _end(self) -> None:
        self._cut()
        await self._session.close()
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        transport = request.transport
        self._open.add(transport)
        try:
            return await self._answer(request, transport)
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError):
            transport.abort()  # as the API server has done
            return web.Response(status=502)
        finally:
            self._open.discard(transport)

    async def _answer(self, request: web.Request, transport: asyncio.Transport) -> web.StreamResponse:
        trouble = self._trouble
        if random.random() >= trouble.share or (trouble.writes_only and request.method not in WRITES):
            return await self._forward(request)
        await asyncio.sleep(trouble.delay_s)
        if trouble.acted:
            async with self._ask(request, await request.read()) as answer:
                await answer.read()
        if trouble.refused:
            transport.abort()
            return web.Response(status=502)
        if trouble.status is None:
            return await self._forward(request)
        said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": trouble.status}
        said |= {"reason": REASONS[trouble.status], "message": "ordered by the test"}
        return web.json_response(said, status=trouble.status, headers={"Retry-After": "1"} if trouble.status == 429 else None)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        async with self._ask(request, await request.read()) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    def _ask(self, request: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        return self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),
            data=body or None,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
