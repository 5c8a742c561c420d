"""How many agents are used, how many of their runs succeed and how long they take, for Prometheus.

Nothing here names a person. `budgets/metrics.py` has how many people and runs there are.
"""

from __future__ import annotations

import asyncio
from datetime import date

from prometheus_client import Gauge

from ..budgets import views
from ..budgets.meter import Budgets

AGENTS = Gauge("agents_agents", "Agents that made calls today.")
SUCCEEDED = Gauge("agents_runs_succeeded_ratio", "Of today's runs, the part whose newest call did not fail.")
LENGTH = Gauge(
    "agents_run_length_seconds", "Of today's runs, from the first call to the end of the last.", ["quantile"]
)


MOST_AGENTS = 100_000


class Activity:
    """Brings the gauges up to date when somebody asks for them."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    async def update(self) -> None:
        """Raises StoreUnavailable."""
        budgets = self._budgets
        ledger = budgets.ledger
        periods = budgets.periods.at(budgets.clock())
        today = date.fromisoformat(periods.day)
        which = views.calls_within(budgets, today, today)
        lengths, agents = await asyncio.gather(ledger.lengths(which), ledger.agents(which, MOST_AGENTS))
        AGENTS.set(len(agents))
        SUCCEEDED.set(lengths.succeeded / lengths.runs if lengths.runs else float("nan"))
        for percent, seconds in lengths.percentiles_s.items():
            LENGTH.labels(str(percent / 100)).set(seconds)
