"""Requests to the service's store API: the token, retries of what may be sent twice, and what an answer means."""

from __future__ import annotations

import asyncio
import random
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
from pydantic_core import PydanticSerializationError, from_json, to_json

from ...errors import AgentsError, InvalidInput, StoreUnavailable, decode

Token = Callable[[str], Awaitable[str]]
"""The token to use for what is an owner's ("": for what is nobody's)."""

CONNECT_S = 5.0
RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_WORTH_PACKING = 16_384
_LARGE = 200_000
"""Bytes from which on JSON is made and read in a thread."""
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Transport:
    """One pool of connections to one service. `timeout` is in seconds, for a call with all its retries; an answer that
    has begun may take longer, as long as it goes on."""

    def __init__(self, url: str, token: Token, timeout: float) -> None:
        self._url = url.rstrip("/") + "/store"
        self._token = token
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        if self._client is None:
            # Reading the certificates blocks.
            self._client = await asyncio.to_thread(self._make_client)

    async def close(self) -> None:
        """Wait for the calls that were begun, and let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            await self._idle.wait()
            await client.aclose()

    def _make_client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(self._timeout, connect=min(CONNECT_S, self._timeout))
        limits = httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=30)
        # Reading the certificates takes longer than all else here, and is for nothing where there is no TLS.
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self._url.startswith("http://") else True
        # Variables such as HTTP_PROXY are for the internet; the service is beside the hub.
        return httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=verify)

    async def call(
        self,
        method: str,
        owner: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        again: bool = True,
        on_again: Callable[[], None] | None = None,
    ) -> httpx.Response:
        """The answer to a request. `again` says that it may be sent twice; one that may not is repeated only while it
        surely never arrived. `on_again` is called before a request is sent that may have arrived before. Raises what
        the service answered with, StoreUnavailable."""
        client = self._client
        if client is None:
            raise StoreUnavailable(f"The store at {self._url} is not open: the server is starting or stopping.")
        self._calls += 1
        self._idle.clear()
        try:
            return await self._until_answered(client, method, owner, path, params, body, again, on_again)
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def _until_answered(
        self,
        client: httpx.AsyncClient,
        method: str,
        owner: str,
        path: tuple[str, ...],
        params: Mapping[str, Any] | None,
        body: Any,
        again: bool,
        on_again: Callable[[], None] | None,
    ) -> httpx.Response:
        url = "/".join([self._url, *(quote(part, safe="") for part in ((owner, *path) if owner else path))])
        headers = {"accept-encoding": "gzip"}
        content = None
        if body is not None:
            content = await _packed(body, headers)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        attempt = 0
        while True:
            sent = True
            failure: Exception
            try:
                token = await self._token(owner)
                request = client.build_request(
                    method, url, params=_query(params), content=content,
                    headers={**headers, **({"authorization": f"Bearer {token}"} if token else {})},
                )  # fmt: skip
                answer = await client.send(request)
                error = await asyncio.to_thread(self._error, answer) if answer.is_error else self._error(answer)
                if error is None:
                    return answer
                if not isinstance(error, StoreUnavailable):
                    raise error
                failure = error
            except _NEVER_SENT as error:
                sent, failure = False, self._away(error)
            except httpx.InvalidURL as error:
                raise InvalidInput(f"This cannot be asked for: {error}") from None
            except httpx.HTTPError as error:
                failure = self._away(error)
            wait = RETRY_S[min(attempt, len(RETRY_S) - 1)] * random.uniform(0.7, 1.3)  # noqa: S311 - no secret
            attempt += 1
            if loop.time() + wait > deadline or (sent and not again):
                raise failure
            if sent and on_again is not None:
                on_again()
            await asyncio.sleep(wait)

    def _away(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"The hub's agents service at {self._url} does not answer ({type(error).__name__}). What waits goes on by "
            "itself when it is back; if it stays away, tell the hub's administrator."
        )

    def _error(self, answer: httpx.Response) -> AgentsError | None:
        """What an answer stands for, when it is an error."""
        if answer.is_success:
            return None
        try:
            body = from_json(answer.content)
        except ValueError:
            body = None
        if isinstance(body, dict) and isinstance(body.get("code"), str):
            return decode(answer.status_code, body)
        # Not the service's own words: those of a proxy in between, or of something else at that address.
        return StoreUnavailable(
            f"{self._url} answered {answer.status_code}, and not as the hub's agents service does. Check that the "
            "service runs and that this is its address; what waits goes on by itself."
        )


def _query(params: Mapping[str, Any] | None) -> list[tuple[str, str | int | float | bool | None]]:
    """Parameters as they stand in an address; those that are None are left out."""
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in (params or {}).items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                pairs.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return pairs


async def _packed(body: Any, headers: dict[str, str]) -> bytes:
    """A body as JSON, packed when that pays. Raises InvalidInput."""
    headers["content-type"] = "application/json"
    try:
        content = await asyncio.to_thread(to_json, body)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        # A Python string can hold half of a surrogate pair (U+D800 to U+DFFF); JSON in UTF-8 cannot.
        raise InvalidInput(f"This is not text that can be stored: {error}. Replace the broken characters.") from None
    if len(content) > _WORTH_PACKING:
        headers["content-encoding"] = "gzip"
        content = await asyncio.to_thread(zlib.compress, content, 1, 31)
    return content


async def read_lines(answer: httpx.Response) -> tuple[list[Any], Any]:
    """The items of a list's lines, and its `next`. Raises the error in it, StoreUnavailable for one that was cut."""
    if len(answer.content) > _LARGE:
        return await asyncio.to_thread(_read_lines, answer.content)
    return _read_lines(answer.content)


def _read_lines(content: bytes) -> tuple[list[Any], Any]:
    items: list[Any] = []
    for line in _split(content):
        value = from_json(line)
        if "item" in value:
            items.append(value["item"])
        elif "error" in value:
            raise decode(value["status"], value["error"])
        else:
            return items, value["next"]
    raise StoreUnavailable("The answer of the hub's agents service was cut off. Try again.")


def _split(content: bytes) -> Iterator[bytes]:
    # Not splitlines(): a text may hold other characters that it takes for the end of a line.
    return (line for line in content.split(b"\n")[:-1])
