"""What SQLiteStore says when its file cannot be used, and that it works again when it can."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from jupyterhub_agents.errors import StoreUnavailable
from jupyterhub_agents.models import AgentSpec
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.store.sqlite.migrations import VERSION
from jupyterhub_agents.testing.store_contract.samples import make_events, make_run, refused

from .limited_disk import fill_and_recover

pytestmark = pytest.mark.anyio

SPEC = AgentSpec(name="Reviewer")


async def made(path: Path) -> str:
    """A store's file with a run of 200 events, closed again; the run's id."""
    async with SQLiteStore(path) as store:
        run = make_run("ada")
        await store.create_run(run)
        await store.append_events("ada", run.id, make_events(run, 1, 200, text="x" * 3_000))
    return run.id


@contextmanager
def bare(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        yield database


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


async def refusal_to_open(path: Path) -> str:
    store = SQLiteStore(path)
    (error,) = await refused(StoreUnavailable, store.open())
    await refused(StoreUnavailable, store.list_agents("ada"), store.create_agent("ada", "a", SPEC))
    await store.close()
    assert str(path) in error.message
    return error.message


async def test_a_store_that_is_not_open_says_so(path: Path) -> None:
    store = SQLiteStore(path)
    for _ in range(2):
        errors = await refused(StoreUnavailable, store.list_agents("ada"), store.create_agent("ada", "a", SPEC))
        assert all("not open" in error.message for error in errors)
        await store.open()
        await store.close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("Dear diary, " * 1_000)
    assert "not a SQLite database" in await refusal_to_open(path)
    assert path.read_text() == "Dear diary, " * 1_000
    path.unlink()
    async with SQLiteStore(path) as store:
        await store.create_agent("ada", "a", SPEC)


async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with bare(path) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    assert "another program" in await refusal_to_open(path)
    assert path.read_bytes() == before


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    await made(path)
    with bare(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = hashlib.sha256(path.read_bytes()).digest()
    message = await refusal_to_open(path)
    assert "newer version" in message
    assert "Upgrade" in message
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_store_stops_writing_when_a_newer_version_takes_the_file_over(path: Path) -> None:
    async with SQLiteStore(path) as store:
        await store.create_agent("ada", "before", SPEC)
        with bare(path) as database:
            database.execute(f"PRAGMA user_version = {VERSION + 1}")
            (error,) = await refused(StoreUnavailable, store.create_agent("ada", "after", SPEC))
            assert "newer version" in error.message
            database.execute(f"PRAGMA user_version = {VERSION}")
        await store.create_agent("ada", "after", SPEC)


async def test_a_damaged_file_is_reported_and_a_backup_in_its_place_works(path: Path) -> None:
    run_id = await made(path)
    backup = path.read_bytes()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4 // 4096 * 4096)
        file.write(b"\x5a" * (size // 2))
    async with SQLiteStore(path) as store:
        (error,) = await refused(StoreUnavailable, store.list_events("ada", run_id, limit=1_000))
        assert str(path) in error.message
        assert "damaged" in error.message
        path.write_bytes(backup)
    async with SQLiteStore(path) as store:
        assert len(await store.list_events("ada", run_id, limit=1_000)) == 200


async def test_a_folder_in_the_files_place_is_reported(path: Path) -> None:
    path.mkdir(parents=True)
    assert "cannot be opened" in await refusal_to_open(path)


async def test_a_file_in_the_folders_place_is_reported(path: Path) -> None:
    path.parent.write_text("")
    assert "cannot be opened" in await refusal_to_open(path)


@pytest.mark.parametrize("mode", [0o000, 0o400])
async def test_a_file_that_this_user_may_not_write_is_reported(path: Path, mode: int) -> None:
    await made(path)
    path.chmod(mode)
    if os.geteuid() != 0:
        assert "this user" in await refusal_to_open(path)
        return
    # Permissions do not hold for root: ask as nobody, who may not even enter the folder.
    code = (
        "import asyncio, os, sys; from pathlib import Path; from jupyterhub_agents.store.sqlite import SQLiteStore\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "asyncio.run(SQLiteStore(Path(sys.argv[1])).open())\n"
    )
    process = await asyncio.to_thread(python, "-c", code, path)
    assert process.returncode == 1
    assert "StoreUnavailable" in process.stderr
    assert "this user" in process.stderr


async def test_a_file_taken_away_is_reported_instead_of_writing_into_the_void(path: Path) -> None:
    async with SQLiteStore(path) as store:
        await store.create_agent("ada", "before", SPEC)
        away = path.parent.rename(path.parent.with_name("away"))
        errors = await refused(
            StoreUnavailable, store.create_agent("ada", "lost", SPEC), store.get_agent("ada", "before"), store.check()
        )
        assert all(str(path) in error.message for error in errors)
        away.rename(path.parent)
        await store.check()
        await store.create_agent("ada", "after", SPEC)
        assert [agent.id for agent in (await store.list_agents("ada")).items] == ["after", "before"]


async def test_a_short_lock_is_waited_for(path: Path) -> None:
    async with SQLiteStore(path) as store:
        with bare(path) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(store.create_agent("ada", "a", SPEC))
            # Reading goes on beside a writer.
            assert (await store.list_agents("ada")).items == []
            await asyncio.wait([writing], timeout=0.3)
            assert not writing.done()
            other.execute("COMMIT")
            async with asyncio.timeout(10):
                await writing


async def test_a_long_lock_is_reported_and_the_store_works_when_it_is_gone(path: Path) -> None:
    async with SQLiteStore(path) as store:
        with bare(path) as other:
            other.execute("BEGIN IMMEDIATE")
            errors = await asyncio.gather(
                *(store.create_agent("ada", f"a{n}", SPEC) for n in range(3)), store.check(), return_exceptions=True
            )
            other.execute("ROLLBACK")
        for error in errors:
            assert isinstance(error, StoreUnavailable)
            assert "locked by another process" in error.message
            assert str(path) in error.message
        assert (await store.list_agents("ada")).items == []
        await store.create_agent("ada", "a0", SPEC)


async def test_a_disk_that_takes_no_more_is_reported_and_the_store_goes_on_when_it_does(path: Path) -> None:
    script = Path(__file__).with_name("limited_disk.py")
    process = await asyncio.to_thread(python, script, path)
    assert process.returncode == 0, process.stderr


def may_mount() -> bool:
    capabilities = Path("/proc/self/status")
    if not capabilities.exists():
        return False
    (effective,) = (line.split()[1] for line in capabilities.read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(effective, 16) >> 21 & 1)  # CAP_SYS_ADMIN, capabilities(7)


if may_mount():
    # Elsewhere the limit on a file's size, above, stands for it.

    @contextmanager
    def small_disk(folder: Path) -> Iterator[None]:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)

    async def test_a_full_disk_is_reported_and_the_store_goes_on_when_there_is_room(path: Path) -> None:
        ballast = path.parent / "ballast"

        def fill() -> None:
            ballast.write_bytes(b"x" * 3_000_000)

        with small_disk(path.parent):
            assert "is full" in await fill_and_recover(path, fill, ballast.unlink)
