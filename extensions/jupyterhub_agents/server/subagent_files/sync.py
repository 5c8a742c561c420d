"""Decides what becomes of agents and files that differ, and does it; the rules are the package's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from ...errors import AlreadyExists, Conflict, InvalidInput, NotFound
from ...models import Agent, Model
from ...store import AgentStore
from ...store.base import MAX_PAGE
from ...store.rules import same_spec
from ...subagents import render
from .clash import clash_id, clash_text, in_file
from .files import File, Files
from .folder import Folder, Scan, Unreadable, digest
from .ledger import Entry, Ledger

log = logging.getLogger(__name__)

SETTLE_S = 0.5
"""Seconds that a file must stay as it is before it counts: an editor may be writing it."""
GONE_S = 2.0
"""Seconds that a file must be away before it counts as removed: an editor may be replacing it."""
MANY = 3
"""So many files may be removed at once; more were lost."""
RETRY_S = 5.0
"""Seconds until what could not be written is tried again."""
COPIES = 1_000


class FileProblem(Model):
    """A file that is not taken as an agent, and why."""

    path: str = Field(description="Where the file is.")
    message: str = Field(description="What is wrong with it, for people.")


@dataclass
class _Look:
    """What one look found, and what it could not do yet."""

    agents: dict[str, Agent]
    before: dict[str, Entry]
    """The ledger before it."""
    files: dict[str, File]
    claimed: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    again_s: list[float] = field(default_factory=list)


class InStep:
    """The agents of `owner` in `store` and the files of `folder`. `now` gives seconds, of a clock that only goes
    forward."""

    def __init__(
        self, store: AgentStore, owner: str, folder: Folder, ledger: Ledger, *,
        settle_s: float = SETTLE_S, gone_s: float = GONE_S, now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._store = store
        self._owner = owner
        self._folder = folder
        self._ledger = ledger
        self._settle_s = settle_s
        self._gone_s = gone_s
        self._now = now
        self._files = Files(folder, now)
        self._identity: tuple[int, int] | None = None
        self._lost = False
        self._gone_since: dict[str, float] = {}
        self._settled: tuple[dict[str, str], dict[str, str]] | None = None
        self._problems: dict[str, str] = {}
        self.folders: dict[Path, tuple[int, int]] = {}
        """The folders to watch, each with what tells it from another of its name."""

    @property
    def problems(self) -> list[FileProblem]:
        return [FileProblem(path=str(self._folder.path / name), message=self._problems[name])
                for name in sorted(self._problems)]  # fmt: skip

    async def begin(self) -> None:
        """Before the first look. Raises OSError, Unreadable, StoreUnavailable."""
        await asyncio.to_thread(self._ledger.load)
        known = {entry.digest for entry in self._ledger.agents.values()}
        known |= {digest(render(agent).encode()) for agent in (await self._agents()).values()}
        await asyncio.to_thread(self._folder.tidy, known)

    async def look(self, *, store_changed: bool = True) -> float | None:
        """Bring in step what differs. Gives the seconds after which to look again, None when all is in step. Without
        `store_changed` the store is only asked when files changed. Raises OSError, Unreadable, StoreUnavailable."""
        try:
            scan, files = await asyncio.to_thread(self._read)
        except (OSError, Unreadable) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self._say({".": f"The folder cannot be kept in step: {why}"})
            raise
        seen = {name: file.digest for name, file in files.items()}, scan.problems
        if not store_changed and not self._lost and seen == self._settled:
            return None
        self._settled = None
        look = _Look(await self._agents(), dict(self._ledger.agents), files, problems=dict(scan.problems))
        self._claim(look)
        try:
            for agent_id in sorted({*look.agents, *self._ledger.agents, *look.claimed} - look.held):
                await self._or_problem(look, agent_id, self._settle(look, agent_id))
            await self._settle_gone(look)
        finally:
            await asyncio.to_thread(self._ledger.save)
        self._say(look.problems)
        if look.again_s:
            return min(look.again_s)
        if self._ledger.agents == look.before:  # else what was seen is not what is there now
            self._settled = seen
        return None

    def _read(self) -> tuple[Scan, dict[str, File]]:
        scan = self._folder.scan()
        if scan.identity is None or self._identity not in (None, scan.identity):
            self._lost = True
        if scan.identity is None:
            self._folder.make()
            scan = self._folder.scan()
        self._identity = scan.identity
        self.folders = scan.folders
        return scan, self._files.look(scan.files)

    async def _agents(self) -> dict[str, Agent]:
        agents: dict[str, Agent] = {}
        after: str | None = None
        while True:
            page = await self._store.list_agents(self._owner, limit=MAX_PAGE, after=after)
            agents |= {agent.id: agent for agent in page.items}
            if (after := page.next) is None:
                return agents

    def _say(self, problems: dict[str, str]) -> None:
        for name in sorted(problems):
            if self._problems.get(name) != problems[name]:
                # The reason may quote the file, which is the person's: they get it from the API.
                log.warning(
                    "%s is not kept in step with the agents: `files` of api/agents-health says why",
                    self._folder.path / name,
                )
        self._problems = problems

    # Which file is which agent's

    def _claim(self, look: _Look) -> None:
        """A file stays the agent's that it was, unless its name says another; of several with one name the one that
        has it already counts, else the one that is called so."""
        owners = {entry.path: agent_id for agent_id, entry in self._ledger.agents.items()}
        for name, agent_id in owners.items():
            if name in look.problems:
                look.claimed[agent_id] = name
        newcomers = []
        for name, file in look.files.items():
            agent_id = owners.get(name, "")
            entry = self._ledger.agents.get(agent_id)
            if entry is not None and entry.digest == file.digest:
                look.claimed[agent_id] = name
            elif (wait_s := file.since + self._settle_s - self._now()) > 0:
                look.again_s.append(wait_s)
                look.held |= {agent_id, file.agent_id} - {""}
            elif file.problem:
                look.problems[name] = file.problem
                if entry is not None:
                    look.claimed[agent_id] = name
            elif file.agent_id == agent_id:
                look.claimed[agent_id] = name
            else:
                newcomers.append(file)
        for file in sorted(newcomers, key=lambda file: (file.name != f"{file.agent_id}.md", file.name)):
            if file.agent_id in look.held:
                continue
            if other := look.claimed.get(file.agent_id):
                look.problems[file.name] = (
                    f"Its `name` is that of {other} too, and Claude Code takes only one of them: give it another."
                )
            else:
                look.claimed[file.agent_id] = file.name

    async def _or_problem(self, look: _Look, agent_id: str, work: Awaitable[None]) -> None:
        """One file that cannot be written is no reason to leave the others."""
        name = look.claimed.get(agent_id, f"{agent_id}.md")
        try:
            await work
        except OSError as error:
            look.problems[name] = f"The file cannot be written: {error.strerror}."
            look.again_s.append(RETRY_S)
        except InvalidInput as error:
            look.problems[name] = error.message

    # One agent and its file

    async def _settle(self, look: _Look, agent_id: str) -> None:
        agent, entry = look.agents.get(agent_id), self._ledger.agents.get(agent_id)
        name = look.claimed.get(agent_id)
        if name is None:
            if agent is None:
                self._ledger.agents.pop(agent_id, None)
            elif entry is None:
                await self._write(look, agent)
            else:
                look.gone.append(agent_id)
            return
        if name in look.problems:
            return
        file = look.files[name]
        assert file.spec is not None or entry is not None  # noqa: S101 - else it has a problem
        if agent is None and entry is None:
            await self._create(look, file)
        elif agent is None and entry is not None:
            await self._after_deletion(look, agent_id, entry, file)
        elif agent is not None:
            await self._compare(look, agent, entry, file)

    async def _compare(self, look: _Look, agent: Agent, entry: Entry | None, file: File) -> None:
        written = entry is not None and entry.digest == file.digest
        if (written and entry is not None and entry.revision == agent.revision) or _says(file, agent):
            self._in_step(file, agent)
        elif entry is not None and written and await self._is_stored(agent.id, entry, file):
            await self._replace(look, file, agent)
        elif entry is not None and not written and entry.revision == agent.revision and file.spec is not None:
            await self._update(look, file, agent)
        else:
            await self._clash(look, file, agent.id, agent)

    async def _after_deletion(self, look: _Look, agent_id: str, entry: Entry, file: File) -> None:
        """The store has no such agent any more, or is another store than it was."""
        try:
            last = await self._store.get_agent(self._owner, agent_id, entry.revision)
        except NotFound:
            await self._create(look, file)
            return
        if not _says(file, last):
            await self._clash(look, file, agent_id, None)
        elif await asyncio.to_thread(self._folder.remove, file.name, instead_of=file.digest):
            del self._ledger.agents[agent_id]
        else:
            look.again_s.append(0)

    async def _is_stored(self, agent_id: str, entry: Entry, file: File) -> bool:
        """Whether what a file says is the revision that it was in step with, so that it may be replaced."""
        try:
            return _says(file, await self._store.get_agent(self._owner, agent_id, entry.revision))
        except NotFound:
            return False

    async def _create(self, look: _Look, file: File) -> None:
        if file.spec is None:
            return
        try:
            self._in_step(file, await self._store.create_agent(self._owner, file.agent_id, file.spec))
        except AlreadyExists:
            look.again_s.append(0)

    async def _update(self, look: _Look, file: File, agent: Agent) -> None:
        if file.spec is None:
            return
        try:
            newer = await self._store.update_agent(self._owner, agent.id, file.spec, revision=agent.revision)
        except (Conflict, NotFound):
            look.again_s.append(0)
        else:
            self._in_step(file, newer)

    async def _replace(self, look: _Look, file: File, agent: Agent) -> None:
        content = render(agent).encode()
        if await asyncio.to_thread(self._folder.place, file.name, content, instead_of=file.digest):
            self._wrote(file.name, content, agent)
        else:
            look.again_s.append(0)

    async def _write(self, look: _Look, agent: Agent) -> None:
        """A file for an agent that has none."""
        await self._write_new(look, agent, render(agent))

    async def _write_new(self, look: _Look, agent: Agent, text: str) -> None:
        before = self._ledger.agents.get(agent.id)
        names = [f"{agent.id}.md", *(f"{agent.id}-agent{number}.md" for number in ["", *range(2, COPIES)])]
        if before and (self._folder.path / before.path).parent in self.folders:
            names.insert(0, before.path)
        if names[0] in look.problems:
            return  # it may be this agent's, once it is mended
        name = next(name for name in names if name not in look.files and name not in look.problems)
        content = text.encode()
        if await asyncio.to_thread(self._folder.place, name, content, instead_of=None):
            self._wrote(name, content, agent)
        else:
            look.again_s.append(self._settle_s)

    async def _clash(self, look: _Look, file: File, agent_id: str, agent: Agent | None) -> None:
        """What the file says becomes an agent of its own; then the file says what the store has."""
        if file.spec is None:
            look.problems[file.name] = "It was changed elsewhere too, and cannot be read: mend it or remove it."
            return
        spec = in_file(file.spec)
        for number in range(2, COPIES):
            copy_id = clash_id(agent_id, number)
            copy = look.agents.get(copy_id)
            if copy is not None and same_spec(copy.spec, spec):
                break  # it was made before something went wrong
            if copy is None and copy_id not in look.claimed and copy_id not in self._ledger.agents:
                try:
                    copy = await self._store.create_agent(self._owner, copy_id, spec)
                except AlreadyExists:
                    continue
                log.warning("agent %s was changed in its file and elsewhere: the file's is %s now", agent_id, copy_id)
                break
        else:
            raise InvalidInput(f"There are {COPIES} agents named like {agent_id!r} already.")
        look.agents[copy_id] = copy
        if copy_id not in self._ledger.agents:
            await self._write_new(look, copy, clash_text(file.text, copy_id, spec))
        if agent is not None:
            await self._replace(look, file, agent)
        elif await asyncio.to_thread(self._folder.remove, file.name, instead_of=file.digest):
            self._ledger.agents.pop(agent_id, None)
        else:
            look.again_s.append(0)

    # Files that are gone

    async def _settle_gone(self, look: _Look) -> None:
        now = self._now()
        self._gone_since = {agent_id: self._gone_since.get(agent_id, now) for agent_id in look.gone}
        wait_s = max((since + self._gone_s - now for since in self._gone_since.values()), default=0)
        if look.gone and wait_s > 0:
            look.again_s.append(wait_s)
            return
        lost = self._lost or len(look.gone) > MANY or len(look.gone) == len(look.before) > 1
        if look.gone and lost:
            log.warning("%d files of agents vanished at once: they are written again", len(look.gone))
        for agent_id in look.gone:
            await self._or_problem(look, agent_id, self._settle_one_gone(look, agent_id, lost=lost))
        self._gone_since = {}
        self._lost = False

    async def _settle_one_gone(self, look: _Look, agent_id: str, *, lost: bool) -> None:
        agent, entry = look.agents[agent_id], self._ledger.agents[agent_id]
        if lost or entry.revision != agent.revision:
            await self._write(look, agent)
            return
        try:
            await self._store.delete_agent(self._owner, agent_id, revision=entry.revision)
        except (Conflict, NotFound):
            look.again_s.append(0)
        else:
            del self._ledger.agents[agent_id]
            log.info("agent %s was deleted: its file was removed", agent_id)

    # What is in step

    def _in_step(self, file: File, agent: Agent) -> None:
        self._ledger.agents[agent.id] = Entry(path=file.name, digest=file.digest, revision=agent.revision)

    def _wrote(self, name: str, content: bytes, agent: Agent) -> None:
        self._files.written(name, content, agent.id, agent.spec)
        self._ledger.agents[agent.id] = Entry(path=name, digest=digest(content), revision=agent.revision)


def _says(file: File, agent: Agent) -> bool:
    """Whether a file says what a revision does."""
    return (file.spec is not None and same_spec(file.spec, agent.spec)) or file.digest == digest(render(agent).encode())
