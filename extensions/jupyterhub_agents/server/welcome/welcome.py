"""Places the Welcome notebook in a home that has never had it, and opens a new workspace on it.

A marker in the state folder says that it was there, so a notebook that was deleted does not come back.
"""

from __future__ import annotations

import asyncio
import logging
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

log = logging.getLogger(__name__)

NAME = "Welcome.ipynb"
MARKER = "welcome-placed"
STATE = Path(".local", "share", "jupyterhub-agents")


def place(home: Path, state: Path | None = None) -> Path | None:
    """Put the notebook into `home`. Gives its path, or None when it was there before, when a file of its name
    is, or when the home cannot be written: a workspace starts without it too."""
    marker = (state or home / STATE) / MARKER
    target = home / NAME
    try:
        if marker.exists():
            return None
        marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        placed = _write_new(target)
        marker.touch()
    except OSError as error:
        log.warning("the Welcome notebook could not be placed at %s: %s", target, error.strerror)
        return None
    return target if placed else None


def _write_new(target: Path) -> bool:
    """Write the notebook as a new file; nothing that is there is touched."""
    try:
        with target.open("xb") as file:
            file.write(files(__package__).joinpath(NAME).read_bytes())
    except FileExistsError:
        return False
    return True


class WelcomeHandler(JupyterHandler):
    """The page to open a workspace on: the notebook the first time, JupyterLab as it was left from then on."""

    def initialize(self, home: Path, state: Path | None = None) -> None:
        self._home = home
        self._state = state

    @web.authenticated
    async def get(self) -> None:
        page = await asyncio.to_thread(self._page)
        self.redirect(url_path_join(self.base_url, page))

    def _page(self) -> str:
        placed = place(self._home, self._state)
        root = Path(self.settings["server_root_dir"]).expanduser()
        if placed is None or not placed.is_relative_to(root):
            return "lab"
        return f"lab/tree/{quote(placed.relative_to(root).as_posix())}"
