"""How many agents there are, are made and are used, how their runs go, and how long people work, for Prometheus.

Nothing here names a person. `budgets/metrics.py` has how many people and runs there are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date

from prometheus_client import Gauge

from ...models import RunStatus
from ...store.overview import LIVE
from ..budgets import views
from ..budgets.meter import Budgets
from .everybody import Everybody, succeeded

PERIODS = ("day", "month")
AGENTS = Gauge("agents_agents", "Agents that made calls today.")
KNOWN = Gauge("agents_known_agents", "Agents that people have.")
MADE = Gauge(
    "agents_made_agents", "Agents that were made this day or month, also those that were deleted since.", ["period"]
)
LIVE_RUNS = Gauge("agents_live_runs", "Runs that are not over, by status; at most 1,000 are counted.", ["status"])
WAITING = Gauge("agents_waiting_approvals", "Tool calls that wait for a person; at most 1,000 are counted.")
ENDED = Gauge("agents_runs", "Runs that were started this day or month, by their status now.", ["period", "status"])
SUCCEEDED = Gauge(
    "agents_runs_succeeded_ratio",
    "Of the runs started this day or month that are over and were not cancelled, the part that succeeded.", ["period"],
)  # fmt: skip
LENGTH = Gauge(
    "agents_run_length_seconds", "Of today's runs, from the first call to the end of the last.", ["quantile"]
)
SESSIONS = Gauge("agents_sessions", "Sessions of today: a person's calls without a pause of half an hour.")
SESSION_LENGTH = Gauge("agents_session_length_seconds", "How long the sessions of today have taken.", ["quantile"])

MOST_AGENTS = 100_000


class Activity:
    """Brings the gauges up to date when somebody asks for them."""

    def __init__(self, budgets: Budgets, everybody: Everybody) -> None:
        self._budgets = budgets
        self._everybody = everybody

    async def update(self) -> None:
        """Raises StoreUnavailable."""
        budgets = self._budgets
        ledger = budgets.ledger
        periods = budgets.periods.at(budgets.clock())
        today = date.fromisoformat(periods.day)
        which = views.calls_within(budgets, today, today)
        lengths, sessions, agents = await asyncio.gather(
            ledger.lengths(which), ledger.sessions(which), ledger.agents(which, MOST_AGENTS)
        )
        AGENTS.set(len(agents))
        for percent, seconds in lengths.percentiles_s.items():
            LENGTH.labels(str(percent / 100)).set(seconds)
        SESSIONS.set(sessions.sessions)
        for percent, seconds in sessions.percentiles_s.items():
            SESSION_LENGTH.labels(str(percent / 100)).set(seconds)
        await self._stored(today)

    async def _stored(self, today: date) -> None:
        everybody = self._everybody
        agents = await everybody.agents()
        KNOWN.set(sum(not agent.deleted for agent in agents))
        for period, count in everybody.made(agents).items():
            MADE.labels(period).set(count)
        live = Counter(run.status for run in await everybody.live())
        for status in LIVE:
            LIVE_RUNS.labels(status).set(live[status])
        WAITING.set(len(await everybody.waiting()))
        for period, first in zip(PERIODS, (today, today.replace(day=1)), strict=True):
            outcomes = await everybody.outcomes(first, today)
            for status in RunStatus:
                ENDED.labels(period, status).set(outcomes.get(status, 0))
            part = succeeded(outcomes)
            SUCCEEDED.labels(period).set(float("nan") if part is None else part)
