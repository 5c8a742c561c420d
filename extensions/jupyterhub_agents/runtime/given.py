"""What a run is given besides its agent: its Claude session, more servers and tools, files of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any


@dataclass(frozen=True)
class SessionChoice:
    """Which Claude session a run works in: a new one of this id, or a stored one to go on with."""

    id: str
    resume: bool


@dataclass(frozen=True)
class RunExtras:
    """What a run gets besides what its agent says: MCP servers by name, in the place of the agent's own of that name,
    and tools that it may use without asking. Nothing of it is stored."""

    mcp_servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    allowed_tools: Sequence[str] = ()


class PrivateFiles:
    """Files for one run that only the owner can read. Instructions and the definitions of MCP servers may hold
    secrets, and arguments of a process can be read by everyone on the machine (proc(5), cmdline)."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = Path(mkdtemp(dir=parent, prefix="run-"))

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def remove(self) -> None:
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)
        self.folder.rmdir()
