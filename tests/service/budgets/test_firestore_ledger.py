"""FirestoreLedger keeps the promises of Ledger on Google's emulator, within Firestore's limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jupyterhub_agents.service.budgets.firestore import FirestoreLedger

from .conftest import MovedClock
from .ledger_contract import LedgerContract


class TestFirestoreLedger(LedgerContract):
    @pytest.fixture
    async def ledger(self, project: str, tmp_path: Path, clock: MovedClock) -> AsyncIterator[FirestoreLedger]:
        async with FirestoreLedger(project, tmp_path, clock=clock, quiet_s=0.0) as ledger:
            yield ledger

    @pytest.fixture
    async def another(
        self, project: str, tmp_path: Path, clock: MovedClock
    ) -> AsyncIterator[Callable[[], Awaitable[FirestoreLedger]]]:
        async with AsyncExitStack() as stack:

            async def another() -> FirestoreLedger:
                made = FirestoreLedger(project, tmp_path, clock=clock, quiet_s=0.0)
                return await stack.enter_async_context(made)

            yield another
