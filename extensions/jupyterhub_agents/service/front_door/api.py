"""`workspace/...`: whether a workspace runs, and how it is started."""

# No `from __future__ import annotations` here: FastAPI reads the annotations.

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from ...errors import AgentsError, NotFound
from ..asked_by import AsPerson
from ..gateway.headers import credential
from ..hub import ServerState
from ..identity import Person
from .access import check_access, is_name
from .asgi import SSE_HEADERS, progress_item
from .metrics import waking
from .passage import Passage
from .stream import STILL_HERE, Item, error_item, with_signs
from .workspaces import Workspaces

router = APIRouter(tags=["front door"])

User = Annotated[str, Path(min_length=1, max_length=255, description="A person's name on the hub.")]
REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"description": "No token, or one that the hub does not know"},
    403: {"description": "The token does not open this workspace"},
    404: {"description": "No such person"},
    424: {"description": "The workspace did not start; the message has the hub's reason"},
}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


class WorkspaceState(BaseModel):
    """A workspace. Its agents' API is below `path`, at the same paths as in the workspace itself."""

    user: str
    state: ServerState
    path: str


@router.get("/workspace", include_in_schema=False)
@router.get("/workspace/", responses={code: REFUSED[code] for code in (401, 403)})
async def mine(who: AsPerson, request: Request) -> WorkspaceState:
    """The workspace of whoever's token this is."""
    return await _state(request, who, who.name)


@router.get("/workspace/{user}", include_in_schema=False)
@router.get("/workspace/{user}/", responses=REFUSED)
async def one(user: User, who: AsPerson, request: Request) -> WorkspaceState:
    """A workspace that the token opens."""
    return await _state(request, who, user)


@router.post("/workspace/{user}/start", responses={**REFUSED, **STREAM})
async def start(user: User, who: AsPerson, request: Request) -> WorkspaceState:
    """Start a workspace, unless it runs, and wait until it answers. With `Accept: text/event-stream` the answer is a
    stream: `progress` items with `percent` and `message`, then `ready`, or `error` with the reason."""
    state = await _state(request, who, user)
    workspaces: Workspaces = request.app.state.workspaces
    token = credential(request.headers.raw) or ""
    if "text/event-stream" in request.headers.get("accept", ""):
        return _telling(workspaces, state, token)  # type: ignore[return-value]  # FastAPI's way
    if state.state != "running":
        with waking():
            await workspaces.awake(user, token)
    return state.model_copy(update={"state": "running"})


async def _state(request: Request, who: Person, user: str) -> WorkspaceState:
    if not is_name(user):
        raise NotFound(f"{user[:100]!r} is nobody's name.")
    check_access(who, user)
    passage: Passage = request.app.state.passage
    passage.check_open()
    workspaces: Workspaces = request.app.state.workspaces
    path = f"{request.app.state.service.prefix}workspace/{quote(user, safe='@~')}/"
    return WorkspaceState(user=user, state=await workspaces.state(user), path=path)


def _telling(workspaces: Workspaces, state: WorkspaceState, token: str) -> Response:
    async def items() -> AsyncGenerator[Item]:
        try:
            with waking() if state.state != "running" else nullcontext():
                async with aclosing(workspaces.wake(state.user, token)) as steps:
                    async for step in steps:
                        yield progress_item(step)
            yield Item("ready", json.dumps(state.model_copy(update={"state": "running"}).model_dump()))
        except AgentsError as error:
            yield error_item(error)

    async def pieces() -> AsyncGenerator[str]:
        async with aclosing(with_signs(items())) as told:
            async for item in told:
                yield item.sse if item is not None else STILL_HERE

    return StreamingResponse(pieces(), media_type="text/event-stream", headers=SSE_HEADERS)
