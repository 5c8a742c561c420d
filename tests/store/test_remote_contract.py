"""RemoteStore keeps the promises of AgentStore, through the real API in a process of its own over SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from jupyterhub_agents.ids import new_id
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.remote import RemoteStore
from jupyterhub_agents.testing import StoreContract

from ..service.store_service import Service, remote_store, token_of
from .broken_promises import BROKEN, Clause, breaking


@pytest.fixture
def url(service: Service) -> str:
    """Where there is an empty store."""
    return service.url(new_id())


class TestRemoteStore(StoreContract):
    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[RemoteStore]:
        async with remote_store(url) as store:
            yield store

    @pytest.fixture
    async def reopen(self, url: str) -> AsyncIterator[Callable[[], Awaitable[RemoteStore]]]:
        opened: list[RemoteStore] = []

        async def reopen() -> RemoteStore:
            opened.append(remote_store(url))
            await opened[-1].open()
            return opened[-1]

        yield reopen
        for store in opened:
            await store.close()


@pytest.mark.anyio
@pytest.mark.parametrize(("broken", "clause"), BROKEN)
async def test_the_contract_notices_a_broken_promise(
    service: Service, broken: type[AgentStore], clause: Clause
) -> None:
    async with remote_store(service.url(new_id())) as whole:
        await clause(StoreContract(), whole)
    async with breaking(broken, RemoteStore)(service.url(new_id()), token_of) as store:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await clause(StoreContract(), store)
