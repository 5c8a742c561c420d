"""Whatever happens to agents and their files, in whatever order, nothing that anyone wrote is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import secrets
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyterhub_agents.errors import InvalidInput, NotFound
from jupyterhub_agents.models import AgentSpec
from jupyterhub_agents.server.subagent_files.clash import clash_text, in_file
from jupyterhub_agents.server.subagent_files.folder import Folder, Unreadable, digest
from jupyterhub_agents.server.subagent_files.ledger import Contents, Ledger
from jupyterhub_agents.server.subagent_files.sync import InStep
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.subagents import parse

OWNER = "ana"
IDS = ("one", "two", "three")


def text(name: str, instructions: str) -> str:
    return f"---\nname: {name}\ndescription: d\n---\n\n{instructions}\n"


class Sides:
    """A store, a folder, and what keeps them in step, on a clock that goes on by itself."""

    def __init__(self, place: Path, store: AgentStore) -> None:
        self.place = place
        self.store = store
        self.path = place / "agents"
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        """As a new server does: it knows no more than what was kept."""
        ledger = Ledger(self.place / "ledger.json", folder=self.path, owner=OWNER)
        self.sync = InStep(self.store, OWNER, Folder(self.path), ledger, now=self.now)
        self.begun = False

    def now(self) -> float:
        return self.seconds

    async def look(self) -> float | None:
        if not self.begun:
            await self.sync.begin()
            self.begun = True
        return await self.sync.look()

    async def settle(self) -> None:
        """Look until all is in step."""
        for _ in range(20):
            if await self.look() is None and await self.look() is None:
                return
            self.seconds += 3
        raise AssertionError("it does not come to rest")

    async def agents(self) -> dict[str, str]:
        page = await self.store.list_agents(OWNER, limit=1000)
        return {agent.id: agent.instructions for agent in page.items}

    async def all_words(self) -> str:
        """All that the store has ever been told, deleted agents included, and all that the folder says."""
        words = []
        for deleted in (False, True):
            for agent in (await self.store.list_agents(OWNER, deleted=deleted, limit=1000)).items:
                revisions = await self.store.list_revisions(OWNER, agent.id, limit=1000)
                words += [each.instructions for each in revisions.items]
        words += [file.read_text() for file in self.path.rglob("*.md") if file.is_file()]
        return "\n".join(words)


@asynccontextmanager
async def both_sides() -> AsyncIterator[Sides]:
    with tempfile.TemporaryDirectory() as place:
        async with SQLiteStore(Path(place) / "agents.db") as store:
            yield Sides(Path(place), store)


async def change_in_store(sides: Sides, agent_id: str, words: str) -> None:
    spec = AgentSpec(name=agent_id, description="d", instructions=words)
    try:
        newest = await sides.store.get_agent(OWNER, agent_id)
    except NotFound:
        await sides.store.create_agent(OWNER, agent_id, spec)
    else:
        await sides.store.update_agent(OWNER, agent_id, spec, revision=newest.revision)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("store", "store", "file", "file", "file", "delete", "remove", "look", "settle", "wait"),
                *("restart", "forget", "spoil", "move", "copy", "lose"),
            ]
        ),
        st.sampled_from(IDS),
        st.sampled_from(IDS),
    ),
    min_size=2,
    max_size=14,
)


async def take(sides: Sides, what: str, agent_id: str, other: str) -> str | None:
    """One step; gives the words that were written, if any."""
    file = sides.path / f"{agent_id}.md"
    words = f"words-{secrets.token_hex(8)}"
    match what:
        case "store":
            await change_in_store(sides, agent_id, words)
            return words
        case "file":
            sides.path.mkdir(exist_ok=True)
            file.write_text(text(agent_id, words))
            return words
        case "spoil" if file.exists():
            file.write_text(f"{words} without front matter")
        case "delete":
            try:
                newest = await sides.store.get_agent(OWNER, agent_id)
            except NotFound:
                return None
            await sides.store.delete_agent(OWNER, agent_id, revision=newest.revision)
        case "remove":
            file.unlink(missing_ok=True)
        case "move" if file.exists():
            file.rename(sides.path / f"{other}.md")
        case "copy" if file.exists():
            (sides.path / f"{other}-copy.md").write_bytes(file.read_bytes())
        case "lose":
            for each in sides.path.glob("*.md"):
                each.unlink()
        case "look":
            await sides.look()
        case "settle":
            await sides.settle()
        case "wait":
            sides.seconds += 3
        case "restart":
            sides.start()
        case "forget":
            (sides.place / "ledger.json").unlink(missing_ok=True)
            sides.start()
    return None


def overwritten(sides: Sides, what: str, agent_id: str, other: str) -> str:
    """What a step itself takes away: that is the person's own doing."""
    names = {"file": [agent_id], "spoil": [agent_id], "remove": [agent_id], "move": [other], "copy": [f"{other}-copy"]}
    files = [sides.path / f"{name}.md" for name in names.get(what, [])]
    if what == "lose":
        files = list(sides.path.glob("*.md"))
    return "\n".join(file.read_text() for file in files if file.exists())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_no_order_of_changes_on_both_sides_loses_a_word(steps: list[tuple[str, str, str]]) -> None:
    async def play() -> None:
        async with both_sides() as sides:
            written: set[str] = set()
            for step in steps:
                gone = overwritten(sides, *step)
                before = await sides.all_words()
                words = await take(sides, *step)
                written |= {words} if words else set()
                after = await sides.all_words()
                # Only what the person overwrote themselves, before anyone had looked, may be missing.
                written = {each for each in written if each in after or each not in gone}
                missing = {each for each in written if each not in after}
                assert not missing, (step, missing, before, after)
            await sides.settle()
            after = await sides.all_words()
            assert {each for each in written if each not in after} == set()
            # And it came to rest in step: each agent has a file that says what it does, or a problem says why not.
            agents = await sides.agents()
            said = {}
            for file in sides.path.rglob("*.md"):
                try:
                    agent_id, spec = parse(file.read_text())
                except InvalidInput:
                    continue
                said.setdefault(agent_id, set()).add(spec.instructions)
            if not sides.sync.problems:
                assert {agent_id: {words} for agent_id, words in agents.items()} == said
            assert not list(sides.path.glob(".*"))

    asyncio.run(play())


