"""FirestoreStore keeps the promises of AgentStore on Google's emulator, and the contract would notice if it did not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.testing import StoreContract

from .broken_promises import BROKEN, Clause, breaking
from .firestore_emulator import Emulator


class TestFirestoreStore(StoreContract):
    @pytest.fixture
    async def store(self, project: str) -> AsyncIterator[FirestoreStore]:
        async with FirestoreStore(project) as store:
            yield store

    @pytest.fixture
    async def reopen(self, project: str) -> AsyncIterator[Callable[[], Awaitable[FirestoreStore]]]:
        opened: list[FirestoreStore] = []

        async def reopen() -> FirestoreStore:
            opened.append(FirestoreStore(project))
            await opened[-1].open()
            return opened[-1]

        yield reopen
        for store in opened:
            await store.close()


@pytest.mark.anyio
@pytest.mark.parametrize(("broken", "clause"), BROKEN)
async def test_the_contract_notices_a_broken_promise(
    emulator: Emulator, project: str, broken: type[AgentStore], clause: Clause
) -> None:
    async with FirestoreStore(project) as whole:
        await clause(StoreContract(), whole)
    async with breaking(broken, FirestoreStore)(emulator.new_project()) as store:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await clause(StoreContract(), store)
