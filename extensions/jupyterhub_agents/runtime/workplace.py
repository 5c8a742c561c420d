"""`Workplace`: the agent that a run is of, the folder and the session it works in, and what its CLI is started with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import AgentsError, InvalidInput, NotAllowed, NotFound, RuntimeUnavailable
from ..models import FUNCTIONS_SERVER, Agent, Function, Run, agent_reference, shared_directory
from ..store import AgentStore
from .cli import cli_environment, config_folder, has_session
from .functions import FunctionDesk
from .given import PrivateFiles, RunExtras, SessionChoice
from .keys import RunKeys
from .pool import Recipe
from .settings import RunSettings

if TYPE_CHECKING:
    from .session import ClaudeSession


class Workplace:
    """Where the runs of one person work."""

    def __init__(
        self, store: AgentStore, owner: str, *, home: Path, state: Path, settings: RunSettings, keys: RunKeys
    ) -> None:
        self.store = store
        self.owner = owner
        self._home = home
        self._state = state
        self._settings = settings
        self._keys = keys
        self.extras: Callable[[Agent], RunExtras | None] = lambda agent: None
        """What runs of an agent get besides what it says; asked anew for each CLI that is started."""

    # The agent

    async def agent(self, owner: str | None, agent_id: str, revision: int | None) -> Agent:
        """The person's own agent, or another's for as long as they share it. Raises NotFound."""
        if owner is None:
            return await self.store.get_agent(self.owner, agent_id, revision)
        # Which groups the person is in, the hub's service knows.
        return (await self.store.get_shared_agent(self.owner, (), owner, agent_id, revision)).agent

    async def agent_of(self, run: Run) -> Agent:
        """The revision that a run is of. Raises NotAllowed when it is another's who shares it no more."""
        try:
            return await self.agent(run.agent_owner, run.agent_id, run.agent_revision)
        except NotFound as error:
            if run.agent_owner is None:
                raise
            raise NotAllowed(
                f"The run {run.id} cannot go on: {run.agent_owner} does not share revision {run.agent_revision} of the "
                f"agent {run.agent_id} with you any more. Ask {run.agent_owner} to share it again, or start a new run. "
                "What this run did stays here for you to read."
            ) from error

    # The session

    @property
    def config_folder(self) -> Path:
        """Claude Code's own folder."""
        return config_folder({**os.environ, **self._settings.environment})

    async def restore_session(self, run: Run, agent: Agent) -> None:
        """Have the run's transcript where Claude Code looks for it."""
        directory = await self.directory_of(run, agent)
        await asyncio.to_thread(load_sdk)
        from .transcripts import restore

        await restore(self.store, self.owner, config=self.config_folder, directory=directory, session_id=run.session_id)

    async def has_session(self, run: Run) -> bool:
        """Whether the run came to a Claude session that can be gone on with."""
        return await asyncio.to_thread(has_session, self.config_folder, run.session_id)

    async def was_answered(self, run: Run) -> bool:
        """Whether the model said anything in this run. If not, it may never have got the prompt."""
        first = await self.store.list_events(run.owner, run.id, limit=50)
        return any(event.payload.get("type") == "assistant" for event in first)

    async def had_functions(self, run: Run) -> bool:
        """Whether the run was begun with functions. They are its program's to offer, now as before."""
        first = await self.store.list_events(run.owner, run.id, limit=1)
        return any(event.payload.get("functions") for event in first)

    # The folder

    async def directory_of(self, run: Run, agent: Agent) -> Path:
        """Where a run works: the whole conversation stays where it began, because the CLI finds a session by its
        folder. Raises RuntimeUnavailable when that is outside of the home."""
        if run.agent_owner is not None:
            return self._inside_home(shared_directory(run.agent_owner, run.agent_id))
        if run.conversation_id == run.id:
            return self._inside_home(agent.working_directory)
        first = await self.store.get_run(self.owner, run.conversation_id)
        began = await self.store.get_agent(self.owner, first.agent_id, first.agent_revision)
        return self._inside_home(began.working_directory)

    def _inside_home(self, relative: str) -> Path:
        directory = (self._home / relative).resolve()
        if not directory.is_relative_to(self._home.resolve()):
            raise RuntimeUnavailable(
                f"The agent's directory {relative} leads out of the home, by a symbolic link. Choose another directory "
                "for it."
            )
        return directory

    # The CLI

    def recipe(self, agent: Agent) -> Recipe | None:
        """What the CLI of an agent's run is started with, in a new session. None where settings on disk count: these
        are read, and their hooks run, when a CLI starts, which must not be before a person asks for it."""
        settings = self._settings
        if settings.setting_sources:
            return None
        try:
            directory = self._inside_home(agent.working_directory)
            options = {"managed_settings": settings.managed_settings, "extras": self._extras_of(agent)}
            return Recipe(agent, directory, settings.cli_path, {**os.environ, **settings.environment}, options)
        except AgentsError:
            return None  # a run says it, when there is one

    def _extras_of(self, agent: Agent) -> RunExtras | None:
        """Another's agent gets none: what it says of itself opens nothing here."""
        return self.extras(agent) if agent.owner == self.owner else None

    def prepare(
        self,
        agent: Agent,
        run_id: str,
        session: SessionChoice,
        directory: Path,
        rules: list[str],
        desk: FunctionDesk | None = None,
    ) -> tuple[ClaudeSession, PrivateFiles]:
        """Make the folder and the files of a run, and its session. It blocks: call it in a thread. Raises
        RuntimeUnavailable."""
        from .function_server import server_of
        from .options import options_for
        from .session import ClaudeSession
        from .transcripts import Mirror

        # Claude Code's variables are set when it is started: the key is made then, for the run or for its session.
        key = self._keys.environment(
            work_s=agent.timeout_s or self._settings.default_timeout_s,
            run_id=run_id, session_id=session.id,
            agent_id=agent_reference(None if agent.owner == self.owner else agent.owner, agent.id),
        )  # fmt: skip
        try:
            directory.mkdir(parents=True, exist_ok=True)
            files = PrivateFiles(self._state / "runs")
        except OSError as error:
            raise RuntimeUnavailable(
                f"The run's folder could not be made: {error.strerror}: {error.filename}"
            ) from error
        options = options_for(
            agent,
            session=session,
            transcripts=Mirror(  # type: ignore[abstract]  # one method is optional
                self.store, self.owner, config=self.config_folder, directory=directory, session_id=session.id
            ),
            directory=directory,
            environment=cli_environment(
                {**self._settings.environment, **key, "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"},
                cli=Path(self._settings.cli_path),
                grace_s=self._settings.kill_grace_s,
            ),
            setting_sources=cast("list[Any]", self._settings.setting_sources),
            managed_settings=self._settings.managed_settings,
            rules=rules,
            files=files,
            extras=self._extras_of(agent),
            functions=server_of(desk) if desk is not None and desk.functions else None,
        )
        return ClaudeSession(options), files


def load_sdk() -> None:
    """Load claude_agent_sdk and what works with it. It blocks: call it in a thread. It takes a second of a core, for
    which no workspace waits when it starts: so nothing that a server imports imports it."""
    for name in ("function_server", "options", "session", "transcripts"):
        import_module(f".{name}", __package__)


def check_functions(agent: Agent, functions: Sequence[Function]) -> None:
    """Raises InvalidInput where functions would stand in the place of a server that the agent has."""
    if functions and FUNCTIONS_SERVER in agent.mcp_servers:
        raise InvalidInput(
            f"The agent {agent.id} has an MCP server named {FUNCTIONS_SERVER!r}, which is the name of functions' own. "
            "Give it another name, or start the run without functions."
        )
