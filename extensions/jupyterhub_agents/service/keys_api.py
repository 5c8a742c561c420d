"""`POST api/run-keys`: a workspace gets a key for a Claude Code process that it starts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ..errors import NotAllowed
from .asked_by import AsPerson
from .identity import Identities
from .run_keys import RunKeys

router = APIRouter(tags=["run keys"])

Name = Annotated[str, Field(min_length=1, max_length=200)]


class KeyRequest(BaseModel):
    """For what a key is: a run, a session that waits for its run, or neither, which is the person's own terminal."""

    model_config = ConfigDict(extra="forbid")

    run_id: Name | None = None
    agent_id: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    """An id; of another person's agent OWNER/ID."""
    session_id: Name | None = None
    expires_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Seconds that it is to hold; the site's longest counts when that is less."""


class Key(BaseModel):
    """A key, shown this once."""

    key: str
    expires_at: datetime


@router.post("/run-keys", status_code=201)
async def make_run_key(asked: KeyRequest, who: AsPerson, request: Request, response: Response) -> Key:
    """Make a run key. Takes the token of a workspace's server (JUPYTERHUB_API_TOKEN there): the key stops with it."""
    identities: Identities = request.app.state.identities
    started = await identities.server_started(who)
    if who.server is None or started is None:
        raise NotAllowed(
            "A run key belongs to a running workspace: ask for it there, with the token that the hub gave its server."
        )
    keys: RunKeys = request.app.state.keys
    made, says = keys.make(
        who.name,
        server=who.server,
        server_started=started,
        run_id=asked.run_id,
        agent_id=asked.agent_id,
        session_id=asked.session_id,
        expires_s=min(asked.expires_s, request.app.state.service.run_key_longest_s),
    )
    request.app.state.meter.warm(who)
    response.headers["Cache-Control"] = "no-store"
    return Key(key=made, expires_at=says.expires_at)
