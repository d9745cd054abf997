"""The API server of this replica's own cluster: requests out, answers and Jobs in. The only module that imports `kubernetes`.

That client's part is to find the server and the credentials; requests go over aiohttp as plain dicts, because its typed models
refuse legal pod templates and drop fields that they do not know. One thread with one asyncio loop. Nothing is retried here:
every request gets exactly one Answer, and whoever asked decides.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never

import aiohttp
import msgspec
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from hacron.core.manifests import GROUP, LABEL
from hacron.core.model import name_of, namespace_of
from hacron.ports import (
    Answer,
    CreateJob,
    DeleteJob,
    FromKubernetes,
    GetCronJob,
    GetJob,
    GetNamespace,
    JobSeen,
    JobsListed,
    ListInventory,
    PatchStatus,
    Request,
)
from hacron.settings.loading import InvalidSettings

log = logging.getLogger(__name__)

STATUS_LANE = 8  # status patches and dry runs at once: a herd of them never delays a Job
PAGE = 500
WATCH_S = 300  # after it the server ends the watch, and it is begun again where it ended
QUIET_S = 90  # a watch without even a bookmark for so long is cut
PROBE_S = 5.0
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubeClient:
    """ports.Kubernetes. `arrivals` receives values; `on_arrival` is called after each, from this client's thread."""

    def __init__(
        self,
        kubeconfig: Path | None,
        arrivals: queue.SimpleQueue[FromKubernetes],
        on_arrival: Callable[[], None],
        *,
        concurrency: int = 32,
        timeout_s: float = 10.0,
    ) -> None:
        self._arrivals = arrivals
        self._on_arrival = on_arrival
        self._concurrency = concurrency
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=5.0)
        self._configuration = _configure(kubeconfig)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kube", daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._answered_at = time.monotonic()
        self._failed_at = 0.0
        self.tally: dict[tuple[str, int], int] = {}  # (verb, HTTP status; 0: no answer) → requests sent

    @property
    def reachable(self) -> bool:
        """Whether the newest request was answered."""
        return self._answered_at >= self._failed_at

    def connection(self) -> dict[str, Any]:
        """Return where the API server is and who we are there, as the fields of a kopf.ConnectionInfo."""
        configuration = self._configuration
        # As in the header: "Bearer" by a kubeconfig, "bearer" in a pod.
        scheme, _, token = (configuration.get_api_key_with_prefix("BearerToken") or "").partition(" ")
        return {
            "server": configuration.host,
            "ca_path": configuration.ssl_ca_cert,
            "insecure": not configuration.verify_ssl,
            "certificate_path": configuration.cert_file,
            "private_key_path": configuration.key_file,
            "scheme": scheme or None,
            "token": token or None,
        }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End at once; requests under way get no answer."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2.0)

    def submit(self, requests: Sequence[Request]) -> None:
        self._loop.call_soon_threadsafe(self._take, list(requests))

    def watch_jobs(self, on: bool) -> None:
        self._loop.call_soon_threadsafe(self._watch, on)

    # --- the loop ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._jobs_lane = asyncio.Semaphore(self._concurrency)
        self._status_lane = asyncio.Semaphore(STATUS_LANE)
        try:
            self._spawn(self._probe())
            self._loop.run_forever()
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(self._close())
            self._loop.close()

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _take(self, requests: list[Request]) -> None:
        for request in requests:
            self._spawn(self._answer(request))

    def _deliver(self, arrival: FromKubernetes) -> None:
        self._arrivals.put(arrival)
        self._on_arrival()

    async def _answer(self, request: Request) -> None:
        slow = isinstance(request, PatchStatus | ListInventory) or (isinstance(request, CreateJob) and request.dry_run)
        async with self._status_lane if slow else self._jobs_lane:
            not_after = request.not_after if isinstance(request, CreateJob) else None
            sent_at = datetime.now(UTC)
            if not_after is not None and sent_at > not_after:
                self._deliver(Answer(request=request, status=0, body={}, reason="TooLate"))
                return
            try:
                status, body = await self._perform(request)
                self._answered_at = time.monotonic()
                answer = Answer(request=request, status=status, body=body, sent_at=sent_at)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                self._failed_at = time.monotonic()
                reason = f"{type(error).__name__}: {error}"[:200]
                answer = Answer(request=request, status=0, body={}, sent_at=sent_at, reason=reason)
        self._deliver(answer)

    async def _perform(self, request: Request) -> tuple[int, dict[str, Any]]:
        match request:
            case CreateJob():
                query = "?dryRun=All" if request.dry_run else ""
                return await self._send("POST", _jobs(request.namespace) + query, request.body)
            case GetJob():
                return await self._send("GET", f"{_jobs(request.namespace)}/{request.name}")
            case DeleteJob():
                options: dict[str, Any] = {"propagationPolicy": "Foreground" if request.foreground else "Background"}
                if request.uid is not None:
                    options["preconditions"] = {"uid": request.uid}
                return await self._send("DELETE", f"{_jobs(request.namespace)}/{request.name}", options)
            case PatchStatus():
                return await self._send("PATCH", f"{_cronjob(request.key)}/status", {"status": request.status})
            case GetCronJob():
                return await self._send("GET", _cronjob(request.key))
            case GetNamespace():
                return await self._send("GET", f"/api/v1/namespaces/{request.namespace}")
            case ListInventory():
                return await self._list_inventory()
            case _:
                assert_never(request)

    async def _list_inventory(self) -> tuple[int, dict[str, Any]]:
        items: list[dict[str, Any]] = []
        page: dict[str, Any] = {"metadata": {}}
        while True:
            path = f"/apis/{GROUP}/v1/hacronjobs?limit={PAGE}&continue={page['metadata'].get('continue') or ''}"
            status, page = await self._send("GET", path, accept=METADATA_ONLY)
            if status != 200:
                return status, page
            for item in page["items"] or []:  # null when there is none
                metadata = item["metadata"]
                items.append({name: metadata[name] for name in ("namespace", "name", "uid", "generation")})
            if not page.get("metadata", {}).get("continue"):
                return status, {"items": items}

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, accept: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {**self._credentials(), "Accept": accept, "Content-Type": kind}
        data = msgspec.json.encode(body) if body is not None else None
        url = self._configuration.host.rstrip("/") + path
        status = 0
        try:
            async with self._http().request(method, url, data=data, headers=headers, timeout=self._timeout) as response:
                text = await response.read()
                status = response.status
        finally:
            self._count(method, status)
        found = msgspec.json.decode(text) if text[:1] == b"{" else {"message": text[:200].decode(errors="replace")}
        return status, found

    def _count(self, verb: str, status: int) -> None:
        self.tally[verb, status] = self.tally.get((verb, status), 0) + 1

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._concurrency + STATUS_LANE + 4, ssl=_tls(self._configuration))
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    def _credentials(self) -> dict[str, str]:
        token = self._configuration.get_api_key_with_prefix("BearerToken")  # also renews a token that was rotated
        return {"Authorization": token} if token else {}

    async def _probe(self) -> None:
        """Ask something small when nothing else is asked, so that `reachable` is about now."""
        while True:
            await asyncio.sleep(PROBE_S)
            if self.reachable and time.monotonic() - self._answered_at < PROBE_S:
                continue
            try:
                await self._send("GET", "/version")
                self._answered_at = time.monotonic()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                self._failed_at = time.monotonic()

    # --- watching Jobs ---

    def _watch(self, on: bool) -> None:
        if on and self._watching is None:
            self._watching = self._spawn(self._watch_for_ever())
        elif not on and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch_for_ever(self) -> None:
        pause_s = 0.5
        while True:
            try:
                version = await self._list_jobs()
                pause_s = 0.5
                while version:
                    version = await self._watch_from(version)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                log.info("Jobs will be listed again", extra={"why": f"{type(error).__name__}: {error}"[:200]})
            await asyncio.sleep(pause_s)
            pause_s = min(10.0, pause_s * 2)

    async def _list_jobs(self) -> str:
        items: list[dict[str, Any]] = []
        page: dict[str, Any] = {"metadata": {}}
        while True:
            token = page["metadata"].get("continue") or ""
            path = f"/apis/batch/v1/jobs?labelSelector={LABEL}%3Dtrue&limit={PAGE}&continue={token}"
            status, page = await self._send("GET", path)
            if status != 200:
                raise ValueError(f"list of Jobs: status {status}")
            items += [_slim(item) for item in page["items"]]
            if not page["metadata"].get("continue"):
                break
        self._answered_at = time.monotonic()
        self._deliver(JobsListed(items=tuple(items)))
        return str(page["metadata"]["resourceVersion"])

    async def _watch_from(self, version: str) -> str:
        """Deliver changes; return where to go on, or "" when everything is to be listed again."""
        path = (
            f"/apis/batch/v1/jobs?labelSelector={LABEL}%3Dtrue&watch=true&allowWatchBookmarks=true"
            f"&timeoutSeconds={WATCH_S}&resourceVersion={version}"
        )
        timeout = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=QUIET_S)
        url = self._configuration.host.rstrip("/") + path
        async with self._http().get(url, headers=self._credentials(), timeout=timeout) as response:
            self._count("WATCH", response.status)
            if response.status != 200:
                return ""
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = msgspec.json.decode(line)
                    if event["type"] == "ERROR":
                        return ""
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._deliver(JobSeen(body=_slim(event["object"]), gone=event["type"] == "DELETED"))
        return version


