"""What the service asks JupyterHub's API."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import httpx
from httpx_sse import EventSource

from ..errors import HubUnavailable, NotAllowed, WorkspaceNotRunning

log = logging.getLogger(__name__)

PAGINATION = "application/jupyterhub-pagination+json"
"""Asks the hub to say whether there is more (its documentation, "Using JupyterHub's REST API", Pagination)."""
UNKNOWN = (401, 403, 404)
"""JupyterHub answers 403 to a token it does not know, and may answer as RFC 9110 says, too."""


@dataclass(frozen=True)
class TokenOwner:
    """Whom a token belongs to, and what it opens. JupyterHub's "Get the user that owns a token" (`GET /user`)."""

    kind: str
    """`user` or `service`."""
    name: str
    scopes: frozenset[str]


ServerState = Literal["stopped", "starting", "running", "stopping"]
PROGRESS_SILENCE_S = 30.0
"""The hub says something every 8 s while a server starts (jupyterhub.apihandlers.users, keepalive_interval)."""
START_ANSWER_S = 60.0
"""The hub answers at the latest after its slow_spawn_timeout, 10 s unless the site has changed it."""


@dataclass(frozen=True)
class Progress:
    """How far a server is that starts: `percent` of 100, and what goes on, as the spawner says it."""

    percent: int
    message: str
    ready: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Account:
    """A person as the hub knows them now. JupyterHub's `GET /users/{name}`."""

    name: str
    admin: bool
    groups: tuple[str, ...]
    servers: Mapping[str, str] = field(default_factory=dict)
    """When each server that runs, or is being started, was started; by its name, which is empty for the default one."""


@dataclass(frozen=True)
class Workspace:
    """A server of a person's that runs, or is being started or stopped. `name` is empty for the default one."""

    name: str
    ready: bool
    started: datetime | None


@dataclass(frozen=True)
class Member:
    """A person of the hub, as its `GET /users` lists them."""

    name: str
    admin: bool
    groups: tuple[str, ...]
    last_seen: datetime | None
    workspaces: tuple[Workspace, ...]


