"""`OverviewStore`: what an administrator is told of all owners at once. The stores that the hub's service keeps for
everybody have it; workspaces' own do not need it.

It tells who, what and when, and never what anybody said: no prompt, no result, no tool's input.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..models import RunStatus, Trigger
from .base import AgentStore

LIVE = tuple(status for status in RunStatus if not status.is_final)
"""Of runs that are not over."""


@dataclass(frozen=True)
class LiveRun:
    """A run that is not over, as its workspace told last."""

    owner: str
    run_id: str
    agent_id: str
    status: RunStatus
    trigger: Trigger
    created_at: datetime
    started_at: datetime | None


@dataclass(frozen=True)
class WaitingCall:
    """A tool call that waits for a person."""

    owner: str
    approval_id: str
    run_id: str
    agent_id: str
    tool: str
    created_at: datetime


@dataclass(frozen=True)
class KnownAgent:
    """An agent there is, or was. `created_at` is when it was made, or made anew after it was deleted."""

    owner: str
    agent_id: str
    created_at: datetime
    deleted: bool


class OverviewStore(AgentStore):
    """A store that can be asked over all owners, each question at the cost of its answer and not of all there is."""

    @abstractmethod
    async def live_runs(self, limit: int) -> Sequence[LiveRun]:
        """The runs that are not over, newest first, at most `limit`."""

    @abstractmethod
    async def waiting_calls(self, limit: int) -> Sequence[WaitingCall]:
        """The approvals that wait, newest first, at most `limit`."""

    @abstractmethod
    async def known_agents(self) -> Sequence[KnownAgent]:
        """Everybody's agents, by owner and id. Reads each agent once: ask seldom."""

    @abstractmethod
    async def run_outcomes(self, since: datetime, until: datetime) -> Mapping[RunStatus, int]:
        """How many of the runs made from `since` up to, not including, `until` have which status now. A status that
        none has is left out."""