@pytest.mark.parametrize("loss", ["the folder", "all files", "four files"])
def test_files_that_vanish_at_once_are_written_again(loss: str) -> None:
    async def play() -> None:
        async with both_sides() as sides:
            for number in range(6):
                await change_in_store(sides, f"agent-{number}", "Kept.")
            await sides.settle()
            before = await sides.agents()
            for file in sorted(sides.path.iterdir())[: 4 if loss == "four files" else None]:
                file.unlink()
            if loss == "the folder":
                sides.path.rmdir()
            await sides.settle()
            assert await sides.agents() == before
            assert {file.stem for file in sides.path.iterdir()} == set(before)
            # One that is removed then is meant.
            (sides.path / "agent-3.md").unlink()
            await sides.settle()
            assert set(before) - set(await sides.agents()) == {"agent-3"}

    asyncio.run(play())


def test_when_both_changed_the_store_stays_and_the_file_gets_an_agent_of_its_own() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            await change_in_store(sides, "one", "First.")
            await sides.settle()
            await change_in_store(sides, "one", "The store's.")
            (sides.path / "one.md").write_text(text("one", "The file's."))
            await sides.settle()
            assert await sides.agents() == {"one": "The store's.", "one-2": "The file's."}
            assert (sides.path / "one.md").read_text() == text("one", "The store's.")
            assert (await sides.store.get_agent(OWNER, "one-2")).name == "one (edited in the file)"
            # Both saying the same is no clash.
            await change_in_store(sides, "one", "Equal.")
            (sides.path / "one.md").write_text(text("one", "Equal."))
            await sides.settle()
            assert set(await sides.agents()) == {"one", "one-2"}

    asyncio.run(play())


def test_a_file_counts_when_it_has_not_changed_for_a_moment() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            await change_in_store(sides, "one", "First.")
            await sides.settle()
            for words in ("Ha", "Half", "Half wr"):
                (sides.path / "one.md").write_text(text("one", words))
                (sides.path / "new.md").write_text(text("new", words))
                assert await sides.look() is not None
                sides.seconds += 0.3
            assert await sides.agents() == {"one": "First."}
            sides.seconds += 0.3
            assert await sides.look() is None
            assert await sides.agents() == {"one": "Half wr", "new": "Half wr"}
            assert (await sides.store.get_agent(OWNER, "one")).revision == 2

    asyncio.run(play())


