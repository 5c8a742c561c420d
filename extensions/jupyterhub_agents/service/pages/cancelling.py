"""An administrator cancels a run in somebody's workspace: with the right of their own sign-in, through the front door's
passage. The service itself has no right to enter a workspace."""

from __future__ import annotations

import json
import logging

from ...errors import HubUnavailable, NotAllowed, NotFound, WorkspaceNotRunning, decode
from ..front_door.access import Target, check_access, is_name
from ..front_door.passage import Passage
from ..front_door.workspaces import Workspaces
from .sign_in import MORE, Reader

log = logging.getLogger(__name__)


async def cancel(reader: Reader, workspaces: Workspaces, passage: Passage, owner: str, run_id: str) -> str:
    """The run's status afterwards. Raises NotAllowed, WorkspaceNotRunning, what the workspace refuses (NotFound, and
    Conflict when the run has ended), WorkspaceUnreachable, and NotFound for a person whom there is not."""
    passage.check_open()
    if not is_name(owner):
        raise NotFound(f"{owner[:100]!r} is nobody's name.")
    try:
        check_access(reader.person, owner)
    except NotAllowed:
        raise NotAllowed(
            f"Your sign-in does not open {owner}'s workspace: it lacks the scope {MORE}. It has it when your role has, "
            "and the service's oauth_client_allowed_scopes."
        ) from None
    await _check_runs(workspaces, owner)
    target = Target(owner, f"api/runs/{run_id}/cancel")
    async with passage.settled("POST", target, token=reader.token) as answer:
        content = await answer.aread()
    try:
        said = json.loads(content)
    except ValueError:
        said = None
    if answer.status_code != 202 or not isinstance(said, dict):
        raise decode(answer.status_code, said if isinstance(said, dict) else None)
    log.info("%s cancelled run %s of %s: %s", reader.person.name, run_id, owner, said.get("status"))
    return str(said.get("status"))


async def _check_runs(workspaces: Workspaces, owner: str) -> None:
    try:
        state = await workspaces.state(owner)
    except HubUnavailable:
        return  # the workspace may well run: it will say
    if state == "running":
        return
    if state == "starting":
        raise WorkspaceNotRunning(f"{owner}'s workspace is starting. Try again in a moment.")
    raise WorkspaceNotRunning(
        f"{owner}'s workspace is stopped, so nothing works on this run: there is nothing to cancel. It is marked "
        "interrupted when the workspace starts, or waits on for its person if it did."
    )
