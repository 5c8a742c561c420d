"""SQLiteLedger keeps the promises of Ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger

from .ledger_contract import LedgerContract


class TestSQLiteLedger(LedgerContract):
    @pytest.fixture
    async def another(self, path: Path) -> AsyncIterator[Callable[[], Awaitable[SQLiteLedger]]]:
        async with AsyncExitStack() as stack:

            async def another() -> SQLiteLedger:
                return await stack.enter_async_context(SQLiteLedger(path))

            yield another
