"""What the gateway asks of an HTTP client: bytes as they are, no redirects, no cookies, no limit on a quiet stream."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from .headers import RawHeaders

KEEP_IDLE_S = 30.0
"""Unused connections are closed before the upstream does it, so that no request goes out on one that is closing."""
HEADER_LIMIT = 64 * 1024
"""Bytes of an answer's headers."""
READ_BUFFER = 256 * 1024
"""Bytes of an answer that may wait for a slow caller; then the upstream has to."""


class UpstreamGone(OSError):
    """No connection, none any more, or no HTTP on it. Says which, for the log."""


def reason(error: BaseException) -> str:
    """An error in one line; some say nothing but their name."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


class Answer(Protocol):
    """An answer whose head is there. It is gone when its call's context ends."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> RawHeaders:
        """As they came, in their order and letter case."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body without its chunks' frames, compressed if it is: whatever has arrived, as soon as it does. Raises
        UpstreamGone when it breaks off."""
        ...


class Client(Protocol):
    """Its only limit is on connecting. A stream may be silent for as long as it likes; whether its other end is there
    at all is for TCP's keep-alive to find out."""

    def request(self, method: str, url: str, headers: RawHeaders, body: bytes) -> AbstractAsyncContextManager[Answer]:
        """Make a call. `headers` are sent as they are, with Host and Content-Length besides, and no others. Entering
        raises UpstreamGone; leaving early cuts the connection."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def make_client(connect_timeout_s: float, proxy: str) -> Client:
    """The client for a site: with an HTTP proxy towards the upstream, or without (an empty one)."""
    # Here, because both need what is above; and aiohttp, which takes its time to import, only where it is used.
    if proxy:
        from .proxied import ProxiedClient

        return ProxiedClient(connect_timeout_s, proxy)
    from .wire import WireClient

    return WireClient(connect_timeout_s)


def kept_alive(address: Any) -> socket.socket:
    """A socket that notices within two minutes that the other end has gone without a word (tcp(7)), and sends what is
    written at once."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
