"""A hub's front door, as values: how it is found, and how a workspace that starts is told of. Nothing here does I/O."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

from .. import errors
from .discovery import Hub, Workspace
from .errors import WorkspaceNotRunning
from .protocol import Call, error_of

PLACE = "services/agents/workspace/"
"""Under the hub's URL. The service is named `agents` on every hub with this project (hub_config)."""


@dataclass(frozen=True)
class Progress:
    """How far a workspace is that starts: `percent` of 100, and what goes on, in the words of the hub."""

    percent: int
    message: str


OnProgress: TypeAlias = Callable[[Progress], None]


def find(user: str | None) -> Call[str]:
    """Asks a hub (at its base URL) for its front door to the workspace of `user`, or of the token's owner. Gives the
    user's name; every error means that there is none for this token."""
    path = PLACE if user is None else f"{PLACE}{quote(user, safe='@~')}/"
    return Call("GET", path, lambda answer: str(answer["user"]))


def place_of(hub: Hub, user: str) -> Workspace:
    """The workspace of `user`, through the door."""
    return Workspace(f"{hub.url}{PLACE}{quote(user, safe='@~')}/", hub.token, is_door=True)


def started(place: Workspace, kind: str, data: str) -> Progress | bool:
    """One server-sent event of a start: how far it is, or whether that was the end. Raises what went wrong."""
    if kind == "ready" or not data:  # a sign of life has no data
        return kind == "ready"
    said: Any = json.loads(data)
    if kind == "progress":
        return Progress(int(said["percent"]), str(said["message"]))
    if kind == "error":
        raise error_of(place.url, errors.decode(500, said).status, data.encode())
    return False


def not_started(place: Workspace) -> WorkspaceNotRunning:
    return WorkspaceNotRunning(
        f"The hub broke off what it told of the start of the workspace at {place.url}. Try again in a moment."
    )
