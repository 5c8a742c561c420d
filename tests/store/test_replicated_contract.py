"""ReplicatedStore keeps the promises of AgentStore, with the real API in a process of its own behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from jupyterhub_agents.ids import new_id
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.replicated import ReplicatedStore
from jupyterhub_agents.testing import StoreContract

from ..service.store_service import Service, token_of
from .broken_promises import BROKEN, Clause, breaking


class TestReplicatedStore(StoreContract):
    """A home, and a second store on the same home."""

    @pytest.fixture
    def url(self, service: Service) -> str:
        return service.url(new_id())

    @pytest.fixture
    async def store(self, path: Path, url: str) -> AsyncIterator[ReplicatedStore]:
        async with ReplicatedStore(path, url, token_of) as store:
            yield store

    @pytest.fixture
    async def reopen(self, path: Path, url: str) -> AsyncIterator[Callable[[], Awaitable[ReplicatedStore]]]:
        opened: list[ReplicatedStore] = []

        async def reopen() -> ReplicatedStore:
            opened.append(ReplicatedStore(path, url, token_of))
            await opened[-1].open()
            return opened[-1]

        yield reopen
        for store in opened:
            await store.close()


@pytest.mark.anyio
@pytest.mark.parametrize(("broken", "clause"), BROKEN)
async def test_the_contract_notices_a_broken_promise(
    service: Service, path: Path, broken: type[AgentStore], clause: Clause
) -> None:
    async with ReplicatedStore(path, service.url(new_id()), token_of) as whole:
        await clause(StoreContract(), whole)
    other = path.with_name("broken.db")
    async with breaking(broken, ReplicatedStore)(other, service.url(new_id()), token_of) as store:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await clause(StoreContract(), store)
