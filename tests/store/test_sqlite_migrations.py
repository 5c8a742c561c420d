"""Files of earlier versions are brought up to date, whole or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from jupyterhub_agents.models import Decision, RunStatus
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.store.sqlite.migrations import MIGRATIONS, VERSION, migrate, user_version
from jupyterhub_agents.testing.store_contract.samples import (
    make_approval,
    make_entries,
    make_events,
    make_run,
    seqs,
    transcript_key,
)

EARLIER = sorted(Path(__file__).parent.glob("version_*.sql"))
NEXT = (*MIGRATIONS, ("ALTER TABLE runs ADD COLUMN colour TEXT", "UPDATE runs SET colour = 'blue'"))
BROKEN = (*MIGRATIONS, ("ALTER TABLE runs ADD COLUMN colour TEXT", "UPDATE runs SET no_such_column = 1"))


def database(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)


def version_of(path: Path) -> int:
    with closing(database(path)) as file:
        version: int = file.execute("PRAGMA user_version").fetchone()[0]
        return version


def load(dump: Path, path: Path) -> None:
    path.parent.mkdir()
    with closing(database(path)) as file:
        file.executescript(dump.read_text())


def test_there_is_a_file_of_every_released_version() -> None:
    assert [dump.name for dump in EARLIER] == [f"version_{number}.sql" for number in range(1, VERSION + 1)]


@pytest.mark.anyio
@pytest.mark.parametrize("dump", EARLIER, ids=lambda dump: dump.stem)
async def test_a_file_of_an_earlier_version_is_migrated_and_keeps_everything(dump: Path, path: Path) -> None:
    load(dump, path)
    async with SQLiteStore(path) as store:
        assert [agent.id for agent in (await store.list_agents("ada")).items] == ["reviewer"]
        assert (await store.get_agent("ada", "reviewer")).revision == 2
        assert (await store.get_agent("ada", "reviewer", 1)).name == "Reviewer"
        assert (await store.get_agent("ada", "deleted", 1)).name == "Deleted"
        (run,) = (await store.list_runs("ada")).items
        assert (run.status, run.turns, run.last_seq) == (RunStatus.SUCCEEDED, 2, 3)
        assert seqs(await store.list_events("ada", run.id)) == [1, 2, 3]
        await store.append_events("ada", run.id, make_events(run, 4, 4))
        await store.create_run(make_run("ada"))
        if dump.stem != "version_1":
            (approval,) = (await store.list_approvals("ada", run_id=run.id, waiting=True)).items
            assert approval.input == {"command": "step 0"}
            await store.decide_approval("ada", approval.id, Decision.ONCE, by="ada")
            assert await store.load_transcript("ada", transcript_key()) == [*make_entries(1, 2), {"type": "mode"}]
            assert [session for session, _ in await store.list_transcripts("ada", "project")] == ["session"]
        shares = (await store.list_shares("ada", "reviewer")).items
        assert [share.name for share in shares] == ([] if dump.stem < "version_4" else ["readers"])
        assert (await store.list_runs("ada", agent_id="reviewer", agent_owner="ada")).items[0].agent_owner is None
        await store.create_approval(make_approval(run))
        await store.append_transcript("ada", transcript_key(), make_entries(2, 3))
        entries = await store.load_transcript("ada", transcript_key())
        assert entries is not None
        assert entries[-1] == make_entries(3, 3)[0]
    assert version_of(path) == VERSION


def test_a_step_keeps_what_is_there(path: Path) -> None:
    load(EARLIER[-1], path)
    with closing(database(path)) as file:
        migrate(file, NEXT)
        assert user_version(file) == len(NEXT)
        assert file.execute("SELECT colour, count(*) FROM runs").fetchall() == [("blue", 1)]
        migrate(file, NEXT)


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    load(EARLIER[-1], path)
    with closing(database(path)) as file:
        before = list(file.iterdump())
        with pytest.raises(sqlite3.OperationalError, match="no_such_column"):
            migrate(file, BROKEN)
        assert not file.in_transaction
        assert list(file.iterdump()) == before
        assert user_version(file) == VERSION
        migrate(file, NEXT)


def test_two_processes_at_once_take_each_step_once(path: Path) -> None:
    path.parent.mkdir()
    connections = [database(path) for _ in range(8)]
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda connection: migrate(connection, NEXT), connections))
        assert {user_version(connection) for connection in connections} == {len(NEXT)}
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.anyio
async def test_many_stores_may_make_the_same_file_at_once(path: Path) -> None:
    stores = [SQLiteStore(path) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    run = make_run("ada")
    await stores[0].create_run(run)
    assert [await store.get_run("ada", run.id) for store in stores] == [run] * 6
    await asyncio.gather(*(store.close() for store in stores))
