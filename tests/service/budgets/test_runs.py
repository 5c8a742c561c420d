"""What the pages are told of runs, of agents, and of calls under way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jupyterhub_agents.service.budgets.ledger import CallFilter, Ledger, Lengths, Sessions
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger
from jupyterhub_agents.service.gateway.meter import Usage

from .conftest import ADA, NOON, MakeBudgets, MovedClock, call, record

pytestmark = pytest.mark.anyio

EVERY = CallFilter()


async def put(ledger: SQLiteLedger, id: str, run: str | None, minute: float, **changes: object) -> None:
    at = NOON + timedelta(minutes=minute)
    made = record(id, run_id=run, started_at=at, agent_id="helper" if run else None, **changes)
    await ledger.settle("r", made, [])


async def test_a_run_is_its_calls_and_succeeded_when_the_newest_did(ledger: SQLiteLedger) -> None:
    await put(ledger, "1", "good", 0, status=529, cost=0)
    await put(ledger, "2", "good", 2, duration_us=30_000_000, cost=5)
    await put(ledger, "3", "bad", 1)
    await put(ledger, "4", "bad", 3, status=400, duration_us=0)
    await put(ledger, "5", None, 4)
    bad, good = await ledger.runs(EVERY, 10)
    assert (good.run_id, good.person, good.agent_id) == ("good", "ada", "helper")
    assert (good.calls, good.failed, good.tokens, good.cost, good.succeeded) == (2, 1, 60, 5, True)
    assert (good.started_at, good.length_s) == (NOON, 150.0)
    assert (bad.run_id, bad.failed, bad.succeeded) == ("bad", 1, False)
    assert [run.run_id for run in await ledger.runs(EVERY, 1)] == ["bad"]
    assert await ledger.runs(CallFilter(person="grace"), 10) == []


async def test_agents_are_told_apart_by_whose_they_are(ledger: SQLiteLedger) -> None:
    await put(ledger, "1", "a", 0, cost=5)
    await put(ledger, "2", "b", 1, status=500, cost=0)
    await put(ledger, "3", "c", 2, person="grace")
    grace, ada = await ledger.agents(EVERY, 10)
    assert (grace.person, grace.agent_id, grace.runs) == ("grace", "helper", 1)
    assert (ada.person, ada.runs, ada.calls, ada.failed, ada.cost) == ("ada", 2, 2, 1, 5)
    assert ada.last_at == NOON + timedelta(minutes=1)


async def test_lengths_are_of_whole_runs(ledger: SQLiteLedger) -> None:
    assert await ledger.lengths(EVERY) == Lengths(0, 0)
    for number in range(1, 11):
        await put(ledger, f"{number}a", str(number), 0, duration_us=0)
        await put(ledger, f"{number}b", str(number), number, duration_us=0, status=500 if number == 10 else 200)
    found = await ledger.lengths(EVERY)
    assert (found.runs, found.succeeded) == (10, 9)
    assert found.percentiles_s == {50: 300.0, 90: 540.0}


async def test_a_session_is_a_persons_calls_without_a_long_pause(ledger: SQLiteLedger) -> None:
    assert await ledger.sessions(EVERY) == Sessions(0)
    for number, minute in enumerate((0, 10, 45, 80, 81)):  # a pause of 35 minutes, twice
        await put(ledger, f"a{number}", None, minute, duration_us=60_000_000)
    # One that is long under way, with another within it: the pause counts from its end.
    await put(ledger, "b0", "run", 0, person="grace", duration_us=3_600_000_000)
    await put(ledger, "b1", "run", 5, person="grace", duration_us=1_000_000)
    await put(ledger, "b2", "run", 85, person="grace", duration_us=0)
    found = await ledger.sessions(EVERY)
    assert found == Sessions(4, {50: 120.0, 90: 5_100.0})
    assert await Ledger.sessions(ledger, EVERY) == found  # as a ledger counts that cannot by itself
    assert await ledger.sessions(CallFilter(person="ada"), [100]) == Sessions(3, {100: 660.0})


async def test_calls_under_way_are_those_that_were_reserved_and_not_settled(
    make_budgets: MakeBudgets, clock: MovedClock
) -> None:
    async with await make_budgets() as budgets:
        first = await budgets.reserve(call())
        clock.pass_(seconds=3)
        second = await budgets.reserve(call(model="claude-opus-5-5"))
        assert list(budgets.live()) == [first, second]
        assert (first.call.person, first.reserved_at) == (ADA, NOON)
        await first.settle(Usage(output_tokens=1), status=200, duration_s=1, complete=True)
        assert list(budgets.live()) == [second]
