"""The AgentStore keeps the promises of the SDK's SessionStore, on every backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from claude_agent_sdk import SessionStore
from claude_agent_sdk.testing import run_session_store_conformance

from jupyterhub_agents.models import TranscriptKey
from jupyterhub_agents.runtime.transcripts import Transcripts
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.store.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def sqlite(tmp_path: Path) -> AgentStore:
    return SQLiteStore(tmp_path / "agents.db")


@pytest.fixture
def firestore(project: str) -> AgentStore:
    return FirestoreStore(project)


@pytest.fixture(params=["sqlite", "firestore"])
async def make_store(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], SessionStore]]:
    """Gives transcripts of another person, who has none yet, at each call."""
    store: AgentStore = request.getfixturevalue(request.param)
    people = iter(range(1_000))
    async with store:
        yield lambda: Transcripts(store, f"person-{next(people)}")


async def test_the_sdks_own_conformance_suite_passes(make_store: Callable[[], SessionStore]) -> None:
    await run_session_store_conformance(make_store, skip_optional=frozenset({"list_session_summaries"}))


async def test_transcripts_are_the_persons_own_in_the_agents_store(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "agents.db") as store:
        await Transcripts(store, "ana").append(
            {"project_key": "-home-ana", "session_id": "s", "subpath": "subagents/agent-1"},
            [{"type": "x", "uuid": "1"}],
        )
        key = TranscriptKey(project_key="-home-ana", session_id="s", subpath="subagents/agent-1")
        assert await store.load_transcript("ana", key) == [{"type": "x", "uuid": "1"}]
        assert await Transcripts(store, "bob").load({"project_key": "-home-ana", "session_id": "s"}) is None
