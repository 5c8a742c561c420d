"""What the pages show, asked of the ledger and of the hub. Money is in nano-dollars here; templates write it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from ...errors import HubUnavailable, StoreUnavailable
from ..budgets import views
from ..budgets.answers import BudgetState
from ..budgets.booking import Booking
from ..budgets.ledger import (
    ActiveDay,
    AgentSum,
    Budget,
    CallRecord,
    Change,
    Kind,
    Lengths,
    RunSum,
    Sessions,
    Speed,
    UsageRow,
)
from ..budgets.meter import Budgets
from ..budgets.periods import PeriodKind
from ..hub import HubAPI, Member
from ..identity import Person
from ..remembered import Remembered
from .everybody import Everybody, Standing

SPANS = (7, 30, 90, 365)
"""The days that a reader may choose to look at."""
MOST_SERIES = 8
"""Colours that can be told apart; what is beyond them is summed up."""
LATELY = 25
SLOW_S = 15.0
"""Seconds that sums over all calls are shown again: they take about a second for 300,000."""

Unit = Literal["money", "number", "percent"]


@dataclass(frozen=True)
class Chart:
    """A table that is also drawn: a row for each day or name, a column for each series. `others`: the last column, or
    row, sums up what had no room."""

    rows: Sequence[tuple[str, Sequence[float]]]
    columns: Sequence[str]
    unit: Unit
    days: bool = True
    others: bool = False

    @property
    def empty(self) -> bool:
        return not any(any(values) for _, values in self.rows)


@dataclass(frozen=True)
class Totals:
    calls: int
    failed: int
    tokens: int
    cost: int

    @classmethod
    def of(cls, rows: Iterable[UsageRow]) -> Totals:
        rows = list(rows)
        return cls(
            sum(row.calls for row in rows), sum(row.failed for row in rows), sum(map(tokens, rows)),
            sum(row.cost for row in rows),
        )  # fmt: skip


@dataclass(frozen=True)
class Mine:
    now: datetime
    days: int
    contact: str
    budgets: Sequence[BudgetState]
    totals: Totals
    tokens_by_model: Chart
    cost_by_model: Chart
    runs: Sequence[RunSum]
    calls: Sequence[CallRecord]
    live: Sequence[Booking]


@dataclass(frozen=True)
class Everything:
    """`members` is None while the hub does not answer."""

    now: datetime
    days: int
    members: Sequence[Member] | None
    spent_this_month: dict[str, int]
    today: ActiveDay
    month: ActiveDay
    totals: Totals
    speed: Speed
    lengths: Lengths
    sessions: Sessions
    live: Sequence[Booking]
    runs: Sequence[RunSum]
    agents: Sequence[AgentSum]
    """The dearest first."""
    standing: Standing | None
    """None while the store does not answer."""
    cost_by_model: Chart
    by_agent: Chart
    by_person: Chart
    by_group: Chart
    by_model: Chart
    failures: Chart
    active: Chart
    budgets: Sequence[BudgetState]
    defaults: dict[Kind, Budget]
    changes: Sequence[Change]

    @property
    def running(self) -> int:
        return sum(1 for member in self.members or () if member.workspaces)

    @property
    def reachable(self) -> Collection[str]:
        """Whose workspace runs: there a run can be cancelled. All, while the hub does not say."""
        if self.members is None:
            return {run.owner for run in self.standing.live} if self.standing else ()
        ready = (member.name for member in self.members if any(one.ready and not one.name for one in member.workspaces))
        return frozenset(ready)


def tokens(row: UsageRow) -> int:
    return row.input_tokens + row.output_tokens + row.cache_write_tokens + row.cache_read_tokens


async def mine(budgets: Budgets, who: Person, days: int) -> Mine:
    """What one person sees."""
    first, last = _span(budgets, days)
    which = views.calls_within(budgets, first, last, person=who.name)
    ledger = budgets.ledger
    whose = dict.fromkeys((account.kind, account.name) for account in budgets.accounts_of(who))
    # What all others spent is not mine to see, unless it limits me.
    seen = [one for one in whose if one[0] is Kind.PERSON or budgets.budget_of(*one) != Budget()]
    states, usage, runs, calls = await asyncio.gather(
        views.states(budgets, seen),
        ledger.usage(("day", "model"), first.isoformat(), last.isoformat(), Kind.PERSON, who.name),
        ledger.runs(which, LATELY),
        ledger.calls(which, LATELY),
    )
    return Mine(
        now=budgets.clock(),
        days=days,
        contact=budgets.contact,
        budgets=states,
        totals=Totals.of(usage),
        tokens_by_model=_by_day(usage, first, last, [tokens(row) for row in usage], "number"),
        cost_by_model=_by_day(usage, first, last, [row.cost for row in usage], "money"),
        runs=runs,
        calls=calls.calls,
        live=[one for one in budgets.live() if one.call.person.name == who.name],
    )


@dataclass(frozen=True)
class Slow:
    """What takes all calls of the days to find out."""

    speed: Speed
    lengths: Lengths
    sessions: Sessions
    agents: Sequence[AgentSum]


def remember_slow() -> Remembered[int, Slow]:
    """For `everything`, by days. Close it in the end."""
    return Remembered(fresh_s=lambda _: SLOW_S, usable_s=0, away=StoreUnavailable)


async def everything(
    budgets: Budgets, hub: HubAPI, everybody: Everybody, days: int, remembered: Remembered[int, Slow]
) -> Everything:
    """What an administrator sees."""
    first, last = _span(budgets, days)
    since, until = first.isoformat(), last.isoformat()
    which = views.calls_within(budgets, first, last)
    ledger = budgets.ledger
    periods = budgets.periods.at(budgets.clock())

    async def find_out() -> Slow:
        speed, lengths, sessions, agents = await asyncio.gather(
            ledger.speed(which), ledger.lengths(which), ledger.sessions(which), views.by_agent(budgets, which)
        )
        return Slow(speed, lengths, sessions, agents)

    usage, people, groups, slow = await asyncio.gather(
        ledger.usage(("day", "model"), since, until),
        ledger.usage(("name",), since, until, Kind.PERSON),
        ledger.usage(("name",), since, until, Kind.GROUP),
        remembered.get(days, find_out),
    )
    active, today, month, members, standing = await asyncio.gather(
        ledger.activity(since, until, PeriodKind.DAY),
        ledger.activity(periods.day, periods.day, PeriodKind.DAY),
        ledger.activity(f"{periods.month}-01", periods.day, PeriodKind.MONTH),
        _members(hub),
        everybody.standing(first, last),
    )
    states, spent, runs, changes = await asyncio.gather(
        views.everybodys(budgets),
        ledger.names(Kind.PERSON, [periods.month]),
        ledger.runs(which, LATELY),
        ledger.changes(10),
    )
    return Everything(
        now=budgets.clock(),
        days=days,
        members=members,
        spent_this_month={name: sum(by_key.values()) for name, by_key in spent.items()},
        today=next(iter(today), ActiveDay(periods.day, 0, 0, 0, 0)),
        month=next(iter(month), ActiveDay(periods.month, 0, 0, 0, 0)),
        totals=Totals.of(usage),
        speed=slow.speed,
        lengths=slow.lengths,
        sessions=slow.sessions,
        live=budgets.live(),
        runs=runs,
        agents=slow.agents[:LATELY],
        standing=standing,
        by_agent=_agents(slow.agents),
        cost_by_model=_by_day(usage, first, last, [row.cost for row in usage], "money"),
        by_person=_ranking(people, 0),
        by_group=_ranking(groups, 0),
        by_model=_ranking(usage, 1),
        failures=_failures(usage, first, last),
        active=_active(active, first, last),
        budgets=states,
        defaults={kind: budgets.default_of(kind) for kind in Kind},
        changes=changes[0],
    )


async def _members(hub: HubAPI) -> Sequence[Member] | None:
    try:
        return await hub.people()
    except HubUnavailable:
        return None


def _span(budgets: Budgets, days: int) -> tuple[date, date]:
    today = budgets.clock().astimezone(ZoneInfo(budgets.time_zone)).date()
    return today - timedelta(days=days - 1), today


def _days(first: date, last: date) -> list[str]:
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def _by_day(rows: Sequence[UsageRow], first: date, last: date, values: Sequence[int], unit: Unit) -> Chart:
    """A column for each model that has most."""
    sums: dict[str, int] = {}
    cells: dict[tuple[str, str], int] = {}
    for row, value in zip(rows, values, strict=True):
        day, model = row.by
        sums[model] = sums.get(model, 0) + value
        cells[day, model] = cells.get((day, model), 0) + value
    models = sorted((model for model in sums if sums[model]), key=lambda model: (-sums[model], model))
    # By name, so that a model has the same colour in each chart.
    shown, rest = sorted(models[:MOST_SERIES]), models[MOST_SERIES:]
    table = []
    for day in _days(first, last):
        line = [cells.get((day, model), 0) for model in shown]
        table.append((day, [*line, sum(cells.get((day, model), 0) for model in rest)] if rest else line))
    return Chart(table, shown, unit, others=bool(rest))


def _ranking(rows: Sequence[UsageRow], part: int) -> Chart:
    """A row for each name with what it cost, the dearest first."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.by[part]] = sums.get(row.by[part], 0) + row.cost
    ranked = sorted(((name, [cost]) for name, cost in sums.items() if cost), key=lambda one: (-one[1][0], one[0]))
    most = MOST_SERIES + 2
    rest = sum(values[0] for _, values in ranked[most:])
    return Chart(ranked[:most] + ([("", [rest])] if rest else []), ("",), "money", days=False, others=bool(rest))


def _agents(rows: Sequence[AgentSum]) -> Chart:
    """A row for each agent with what it cost. Agents of two people may have one name: whose it is stands beside it."""
    ranked = [(f"{row.agent_id} ({row.person})", [row.cost]) for row in rows if row.cost]
    most = MOST_SERIES + 2
    rest = sum(values[0] for _, values in ranked[most:])
    return Chart(ranked[:most] + ([("", [rest])] if rest else []), ("",), "money", days=False, others=bool(rest))


def _failures(rows: Sequence[UsageRow], first: date, last: date) -> Chart:
    calls: dict[str, int] = {}
    failed: dict[str, int] = {}
    for row in rows:
        calls[row.by[0]] = calls.get(row.by[0], 0) + row.calls
        failed[row.by[0]] = failed.get(row.by[0], 0) + row.failed
    return Chart([(day, [failed.get(day, 0) / (calls.get(day) or 1)]) for day in _days(first, last)], ("",), "percent")


def _active(rows: Sequence[ActiveDay], first: date, last: date) -> Chart:
    found = {row.day: [row.people, row.runs] for row in rows}
    return Chart([(day, found.get(day, [0, 0])) for day in _days(first, last)], ("people", "runs"), "number")
