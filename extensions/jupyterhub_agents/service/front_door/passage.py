"""Requests to a workspace, through the hub's proxy, with the caller's own token."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx

from ...errors import NotFound, WorkspaceNotRunning, WorkspaceUnreachable
from ..gateway.headers import RawHeaders, upwards
from .access import Target

log = logging.getLogger(__name__)

OURS = frozenset(("wake", "token", "_xsrf"))
"""Parameters that are this door's, or would be credentials beside the token."""
SETTLING_S = 10.0
"""For so long a workspace that runs may be without its route: the hub sets them anew after its proxy, or itself, was
restarted."""
PAUSE_S = 0.25
OF_THE_HUB = (301, 302, 303, 307, 424)
"""What only the hub answers, in place of a workspace without a route: it has not seen the request."""
OF_A_PROXY = (502, 503, 504)
CONNECT_S = 5.0


class NotThere(Exception):
    """The hub or its proxy answered in the workspace's place. `seen` is whether the workspace may have had the
    request."""

    def __init__(self, why: str, *, seen: bool) -> None:
        super().__init__(why)
        self.seen = seen


class Passage:
    """The way to all workspaces of a hub, whose proxy is at `hub_url`."""

    def __init__(self, hub_url: str, *, answer_timeout_s: float) -> None:
        self._hub_url = hub_url.rstrip("/") + "/" if hub_url else ""
        self._answer_timeout_s = answer_timeout_s
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(answer_timeout_s, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=30),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    def check_open(self) -> None:
        """Raises NotFound when nobody has said where the hub is."""
        if not self._hub_url:
            raise NotFound(
                "This hub's front door is closed: its admin has not set FrontDoor.hub_url, the address of the hub's "
                "proxy. The workspace itself can be reached at its own address."
            )

    def url(self, target: Target) -> str:
        """Where a target is. Raises NotFound as `check_open` does."""
        self.check_open()
        return self._hub_url + target.url_path

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        target: Target,
        *,
        token: str,
        query: str = "",
        headers: RawHeaders | None = None,
        body: bytes = b"",
        silence_s: float | None = None,
    ) -> AsyncGenerator[httpx.Response]:
        """The workspace's own answer, not read yet. Raises NotThere for somebody else's, or none."""  # fmt: skip
        given = [header for header in headers or [] if header[0] != b"accept-encoding"]
        # Compression would hold pieces of a stream back, and saves nothing within a machine room.
        sent = [*given, (b"authorization", f"token {token}".encode("latin-1")), (b"accept-encoding", b"identity")]
        url = self.url(target) + (f"?{query}" if query else "")
        timeout = httpx.Timeout(silence_s or self._answer_timeout_s, connect=CONNECT_S, pool=None)
        request = httpx.Request(
            method, url, headers=sent, content=body or None, extensions={"timeout": timeout.as_dict()}
        )
        try:
            answer = await self._http.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotThere(f"the hub's proxy does not answer ({type(error).__name__})", seen=False) from error
        except httpx.TransportError as error:
            raise NotThere(f"the workspace does not answer ({type(error).__name__})", seen=True) from error
        try:
            if answer.status_code in OF_THE_HUB:
                raise NotThere("the hub has no route to the workspace", seen=False)
            if answer.status_code == 404 and not await _is_ours(answer):
                raise NotThere("the hub's proxy knows nothing of the workspace yet", seen=False)
            if answer.status_code in OF_A_PROXY and not await _is_ours(answer):
                raise NotThere(f"the hub's proxy does not reach the workspace ({answer.status_code})", seen=True)
            yield answer
        finally:
            await answer.aclose()

    @asynccontextmanager
    async def settled(self, method: str, target: Target, **more: Any) -> AsyncGenerator[httpx.Response]:
        """The same for a workspace that runs: asked again for a while where that can do nothing twice. Raises
        WorkspaceUnreachable."""
        deadline = asyncio.get_running_loop().time() + SETTLING_S
        while True:
            try:
                async with self.answer(method, target, **more) as answer:
                    yield answer
                    return
            except NotThere as error:
                if asyncio.get_running_loop().time() >= deadline or (error.seen and method != "GET"):
                    unknown = " Whether it took the request is not known: look before you send it again."
                    raise WorkspaceUnreachable(
                        f"{target.user}'s workspace cannot be reached: {error}."
                        + (unknown if error.seen and method != "GET" else " Try again in a moment.")
                    ) from error
            await asyncio.sleep(PAUSE_S)


async def _is_ours(answer: httpx.Response) -> bool:
    """Whether an error is the workspace's own: a proxy that was just restarted has no route, and says 404."""
    try:
        said = json.loads(await answer.aread())
    except (ValueError, httpx.HTTPError):
        return False
    return isinstance(said, dict) and {"code", "message", "reason"} <= said.keys()


def headers_for_workspace(headers: RawHeaders) -> RawHeaders:
    """The caller's headers that a workspace gets: not where the request came from, which it would take for its own."""
    return [(name, value) for name, value in upwards(headers) if name not in (b"origin", b"referer")]


def query_for_workspace(query: str) -> str:
    """The caller's query without what is not the workspace's."""
    return urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in OURS])


def wakes(query: str, *, reads: bool, again: bool = False) -> bool:
    """Whether a request may start a sleeping workspace: one that reads when it says `wake=yes`, every other unless it
    says `wake=no`; and none that only takes a stream up again, as browsers do by themselves."""
    if again:
        return False
    said = dict(parse_qsl(query)).get("wake", "").lower()
    return said in ("yes", "true", "1") if reads else said not in ("no", "false", "0")


def asleep(user: str) -> WorkspaceNotRunning:
    return WorkspaceNotRunning(
        f"{user}'s workspace does not run. Ask with wake=yes to have it started, or start it in the browser."
    )
