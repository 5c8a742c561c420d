"""What the service asks JupyterHub's API."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from ..errors import HubUnavailable

log = logging.getLogger(__name__)

UNKNOWN = (401, 403, 404)
"""JupyterHub answers 403 to a token it does not know, and may answer as RFC 9110 says, too."""


@dataclass(frozen=True)
class TokenOwner:
    """Whom a token belongs to, and what it opens. JupyterHub's "Get the user that owns a token" (`GET /user`)."""

    kind: str
    """`user` or `service`."""
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Account:
    """A person as the hub knows them now. JupyterHub's `GET /users/{name}`."""

    name: str
    admin: bool
    groups: tuple[str, ...]
    servers: Mapping[str, str] = field(default_factory=dict)
    """When each server that runs, or is being started, was started; by its name, which is empty for the default one."""


class HubAPI:
    """JupyterHub's REST API at `url`, with the service's own `token`. Every method raises HubUnavailable."""

    def __init__(self, url: str, token: str, *, timeout_s: float) -> None:
        self._http = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=timeout_s, trust_env=False)
        self._token = token

    async def close(self) -> None:
        await self._http.aclose()

    async def owner(self, token: str) -> TokenOwner | None:
        """Whom `token` belongs to; None when the hub does not know it (any more)."""
        model = await self._get("/user", token)
        if model is None:
            return None
        return TokenOwner(str(model.get("kind")), str(model.get("name")), frozenset(model.get("scopes") or ()))

    async def account(self, name: str) -> Account | None:
        """The person of this name; None when there is none (any more)."""
        model = await self._get(f"/users/{quote(name, safe='')}", self._token)
        if model is None:
            return None
        servers = {
            str(server_name): str(server.get("started"))
            for server_name, server in (model.get("servers") or {}).items()
            if not server.get("stopped") and server.get("pending") != "stop"
        }
        return Account(str(model["name"]), bool(model.get("admin")), tuple(sorted(model.get("groups") or ())), servers)

    async def check(self) -> None:
        """Whether the hub answers and takes the service's token."""
        if await self._get("/user", self._token) is None:
            raise HubUnavailable("JupyterHub does not accept the service's own token (JUPYTERHUB_API_TOKEN).")

    async def _get(self, path: str, token: str) -> dict[str, Any] | None:
        try:
            answer = await self._http.get(path, headers={"Authorization": f"token {token}"})
        except httpx.HTTPError as error:
            log.warning("JupyterHub did not answer: %s", type(error).__name__)
            raise HubUnavailable("JupyterHub does not answer just now. Try again in a moment.") from error
        if answer.status_code in UNKNOWN:
            return None
        if answer.status_code != 200:
            log.warning(
                "JupyterHub answered %d to GET %s", answer.status_code, path.partition("/users/")[0] or "/users"
            )
            raise HubUnavailable(f"JupyterHub answered {answer.status_code}. Try again in a moment.")
        model = answer.json()
        return model if isinstance(model, dict) else None