def test_a_file_that_is_removed_right_after_it_was_written_is_missed_though_nothing_else_changed() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            await change_in_store(sides, "one", "First.")
            assert await sides.look() is None
            (sides.path / "one.md").unlink()
            assert await sides.sync.look(store_changed=False) is not None
            sides.seconds += 3
            assert await sides.sync.look(store_changed=False) is None
            assert await sides.agents() == {}

    asyncio.run(play())


def test_a_file_that_is_away_for_a_moment_is_not_removed() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            await change_in_store(sides, "one", "Kept.")
            await sides.settle()
            content = (sides.path / "one.md").read_text()
            (sides.path / "one.md").unlink()
            assert await sides.look() is not None
            sides.seconds += 1
            assert await sides.look() is not None
            (sides.path / "one.md").write_text(content)
            await sides.settle()
            assert (await sides.store.get_agent(OWNER, "one")).revision == 1

    asyncio.run(play())


def test_an_agent_deleted_while_its_file_was_edited_leaves_the_edit_as_an_agent() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            for agent_id in ("edited", "untouched", "reformatted"):
                await change_in_store(sides, agent_id, "First.")
            await sides.settle()
            (sides.path / "edited.md").write_text(text("edited", "Not lost."))
            (sides.path / "reformatted.md").write_text(text("  reformatted", "First."))
            for agent_id in ("edited", "untouched", "reformatted"):
                await sides.store.delete_agent(OWNER, agent_id, revision=1)
            await sides.settle()
            assert await sides.agents() == {"edited-2": "Not lost."}
            assert {file.name for file in sides.path.iterdir()} == {"edited-2.md"}

    asyncio.run(play())


@pytest.mark.parametrize("state", ["lost", "broken", "of another folder", "of another owner"])
def test_without_what_was_last_in_step_nothing_is_overwritten(state: str) -> None:
    async def play() -> None:
        async with both_sides() as sides:
            for agent_id in ("equal", "differs"):
                await change_in_store(sides, agent_id, "First.")
            await sides.settle()
            ledger = sides.place / "ledger.json"
            assert ledger.stat().st_mode & 0o777 == 0o600
            kept = ledger.read_text()
            (sides.path / "differs.md").write_text(text("differs", "Not lost."))
            match state:
                case "lost":
                    ledger.unlink()
                case "broken":
                    ledger.write_bytes(b'{"folder')
                case "of another folder":
                    ledger.write_text(kept.replace("/agents", "/others"))
                case "of another owner":
                    ledger.write_text(kept.replace('"ana"', '"ben"'))
            sides.start()
            await sides.settle()
            assert await sides.agents() == {"equal": "First.", "differs": "First.", "differs-2": "Not lost."}
            assert set(Contents.model_validate_json(ledger.read_bytes()).agents) == {"equal", "differs", "differs-2"}

    asyncio.run(play())


def test_files_of_a_lost_or_older_store_are_kept() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            for words in ("First.", "Second."):
                await change_in_store(sides, "one", words)
                await change_in_store(sides, "two", words)
            await sides.settle()
            async with SQLiteStore(sides.place / "other.db") as other:
                sides.store = other
                sides.start()
                await change_in_store(sides, "two", "Of an older copy.")
                await sides.settle()
                assert await sides.agents() == {"one": "Second.", "two": "Of an older copy.", "two-2": "Second."}

    asyncio.run(play())


