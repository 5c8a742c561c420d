"""The Jupyter Server extension: makes the workspace and gives it to the handlers."""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_core.application import NoStart
from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Enum, Unicode, default

from ..errors import AgentsError, RuntimeUnavailable
from ..runtime import logs
from ..runtime.cli import config_folder
from ..runtime.keys import RunKeys
from ..runtime.manager import RunManager
from ..runtime.metrics import measured
from ..runtime.pool import WarmPool
from ..runtime.workplace import load_sdk
from ..store.replicated import ReplicatedStore
from . import activity
from .assistant import extras
from .door import Door, pointer
from .info_files import without_hub_token
from .keeping import make_store
from .routes import tornado_handlers
from .subagent_files import SubagentFiles, noticed
from .terminal.entry import terminal
from .welcome.welcome import WelcomeHandler
from .workspace import Workspace

TERMINAL_S = 30.0
LOAD_AFTER_S = 0.2
"""When the server has begun to answer: whether it does is what the hub asks first."""
KEY_RETRY_S = 5.0
TERMINAL_KEY_S = 2_592_000.0
"""A terminal stays open for as long as its workspace does; its key ends with that in any case."""


class AgentsApp(ExtensionApp):
    """Agents in a Jupyter server: their definitions, runs and events, at `/api/agents` and beside it."""

    name = "jupyterhub_agents"
    app_name = "jupyterhub-agents"
    description = __doc__
    load_other_extensions = True
    classes = [RunManager, WarmPool, RunKeys]  # noqa: RUF012 - a trait of JupyterApp's

    owner = Unicode(
        help="Whose workspace this is: agents and runs are stored under this name. On a hub the person's user name, "
        "elsewhere the account's."
    ).tag(config=True)
    home = Unicode(help="The folder that agents' directories are in. By default the home folder.").tag(config=True)
    state_dir = Unicode(
        help="The folder for what the extension keeps: the database agents.db, and private files of runs at work. By "
        "default jupyterhub-agents in $XDG_DATA_HOME or ~/.local/share."
    ).tag(config=True)
    notice = Unicode(
        help="A sentence that each run shows its readers, such as that a demo model answers instead of an AI. By "
        "default what the hub gives in JUPYTERHUB_AGENTS_NOTICE."
    ).tag(config=True)
    store = Enum(
        ["sqlite", "remote"],
        help="Where agents and runs are kept: `sqlite` in the home alone, or `remote` in the home first and in the "
        "hub's agents service after that, so that they outlive the home and the hub knows of them. By default `remote` "
        "where there is a store_url.",
    ).tag(config=True)
    store_url = Unicode(
        help="The address of the hub's agents service, without `/store`. By default what the hub gives in "
        "JUPYTERHUB_AGENTS_STORE_URL."
    ).tag(config=True)
    store_token = Unicode(
        help="The token that the workspace shows to the hub's agents service. By default its own of the hub, from "
        "JUPYTERHUB_API_TOKEN, which is the better place for it than a file."
    ).tag(config=True)
    subagent_files = Bool(
        True,
        help="Whether the person's agents stand as Claude Code's subagent files in ~/.claude/agents (or agents in "
        "$CLAUDE_CONFIG_DIR), where the terminal's `claude` finds them, kept in step both ways. Without it files there "
        "are left alone.",
    ).tag(config=True)
    log_style = Enum(
        ["text", "json"],
        "text",
        help="How the server's log is written once this extension is there: `text`, with ids and figures as key=value "
        "at the end of a line, or `json`, one object a line for a collector of logs.",
    ).tag(config=True)

    @default("owner")
    def _default_owner(self) -> str:
        return os.environ.get("JUPYTERHUB_USER") or getpass.getuser()

    @default("home")
    def _default_home(self) -> str:
        return str(Path.home())

    @default("state_dir")
    def _default_state_dir(self) -> str:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return str(Path(data) / "jupyterhub-agents")

    @default("notice")
    def _default_notice(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_NOTICE", "")

    @default("store")
    def _default_store(self) -> str:
        return "remote" if self.store_url else "sqlite"

    @default("store_url")
    def _default_store_url(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_STORE_URL", "")

    @default("store_token")
    def _default_store_token(self) -> str:
        return os.environ.get("JUPYTERHUB_API_TOKEN", "")

    def initialize_settings(self) -> None:
        """Make the workspace; it is opened when the event loop runs."""
        assert self.serverapp is not None  # noqa: S101 - Jupyter Server has linked it before it asks for settings
        for log in (self.serverapp.log, self.log):
            logs.install(log, self.log_style)
        state = Path(self.state_dir)
        bare = make_store(self.store, state / "agents.db", url=self.store_url, token=self.store_token, owner=self.owner)
        store = kept = measured(bare)
        files: SubagentFiles | None = None
        if self.subagent_files:
            folder = config_folder(os.environ) / "agents"
            files = SubagentFiles(kept, owner=self.owner, folder=folder, state=state)
            store = noticed(kept, files.changed)

        def make_manager() -> RunManager:
            manager = RunManager(store, owner=self.owner, home=Path(self.home), state=state, parent=self)
            manager.notice = manager.notice or self.notice
            manager.workplace.extras = functools.partial(extras, door=pointer(state))
            manager.environment = {"AGENTS_DOOR": str(pointer(state)), **manager.environment}
            return manager

        # The panel opens files by it: JupyterLab's own `serverRoot` names the home by "~".
        page = self.serverapp.web_app.settings.setdefault("page_config_data", {})
        page["agentsFilesRoot"] = str(Path(self.serverapp.root_dir).resolve())

        self._watching: asyncio.Task[None] | None = None
        self._getting_key: asyncio.Task[None] | None = None
        self._opening_door: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._door: Door | None = None
        self._workspace = Workspace(store, make_manager, owner=self.owner, state=state, files=files)
        self._workspace.replicated = bare if isinstance(bare, ReplicatedStore) else None
        self.settings["jupyterhub_agents"] = self._workspace
        terminal().door = pointer(state)
        # A run that works, or waits for its turn, is activity: the culler spares its workspace.
        activity.install(self.serverapp.web_app, is_busy=[self._has_unfinished_runs])

    def initialize_handlers(self) -> None:
        """Add the API's paths."""
        self.handlers.extend(tornado_handlers())
        folders = {"home": Path(self.home), "state": Path(self.state_dir)}
        self.handlers.append((r"/agents-welcome", WelcomeHandler, folders))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Open the store, now that the event loop runs. One that cannot be opened is tried again on request."""
        self._stop_in_order_on_signals()
        await asyncio.to_thread(without_hub_token, serverapp)
        self._watching = asyncio.create_task(self._watch_terminal(), name="look when the terminal was typed into")
        self._opening_door = asyncio.create_task(self._open_door(), name="open the door")
        self._loading = asyncio.create_task(self._load_sdk(), name="load the SDK")
        self._getting_key = asyncio.create_task(self._get_terminal_key(), name="get the terminal's key")
        try:
            await self._workspace.open()
        except AgentsError as error:
            self.log.error("Agents are not available yet: %s", error.message)

    async def stop_extension(self) -> None:
        """Stop all runs and close the store."""
        started = (self._watching, self._opening_door, self._getting_key, self._loading)
        tasks = [task for task in started if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._door is not None:
            await self._door.close()
        await self._workspace.close()

    async def _load_sdk(self) -> None:
        """Have what the first run needs there before somebody starts it."""
        await asyncio.sleep(LOAD_AFTER_S)
        await asyncio.to_thread(load_sdk)

    async def _open_door(self) -> None:
        """Open the door as soon as this is known to be the home's first server."""
        await self._workspace.opened.wait()
        if not self._workspace.is_first:
            return
        assert self.serverapp is not None  # noqa: S101 - Jupyter Server has linked it before it starts it
        self._door = Door(self.serverapp.web_app.settings, owner=self.owner, state=Path(self.state_dir))
        try:
            await self._door.open()
        except OSError as error:
            self.log.error("Programs of this workspace without a token cannot use agents: no socket (%s)", error)

    async def _watch_terminal(self) -> None:
        """Typing into the terminal is activity; that it is open is none, so jupyter-server-proxy counts nothing."""
        assert self.serverapp is not None  # noqa: S101 - Jupyter Server has linked it before it starts it
        while True:
            if (typed := await terminal().last_input()) is not None:
                self.serverapp.web_app.settings["last_activity_times"]["claude-code"] = typed
            await asyncio.sleep(TERMINAL_S)

    async def _get_terminal_key(self) -> None:
        """The terminal's Claude Code gets a key of its own, which is no run's. It is there before anybody can open the
        terminal, as a rule; until then its calls are refused."""
        keys = RunKeys(parent=self)
        try:
            while True:
                try:
                    terminal().credentials = await asyncio.to_thread(keys.environment, work_s=TERMINAL_KEY_S)
                    return
                except RuntimeUnavailable as error:
                    self.log.warning("The terminal has no key yet: %s", error.message)
                await asyncio.sleep(KEY_RETRY_S)
        finally:
            keys.stop()

    def _stop_in_order_on_signals(self) -> None:
        """Have the event loop take the signals to stop. Jupyter Server's own handler for SIGTERM logs wherever it is
        called, and a signal that comes while a line is being logged is lost with a RuntimeError ("reentrant call"): the
        workspace would go on until it is killed. For SIGINT, by which JupyterHub's local spawners stop a workspace, it
        has none without a terminal."""
        server = self.serverapp
        assert server is not None  # noqa: S101 - Jupyter Server has linked it before it starts it
        loop = asyncio.get_running_loop()

        def stop(sign: signal.Signals) -> None:
            self.log.critical("received %s, stopping", sign.name)
            server.stop()

        for sign in (signal.SIGTERM, signal.SIGINT):
            # Another's handler stays, such as the question that Jupyter Server asks in a terminal.
            if signal.getsignal(sign) in (signal.default_int_handler, server._signal_stop):
                loop.add_signal_handler(sign, stop, sign)

    def _has_unfinished_runs(self) -> bool:
        manager = self._workspace.manager
        return manager is not None and manager.busy > 0


def main() -> None:
    """`python -m jupyterhub_agents.server.app`: a Jupyter server with this extension, and its `--help-all`."""
    with suppress(NoStart):
        AgentsApp.launch_instance()  # type: ignore[no-untyped-call]  # Jupyter Server's


if __name__ == "__main__":
    main()
