"""The state folder: what is kept where, and that only its owner can read it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

LAUNCH_MARK = "JUPYTERHUB_AGENTS_LAUNCH"
"""An environment variable of all that a hub starts: the path of its state folder. What a crash leaves behind can
be told from other programs by it."""

_SYMBOLS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Letters and digits that are not taken for one another, and that a double click selects as one word."""


@dataclass(frozen=True)
class StateFolder:
    """The one folder that keeps all of a hub on one machine."""

    path: Path

    @property
    def hub(self) -> Path:
        """The hub's own files: database, cookie secret, process ids."""
        return self.path / "hub"

    @property
    def homes(self) -> Path:
        """The people's homes, each named for its person."""
        return self.path / "homes"

    @property
    def secrets(self) -> Path:
        """Generated passwords, one a file."""
        return self.path / "secrets"

    @property
    def service(self) -> Path:
        """What the agents' service keeps."""
        return self.path / "service"

    @property
    def log(self) -> Path:
        """What the hub, the proxy and the workspaces say."""
        return self.path / "hub.log"

    @property
    def running(self) -> Path:
        """Who holds this folder now, and at which address; written by `hub_config.launch`."""
        return self.path / "running.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    def make(self) -> None:
        """Make the folders that are missing, mode 0700. Raises OSError."""
        for folder in (self.path, self.hub, self.homes, self.secrets, self.service):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)

    def secret(self, name: str, *, length: int) -> str:
        """The secret kept under `name`; generated, with `length` characters, when there is none yet."""
        self.make()
        file = self.secrets / name
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write("".join(secrets.choice(_SYMBOLS) for _ in range(length)) + "\n")
        except FileExistsError:
            pass
        return file.read_text().strip()
