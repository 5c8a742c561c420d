"""What both the HTTP API and the pages ask of the budgets: spans of days, and how budgets stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ...errors import InvalidInput
from .answers import BudgetState, PeriodLeft
from .ledger import Account, AgentSum, CallFilter, Kind
from .meter import Budgets
from .money import dollars
from .periods import PeriodKind

USUAL_DAYS = 30
MAX_DAYS = 3_660
MIDNIGHT = datetime.min.time()


def days(budgets: Budgets, since: date | None, until: date | None) -> tuple[date, date]:
    """The first and the last day, of the site's time zone; the last 30 unless said otherwise. Raises InvalidInput."""
    last = until or budgets.clock().astimezone(ZoneInfo(budgets.time_zone)).date()
    first = since or max(date.min + timedelta(days=USUAL_DAYS), last) - timedelta(days=USUAL_DAYS - 1)
    if first > last:
        raise InvalidInput(f"since is {first} and until is {last}: give a day that is not after the other.")
    if (last - first).days >= MAX_DAYS:
        raise InvalidInput(f"{first} to {last} is more than {MAX_DAYS} days. Ask for less at once.")
    return first, last


def calls_within(budgets: Budgets, since: date | None, until: date | None, **which: Any) -> CallFilter:
    """The calls of these days. Raises InvalidInput."""
    first, last = days(budgets, since, until)
    if first <= date.min + timedelta(days=1) or last >= date.max - timedelta(days=1):
        raise InvalidInput(f"{first} to {last} is beyond the calendar.")
    zone = ZoneInfo(budgets.time_zone)
    start = datetime.combine(first, MIDNIGHT, zone).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), MIDNIGHT, zone).astimezone(UTC)
    return CallFilter(since=start, until=end, **which)


MOST_AGENTS = 10_000
"""Agents that are looked through for those that cost most: the ones used last."""


async def by_agent(budgets: Budgets, which: CallFilter) -> Sequence[AgentSum]:
    """What each agent used, the dearest first."""
    found = await budgets.ledger.agents(which, MOST_AGENTS)
    return sorted(found, key=lambda agent: (-agent.cost, -agent.runs, agent.person, agent.agent_id))


async def states(budgets: Budgets, whose: Sequence[tuple[Kind, str]]) -> list[BudgetState]:
    """How these budgets stand today and this month."""
    now = budgets.periods.at(budgets.clock())
    accounts = {
        (one, period): Account(one[0], one[1], period, now.key(period)) for one in whose for period in PeriodKind
    }
    spent = await budgets.ledger.spent(accounts.values())

    def left(account: Account) -> PeriodLeft:
        limit = budgets.limit_of(account)
        return PeriodLeft(
            period=account.period,
            key=account.key,
            limit_usd=None if limit is None else dollars(limit),
            spent_usd=dollars(spent[account]),
            left_usd=None if limit is None else dollars(max(0, limit - spent[account])),
            ends_at=now.ends(account.period),
        )

    return [
        BudgetState(
            kind=one[0], name=one[1], is_default=budgets.is_default(*one),
            periods=[left(accounts[one, period]) for period in PeriodKind],
        )
        for one in whose
    ]  # fmt: skip


async def everybodys(budgets: Budgets) -> list[BudgetState]:
    """The hub's budget, every one that was set, and those of everybody who spent this month."""
    month = budgets.periods.at(budgets.clock()).month
    whose = dict.fromkeys([(Kind.HUB, "hub"), *sorted(budgets.known_budgets())])
    for kind in (Kind.GROUP, Kind.PERSON):
        spenders = await budgets.ledger.names(kind, [month])
        whose |= dict.fromkeys((kind, name) for name in sorted(spenders))
    return await states(budgets, [*whose])
