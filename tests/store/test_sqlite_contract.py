"""SQLiteStore keeps the promises of AgentStore, and the contract's tests would notice if it did not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError

from jupyterhub_agents.errors import SequenceGap, StaleRevision
from jupyterhub_agents.models import Agent, AgentSpec, Event, Page, Run, RunChanges
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.store.sqlite.connection import connect_writer, create
from jupyterhub_agents.testing import StoreContract


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    async def store(self, path: Path) -> AsyncIterator[SQLiteStore]:
        async with SQLiteStore(path) as store:
            yield store

    @pytest.fixture
    async def reopen(self, path: Path) -> AsyncIterator[Callable[[], Awaitable[SQLiteStore]]]:
        opened: list[SQLiteStore] = []

        async def reopen() -> SQLiteStore:
            opened.append(SQLiteStore(path))
            await opened[-1].open()
            return opened[-1]

        yield reopen
        for store in opened:
            await store.close()


# Backends that break a promise each, and the clause that must notice.


class ShowsEverybodyEverything(SQLiteStore):
    async def get_run(self, owner: str, run_id: str) -> Run:
        return await super().get_run(StoreContract.owner, run_id)


class LastWriterWins(SQLiteStore):
    async def update_agent(self, owner: str, agent_id: str, spec: AgentSpec, *, revision: int) -> Agent:
        try:
            return await super().update_agent(owner, agent_id, spec, revision=revision)
        except StaleRevision as stale:
            return await self.update_agent(owner, agent_id, spec, revision=stale.current)


class PagesByPosition(SQLiteStore):
    async def list_runs(self, owner: str, *, limit: int = 50, before: str | None = None, **filters: Any) -> Page[Run]:
        start = int(before or 0)
        runs = (await super().list_runs(owner, limit=1_000, **filters)).items
        more = len(runs) > start + limit
        return Page[Run](items=runs[start : start + limit], next=str(start + limit) if more else None)


class CommitsChangesApart(SQLiteStore):
    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        await super().append_events(owner, run_id, events)
        await super().append_events(owner, run_id, [], changes)


class ClosesGaps(SQLiteStore):
    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        try:
            await super().append_events(owner, run_id, events, changes)
        except SequenceGap as gap:
            moved = [event.model_copy(update={"seq": gap.last_seq + n}) for n, event in enumerate(events, 1)]
            await super().append_events(owner, run_id, moved, changes)


class ForgetsRevisions(SQLiteStore):
    async def create_agent(self, owner: str, agent_id: str, spec: AgentSpec) -> Agent:
        agent = await super().create_agent(owner, agent_id, spec)
        return agent.model_copy(update={"revision": 1})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (ShowsEverybodyEverything, StoreContract.test_what_is_anothers_does_not_exist),
        (LastWriterWins, StoreContract.test_of_updates_from_one_revision_at_once_exactly_one_succeeds),
        (PagesByPosition, StoreContract.test_a_page_of_runs_goes_on_where_it_ended_after_new_runs),
        (CommitsChangesApart, StoreContract.test_readers_see_a_call_whole_or_not_at_all),
        (ClosesGaps, StoreContract.test_a_gap_is_refused_with_the_last_number_and_nothing_is_stored),
        (ForgetsRevisions, StoreContract.test_an_id_used_again_goes_on_counting),
    ],
)
async def test_the_contract_notices_a_broken_promise(
    path: Path, broken: type[SQLiteStore], clause: Callable[..., Awaitable[None]]
) -> None:
    async with SQLiteStore(path) as whole:
        await clause(StoreContract(), whole)
    async with broken(path.with_name("broken.db")) as store:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await clause(StoreContract(), store)


@pytest.mark.anyio
async def test_the_watch_on_the_event_loop_notices_sqlite(path: Path) -> None:
    with pytest.raises(BlockingError):
        create(path)
        connect_writer(path)
