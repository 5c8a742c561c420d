"""`/api/budget`: what is left for the person, which the hub's service knows, asked with the workspace's own token."""

from __future__ import annotations

import asyncio
from typing import Literal
from urllib.parse import urljoin

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ..errors import HubUnavailable, NotAllowed
from ..runtime.keys import RunKeys
from .base import AgentsHandler, Empty, authorized, web

ANSWER_S = 5.0
PATH = "api/budgets/me"


class Told(BaseModel):
    """What the service said. It may be newer than this workspace, so what is not known here is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class BudgetPeriod(Told):
    """One limit, or none, and what counts against it. Money is a text with exact dollars, such as `2.50`."""

    period: Literal["day", "month"]
    key: str = Field(description="Which day or month of the site's calendar: `2026-11-21`, `2026-11`.")
    limit_usd: str | None = Field(description="Null is no limit.")
    spent_usd: str = Field(description="Of calls that ended.")
    left_usd: str | None = Field(description="Null without a limit.")
    ends_at: AwareDatetime = Field(description="When it starts anew.")


class BudgetShare(Told):
    """A budget that the person's calls count against: their own, a group's, the hub's."""

    kind: Literal["person", "group", "hub"]
    name: str
    is_default: bool = Field(description="Nobody set it: the site's default holds.")
    periods: list[BudgetPeriod]


class BudgetLeft(Told):
    """What is left for the person. Without a service nobody counts and nobody limits: `counted` is false."""

    counted: bool = Field(default=True, description="False: there is no service here that counts what runs cost.")
    contact: str | None = Field(default=None, description="Whom to ask for more, as the site says.")
    budgets: list[BudgetShare] = Field(default_factory=list, description="Each must have room for a call.")


class BudgetHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.query(Empty)
        keys = RunKeys(parent=await self.manager())
        self.reply(await asyncio.to_thread(budget_left, keys))


def budget_left(keys: RunKeys) -> BudgetLeft:
    """Ask the service. Waits for the network: call it in a thread. Raises HubUnavailable when it does not answer, and
    NotAllowed when it does not know this workspace."""
    if not keys.service_url:
        return BudgetLeft(counted=False)
    headers = {"Authorization": f"Bearer {keys.token}"}
    try:
        answer = httpx.get(urljoin(keys.service_url, PATH), headers=headers, timeout=ANSWER_S, trust_env=False)
    except httpx.TransportError as error:
        raise HubUnavailable(
            f"What is left of the budget is not known: the hub's service does not answer ({type(error).__name__}). "
            "Try again in a moment; if it stays so, tell the hub's admin."
        ) from error
    if answer.status_code in (401, 403):
        raise NotAllowed(
            f"The hub's service does not tell this workspace what is left of the budget ({answer.status_code}). "
            "Restart the workspace; if it stays so, tell the hub's admin."
        )
    try:
        answer.raise_for_status()
        return BudgetLeft.model_validate_json(answer.content)
    except (httpx.HTTPStatusError, ValidationError) as error:
        raise HubUnavailable(
            f"What is left of the budget is not known: the hub's service answered with status {answer.status_code} and "
            "no budgets. Try again in a moment; if it stays so, tell the hub's admin."
        ) from error
