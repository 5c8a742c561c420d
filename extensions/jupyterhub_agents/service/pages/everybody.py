"""What the store tells of everybody's agents and runs, for the page of administrators and for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from ...errors import StoreUnavailable
from ...models import RunStatus
from ...store import OverviewStore
from ...store.overview import KnownAgent, LiveRun, WaitingCall
from ..budgets import views
from ..budgets.meter import Budgets
from ..remembered import Remembered

MOST = 200
"""Live runs, and calls that wait, that a page shows."""
AGENTS_S = 60.0
"""Seconds that the list of agents is used again: all of them are read for it."""
OVER = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.INTERRUPTED)
"""What counts for the part that succeeded. What somebody cancelled says nothing of it."""


@dataclass(frozen=True)
class Standing:
    """How everybody's agents and runs stand."""

    live: Sequence[LiveRun]
    waiting: Sequence[WaitingCall]
    agents_of: Mapping[str, int]
    """How many each person has."""
    made_today: int
    made_this_month: int
    outcomes: Mapping[RunStatus, int]
    """Of the runs of the days that are looked at."""

    @property
    def agents(self) -> int:
        return sum(self.agents_of.values())

    @property
    def succeeded(self) -> float | None:
        """The part of the runs that are over which succeeded; None when none is."""
        return succeeded(self.outcomes)


def succeeded(outcomes: Mapping[RunStatus, int]) -> float | None:
    over = sum(outcomes.get(status, 0) for status in OVER)
    return outcomes.get(RunStatus.SUCCEEDED, 0) / over if over else None


class Everybody:
    """Asks the store, the expensive questions seldom. Close it in the end."""

    def __init__(self, store: OverviewStore, budgets: Budgets) -> None:
        self._store = store
        self._budgets = budgets
        self._agents: Remembered[str, Sequence[KnownAgent]] = Remembered(
            fresh_s=lambda _: AGENTS_S, usable_s=0, away=StoreUnavailable
        )

    async def close(self) -> None:
        await self._agents.close()

    async def standing(self, first: date, last: date) -> Standing | None:
        """For these days, of the site's time zone. None while the store does not answer."""
        try:
            agents = await self.agents()
            made = self.made(agents)
            return Standing(
                live=await self._store.live_runs(MOST),
                waiting=await self._store.waiting_calls(MOST),
                agents_of=Counter(agent.owner for agent in agents if not agent.deleted),
                made_today=made["day"],
                made_this_month=made["month"],
                outcomes=await self.outcomes(first, last),
            )
        except StoreUnavailable:
            return None

    async def agents(self) -> Sequence[KnownAgent]:
        """Everybody's. Raises StoreUnavailable."""
        return await self._agents.get("", self._store.known_agents)

    async def live(self) -> Sequence[LiveRun]:
        """At most 1,000. Raises StoreUnavailable."""
        return await self._store.live_runs(1_000)

    async def waiting(self) -> Sequence[WaitingCall]:
        """At most 1,000. Raises StoreUnavailable."""
        return await self._store.waiting_calls(1_000)

    async def outcomes(self, first: date, last: date) -> Mapping[RunStatus, int]:
        """Of the runs made in these days. Raises StoreUnavailable."""
        which = views.calls_within(self._budgets, first, last)
        since, until = which.since, which.until
        assert since is not None and until is not None  # noqa: S101 - for the types: these days have both
        return await self._store.run_outcomes(since, until)

    def made(self, agents: Sequence[KnownAgent]) -> Mapping[str, int]:
        """How many were made today and this month, those that were deleted since among them."""
        zone = ZoneInfo(self._budgets.time_zone)
        now = self._budgets.periods.at(self._budgets.clock())
        days = [agent.created_at.astimezone(zone).date().isoformat() for agent in agents]
        return {
            "day": sum(day == now.day for day in days),
            "month": sum(day.startswith(now.month) for day in days),
        }