def _configure(kubeconfig: Path | None) -> Any:
    """Find the API server and the credentials. Raises InvalidSettings."""
    configuration = kubernetes_client.Configuration()
    try:
        if kubeconfig is not None:
            kubernetes_config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except kubernetes_config.ConfigException as error:
        said = f"({kubeconfig}): {' '.join(str(error).split())}"
        if kubeconfig is None:
            said = f"is missing, and this is not a pod with a service account ({error}): set it to the path of a kubeconfig"
        raise InvalidSettings((f"HACRON_KUBECONFIG {said}",)) from error
    except Exception as error:  # noqa: BLE001  whatever its loader stumbles over; its own text may show credentials
        raise InvalidSettings((f"HACRON_KUBECONFIG ({kubeconfig}) is not a kubeconfig ({type(error).__name__})",)) from None
    return configuration


def _tls(configuration: Any) -> ssl.SSLContext | bool:
    if not configuration.verify_ssl:
        return False
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def _cronjob(key: Any) -> str:
    return f"/apis/{GROUP}/v1/namespaces/{namespace_of(key)}/hacronjobs/{name_of(key)}"


def _slim(job: dict[str, Any]) -> dict[str, Any]:
    """Keep what a JobView is made of; the pod template would fill the memory."""
    metadata = {name: value for name, value in job["metadata"].items() if name != "managedFields"}
    return {"metadata": metadata, "status": job.get("status") or {}}
