"""Where SQLiteStore keeps its file, and who may read it."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterhub_agents.models import AgentSpec
from jupyterhub_agents.store.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
async def test_only_the_owner_may_read_the_files_and_the_folders_made_for_them(tmp_path: Path) -> None:
    path = tmp_path / "share" / "jupyterhub-agents" / "agents.db"
    async with SQLiteStore(path) as store:
        await store.create_agent("ada", "a", AgentSpec(name="A"))
        await store.list_agents("ada")
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["agents.db", "agents.db-shm", "agents.db-wal"]
        assert {mode(file) for file in files} == {0o600}
        assert {mode(path.parent), mode(path.parent.parent)} == {0o700}


async def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    async with SQLiteStore(path):
        pass
    path.chmod(0o664)
    async with SQLiteStore(path):
        assert mode(path) == 0o600


async def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    async with SQLiteStore(tmp_path / "agents.db"):
        assert mode(tmp_path) == 0o755


async def test_a_closed_store_leaves_one_file_and_no_thread(path: Path) -> None:
    async with SQLiteStore(path) as store:
        await asyncio.gather(*(store.create_agent("ada", f"a{n}", AgentSpec(name="A")) for n in range(9)))
        await asyncio.gather(*(store.list_agents("ada") for _ in range(9)))
    assert [file.name for file in path.parent.iterdir()] == ["agents.db"]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("agents-store")]


async def test_an_opening_that_is_cancelled_leaves_no_thread(path: Path) -> None:
    for turns in range(4):
        store = SQLiteStore(path)
        opening = asyncio.create_task(store.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await store.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("agents-store")]