PAGE = 200
"""The most people that JupyterHub lists at once unless the site allows more (`api_page_max_limit`)."""
MOST_PEOPLE = 20_000


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

    async def group(self, name: str) -> str | None:
        """The group of this name; None when there is none. Takes the scope read:groups:name."""
        model = await self._get(f"/groups/{quote(name, safe='')}", self._token)
        return None if model is None else str(model.get("name"))

    async def people(self) -> Sequence[Member]:
        """Everybody, by name; MOST_PEOPLE at most. Takes the scopes list:users, read:users:name, read:users:groups,
        read:users:activity and read:servers; empty without them."""
        found: list[Member] = []
        while len(found) < MOST_PEOPLE:
            page = await self._get(f"/users?offset={len(found)}&limit={PAGE}", self._token, accept=PAGINATION)
            items = (page or {}).get("items") or []
            found += [_member(model) for model in items]
            if not items or not ((page or {}).get("_pagination") or {}).get("next"):
                break
        return sorted(found, key=lambda member: member.name)

    async def token_for_code(self, code: str, *, client_id: str, redirect_uri: str, verifier: str) -> str | None:
        """The token that an OAuth code stands for (RFC 6749, 4.1.3, with RFC 7636); None for a code that is spent or
        was never given."""
        form = {
            "client_id": client_id, "client_secret": self._token, "grant_type": "authorization_code",
            "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier,
        }  # fmt: skip
        try:
            answer = await self._http.post("/oauth2/token", data=form)
        except httpx.HTTPError as error:
            log.warning("JupyterHub did not answer: %s", type(error).__name__)
            raise HubUnavailable("JupyterHub does not answer just now. Try again in a moment.") from error
        if answer.status_code >= 500:
            raise HubUnavailable(f"JupyterHub answered {answer.status_code}. Try again in a moment.")
        return str(answer.json()["access_token"]) if answer.status_code == 200 else None

    async def server(self, name: str) -> ServerState | None:
        """How the person's default server stands; None when there is no such person."""
        model = await self._get(f"/users/{quote(name, safe='')}", self._token)
        if model is None:
            return None
        server = (model.get("servers") or {}).get("")
        if not server or server.get("stopped"):
            return "stopped"
        if pending := server.get("pending"):
            return "stopping" if pending == "stop" else "starting"
        return "running" if server.get("ready") else "stopped"

    async def start_server(self, name: str, token: str) -> None:
        """Have the person's default server started, by the right of `token` and not of this service. Returns when it
        runs or is being started. Raises NotAllowed, and WorkspaceNotRunning with the hub's words."""
        path = f"/users/{quote(name, safe='')}/server"
        try:
            answer = await self._http.post(path, headers={"Authorization": f"token {token}"}, timeout=START_ANSWER_S)
        except httpx.HTTPError as error:
            log.warning("JupyterHub did not answer: %s", type(error).__name__)
            raise HubUnavailable("JupyterHub does not answer just now. Try again in a moment.") from error
        if answer.status_code in (201, 202):
            return
        if answer.status_code in UNKNOWN:
            raise NotAllowed(
                f"{name}'s workspace is stopped, and this token may not start it: it lacks the scope "
                f"start:servers!user={name}. Start the workspace in the browser, or make a token with that scope on "
                "the hub's token page."
            )
        if answer.status_code == 400 and await self.server(name) in ("starting", "running"):
            return  # somebody else was faster
        raise WorkspaceNotRunning(f"{name}'s workspace did not start. JupyterHub says: {_message(answer)}")

    async def progress(self, name: str) -> AsyncGenerator[Progress]:
        """What the hub tells of a server that starts, to the end; nothing when none is starting."""
        path = f"/users/{quote(name, safe='')}/server/progress"
        headers = {"Authorization": f"token {self._token}", "Accept": "text/event-stream"}
        timeout = httpx.Timeout(PROGRESS_SILENCE_S)
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
                if answer.status_code in (400, 404):
                    return
                if answer.status_code != 200:
                    raise HubUnavailable(f"JupyterHub answered {answer.status_code}. Try again in a moment.")
                async for sent in EventSource(answer).aiter_sse():
                    told = _object(sent.data)
                    yield Progress(
                        int(told.get("progress") or 0), str(told.get("message") or ""),
                        bool(told.get("ready")), bool(told.get("failed")),
                    )  # fmt: skip
        except httpx.HTTPError as error:
            log.warning("JupyterHub broke off what it told of a start: %s", type(error).__name__)
            raise HubUnavailable("JupyterHub does not answer just now. Try again in a moment.") from error

    async def check(self) -> None:
        """Whether the hub answers and takes the service's token."""
        if await self._get("/user", self._token) is None:
            raise HubUnavailable("JupyterHub does not accept the service's own token (JUPYTERHUB_API_TOKEN).")

    async def _get(self, path: str, token: str, accept: str = "application/json") -> dict[str, Any] | None:
        try:
            answer = await self._http.get(path, headers={"Authorization": f"token {token}", "Accept": accept})
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


def _member(model: Mapping[str, Any]) -> Member:
    servers = (model.get("servers") or {}).items()
    return Member(
        name=str(model["name"]),
        admin=bool(model.get("admin")),
        groups=tuple(sorted(model.get("groups") or ())),
        last_seen=_time(model.get("last_activity")),
        workspaces=tuple(
            Workspace(str(name), bool(server.get("ready")), _time(server.get("started")))
            for name, server in servers
            if not server.get("stopped")
        ),
    )


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def _message(answer: httpx.Response) -> str:
    """What the hub gives as the reason, for people."""
    return str(_object(answer.text).get("message") or f"{answer.status_code} {answer.reason_phrase}")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
