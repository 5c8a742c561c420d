"""Agents from and to Claude Code's subagent files on disk, for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import subagents
from ..errors import AgentsError, InvalidInput, NotFound
from ..models import Agent, AgentSpec
from .sync import AgentClient


@dataclass(frozen=True)
class Outcome:
    """What became of one file: created, updated, unchanged, written, skipped or failed."""

    path: Path
    what: str
    agent_id: str | None = None
    why: str = ""

    @property
    def failed(self) -> bool:
        return self.what == "failed"

    def as_dict(self) -> dict[str, str | None]:
        return {"file": str(self.path), "outcome": self.what, "agent": self.agent_id, "message": self.why or None}

    def __str__(self) -> str:
        who = f" {self.agent_id}" if self.agent_id else ""
        return f"{self.what:9}{who} ({self.path})" + (f": {self.why}" if self.why else "")


def read_text(path: Path) -> str:
    """The text of a file. Raises InvalidInput."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not text in UTF-8.") from error


def read_agent(path: Path) -> tuple[str, AgentSpec]:
    """Id and definition of a subagent file. Raises InvalidInput that names file, line and field."""
    text = read_text(path)
    try:
        return subagents.parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}") from error


def subagent_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files named, and the .md files in and below the folders named, as Claude Code looks for them."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*.md") if file.is_file())
        else:
            yield path


def import_file(client: AgentClient, path: Path) -> Outcome:
    """Make the agent of a file, or bring it up to date."""
    try:
        agent_id, spec = subagents.parse(read_text(path))
    except InvalidInput as error:
        return Outcome(path, "failed", why=error.message)
    fields = {name: getattr(spec, name) for name in AgentSpec.model_fields}
    name = fields.pop("name")
    try:
        try:
            agent = client.agent(agent_id)
        except NotFound:
            client.create_agent(name, id=agent_id, **fields)
            return Outcome(path, "created", agent_id)
        if agent.record.spec == spec:
            return Outcome(path, "unchanged", agent_id)
        agent.update(name=name, **fields)
        return Outcome(path, "updated", agent_id)
    except AgentsError as error:
        if error.status in (400, 409, 413):
            return Outcome(path, "failed", agent_id, error.message)
        raise


def export_agents(agents: Sequence[Agent], to: Path, *, force: bool) -> list[Outcome]:
    """Write a file each. One that is there and differs is kept unless `force`."""
    is_file = to.suffix == ".md" and not to.is_dir()
    if is_file and len(agents) != 1:
        raise InvalidInput(f"{to} is one file, and there are {len(agents)} agents to write: name a folder.")
    folder = to.parent if is_file else to
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_export(agent, to if is_file else to / f"{agent.id}.md", force) for agent in agents]
    except OSError as error:
        raise InvalidInput(f"{error.filename or folder} cannot be written: {error.strerror}.") from error


def _export(agent: Agent, path: Path, force: bool) -> Outcome:
    text = subagents.render(agent)
    if path.exists():
        if path.read_text(encoding="utf-8", errors="replace") == text:
            return Outcome(path, "unchanged", agent.id)
        if not force:
            return Outcome(path, "failed", agent.id, "the file is there and differs; --force overwrites it")
    path.write_text(text, encoding="utf-8")
    return Outcome(path, "written", agent.id)
