"""What an administrator is told of everybody, by both stores that the hub's service may keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from jupyterhub_agents.errors import InvalidInput
from jupyterhub_agents.ids import utcnow
from jupyterhub_agents.models import AgentSpec, Decision, RunChanges, RunStatus
from jupyterhub_agents.store import OverviewStore
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import T0, make_approval, make_run, spec

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "firestore"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[OverviewStore]:
    chosen = request.param == "sqlite"
    async with SQLiteStore(path) if chosen else FirestoreStore(request.getfixturevalue("project")) as store:
        yield store


async def test_runs_that_are_not_over_are_told_newest_first_whosever_they_are(store: OverviewStore) -> None:
    statuses = list(RunStatus)
    runs = [make_run(("ada", "grace", "an odd/name")[number % 3], number) for number in range(len(statuses))]
    for run, status in zip(runs, statuses, strict=True):
        await store.create_run(run)
        await store.append_events(run.owner, run.id, [], RunChanges(status=status, started_at=run.created_at))
    told = await store.live_runs(100)
    live = [run for run, status in zip(runs, statuses, strict=True) if not status.is_final]
    assert [(one.owner, one.run_id) for one in told] == [(run.owner, run.id) for run in reversed(live)]
    assert {one.status for one in told} == {RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING}
    newest = live[-1]
    assert (told[0].agent_id, told[0].trigger) == (newest.agent_id, newest.trigger)
    assert told[0].created_at == told[0].started_at == newest.created_at
    assert [one.run_id for one in await store.live_runs(1)] == [newest.id]
    with pytest.raises(InvalidInput):
        await store.live_runs(0)


async def test_calls_that_wait_are_told_until_they_are_decided_or_closed_and_not_what_they_are(
    store: OverviewStore,
) -> None:
    runs = [make_run("ada"), make_run("grace", 1)]
    approvals = [make_approval(run, number) for number, run in enumerate(runs * 2)]
    for run in runs:
        await store.create_run(run)
    for approval in approvals:
        await store.create_approval(approval)
    told = await store.waiting_calls(100)
    assert [one.approval_id for one in told] == [one.id for one in reversed(approvals)]
    newest = approvals[-1]
    assert (told[0].owner, told[0].run_id, told[0].agent_id, told[0].tool, told[0].created_at) == (
        "grace", newest.run_id, newest.agent_id, newest.tool, newest.created_at,
    )  # fmt: skip
    assert "step" not in repr(told)
    await store.decide_approval("ada", approvals[0].id, Decision.ONCE, by="ada")
    await store.close_approvals("grace", runs[1].id, approvals[1].id)
    assert [one.approval_id for one in await store.waiting_calls(1)] == [approvals[3].id]
    assert [one.approval_id for one in await store.waiting_calls(100)] == [approvals[3].id, approvals[2].id]


async def test_everybodys_agents_are_told_the_deleted_ones_as_such(store: OverviewStore) -> None:
    before = utcnow()
    for owner, agent_id in (("grace", "reviewer"), ("ada", "writer"), ("ada", "old")):
        await store.create_agent(owner, agent_id, spec())
    await store.update_agent("ada", "writer", AgentSpec(name="Other"), revision=1)
    await store.delete_agent("ada", "old", revision=1)
    told = await store.known_agents()
    assert [(one.owner, one.agent_id, one.deleted) for one in told] == [
        ("ada", "old", True), ("ada", "writer", False), ("grace", "reviewer", False),
    ]  # fmt: skip
    assert told[1].created_at == (await store.get_agent("ada", "writer")).created_at >= before


async def test_how_the_runs_of_a_time_ended_is_counted(store: OverviewStore) -> None:
    ends = [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.QUEUED, RunStatus.SUCCEEDED]
    for number, status in enumerate(ends):
        run = make_run(f"person{number}", number)
        await store.create_run(run)
        await store.append_events(run.owner, run.id, [], RunChanges(status=status))
    counted = await store.run_outcomes(T0 + timedelta(seconds=1), T0 + timedelta(seconds=4))
    assert counted == {RunStatus.FAILED: 1, RunStatus.SUCCEEDED: 1, RunStatus.QUEUED: 1}
    assert await store.run_outcomes(T0 - timedelta(days=1), T0) == {}
