"""Requests to this cluster's API server, many at once, and exactly one Answer to each.

One thread with one asyncio loop. Nothing is tried again here: whoever asked decides. Namespaces take turns, so that one whose
requests hang, behind a webhook, holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import queue
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, assert_never
from urllib.parse import quote

from hacron.core import manifests
from hacron.core.lanes import Lanes
from hacron.core.manifests import GROUP
from hacron.core.model import Key, Kind, name_of, namespace_of
from hacron.kube.access import SERVICE_ACCOUNT, read_access
from hacron.kube.http import JSON_PATCH, MERGE_PATCH, PROBED, TOO_MANY, ApiServer
from hacron.kube.job_watch import JobWatch
from hacron.kube.listing import list_each, scopes
from hacron.kube.reply import NoAnswer, Refused, Reply, TooLate
from hacron.ports import (
    TOO_LATE,
    Answer,
    CreateJob,
    DeleteJob,
    FromKubernetes,
    GetJob,
    GetNamespace,
    GetObject,
    HaltJob,
    ListInventory,
    PatchStatus,
    PostEvent,
    Request,
)

log = logging.getLogger(__name__)

SLOW_LANE: Final = 8  # requests at once that no Job waits for: a herd of them never delays one
SHUT_S = 1.5  # after a 429 to a Job, which waits with its errand then, and in no lane
GIVES_WAY_S = 5.0  # then it is the turn of what can wait, however many Jobs there are
WHICH: Final = "/api/v1/namespaces/kube-system"  # as old as the cluster
ASK_AGAIN_S, RARELY_S = 5.0, 300.0  # which cluster this is
OTHERS: Final = 4  # connections for the watch, the probe and what follows upon them
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubeClient:
    """ports.Kubernetes. `arrivals` receives values; `on_arrival` is called after some."""

    def __init__(
        self,
        kubeconfig: Path | None,
        arrivals: queue.SimpleQueue[FromKubernetes],
        *,
        concurrency: int = 32,
        timeout_s: float = 10.0,
        namespaces: Sequence[str] = (),
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        """Without a kubeconfig, `service_account` is the folder with a pod's token. Raises InvalidSettings.

        With `namespaces`, nothing is asked of the API server that concerns others, or all of them.
        """
        self._arrivals = arrivals
        self._namespaces = tuple(namespaces)
        self._scopes = scopes(namespaces)
        self._read_access = partial(read_access, kubeconfig, service_account)
        self._fast: Lanes[Request] = Lanes(concurrency)
        self._slow: Lanes[Request] = Lanes(SLOW_LANE)
        connections = self._fast.most + self._slow.most + OTHERS + len(self._scopes)
        self.on_arrival: Callable[[], None] = lambda: None  # both are called from this client's thread
        self.on_new_connections: Callable[[], None] = lambda: None
        self._ends_itself = f"?timeout={math.ceil(timeout_s)}s"  # what the API server is still at by then has no effect
        self._api = ApiServer(
            self._read_access(),
            self._read_access,
            connections=connections,
            timeout_s=timeout_s,
            on_new_connections=lambda: self.on_new_connections(),
            probed=namespaces or (PROBED,),  # we may have no rights but in these
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kube", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._calm = asyncio.Event()  # nothing in the fast lane waits for its turn, but in namespaces that do not answer
        self._calm.set()
        self._shut_until = 0.0  # by the loop's clock: a Job was turned away, and is to be tried again before what can wait
        self._job_watch: JobWatch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._calls = False  # on_arrival is about to be called
        self._uid = ""  # of the namespace kube-system, once it is known

    @property
    def reachable(self) -> bool:
        return self._api.reachable

    @property
    def trouble(self) -> str:
        return self._api.trouble

    def time_at(self, mono: float) -> datetime | None:
        """Return what the API server's clock shows at that monotonic time."""
        return self._api.clock.time_at(mono)

    @property
    def hears_of_jobs(self) -> bool:
        watch = self._job_watch
        return watch is None or watch.hears

    @property
    def uid(self) -> str:
        """The uid of the namespace kube-system."""
        return self._uid

    @property
    def tally(self) -> dict[tuple[str, int], int]:
        """Return how many requests were sent, by HTTP method (or WATCH) and status; 0: no answer."""
        return self._api.tally

    def connection(self) -> dict[str, Any]:
        """Read where the API server is and who we are there, as the fields of a kopf.ConnectionInfo. From any thread."""
        access = self._read_access()
        return {
            "server": access.server,
            "ca_path": access.authority,
            "insecure": access.insecure,
            "certificate_path": access.certificate,
            "private_key_path": access.key,
            "scheme": "Bearer" if access.token else None,
            "token": access.token,
            "proxy_url": access.proxy,
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

    def list_jobs_again(self) -> None:
        self._loop.call_soon_threadsafe(self._list_jobs_again)

    # --- the loop ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._spawn(self._api.probe())
            self._spawn(self._api.renew_access())
            self._spawn(self._learn_uid())
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._close())
            self._loop.close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _learn_uid(self) -> None:
        """Ask which cluster this is until that is known; an API server that has just started may lack the rights of everybody."""
        pause_s = ASK_AGAIN_S
        while not self._uid:
            await self._api.until_reachable()
            try:
                reply = await self._api.send("GET", WHICH)
                if reply.status == 200:
                    self._uid = str(reply.body["metadata"]["uid"])
                    return
                why = f"status {reply.status}: {reply.body.get('message', '')}"
            except Exception as error:  # noqa: BLE001  whatever it is, it is no answer
                why = f"{type(error).__name__}: {error}"
            level = logging.INFO if pause_s == ASK_AGAIN_S else logging.DEBUG
            log.log(level, "another cluster of the same name would not be noticed", extra={"why": why[:200]})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RARELY_S)

    def _take(self, requests: list[Request]) -> None:
        for request in requests:
            if _can_wait(request):
                self._slow.put(_namespace(request), request, after_all_else=isinstance(request, PostEvent))
            else:
                self._fast.put(_namespace(request), request)
        self._begin()

    def _begin(self) -> None:
        while (request := self._next_fast()) is not None:
            self._spawn(self._serve_fast(request))
        while (request := self._slow.take()) is not None:
            self._spawn(self._serve_slow(request))

    def _next_fast(self) -> Request | None:
        request = self._fast.take()
        if self._fast.somebody_waits():
            self._calm.clear()
        else:
            self._calm.set()
        return request

    def _watch(self, on: bool) -> None:
        if on and self._watching is None:
            self._job_watch = JobWatch(self._api, self._deliver, self._scopes)
            self._watching = self._spawn(self._job_watch.follow())
        elif not on and self._watching is not None:
            self._watching.cancel()
            self._watching = self._job_watch = None

    def _list_jobs_again(self) -> None:
        if self._watching is not None:
            self._watch(False)
            self._watch(True)

    def _deliver(self, arrival: FromKubernetes) -> None:
        self._arrivals.put(arrival)
        if not self._calls:  # once for all that arrives in this turn of the loop
            self._calls = True
            self._loop.call_soon(self._call)

    def _call(self) -> None:
        self._calls = False
        self.on_arrival()

    # --- one request ---

    async def _serve_fast(self, request: Request | None) -> None:
        while request is not None:
            answer = await self._answer(request)
            if answer.status == TOO_MANY:
                self._shut_until = self._loop.time() + max(SHUT_S, answer.retry_after_s)
            self._fast.end(_namespace(request), answered=answer.answered, kind=_kind(request))
            self._deliver(answer)
            request = self._next_fast()
            self._begin()  # an answer may free more than its own place

    async def _serve_slow(self, request: Request | None) -> None:
        """Begin nothing while a Job waits for its turn: a thousand statuses would share the API server with a thousand Jobs.

        Nor while one that was turned away waits to be tried again. What has begun is not waited for, nor what waits behind it in
        the same namespace: a webhook may hang.
        """
        while request is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._no_job_waits(), GIVES_WAY_S)
            answer = await self._answer(request)
            self._slow.end(_namespace(request), answered=answer.answered, kind=_kind(request))
            self._deliver(answer)
            request = self._slow.take()
            self._begin()

    async def _no_job_waits(self) -> None:
        await self._calm.wait()
        while (shut_s := self._shut_until - self._loop.time()) > 0:
            await asyncio.sleep(shut_s)
            await self._calm.wait()

    async def _answer(self, request: Request) -> Answer:
        try:
            reply = await self._perform(request)
        except TooLate:
            return Answer(request=request, status=0, body={}, reason=TOO_LATE)
        except Exception as error:  # noqa: BLE001  whoever asked waits for one answer, whatever has happened
            return Answer(request=request, status=0, body={}, reason=f"{type(error).__name__}: {error}"[:300])
        return Answer(
            request=request, status=reply.status, body=reply.body, sent_at=reply.sent_at, retry_after_s=reply.retry_after_s
        )

    async def _perform(self, request: Request) -> Reply:
        send = self._api.send
        match request:
            case CreateJob():
                query = self._ends_itself + ("&dryRun=All" if request.dry_run else "")
                return await send("POST", _jobs(request.namespace) + query, request.body, not_after=request.not_after)
            case GetJob():
                return await send("GET", _job(request.namespace, request.name))
            case HaltJob():
                patch = manifests.halt_patch(request.uid)
                return await send("PATCH", _job(request.namespace, request.name), patch, kind=MERGE_PATCH)
            case DeleteJob():
                options: dict[str, Any] = {"propagationPolicy": "Foreground" if request.foreground else "Background"}
                if request.uid is not None:
                    options["preconditions"] = {"uid": request.uid}
                return await send("DELETE", _job(request.namespace, request.name), options)
            case PatchStatus():
                steps = manifests.status_patch(request.uid, request.status)
                return await send("PATCH", f"{_object(request.kind, request.key)}/status", steps, kind=JSON_PATCH)
            case GetObject(key=key) if not self._watches(namespace_of(key)):
                return Reply(404, {"message": f"namespace {namespace_of(key)} is not watched"}, datetime.now(UTC))
            case GetNamespace(namespace=namespace) if not self._watches(namespace):
                return Reply(404, {"message": f"namespace {namespace} is not watched"}, datetime.now(UTC))
            case GetObject():
                return await send("GET", _object(request.kind, request.key))
            case GetNamespace():
                return await send("GET", f"/api/v1/namespaces/{request.namespace}")
            case PostEvent():
                return await send("POST", f"/api/v1/namespaces/{namespace_of(request.key)}/events", request.body)
            case ListInventory():
                try:
                    return await self._list_inventory(request.kind)
                except Refused as refused:
                    return refused.reply
                except NoAnswer as error:
                    if error.status != 404:
                        raise
                    # Where nobody knows the whole group there is no Status, but one line of text.
                    return Reply(404, {"message": str(error)}, datetime.now(UTC))
            case _:
                assert_never(request)

    async def _list_inventory(self, kind: Kind) -> Reply:
        paths = {namespace: f"/apis/{GROUP}/v1/{scope}{kind.plural}?" for namespace, scope in self._scopes.items()}
        found = await list_each(self._api, paths, _entry, METADATA_ONLY)
        *_, version = found.versions.values()
        return found.reply._replace(body={"items": found.items, "version": version, "left_out": found.left_out})

    def _watches(self, namespace: str) -> bool:
        return not self._namespaces or namespace in self._namespaces


def _namespace(request: Request) -> str:
    return "" if isinstance(request, ListInventory) else namespace_of(request.key)


def _kind(request: Request) -> str:
    """Return what a request is, as far as a webhook may hold up some and not others."""
    match request:
        case PostEvent():
            return "event"
        case GetJob() | GetObject() | GetNamespace() | ListInventory():
            return "read"
        case _:
            return "write"


def _can_wait(request: Request) -> bool:
    """Whether no Job waits for it, to be made or to be gone."""
    match request:
        case CreateJob(dry_run=can_wait):
            return can_wait
        case DeleteJob(foreground=hurries):
            return not hurries
        case GetObject(run_id=run_id):
            return not run_id
        case PatchStatus() | ListInventory() | PostEvent():
            return True
        case GetJob() | GetNamespace() | HaltJob():
            return False
        case _:
            assert_never(request)


def _entry(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item["metadata"][name] for name in ("namespace", "name", "uid", "generation", "resourceVersion")}


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def _job(namespace: str, name: str) -> str:
    return f"{_jobs(namespace)}/{quote(name, safe='')}"


def _object(kind: Kind, key: Key) -> str:
    return f"/apis/{GROUP}/v1/namespaces/{namespace_of(key)}/{kind.plural}/{name_of(key)}"
