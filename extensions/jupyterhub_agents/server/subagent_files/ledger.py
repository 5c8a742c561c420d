"""What was last in step: for each agent its file, the file's digest and the agent's revision."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import Field, ValidationError

from ...ids import new_id
from ...models import Model

log = logging.getLogger(__name__)


class Entry(Model):
    """One agent and its file. `path` is relative to the folder, with `/`."""

    path: str = Field(min_length=1)
    digest: str
    revision: int = Field(ge=1)


class Contents(Model):
    """The file of the ledger. It counts for one folder and one owner: with another of either all would seem gone."""

    folder: str
    owner: str
    agents: dict[str, Entry] = Field(default_factory=dict)


class Ledger:
    """Entries by the agent's id, kept in `file`. One that cannot be read counts as empty."""

    def __init__(self, file: Path, *, folder: Path, owner: str) -> None:
        self._file = file
        self._folder = str(folder)
        self._owner = owner
        self._saved: dict[str, Entry] = {}
        self.agents: dict[str, Entry] = {}

    def load(self) -> None:
        self.agents = {}
        try:
            found = Contents.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            found = None
        except (OSError, ValidationError) as error:
            log.warning("%s cannot be read (%s): files are compared with agents anew", self._file, type(error).__name__)
            found = None
        if found is not None and (found.folder, found.owner) == (self._folder, self._owner):
            self.agents = dict(found.agents)
        self._saved = dict(self.agents)

    def save(self) -> None:
        """Write what changed, if anything did. Raises OSError."""
        if self.agents == self._saved:
            return
        contents = Contents(folder=self._folder, owner=self._owner, agents=self.agents)
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._file.with_name(f".{self._file.name}.{new_id()}")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(contents.model_dump_json(indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._file)
        finally:
            new.unlink(missing_ok=True)
        self._saved = dict(self.agents)
