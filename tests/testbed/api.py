"""An API server asked for much at once: objects posted and patched by the thousand, and every Job noted as it arrives."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import yaml

from tests.testbed.cluster import Cluster

AT_ONCE = 32  # requests under way; as many as a replica's client has
TICK = "hacron.io/tick"
CRON_TICK = "batch.kubernetes.io/cronjob-scheduled-timestamp"  # what Jobs of the stock controller carry


@dataclass(frozen=True, slots=True)
class Seen:
    """A Job as it was first told of."""

    name: str
    tick: datetime
    created: datetime  # creationTimestamp: whole seconds
    arrived: datetime  # our clock when the watch told of it: some milliseconds after it was stored

    @property
    def late_s(self) -> float:
        """How late it was: by the watch, or by the whole seconds of the API server where the watch itself was late."""
        return (min(self.arrived, self.created + timedelta(seconds=1)) - self.tick).total_seconds()


class Api:
    """Admin's view of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        config = yaml.safe_load(cluster.admin_kubeconfig.read_text())
        self._server: str = config["clusters"][0]["cluster"]["server"]
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}", "Content-Type": "application/json"}
        self._ca: str = config["clusters"][0]["cluster"]["certificate-authority-data"]

    def post(self, path: str, bodies: Iterable[dict[str, Any]]) -> float:
        """POST all bodies, AT_ONCE at a time; return the seconds it took. Raises when one is refused."""
        data = [json.dumps(body).encode() for body in bodies]
        return asyncio.run(self._each("POST", [(path, body) for body in data]))

    def delete(self, paths: Iterable[str]) -> float:
        """DELETE all paths, AT_ONCE at a time."""
        return asyncio.run(self._each("DELETE", [(path, b'{"propagationPolicy":"Background"}') for path in paths]))

    def patch(self, path: str, patches: Iterable[object]) -> float:
        """Merge-patch one object, once after the other."""
        kind = {"Content-Type": "application/merge-patch+json"}
        return asyncio.run(self._each("PATCH", [(path, json.dumps(patch).encode()) for patch in patches], kind, at_once=1))

    async def ping(self, late: list[tuple[datetime, float]], every_s: float, over: threading.Event) -> None:
        """Have the API server think of a ConfigMap every so many seconds until it is over; append to `late`."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "witness-"}}
        path = f"{self._server}/api/v1/namespaces/default/configmaps?dryRun=All"
        due, due_mono = datetime.now(UTC), time.monotonic()
        async with self._session() as session:
            while not over.is_set():
                due, due_mono = due + timedelta(seconds=every_s), due_mono + every_s  # after a stall, all that it held up
                await asyncio.sleep(max(0.0, due_mono - time.monotonic()))
                async with session.post(path, json=body) as response:
                    await response.read()
                late.append((due, time.monotonic() - due_mono))

    async def _each(
        self, method: str, requests: list[tuple[str, bytes]], headers: dict[str, str] | None = None, at_once: int = AT_ONCE
    ) -> float:
        left = list(reversed(requests))

        async def work(session: aiohttp.ClientSession) -> None:
            while left:
                path, body = left.pop()
                async with session.request(method, self._server + path, data=body, headers=headers) as response:
                    text = await response.text()
                    if response.status >= 300 and response.status != 404:
                        raise RuntimeError(f"{method} {path}: {response.status} {text[:300]}")

        began = time.monotonic()
        async with self._session() as session:
            await asyncio.gather(*(work(session) for _ in range(at_once)))
        return time.monotonic() - began

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=tls(self._ca))
        return aiohttp.ClientSession(connector=connector, headers=self._headers, read_bufsize=2**22)

    async def watch(self, seen: list[Seen], ready: threading.Event) -> None:
        """Append every new Job with a tick to `seen`, until cancelled."""
        known: set[str] = set()
        version = ""
        async with self._session() as session:
            while True:  # a server that has much to do ends watches that are slow to read
                path = f"{self._server}/apis/batch/v1/jobs?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
                async with session.get(path, timeout=aiohttp.ClientTimeout(total=None)) as response:
                    ready.set()
                    async for line in response.content:
                        version = _note(json.loads(line), seen, known)


def _note(event: dict[str, Any], seen: list[Seen], known: set[str]) -> str:
    """Take in one event; return where to go on."""
    arrived = datetime.now(UTC)
    metadata = event["object"].get("metadata", {})
    annotations = metadata.get("annotations") or {}
    tick = annotations.get(TICK) or annotations.get(CRON_TICK)
    if tick is not None and metadata["uid"] not in known:
        known.add(metadata["uid"])
        created = datetime.fromisoformat(metadata["creationTimestamp"])
        seen.append(Seen(metadata["name"], datetime.fromisoformat(tick).astimezone(UTC), created, arrived))
    return str(metadata.get("resourceVersion", ""))


class Witness:
    """Has an API server do something small at fixed instants, between `with` and its end, and notes how late the answers come.

    So late is anybody on this machine.
    """

    def __init__(self, api: Api, every_s: float = 0.25) -> None:
        self.late: list[tuple[datetime, float]] = []  # when it was due, and the seconds until it was answered
        self._api = api
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _run(self) -> None:
        asyncio.run(self._api.ping(self.late, self._every_s, self._over))


class Arrivals:
    """Notes Jobs in a thread of its own, between `with` and its end."""

    def __init__(self, api: Api) -> None:
        self.seen: list[Seen] = []
        self._api = api
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Arrivals:
        self._thread.start()
        if not self._ready.wait(30):
            raise TimeoutError("the watch on Jobs")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        self._task = self._loop.create_task(self._api.watch(self.seen, self._ready))
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()


def tls(authority: str) -> ssl.SSLContext:
    """Return what checks an API server by the `certificate-authority-data` of its kubeconfig."""
    return ssl.create_default_context(cadata=base64.b64decode(authority).decode())
