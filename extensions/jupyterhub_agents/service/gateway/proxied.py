"""The HTTP client for a site whose way out is an HTTP proxy: aiohttp, which knows CONNECT and a proxy's credentials."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from .client import HEADER_LIMIT, KEEP_IDLE_S, READ_BUFFER, UpstreamGone, kept_alive
from .headers import RawHeaders


class ProxiedClient:
    """All calls go through `proxy`, such as http://name:password@proxy.example:3128."""

    def __init__(self, connect_timeout_s: float, proxy: str) -> None:
        self._proxy = proxy
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_IDLE_S, socket_factory=kept_alive),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=connect_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # What the caller did not send is not made up.
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            read_bufsize=READ_BUFFER,
            trust_env=False,
        )

    @asynccontextmanager
    async def request(self, method: str, url: str, headers: RawHeaders, body: bytes) -> AsyncGenerator[_ProxiedAnswer]:
        try:
            answer = await self._session.request(
                method,
                _url(url),
                headers=_text(headers),
                data=body or None,
                allow_redirects=False,
                proxy=self._proxy,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamGone(_reason(error)) from error
        async with answer:
            yield _ProxiedAnswer(answer)

    async def close(self) -> None:
        await self._session.close()


class _ProxiedAnswer:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: RawHeaders = list(answer.raw_headers)

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._answer.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamGone(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Without what it says itself: that has the proxy's address, with the password."""
    status = f" {error.status}" if isinstance(error, aiohttp.ClientResponseError) else ""
    return f"{type(error).__name__}{status}"


@functools.lru_cache(maxsize=256)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _text(headers: RawHeaders) -> CIMultiDict[str]:
    """For aiohttp, which writes header values as UTF-8. Its session loses values of a header that is repeated in
    different letter case (seen); ASGI's names are all in lower case."""
    return CIMultiDict((name.decode("latin-1"), _decoded(value)) for name, value in headers)


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
