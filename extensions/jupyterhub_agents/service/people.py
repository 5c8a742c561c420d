"""Who calls the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Person:
    """On whose behalf a request is made, and by what: the person themselves (`user`), their workspace (`server`), or
    one run of an agent (`run`), which may use the gateway only."""

    name: str
    admin: bool
    groups: tuple[str, ...]
    kind: Literal["user", "server", "run"]
    run_id: str | None = None
    agent_id: str | None = None
