"""`StoreContract`: the promises of `AgentStore`, each a test that any backend can run.

A backend's test class inherits them and supplies two fixtures:

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self): ...        # an open, empty store; closed afterwards

        @pytest.fixture
        def reopen(self): ...             # `await reopen()` gives another open store on the same data

Call `pytest.register_assert_rewrite("jupyterhub_agents.testing.store_contract")` in the conftest.py for readable
failures. The tests run under anyio's pytest plugin.
"""

from __future__ import annotations

from .agents import AgentClauses
from .approvals import ApprovalClauses
from .at_once import ConcurrencyClauses
from .bounds import BoundClauses
from .events import EventClauses
from .moving import MovingClauses
from .runs import RunClauses
from .shares import ShareClauses
from .transcripts import TranscriptClauses
from .whole import WholeClauses

__all__ = ["StoreContract"]


class StoreContract(
    AgentClauses, RunClauses, EventClauses, ApprovalClauses, TranscriptClauses, MovingClauses, ConcurrencyClauses,
    BoundClauses, ShareClauses, WholeClauses,
):  # fmt: skip
    """The promises of `AgentStore`. See the module for the fixtures a backend supplies."""
