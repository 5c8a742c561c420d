"""The HTTP client for a site that reaches the upstream without a proxy: HTTP/1.1 on the event loop's own transports.

By hand because of what a client costs on each call (docs/gateway.md). What is hard about HTTP is left to llhttp, which
Node and uvicorn parse with, and about connecting to aiohappyeyeballs, which aiohttp connects with.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import re
import socket
import ssl
from types import TracebackType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection

from .client import KEEP_IDLE_S, UpstreamGone, kept_alive, reason
from .connection import Connection
from .headers import RawHeaders

REPEATABLE = ("GET", "HEAD")
"""Tried once more when a connection that was used before turns out to be closed (RFC 9110, section 9.2.2)."""
PORTS = {"http": 80, "https": 443}
NEXT_ADDRESS_S = 0.25
"""After so long the next address of a host is tried besides (RFC 8305, section 5)."""
CLOSE_S = 5.0
UNFIT = re.compile(r"[\x00-\x20\x7f]")


class Origin(NamedTuple):
    tls: bool
    host: str
    port: int


class Target(NamedTuple):
    """Where a call goes."""

    origin: Origin
    start: bytes
    """What stands in its head after the method, up to the caller's headers."""


class WireClient:
    """Keeps connections that nobody uses for `keep_idle_s`; opens as many as there are calls at once. Belongs to the
    event loop that it is made in."""

    def __init__(self, connect_timeout_s: float, keep_idle_s: float = KEEP_IDLE_S) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._keep_idle_s = keep_idle_s
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLContext | None = None
        self._open: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None

    def request(self, method: str, url: str, headers: RawHeaders, body: bytes) -> _Call:
        """As in Client. Raises ValueError for what is no address, and for headers that would not stay headers."""
        target = _target(url)
        fields = b"".join([b"%b: %b\r\n" % field for field in headers])
        if fields.count(b"\r") != len(headers) or fields.count(b"\n") != len(headers) or b"\0" in fields:
            raise ValueError("a header has a line's end or a NUL in it")
        length = b"content-length: %d\r\n" % len(body) if body or method not in REPEATABLE else b""
        return _Call(
            self, target.origin, method, b"%b%b%b%b\r\n" % (method.encode(), target.start, fields, length), body
        )

    async def close(self) -> None:
        if self._closed is None:
            self._closed = self._loop.create_future()
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        if self._open:
            for connection in tuple(self._open):
                connection.abort()
            await asyncio.wait([self._closed], timeout=CLOSE_S)

    def take(self, origin: Origin) -> Connection | None:
        """A connection that was used before and is free; the last one first."""
        idle = self._idle.get(origin)
        oldest = self._loop.time() - self._keep_idle_s
        while idle:
            connection = idle.pop()
            if connection.idle_since > oldest and connection.is_usable:
                return connection
            connection.abort()
        return None

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep it for another call, if it can carry one."""
        if self._closed is not None or not connection.release():
            connection.abort()
            return
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._keep_idle_s, self._close_idle)

    async def connect(self, origin: Origin) -> Connection:
        """A new connection. Raises UpstreamGone."""
        try:
            tls = await self._context() if origin.tls else None
            async with asyncio.timeout(self._connect_timeout_s):
                addresses = await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
                sock = await start_connection(
                    addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1, socket_factory=kept_alive
                )
                try:
                    _, connection = await self._loop.create_connection(
                        lambda: Connection(self._forget),
                        sock=sock,
                        ssl=tls,
                        server_hostname=origin.host.rstrip(".") if tls is not None else None,
                    )
                except BaseException:
                    sock.close()
                    raise
        except OSError as error:
            raise UpstreamGone(reason(error)) from error
        if connection.is_closing:
            raise UpstreamGone("the connection was closed at once")
        if self._closed is not None:
            connection.abort()
            raise UpstreamGone("the service is stopping")
        self._open.add(connection)
        return connection

    async def _context(self) -> ssl.SSLContext:
        """The system's trust store, or what SSL_CERT_FILE names (OpenSSL); reading it takes a while."""
        if self._tls is None:
            tls = await asyncio.to_thread(ssl.create_default_context)
            tls.set_alpn_protocols(["http/1.1"])
            self._tls = tls
        return self._tls

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._closed is not None and not self._open and not self._closed.done():
            self._closed.set_result(None)

    def _close_idle(self) -> None:
        """Closes what was not used for too long, and looks again when the next one will be."""
        oldest = self._loop.time() - self._keep_idle_s
        for origin, idle in list(self._idle.items()):
            kept = [connection for connection in idle if connection.idle_since > oldest and connection.is_usable]
            for connection in set(idle).difference(kept):
                connection.abort()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        first = min((connection.idle_since for idle in self._idle.values() for connection in idle), default=None)
        self._sweep = None if first is None else self._loop.call_at(first + self._keep_idle_s, self._close_idle)


class _Call:
    """One request: entering sends it and gives its answer, leaving gives its connection back or cuts it."""

    def __init__(self, client: WireClient, origin: Origin, method: str, head: bytes, body: bytes) -> None:
        self._client = client
        self._origin = origin
        self._method = method
        self._head = head
        self._body = body

    async def __aenter__(self) -> Connection:
        used = self._client.take(self._origin)
        if used is not None:
            try:
                return await self._ask(used)
            except UpstreamGone:
                if used.heard or self._method not in REPEATABLE:
                    raise
        return await self._ask(await self._client.connect(self._origin))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._client.give_back(self._origin, self._connection)
        else:
            self._connection.abort()

    async def _ask(self, connection: Connection) -> Connection:
        self._connection = connection
        try:
            await connection.ask(self._method, self._head, self._body)
        except BaseException:
            connection.abort()
            raise
        return connection


@functools.lru_cache(maxsize=256)
def _target(url: str) -> Target:
    if UNFIT.search(url):
        raise ValueError("an address has a space or a control character in it")
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is no address of a server: give http:// or https://")
    host = parts.hostname.encode("idna").decode()
    port = parts.port or PORTS[parts.scheme]
    name = f"[{host}]" if ":" in host else host
    lines = [
        f" {parts.path or '/'}{'?' if parts.query else ''}{parts.query} HTTP/1.1",
        f"host: {name}" if port == PORTS[parts.scheme] else f"host: {name}:{port}",
    ]
    if parts.username is not None:
        both = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"authorization: Basic {base64.b64encode(both.encode()).decode()}")
    start = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    return Target(Origin(parts.scheme == "https", host, port), start)
