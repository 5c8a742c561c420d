"""What the files say: each read once for each change, and believed when it has not changed for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...errors import InvalidInput
from ...models import AgentSpec
from ...subagents import parse
from .folder import Folder, Stamp, Unreadable, digest

RACY_NS = 2_000_000_000
"""A file written so shortly before it was read may change again without a new time: clocks of file systems tick slowly
(Git calls this "racy")."""


@dataclass(frozen=True)
class File:
    """A file as it was read. `problem` says why it is no agent's; without one `agent_id`, `spec` and `text` are there.
    `since` is when this content was first seen, on the clock of `Files`."""

    name: str
    digest: str
    since: float
    agent_id: str = ""
    spec: AgentSpec | None = None
    text: str = ""
    problem: str = ""


class Files:
    """The files of a folder. `now` gives seconds, of a clock that only goes forward."""

    def __init__(self, folder: Folder, now: Callable[[], float]) -> None:
        self._folder = folder
        self._now = now
        self._read: dict[str, tuple[Stamp | None, File]] = {}

    def look(self, stamps: dict[str, Stamp]) -> dict[str, File]:
        """The files that a scan found, read where they changed. Blocks."""
        before, self._read = self._read, {}
        for name, stamp in stamps.items():
            known = before.get(name)
            if known is not None and known[0] == stamp:
                self._read[name] = known
                continue
            racy = abs(time.time_ns() - max(stamp[2:])) < RACY_NS
            try:
                file = self._fresh(name, known[1] if known else None)
            except FileNotFoundError:
                continue
            self._read[name] = (None if racy else stamp, file)
        return {name: file for name, (_, file) in self._read.items()}

    def written(self, name: str, content: bytes, agent_id: str, spec: AgentSpec) -> None:
        """Take note of a file of our own writing; nobody need wait for it to settle."""
        self._read[name] = (None, File(name, digest(content), float("-inf"), agent_id, spec, content.decode()))

    def _fresh(self, name: str, before: File | None) -> File:
        try:
            content = self._folder.read(name)
        except Unreadable as error:
            same = before is not None and before.problem == str(error)
            return before if same and before else File(name, "", self._now(), problem=str(error))
        found = digest(content)
        if before is not None and before.digest == found:
            return before
        file = File(name, found, self._now())
        try:
            text = content.decode()
            agent_id, spec = parse(text)
        except UnicodeDecodeError:
            return replace(file, problem="It is not text in UTF-8.")
        except InvalidInput as error:
            return replace(file, problem=error.message)
        return replace(file, agent_id=agent_id, spec=spec, text=text)
