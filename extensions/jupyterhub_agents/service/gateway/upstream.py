"""Where the models are: Anthropic's API, or another address that speaks it, with the organisation's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .headers import RawHeaders
from .refusals import Refusal


@dataclass(frozen=True)
class Forward:
    """A request as the upstream gets it."""

    url: str
    headers: RawHeaders
    body: bytes


class NotOffered(Exception):
    """This upstream has no such thing; the caller gets the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Upstream(Protocol):
    """Turns a caller's request, stripped of its credential, into the upstream's."""

    host: str
    """What it is called in messages to people."""

    async def forward(self, *, method: str, path: str, query: str, headers: RawHeaders, body: bytes) -> Forward:
        """The request to make. Raises NotOffered."""
        ...

    async def trouble(self) -> str:
        """Why no call can work now, in a sentence for an admin; nothing when one can."""
        ...


class Anthropic:
    """The Messages API at `base_url`; the request stays as it is."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.host = self.base_url.partition("://")[2].partition("/")[0]
        self._api_key = api_key

    async def forward(self, *, method: str, path: str, query: str, headers: RawHeaders, body: bytes) -> Forward:
        url = f"{self.base_url}{path}" + (f"?{query}" if query else "")
        return Forward(url, [*headers, (b"x-api-key", self._api_key.encode())], body)

    async def trouble(self) -> str:
        if not self._api_key:
            return "There is no key for the models: set ANTHROPIC_API_KEY for the service, or choose Vertex AI."
        return ""
