"""The HTTP client towards the upstream: bytes as they are, no redirects, no cookies, no limit on a quiet stream."""

from __future__ import annotations

import socket
import sys
from typing import Any

import aiohttp

KEEP_IDLE_S = 30.0
"""Unused connections are closed before the upstream does it, so that no request goes out on one that is closing."""
HEADER_LIMIT = 64 * 1024
READ_BUFFER = 256 * 1024


def make_client(connect_timeout_s: float) -> aiohttp.ClientSession:
    """A client whose only limit is on connecting. A stream may be silent for as long as it likes; whether its other end
    is there at all is for TCP's keep-alive to find out."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_IDLE_S, socket_factory=_kept_alive),
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


def _kept_alive(address: Any) -> socket.socket:
    """A socket that notices within two minutes that the other end has gone without a word (tcp(7))."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
