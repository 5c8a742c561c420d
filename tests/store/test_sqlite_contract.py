"""SQLiteStore keeps the promises of AgentStore, and the contract's tests would notice if it did not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from blockbuster import BlockingError

from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.store.sqlite.connection import connect_writer, create
from jupyterhub_agents.testing import StoreContract

from .broken_promises import BROKEN, Clause, breaking


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


@pytest.mark.anyio
@pytest.mark.parametrize(("broken", "clause"), BROKEN)
async def test_the_contract_notices_a_broken_promise(path: Path, broken: type[AgentStore], clause: Clause) -> None:
    async with SQLiteStore(path) as whole:
        await clause(StoreContract(), whole)
    async with breaking(broken, SQLiteStore)(path.with_name("broken.db")) as store:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await clause(StoreContract(), store)


@pytest.mark.anyio
async def test_the_watch_on_the_event_loop_notices_sqlite(path: Path) -> None:
    with pytest.raises(BlockingError):
        create(path)
        connect_writer(path)
