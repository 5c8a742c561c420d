"""Claude on Vertex AI, with the service's own Google identity: there is no key at all.

What differs from Anthropic's API is as Anthropic documents it ("Claude on Vertex AI"): the model stands in the path and
not in the body, `anthropic_version` stands in the body, and the path says whether the answer is streamed. Counting
tokens is a model of its own there, `count-tokens`, whose body does name the model. There is no list of models.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import google.auth
import google.auth.credentials
import google.auth.exceptions
import google.auth.transport.requests

from ...ids import utcnow
from .headers import RawHeaders
from .refusals import Refusal
from .upstream import Forward, NotOffered

VERSION = "vertex-2023-10-16"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
RENEW_BEFORE_S = 300.0
"""A token that ends sooner is renewed. Google's client counts one as expired at 225 s (`REFRESH_THRESHOLD`)."""
DATED = re.compile(r"-(\d{8})\Z")
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}\Z")


def address_of(region: str) -> str:
    """Vertex AI's address for a region, `global`, or the multi-regions `us` and `eu`."""
    if region == "global":
        return "https://aiplatform.googleapis.com"
    if region in ("us", "eu"):
        return f"https://aiplatform.{region}.rep.googleapis.com"
    return f"https://{region}-aiplatform.googleapis.com"


class GoogleIdentity:
    """The service's own access token, by Application Default Credentials; renewed ahead of its end, once for all."""

    def __init__(self) -> None:
        self._credentials: google.auth.credentials.Credentials | None = None
        self._good_until = 0.0
        self._renewing = asyncio.Lock()

    async def token(self) -> str:
        """Raises google.auth.exceptions.GoogleAuthError."""
        if time.monotonic() >= self._good_until:
            async with self._renewing:
                if time.monotonic() >= self._good_until:
                    await asyncio.to_thread(self._renew)
        assert self._credentials is not None  # noqa: S101 - _renew sets it or raises
        return str(self._credentials.token)

    def _renew(self) -> None:
        if self._credentials is None:
            self._credentials, _ = google.auth.default(scopes=[SCOPE])
        self._credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]  # Google's
        expiry = self._credentials.expiry  # naive, in UTC
        left = (expiry.replace(tzinfo=UTC) - utcnow()).total_seconds() if expiry is not None else RENEW_BEFORE_S
        self._good_until = time.monotonic() + max(left - RENEW_BEFORE_S, left / 2)


class VertexAI:
    """Claude in `project` and `region`. `models` maps the names that callers use to Vertex AI's; a name with its date
    at the end needs no entry, because only the date is written differently there (`@20250929`)."""

    def __init__(self, *, project: str, region: str, base_url: str, models: Mapping[str, str]) -> None:
        self._root = (base_url or address_of(region)).rstrip("/")
        self.host = self._root.partition("://")[2].partition("/")[0]
        self._path = f"/v1/projects/{project}/locations/{region}/publishers/anthropic/models/"
        self._project = project
        self._models = dict(models)
        self._identity = GoogleIdentity()

    async def forward(self, *, method: str, path: str, query: str, headers: RawHeaders, body: bytes) -> Forward:
        if method != "POST":
            raise NotOffered(
                Refusal(404, "not_found_error", "Vertex AI, where this hub's models are, lists no models.")
            )
        name, rewritten = await asyncio.to_thread(self._rewrite, body, path.endswith("/count_tokens"))
        try:
            token = await self._identity.token()
        except google.auth.exceptions.GoogleAuthError as error:
            raise NotOffered(
                Refusal(502, "api_error", "The hub's service has no access to Vertex AI just now. If it stays so, tell "
                        "the hub's admin: its Google identity gives no token.", {})
            ) from error  # fmt: skip
        kept = [(key, value) for key, value in headers if key not in (b"anthropic-version", b"content-type")]
        own = [(b"content-type", b"application/json"), (b"authorization", f"Bearer {token}".encode())]
        return Forward(f"{self._root}{self._path}{name}", [*kept, *own], rewritten)

    async def trouble(self) -> str:
        if not self._project:
            return "There is no project for Vertex AI: set Gateway.vertex_project."
        try:
            await self._identity.token()
        except google.auth.exceptions.GoogleAuthError as error:
            return f"The service's Google identity gives no token: {type(error).__name__}."
        return ""

    def _rewrite(self, body: bytes, counting: bool) -> tuple[str, bytes]:
        """The end of the path, and the body for it."""
        try:
            request = json.loads(body)
            model = request["model"]
        except (ValueError, KeyError, TypeError) as error:
            raise NotOffered(
                Refusal(400, "invalid_request_error", "The request is no JSON object that names a `model`.")
            ) from error
        name = self.name_of(model) if isinstance(model, str) else ""
        if not SAFE.match(name):
            raise NotOffered(Refusal(404, "not_found_error", f"model: {str(model)[:100]}"))
        changed: dict[str, Any] = {"anthropic_version": VERSION, **request}
        if counting:
            changed["model"] = name
            return "count-tokens:rawPredict", _dumped(changed)
        del changed["model"]
        return f"{name}:{'streamRawPredict' if request.get('stream') else 'rawPredict'}", _dumped(changed)

    def name_of(self, model: str) -> str:
        """Vertex AI's name of a model."""
        return self._models.get(model) or DATED.sub(r"@\1", model)


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
