"""A list that comes in pages, and where lists are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from hacron.kube.http import JSON, ApiServer
from hacron.kube.reply import Reply

PAGE: Final = 500

T = TypeVar("T")


def scopes(namespaces: Sequence[str]) -> tuple[str, ...]:
    """Return what goes before the plural in a path, for each list that has to be made: one of everything, or one of each."""
    return tuple(f"namespaces/{namespace}/" for namespace in namespaces) or ("",)


async def list_all(api: ApiServer, path: str, keep: Callable[[dict[str, Any]], T], accept: str = JSON) -> tuple[Reply, list[T]]:
    """Return what is to be kept of each item, and the reply that held the last page; or, without items, the one that refused.

    `path` has its query begun. The pages themselves are not kept: ten thousand pod templates would fill the memory.
    """
    kept: list[T] = []
    token = ""
    while True:
        reply = await api.send("GET", f"{path}&limit={PAGE}&continue={token}", accept=accept)
        if reply.status != 200:
            return reply, []
        kept += [keep(item) for item in reply.body["items"] or []]  # null when there is none
        token = reply.body["metadata"].get("continue") or ""
        if not token:
            return reply, kept
