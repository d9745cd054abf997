"""A list that comes in pages, and where lists are asked for: of everything at once, or of each namespace that we may see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, TypeVar

from hacron.kube.http import JSON, NO_ANSWER, ApiServer
from hacron.kube.reply import Refused, Reply
from hacron.ports import lacks_right

PAGE: Final = 500
TRIES: Final = 5  # for each page but the first
PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0  # between them

T = TypeVar("T")


class Lists(NamedTuple, Generic[T]):
    """What there is in all namespaces, or in those that were named."""

    items: list[T]
    versions: dict[str, str]  # the resourceVersion of each list, by namespace
    left_out: dict[str, str]  # namespaces in which we may list nothing, and what the API server says of it
    reply: Reply  # that held the last of it


def scopes(namespaces: Sequence[str]) -> dict[str, str]:
    """Return what goes before the plural in a path, for each list that has to be made: by namespace, or by "" for all of them."""
    return {namespace: f"namespaces/{namespace}/" for namespace in namespaces} or {"": ""}


async def list_each(
    api: ApiServer, paths: Mapping[str, str], keep: Callable[[dict[str, Any]], T], accept: str = JSON
) -> Lists[T]:
    """Return what is to be kept of each item of these lists, whose paths stand by namespace.

    A namespace in which we lack the right is left out: a Role goes with its namespace, and that one was deleted is no reason to
    know nothing of the others. Raises Refused when none is left, or another reason is given.
    """
    kept: list[T] = []
    versions: dict[str, str] = {}
    refused: dict[str, Reply] = {}
    for namespace, path in paths.items():
        reply, items = await list_all(api, path, keep, accept)
        if reply.status == 200:
            kept += items
            versions[namespace] = str(reply.body["metadata"].get("resourceVersion", ""))
            answered = reply
        elif lacks_right(reply.status, reply.body):
            refused[namespace] = reply
        else:
            raise Refused(reply)
    if not versions:
        raise Refused(next(iter(refused.values())))
    left_out = {namespace: str(reply.body.get("message", "")) for namespace, reply in refused.items()}
    return Lists(kept, versions, left_out, answered)


async def _page(api: ApiServer, path: str, accept: str, tries: int) -> Reply:
    """Ask for a page, also again when the API server cannot give it now: a hundred thousand Jobs are two hundred of them."""
    for _ in range(tries - 1):
        pause_s = PAUSE_S
        with suppress(*NO_ANSWER):
            reply = await api.send("GET", path, accept=accept)
            if reply.status not in (408, 429) and reply.status < 500:
                return reply
            pause_s = min(LONGEST_PAUSE_S, max(PAUSE_S, reply.retry_after_s))
        await asyncio.sleep(pause_s)
    return await api.send("GET", path, accept=accept)


async def list_all(api: ApiServer, path: str, keep: Callable[[dict[str, Any]], T], accept: str = JSON) -> tuple[Reply, list[T]]:
    """Return what is to be kept of each item, and the reply that held the last page; or, without items, the one that refused.

    `path` has its query begun. The pages themselves are not kept: ten thousand pod templates would fill the memory.
    """
    kept: list[T] = []
    token = ""
    while True:
        reply = await _page(api, f"{path}&limit={PAGE}&continue={token}", accept, tries=TRIES if token else 1)
        if reply.status != 200:
            return reply, []
        kept += [keep(item) for item in reply.body["items"] or []]  # null when there is none
        token = reply.body["metadata"].get("continue") or ""
        if not token:
            return reply, kept
