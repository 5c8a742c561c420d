"""Everything of a person goes from one store to another whole, or not at all and with a clear sentence."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyterhub_agents.errors import Conflict, InvalidInput, StoreUnavailable
from jupyterhub_agents.models import (
    Agent,
    AgentSpec,
    Approval,
    Event,
    Run,
    RunChanges,
    ShareAccess,
    ShareKind,
    TranscriptKey,
)
from jupyterhub_agents.store import transfer
from jupyterhub_agents.store.exchange import Counts, Tally
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.person import fill
from jupyterhub_agents.testing.store_contract.samples import make_approval, make_entries, make_events, make_run, spec
from jupyterhub_agents.testing.store_contract.samples import transcript_key as transcript

pytestmark = pytest.mark.anyio

Change = Callable[[list[bytes]], list[bytes]]


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    async with SQLiteStore(tmp_path / "source.db") as store:
        yield store


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    async with SQLiteStore(tmp_path / "target.db") as store:
        yield store


@pytest.fixture
async def exported(source: SQLiteStore, tmp_path: Path) -> Path:
    await fill(source, "ada", events=20)
    file = tmp_path / "export.jsonl"
    await transfer.export(source, "ada", file)
    return file


# Out


async def test_an_export_is_json_lines_with_a_header_and_an_end_that_only_the_owner_may_read(exported: Path) -> None:
    header, *records, end = (json.loads(line) for line in exported.read_text().split("\n")[:-1])
    assert header["kind"] == "header"
    assert (header["value"]["version"], header["value"]["owner"]) == (2, "ada")
    assert end["kind"] == "end"
    for kind, count in end["value"]["counts"].items():
        assert count == sum(record["kind"] == kind for record in records) > 0
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    assert [file.name for file in exported.parent.glob("export*")] == ["export.jsonl"]


async def test_the_digest_is_the_documented_one(exported: Path) -> None:
    *lines, last = exported.read_bytes().splitlines()
    tally = Tally()
    for line in lines[1:]:
        record = json.loads(line)
        tally.add(record["kind"], record["value"])
    assert json.loads(last)["value"] == tally.end.model_dump()


async def test_an_export_of_nobody_is_empty_and_may_be_imported(
    source: SQLiteStore, target: SQLiteStore, tmp_path: Path
) -> None:
    end = await transfer.export(source, "nobody", tmp_path / "export.jsonl")
    assert end.counts == Counts()
    assert await transfer.load(target, "nobody", tmp_path / "export.jsonl") == end
    assert await target.owners() == []


async def test_an_export_does_not_replace_a_file(source: SQLiteStore, exported: Path) -> None:
    before = exported.read_bytes()
    with pytest.raises(InvalidInput, match="exists already"):
        await transfer.export(source, "ada", exported)
    assert exported.read_bytes() == before


async def test_an_export_into_a_folder_that_is_missing_says_so(source: SQLiteStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        await transfer.export(source, "ada", tmp_path / "missing" / "export.jsonl")


async def test_an_export_that_is_cancelled_leaves_nothing_behind(source: SQLiteStore, tmp_path: Path) -> None:
    await fill(source, "ada", events=20)
    folder = tmp_path / "exports"
    folder.mkdir()
    task: asyncio.Task[Any]

    def cancel(doing: str, counts: Counts) -> None:
        task.cancel()

    task = asyncio.create_task(transfer.export(source, "ada", folder / "export.jsonl", progress=cancel))
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert list(folder.iterdir()) == []


async def test_a_run_that_goes_on_during_the_export_is_exported_in_one_of_its_states(
    source: SQLiteStore, target: SQLiteStore, tmp_path: Path
) -> None:
    run = make_run("ada")
    await source.create_run(run)

    async def work() -> None:
        for turn in range(1, 101):
            events = make_events(run, turn * 5 - 4, turn * 5)
            await source.append_events("ada", run.id, events, RunChanges(turns=turn))

    working = asyncio.create_task(work())
    for number in range(5):
        file = tmp_path / f"{number}.jsonl"
        await transfer.export(source, "ada", file)
        await transfer.load(target, f"ada-{number}", file)
        moved = await target.get_run(f"ada-{number}", run.id)
        assert moved.last_seq == moved.turns * 5
    await working


# In


async def test_a_person_is_the_same_in_another_store(source: SQLiteStore, target: SQLiteStore, exported: Path) -> None:
    seen: list[str] = []
    end = await transfer.load(target, "ada", exported, progress=lambda doing, counts: seen.append(doing))
    assert end == await transfer.digest(source, "ada") == await transfer.digest(target, "ada")
    assert list(dict.fromkeys(seen)) == ["checking", "importing", "verifying"]
    run = (await source.list_runs("ada")).items[0]
    assert await target.get_run("ada", run.id) == run
    assert await target.owners() == ["ada"]
    await target.append_events("ada", run.id, make_events(run, run.last_seq + 1, run.last_seq + 1))


async def test_a_person_goes_from_sqlite_to_firestore_and_back(
    source: SQLiteStore, target: SQLiteStore, exported: Path, project: str
) -> None:
    async with FirestoreStore(project) as firestore:
        end = await transfer.load(firestore, "ada", exported)
        back = exported.with_name("back.jsonl")
        assert await transfer.export(firestore, "ada", back) == end
    assert await transfer.load(target, "ada", back) == end == await transfer.digest(source, "ada")
    assert (await target.list_runs("ada")).items == (await source.list_runs("ada")).items


def drop(position: int) -> Change:
    return lambda lines: [*lines[:position], *lines[position + 1 :]]


def swap(position: int) -> Change:
    return lambda lines: [*lines[:position], lines[position + 1], lines[position], *lines[position + 2 :]]


def replace(old: bytes, new: bytes) -> Change:
    return lambda lines: b"".join(lines).replace(old, new, 1).splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:-1], "cut short"),
        (lambda lines: lines[:40], "cut short"),
        (lambda lines: [*lines[:40], lines[40][:30]], "cut short"),
        (lambda lines: [*lines[:-1], lines[-1][:-20]], "cut short"),
        (lambda lines: [*lines, b"more\n"], "altered"),
        (lambda lines: [*lines, lines[-1]], "altered"),
        (lambda lines: [*lines[:40], b"}{\n", *lines[40:]], "line 41"),
        (lambda lines: [*lines[:40], b"[]\n", *lines[40:]], "line 41"),
        (lambda lines: [*lines[:40], b'{"kind": "idea", "value": {}}\n', *lines[40:]], "line 41"),
        (lambda lines: [*lines[:40], lines[0], *lines[40:]], "line 41"),
        (drop(40), "altered"),
        (swap(40), "altered"),
        (replace(b'"Revision 2"', b'"Revision 9"'), "altered"),
        (replace(b'"seq": 3', b'"seq": 33'), "altered"),
        (replace(b'"turns": 9', b'"turns": true'), "altered"),
        (replace(b"grace", b"\\ud83e"), "altered"),
        (replace(b"grace", b"\xff"), "altered"),
        (replace(b'"version": 2', b'"version": 3'), "upgrade"),
        (lambda lines: lines[1:], "no export"),
        (lambda lines: [], "no export"),
        (lambda lines: [b"Dear diary\n"], "no export"),
    ],
)
async def test_a_file_that_is_not_whole_and_unaltered_is_refused_and_nothing_is_stored(
    target: SQLiteStore, exported: Path, change: Change, says: str
) -> None:
    exported.write_bytes(b"".join(change(exported.read_bytes().splitlines(keepends=True))))
    with pytest.raises(InvalidInput, match=says) as refusal:
        await transfer.load(target, "ada", exported)
    assert str(exported) in str(refusal.value)
    assert await target.owners() == []


async def test_a_file_that_is_missing_is_refused(target: SQLiteStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        await transfer.load(target, "ada", tmp_path / "missing.jsonl")


class FailsAfter(SQLiteStore):
    """A store whose disk is full after so many writes."""

    def __init__(self, path: Path, writes: int) -> None:
        super().__init__(path)
        self._left = writes

    def _use(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise StoreUnavailable("The disk is full.")

    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        self._use()
        await super().import_revision(agent, deleted=deleted)

    async def create_run(self, run: Run) -> None:
        self._use()
        await super().create_run(run)

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        self._use()
        await super().append_events(owner, run_id, events[: len(events) // 2 or 1], changes)
        self._use()
        await super().append_events(owner, run_id, events, changes)

    async def create_approval(self, approval: Approval) -> None:
        self._use()
        await super().create_approval(approval)

    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        for half in (entries[: len(entries) // 2], entries[len(entries) // 2 :]):
            self._use()
            await super().append_transcript(owner, key, half)


async def test_an_import_that_was_interrupted_goes_on_wherever_that_was(
    source: SQLiteStore, exported: Path, tmp_path: Path
) -> None:
    end = await transfer.digest(source, "ada")
    writes = 0
    for writes in range(100):
        path = tmp_path / f"target-{writes}.db"
        async with FailsAfter(path, writes) as store:
            try:
                await transfer.load(store, "ada", exported)
                break
            except StoreUnavailable:
                pass
        async with SQLiteStore(path) as store:
            assert await transfer.load(store, "ada", exported) == end
        path.unlink()
    assert writes > 20


@pytest.mark.parametrize(
    "own", ["agent", "deleted agent", "revision", "run", "event", "approval", "transcript", "entry"]
)
async def test_what_a_person_has_of_their_own_is_not_mixed_with_a_file(
    target: SQLiteStore, exported: Path, own: str
) -> None:
    await transfer.load(target, "ada", exported)
    run = (await target.list_runs("ada")).items[0]
    if own == "agent":
        await target.create_agent("ada", "more", AgentSpec(name="More"))
    elif own == "deleted agent":
        await target.delete_agent("ada", "again", revision=2)
    elif own == "revision":
        await target.update_agent("ada", "again", AgentSpec(name="More"), revision=2)
    elif own == "run":
        await target.create_run(make_run("ada"))
    elif own == "event":
        await target.append_events("ada", run.id, make_events(run, run.last_seq + 1, run.last_seq + 1))
    elif own == "approval":
        await target.create_approval(make_approval(run))
    elif own == "transcript":
        await target.append_transcript("ada", transcript("more"), make_entries(1, 1))
    else:
        await target.append_transcript("ada", transcript("one"), make_entries(10_000, 10_000))
    before = await transfer.digest(target, "ada")
    with pytest.raises(Conflict, match="nothing here yet"):
        await transfer.load(target, "ada", exported)
    assert await transfer.digest(target, "ada") == before


async def test_somebody_who_writes_during_the_import_is_noticed(target: SQLiteStore, exported: Path) -> None:
    tasks: list[asyncio.Task[None]] = []

    def write(doing: str, counts: Counts) -> None:
        if doing == "importing" and not tasks:
            tasks.append(asyncio.create_task(target.create_run(make_run("ada"))))

    with pytest.raises(Conflict, match="during the import"):
        await transfer.load(target, "ada", exported, progress=write)
    await asyncio.gather(*tasks)


# Files of earlier versions


async def test_a_file_of_version_1_is_taken_and_verified(
    source: SQLiteStore, target: SQLiteStore, tmp_path: Path
) -> None:
    await source.create_agent("ada", "reviewer", spec())
    run = make_run("ada")
    await source.create_run(run)
    await source.create_approval(make_approval(run))
    file = tmp_path / "export.jsonl"
    end = await transfer.export(source, "ada", file)
    # What was not there yet: shares, and whose agent a run is of.
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["value"]["version"] = 1
    del lines[-1]["value"]["counts"]["share"]
    assert not any("agent_owner" in line["value"] for line in lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert await transfer.load(target, "ada", file) == end
    assert await target.get_run("ada", run.id) == run


async def test_shares_are_moved_with_their_agent_and_one_that_is_only_there_is_a_conflict(
    source: SQLiteStore, target: SQLiteStore, tmp_path: Path
) -> None:
    await source.create_agent("ada", "reviewer", spec())
    share = await source.share_agent("ada", "reviewer", ShareKind.PERSON, "grace", ShareAccess.COPY)
    file = tmp_path / "export.jsonl"
    await transfer.export(source, "ada", file)
    # Also under the name of somebody it is shared with.
    for owner in ("ada", "grace"):
        await transfer.load(target, owner, file)
        moved = share.model_copy(update={"owner": owner})
        assert (await target.list_shares(owner, "reviewer")).items == [moved]
    await target.share_agent("ada", "reviewer", ShareKind.GROUP, "team", ShareAccess.USE)
    with pytest.raises(Conflict, match="a share of agent 'reviewer' with the group 'team'"):
        await transfer.load(target, "ada", file)
