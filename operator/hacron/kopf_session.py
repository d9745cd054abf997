"""The HTTP session that Kopf is given: it says what the API server has answered, and caps the pauses that this one asks for.

Kopf keeps a pause of any length that a Retry-After asks for, and fails where it is a date.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from yarl import URL

from hacron.ports import seconds_to_wait

TOO_MANY: Final = 429


class _Capped(aiohttp.ClientResponse):
    @property
    def headers(self) -> Any:
        found = super().headers
        if self.status != TOO_MANY:
            return found
        headers = found.copy()
        # Also where there is none: Kopf then takes what stands in the body, of any length.
        headers["Retry-After"] = f"{seconds_to_wait(found.get('Retry-After')):.0f}"
        return type(found)(headers)


def open_session(
    tls: ssl.SSLContext, headers: dict[str, str], proxy: str | None, answered: Callable[[URL, int], None]
) -> aiohttp.ClientSession:
    """Return a session that calls `answered` with what was asked for, and the status that came; 0: none came."""

    async def listen(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            response = await handler(request)
        except Exception:
            answered(request.url, 0)
            raise
        answered(request.url, response.status)
        return response

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls),
        headers=headers,
        proxy=proxy,
        middlewares=(listen,),
        response_class=_Capped,
    )
