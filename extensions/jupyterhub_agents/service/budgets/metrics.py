"""What budgets count, for Prometheus. Nothing here names a person."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from .ledger import ActiveDay
from .money import NANOS

SPENT = Counter("agents_spent_dollars", "Dollars that calls cost, by the model's family.", ["family"])
REFUSALS = Counter("agents_budgets_refusals", "Calls that were refused, by the error's type.", ["type"])
LATE = Gauge("agents_budgets_late_bills", "Bills that the ledger could not take yet.")
PEOPLE = Gauge("agents_active_people", "People who made a call this day or month, of all replicas.", ["period"])
RUNS = Gauge("agents_active_runs", "Runs that made a call this day or month, of all replicas.", ["period"])
COST = Gauge("agents_period_spent_dollars", "Dollars spent this day or month, of all replicas.", ["period"])


def spent(family: str | None, cost: int) -> None:
    """Add what a call cost, in nano-dollars."""
    SPENT.labels(family or "other").inc(cost / NANOS)


def active(period: str, found: ActiveDay | None) -> None:
    """Show how a day or a month is so far; None is: nobody made a call."""
    PEOPLE.labels(period).set(found.people if found else 0)
    RUNS.labels(period).set(found.runs if found else 0)
    COST.labels(period).set(found.cost / NANOS if found else 0)
