"""What the store tells of everybody, for the page of administrators and for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from jupyterhub_agents.models import AgentSpec, RunChanges, RunStatus
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger
from jupyterhub_agents.service.pages.activity import Activity
from jupyterhub_agents.service.pages.everybody import Everybody
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import make_approval, make_run
from tests.service.budgets.conftest import NOON, record

pytestmark = pytest.mark.anyio

TODAY = date(2026, 11, 21)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def budgets(tmp_path: Path) -> AsyncIterator[Budgets]:
    made = await asyncio.to_thread(
        Budgets, SQLiteLedger(tmp_path / "service.db"), clock=Clock(), lease_usd=0.0, time_zone="Asia/Seoul"
    )
    async with made as opened:
        yield opened


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    clock = Clock()
    async with SQLiteStore(tmp_path / "agents.db", clock) as store:
        # In Seoul the first is of the day before, in UTC of the same; the last of the month before.
        for agent_id, at in (
            ("evening", datetime(2026, 11, 20, 14, tzinfo=UTC)),
            ("night", datetime(2026, 11, 20, 16, tzinfo=UTC)),
            ("gone", NOON),
            ("october", NOON - timedelta(days=30)),
        ):
            clock.now = at
            await store.create_agent("ada", agent_id, AgentSpec(name=agent_id))
        await store.create_agent("grace", "other", AgentSpec(name="other"))
        await store.delete_agent("ada", "gone", revision=1)
        ends = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SUCCEEDED, RunStatus.WAITING)
        for number, status in enumerate(ends):
            run = make_run("ada", created_at=NOON - timedelta(minutes=number))
            await store.create_run(run)
            await store.append_events("ada", run.id, [], RunChanges(status=status))
        await store.create_approval(make_approval(run))
        early = make_run("ada", created_at=NOON - timedelta(days=3))
        await store.create_run(early)
        await store.append_events("ada", early.id, [], RunChanges(status=RunStatus.INTERRUPTED))
        yield store


async def test_agents_are_counted_by_person_and_by_the_sites_days(store: SQLiteStore, budgets: Budgets) -> None:
    everybody = Everybody(store, budgets)
    standing = await everybody.standing(TODAY, TODAY)
    assert standing is not None
    assert standing.agents_of == {"ada": 3, "grace": 1}
    assert (standing.made_today, standing.made_this_month, standing.agents) == (2, 3, 4)
    assert [(run.owner, run.status) for run in standing.live] == [("ada", RunStatus.WAITING)]
    assert [one.tool for one in standing.waiting] == ["Bash"]
    await everybody.close()


async def test_what_was_cancelled_says_nothing_of_how_runs_succeed(store: SQLiteStore, budgets: Budgets) -> None:
    everybody = Everybody(store, budgets)
    today, week = [await everybody.standing(first, TODAY) for first in (TODAY, TODAY - timedelta(days=6))]
    assert today is not None and week is not None
    assert today.succeeded == pytest.approx(2 / 3)
    assert week.succeeded == pytest.approx(2 / 4)
    none = await everybody.standing(TODAY + timedelta(days=1), TODAY + timedelta(days=1))
    assert none is not None and none.succeeded is None
    await everybody.close()


async def test_a_store_that_is_away_takes_nothing_else_from_the_page(store: SQLiteStore, budgets: Budgets) -> None:
    everybody = Everybody(store, budgets)
    await store.close()
    assert await everybody.standing(TODAY, TODAY) is None
    await everybody.close()


async def test_prometheus_gets_the_same(store: SQLiteStore, budgets: Budgets) -> None:
    for number, minute in enumerate((0, 5, 90)):
        made = record(str(number), started_at=NOON - timedelta(minutes=minute), duration_us=60_000_000)
        await budgets.ledger.settle("r", made, [])
    everybody = Everybody(store, budgets)
    await Activity(budgets, everybody).update()

    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    assert value("agents_known_agents") == 4
    assert [value("agents_made_agents", period=period) for period in ("day", "month")] == [2, 3]
    assert [value("agents_live_runs", status=status) for status in ("queued", "waiting")] == [0, 1]
    assert value("agents_waiting_approvals") == 1
    assert value("agents_runs", period="day", status="succeeded") == 2
    assert value("agents_runs", period="month", status="interrupted") == 1
    assert value("agents_runs_succeeded_ratio", period="month") == pytest.approx(2 / 4)
    assert value("agents_sessions") == 2
    assert value("agents_session_length_seconds", quantile="0.9") == 360
    await everybody.close()
