"""The AgentStore keeps the promises of the SDK's SessionStore, on every backend."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import SessionKey, SessionStore, project_key_for_directory
from claude_agent_sdk.testing import run_session_store_conformance

from jupyterhub_agents.ids import new_id, new_session_id
from jupyterhub_agents.models import TranscriptKey
from jupyterhub_agents.runtime.transcripts import Mirror, Transcripts, restore
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.store.replicated import ReplicatedStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from tests.service.store_service import Service, remote_store, token_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def sqlite(tmp_path: Path) -> AgentStore:
    return SQLiteStore(tmp_path / "agents.db")


@pytest.fixture
def firestore(project: str) -> AgentStore:
    return FirestoreStore(project)


@pytest.fixture
def remote(service: Service) -> AgentStore:
    return remote_store(service.url(new_id()))


@pytest.fixture
def replicated(service: Service, tmp_path: Path) -> AgentStore:
    return ReplicatedStore(tmp_path / "agents.db", service.url(new_id()), token_of)


@pytest.fixture(params=["sqlite", "firestore", "remote", "replicated"])
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


# What the store missed


def line(n: int, **fields: Any) -> dict[str, Any]:
    return {"type": "user", "uuid": f"{n:08}", "n": n, **fields}


MARK = {"type": "mode", "mode": "default"}
ABOUT = {"agentType": "reviewer"}


class Home:
    """A CLI's configuration folder with a session that has a subagent."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "home" / "agents" / "helper"
        self.config = folder / "home" / ".claude"
        self.session_id = new_session_id()
        self.key = TranscriptKey(project_key=project_key_for_directory(self.directory), session_id=self.session_id)
        self.part = self.key.model_copy(update={"subpath": "subagents/agent-1"})
        self.folder = self.config / "projects" / self.key.project_key
        self.about = self.folder / self.session_id / "subagents" / "agent-1.meta.json"

    def write(self, entries: list[dict[str, Any]], subagent: list[dict[str, Any]], torn: str = "") -> None:
        self.about.parent.mkdir(parents=True, exist_ok=True)
        self.about.write_text(json.dumps(ABOUT))
        for path, lines in ((self.main, entries), (self.about.with_name("agent-1.jsonl"), subagent)):
            path.write_text("".join(json.dumps(line) + "\n" for line in lines) + torn)

    @property
    def main(self) -> Path:
        return self.folder / f"{self.session_id}.jsonl"

    def mirror(self, store: AgentStore) -> Mirror:
        return Mirror(  # type: ignore[abstract]  # one method is optional
            store, "ana", config=self.config, directory=self.directory, session_id=self.session_id
        )

    async def restore(self, store: AgentStore) -> None:
        await restore(store, "ana", config=self.config, directory=self.directory, session_id=self.session_id)


@pytest.fixture(params=["sqlite", "firestore"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AgentStore]:
    opened: AgentStore = request.getfixturevalue(request.param)
    async with opened:
        yield opened


WRITTEN = [MARK, line(1), line(2), MARK, line(3, text="half \ud83d"), MARK, line(4)]


@pytest.mark.parametrize("stored", range(len(WRITTEN) + 1))
async def test_a_transcript_that_broke_off_anywhere_becomes_what_the_cli_wrote(
    store: AgentStore, tmp_path: Path, stored: int
) -> None:
    home = Home(tmp_path)
    home.write(WRITTEN, [line(7), line(8)], torn='{"type": "user", "uu')
    whole = [*WRITTEN[:4], line(3, text="half \ufffd"), *WRITTEN[5:]]
    if stored:
        await store.append_transcript("ana", home.key, whole[:stored])
    mirror = home.mirror(store)
    for _ in range(2):
        if await mirror.find_missing():
            await mirror.catch_up()
        assert await store.load_transcript("ana", home.key) == whole
        assert await store.load_transcript("ana", home.part) == [line(7), line(8), {**ABOUT, "type": "agent_metadata"}]
    shutil.rmtree(home.config)
    await home.restore(store)
    assert [json.loads(text) for text in home.main.read_text().splitlines()] == whole
    assert home.about.with_name("agent-1.jsonl").read_text().count("\n") == 2
    assert json.loads(home.about.read_text()) == ABOUT
    assert not list(home.config.rglob("*.restoring"))


async def test_files_that_are_ahead_of_the_store_are_kept_and_the_store_gets_the_rest(
    store: AgentStore, tmp_path: Path
) -> None:
    """As after a kill: the SDK tells the store at the end of a turn."""
    home = Home(tmp_path)
    home.write([line(1), line(2), line(3), MARK], [line(7)])
    await store.append_transcript("ana", home.key, [line(1)])
    before = home.main.read_bytes()
    for _ in range(2):
        await home.restore(store)
        assert home.main.read_bytes() == before
        assert await store.load_transcript("ana", home.key) == [line(1), line(2), line(3), MARK]
        assert (await store.load_transcript("ana", home.part) or [])[0] == line(7)


async def test_after_a_part_that_could_not_be_stored_nothing_is_added_out_of_order(tmp_path: Path) -> None:
    home = Home(tmp_path)
    key: SessionKey = {"project_key": home.key.project_key, "session_id": home.session_id}
    path = tmp_path / "agents.db"
    async with SQLiteStore(path) as store:
        mirror = home.mirror(store)
        await mirror.append(key, [line(1)])  # type: ignore[list-item]  # the SDK's entries are dicts too
        path.rename(tmp_path / "away.db")
        await mirror.append(key, [line(2)])  # type: ignore[list-item]
        (tmp_path / "away.db").rename(path)
        await mirror.append(key, [line(3)])  # type: ignore[list-item]
        assert await store.load_transcript("ana", home.key) == [line(1)]
        home.write([line(1), line(2), line(3)], [])
        assert await mirror.find_missing()
        await mirror.catch_up()
        assert await store.load_transcript("ana", home.key) == [line(1), line(2), line(3)]
        assert not await mirror.find_missing()