def test_an_edit_at_the_very_moment_of_a_replacement_is_not_lost(tmp_path: Path) -> None:
    folder, target = Folder(tmp_path), tmp_path / "a.md"
    target.write_text("ours")
    read: set[bytes] = set()
    finished = threading.Event()

    def edit() -> None:
        try:
            for number in range(200):
                new = tmp_path / "new"
                new.write_text(f"theirs {number}")
                new.replace(target)
                deadline = time.monotonic() + 60
                while f"theirs {number}".encode() not in read:
                    assert time.monotonic() < deadline, f"edit {number} was never read"
        finally:
            finished.set()

    with ThreadPoolExecutor(1) as pool:
        editing = pool.submit(edit)
        while not finished.is_set():
            content = folder.read("a.md")
            read.add(content)
            folder.place("a.md", b"ours " + secrets.token_hex(4).encode(), instead_of=digest(content))
        editing.result()
    assert {each.name for each in tmp_path.iterdir()} == {"a.md"}


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "# a comment", "color: red", "jupyterhub-agents:\n  timeout_s: 5\n  name: 'X'", "tools: []"]),
)
def test_the_copy_that_a_clash_makes_has_the_persons_bytes(instructions: str, line_end: str, more: str) -> None:
    lines = ["---", "name:  x", "description: d", *([more] if more else []), "---", instructions]
    original = "\n".join(lines).replace("\n", line_end)
    _, spec = parse(original)
    copy = clash_text(original, "x-2", in_file(spec))
    found_id, found = parse(copy)
    assert (found_id, found) == ("x-2", in_file(spec))
    if "jupyterhub-agents" not in more:
        own = f'jupyterhub-agents:{line_end}  name: "x (edited in the file)"{line_end}'
        assert copy == original.replace("name:  x", "name: x-2", 1).replace(
            f"{line_end}---{line_end}", f"{line_end}{own}---{line_end}", 1
        )


def test_a_file_that_changed_since_it_was_read_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "a.md").write_text("theirs")
    assert not folder.place("a.md", b"ours", instead_of=digest(b"what was read"))
    assert not folder.place("a.md", b"ours", instead_of=None)
    assert not folder.place("b.md", b"ours", instead_of=digest(b"what was read"))
    assert not folder.remove("a.md", instead_of=digest(b"what was read"))
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a.md": "theirs"}
    assert folder.place("a.md", b"ours", instead_of=digest(b"theirs"))
    assert folder.place("b.md", b"ours", instead_of=None)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a.md": "ours", "b.md": "ours"}
    assert folder.remove("a.md", instead_of=digest(b"ours"))
    assert [each.name for each in tmp_path.iterdir()] == ["b.md"]


def test_what_a_crash_left_aside_is_kept_unless_it_is_known(tmp_path: Path) -> None:
    (tmp_path / ".1.agents-swap").write_text("nobody has this")
    (tmp_path / ".2.agents-swap").write_text("known")
    (tmp_path / ".3.agents-part").write_text("half")
    Folder(tmp_path).tidy({digest(b"known")})
    (kept,) = tmp_path.iterdir()
    assert (kept.name.startswith("kept-"), kept.suffix, kept.read_text()) == (True, ".md", "nobody has this")


def test_a_folder_with_too_much_in_it_is_said_and_deletes_nothing() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            await change_in_store(sides, "one", "Kept.")
            await sides.settle()
            (sides.path / "one.md").unlink()
            deep = sides.path.joinpath(*"abcdefghijkl")
            deep.mkdir(parents=True)
            for _ in range(3):
                with pytest.raises(Unreadable):
                    await sides.look()
                sides.seconds += 3
            (problem,) = sides.sync.problems
            assert "folders" in problem.message
            assert await sides.agents() == {"one": "Kept."}

    asyncio.run(play())


def test_a_file_that_cannot_be_written_is_said_and_the_others_are_written() -> None:
    async def play() -> None:
        async with both_sides() as sides:
            for agent_id in ("one", "two"):
                await change_in_store(sides, agent_id, "First.")
            await sides.settle()
            await change_in_store(sides, "one", "Changed. " + "x" * 150_000)
            await change_in_store(sides, "two", "Changed.")
            # A limit on the size of files stands for a full disk.
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
            try:
                assert await sides.look() is not None
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            (problem,) = sides.sync.problems
            assert problem.path == str(sides.path / "one.md")
            assert os.strerror(errno.EFBIG) in problem.message
            assert (sides.path / "one.md").read_text() == text("one", "First.")
            assert (sides.path / "two.md").read_text() == text("two", "Changed.")
            assert len(list(sides.path.iterdir())) == 2
            await sides.settle()
            assert sides.sync.problems == []
            assert "Changed." in (sides.path / "one.md").read_text()

    asyncio.run(play())
