"""What jupyter-server-proxy is told of the terminal, and when a person last typed into it.

The terminal is at `claude-code/` under the workspace's base URL. jupyter-server-proxy starts it at the first
request, under the reaper, so that ttyd, tmux and all that runs in them end with the Jupyter server.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from simpervisor import atexitasync  # type: ignore[import-untyped]  # it publishes no types

from ...errors import RuntimeUnavailable
from ...runtime.cli import REAPER, cli_environment, find_cli
from ..folders import make_folder, remove_left_folders
from .last_input import LastInput

NAME = "claude-code"
TITLE = "Claude Code"
FOLDER_PREFIX = "agents-terminal-"
START_LIMIT_S = 60.0
STOP_GRACE_S = 0.5


class Terminal:
    """The terminal of one Jupyter server. Its sockets and its tmux configuration are in `folder` (mode 0700),
    which is removed when the server ends."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        remove_left_folders(FOLDER_PREFIX)
        self.notice = environ.get("JUPYTERHUB_AGENTS_NOTICE", "")
        self.door: Path | None = None
        """The file that says where the agents API is for programs without a token; set before the first start."""
        self.folder = make_folder(FOLDER_PREFIX)
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.credentials: dict[str, str] = {}
        """What gives the terminal's Claude Code access to the models, once the server has it."""
        self._last_input = LastInput(self.folder / "tmux.sock")

    def server_process(self) -> dict[str, Any]:
        """The entry for jupyter-server-proxy (its "Server Process options")."""
        return {
            # Not the bound methods: jupyter-server-proxy takes `self` for an argument that it should give.
            "command": lambda: self.command(),
            "environment": lambda: self.environment(),
            # ttyd takes an address for a path only when it ends in .sock or .socket.
            "unix_socket": str(self.folder / "ttyd.sock"),
            # ttyd's page finds its own address by the browser's location, so any base URL works, of any length.
            "absolute_url": False,
            "timeout": START_LIMIT_S,
            "new_browser_tab": False,
            # Everything on the WebSocket, pings too, would count as activity; last_input tells typing from that.
            "update_last_activity": False,
            "rewrite_response": only_within_this_site,
            "launcher_entry": {
                "title": TITLE,
                "icon_path": str(Path(__file__).parent / "icon.svg"),
                "category": "Notebook",
            },
        }

    def command(self) -> list[str]:
        launch = ["-P", "-m", "jupyterhub_agents.server.terminal.launch", "--folder", str(self.folder)]
        with suppress(RuntimeUnavailable):  # then the terminal opens all the same, and says so
            launch += ["--claude", str(find_cli())]
        if self.notice:
            launch += ["--notice", self.notice]
        if self.door is not None:
            launch += ["--door", str(self.door)]
        return [literal(word) for word in (sys.executable, "-IS", str(REAPER), sys.executable, *launch)]

    def environment(self) -> dict[str, str]:
        """What is set over the server's own environment; the reaper drops what is hidden from the CLI."""
        changes = cli_environment(self.credentials, cli=Path(sys.executable), grace_s=STOP_GRACE_S)
        return {name: literal(value) for name, value in changes.items()}

    def offer(self, session_id: str, folder: Path) -> str:
        """Let the page resume a Claude session of `folder`. The page's path, below the base URL. Blocks."""
        sessions = self.folder / "sessions"
        sessions.mkdir(mode=0o700, exist_ok=True)
        (sessions / session_id).write_text(str(folder))
        return f"{NAME}/?arg={session_id}"

    async def last_input(self) -> datetime | None:
        """When a person last typed in the terminal; None when nobody has."""
        return await self._last_input.ask()


@functools.cache
def terminal() -> Terminal:
    """The terminal of this Jupyter server."""
    return Terminal(os.environ)


def setup() -> dict[str, Any]:
    """Entry point `jupyter_serverproxy_servers`."""
    keep_the_servers_own_stop()
    return terminal().server_process()


def literal(word: str) -> str:
    """`word` as jupyter-server-proxy's templates have it, where braces mean something."""
    return word.replace("{", "{{").replace("}", "}}")


def only_within_this_site(response: Any) -> None:
    """Let no other site show the terminal in a frame, where it could make a person type into it unknowingly."""
    response.headers["Content-Security-Policy"] = "frame-ancestors 'self'"
    response.headers["Cache-Control"] = "no-store"


def keep_the_servers_own_stop() -> None:
    """Leave SIGTERM and SIGINT to the Jupyter server.

    With the first process that jupyter-server-proxy starts, simpervisor puts a handler of its own in their place,
    which ends the server at once: kernels and runs would not be stopped in order. The processes that it was to
    stop (those of other proxied applications too) are stopped when the server has ended.
    """
    atexitasync.signal_handler_set = True
    atexit.register(stop_proxied_processes)


def stop_proxied_processes() -> None:
    for stop in tuple(atexitasync._handlers):
        with suppress(ProcessLookupError, RuntimeError):
            stop(signal.SIGTERM)
