"""Which headers go through the gateway, each way."""

from __future__ import annotations

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case, repeated ones as often as they came, in their order."""

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
"""For one connection only (RFC 9110, section 7.6.1)."""

CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"proxy-authorization", b"cookie"))
"""The caller's: for this service, and never for the upstream."""

OF_THIS_REQUEST = frozenset((b"host", b"content-length", b"expect"))
"""Made anew for the upstream."""

OF_PROXIES = frozenset((b"forwarded", b"via", b"x-real-ip", b"x-scheme"))
"""What a proxy in front adds of the person's machine."""

_NOT_UP = HOP_BY_HOP | CREDENTIALS | OF_THIS_REQUEST | OF_PROXIES
_NOT_DOWN = HOP_BY_HOP | {b"set-cookie"}


def upwards(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The caller's headers that the upstream gets."""
    headers = list(headers)
    dropped = _NOT_UP | _named_by_connection(headers)
    return [(name, value) for name, value in headers if name not in dropped and not name.startswith(b"x-forwarded-")]


def downwards(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The upstream's headers that the caller gets. Not its cookies: they would be this hub's for a browser."""
    headers = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_DOWN | _named_by_connection(headers)
    return [(name, value) for name, value in headers if name not in dropped]


def credential(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The caller's token or key: in `x-api-key`, or in `Authorization` as Bearer or, as JupyterHub writes it, token."""
    found = {name: value for name, value in headers if name in (b"x-api-key", b"authorization")}
    if key := found.get(b"x-api-key", b"").strip():
        return key.decode("latin-1")
    scheme, _, token = found.get(b"authorization", b"").strip().partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() in (b"bearer", b"token") and token.strip() else None


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    return frozenset(
        name.strip().lower() for header, value in headers if header == b"connection" for name in value.split(b",")
    )
