"""`%agents` and `%%agent`: agents from cells."""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import time
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope

from ...errors import AgentsError, Conflict
from ...models import RunStatus
from ..errors import RunFailed
from ..sync import AgentClient, AgentHandle, RunHandle
from .cell import follow
from .displays import show
from .options import agent_parser, agents_parser, parsed

NAMES_S = 10.0
"""How long names are taken as known when one is completed."""
COMPLETE_S = 2.0
"""The longest that completing waits for the workspace."""


@magics_class
class AgentMagics(Magics):
    """The magics of one notebook, and the client that they share."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._client: AgentClient | None = None
        self._last: dict[str, RunHandle] = {}
        self._names: tuple[float, list[str]] = (0.0, [])

    @property
    def _names_here(self) -> dict[str, Any]:
        """The notebook's variables."""
        assert self.shell is not None  # noqa: S101 - it was made with one
        names: dict[str, Any] = self.shell.user_ns
        return names

    @property
    def client(self) -> AgentClient:
        """Of the workspace here, or of the hub that `%agents connect` named. Raises NoWorkspace."""
        if self._client is None:
            self._client = AgentClient()
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @line_cell_magic
    def agents(self, line: str, cell: str | None = None) -> Any:
        """List, make and look at agents; %agents --help tells more."""
        given = parsed(agents_parser(), line)
        if given is None:
            return None
        if cell is not None and given.command != "new":
            raise UsageError("%%agents takes a cell for `new` only: its instructions. Use %agents.")
        return in_short(self._agents, given, cell)

    def _agents(self, given: argparse.Namespace, cell: str | None) -> Any:
        if given.command == "connect":
            self.close()
            self._client = AgentClient(given.hub, user=given.user)
            self._names = (0.0, [])
        client = self.client
        match given.command:
            case None | "list" | "connect":
                return client.agents()
            case "show":
                agent = client.agent(given.id, given.revision)
                if given.instructions:
                    show({"text/markdown": _fenced(agent.instructions), "text/plain": agent.instructions})
                    return None
                return agent
            case "new":
                return self._new(client, given, cell)
            case "runs":
                return client.runs(given.id, status=given.status, limit=given.limit)
            case "approvals":
                return client.approvals(waiting=None if given.all else True)
            case "allow":
                return client.approval(given.approval).allow(given.always, answer=given.answer)
            case "deny":
                return client.approval(given.approval).deny(" ".join(given.why) or None)
            case "cancel":
                return client.get_run(given.run).cancel()
        raise AssertionError(given.command)

    def _new(self, client: AgentClient, given: argparse.Namespace, cell: str | None) -> AgentHandle:
        if cell is not None and given.instructions:
            raise UsageError("The cell is the instructions already: leave --instructions out.")
        self._names = (0.0, [])
        return client.create_agent(
            given.name,
            id=given.id,
            description=given.description,
            instructions=(cell or given.instructions).strip(),
            model=given.model,
            tools=given.tool,
            allowed_tools=given.allow,
            permission_mode=given.permission_mode,
            directory=given.directory,
            max_budget_usd=given.max_budget_usd,
        )

    @needs_local_scope
    @line_cell_magic
    def agent(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Run an agent with the cell as the prompt; %agent --help tells more."""
        given = parsed(agent_parser(), line)
        if given is None:
            return None
        if cell is not None and given.prompt:
            raise UsageError(f"{given.prompt[0]!r}: the cell is the prompt already. Is it an option's value?")
        prompt = cell if cell is not None else " ".join(given.prompt)
        if not prompt.strip():
            raise UsageError("Write what the agent should do below the line %%agent NAME, or %agent NAME 'what it is'.")
        for name in (given.out, given.run):
            if not name.isidentifier():
                raise UsageError(f"{name!r} cannot be a variable's name.")
        names = {**self._names_here, **(local_ns or {})}
        return in_short(self._run, given, prompt, names)

    def _run(self, given: argparse.Namespace, prompt: str, names: dict[str, Any]) -> Any:
        tools = []
        for name in given.tool:
            if not callable(names.get(name)):
                raise UsageError(f"--tool {name}: there is no function of that name here.")
            tools.append(names[name])
        run = self.client.run(
            given.name, prompt, revision=given.revision, continues=self._continued(given, names), tools=tools
        )
        self._last[given.name] = run
        self._names_here[given.run] = run
        self._names_here.pop(given.out, None)
        if given.background:
            return run
        watch = follow if hasattr(self.shell, "kernel") else _follow_in_terminal
        try:
            watch(run)
        finally:
            if run.record.result is not None:
                self._names_here[given.out] = run.record.result
        if run.status is not RunStatus.SUCCEEDED:
            raise RunFailed(run.record)
        return None

    def _continued(self, given: argparse.Namespace, names: dict[str, Any]) -> str | None:
        """The id of the run to go on with."""
        if given.continues is None:
            return None
        if given.continues == "":
            if given.name not in self._last:
                raise UsageError(f"--continue: no run of {given.name} was started in this notebook yet.")
            return self._last[given.name].id
        run = names.get(given.continues)
        return run.id if isinstance(run, RunHandle) else str(given.continues)

    # Completion

    def completions(self, event: Any) -> list[str]:
        """What may come next in a line of these magics."""
        line = event.line.splitlines()[-1] if event.line else ""
        words, begun = line.split(), event.symbol
        before = words[: len(words) - (1 if begun and words and words[-1] == begun else 0)]
        if not before:
            return []
        if begun.startswith("-"):
            return []
        command = before[0].lstrip("%")
        if command == "agents":
            if len(before) == 1:
                return ["list", "show", "new", "runs", "approvals", "allow", "deny", "cancel", "connect"]
            return self.names() if before[1] in ("show", "runs") and len(before) == 2 else []
        takes_value = before[-1] in ("-o", "--out", "-r", "--run", "-t", "--tool", "-c", "--continue", "--revision")
        if before[-1] in ("-t", "--tool"):
            return [name for name, value in self._names_here.items() if callable(value) and not name.startswith("_")]
        return self.names() if not takes_value else []

    def names(self) -> list[str]:
        """The agents' ids, as they were a moment ago; none when the workspace takes too long to say."""
        known_at, known = self._names
        if time.monotonic() - known_at < NAMES_S and known:
            return known
        try:
            client = self.client
            background, twin = client.beside
            found = background.start(twin.agents()).result(COMPLETE_S)
        except (AgentsError, concurrent.futures.TimeoutError, OSError):
            return known
        self._names = (time.monotonic(), [agent.id for agent in found])
        return self._names[1]


def in_short(work: Callable[..., Any], *arguments: Any) -> Any:
    """Errors that are written for people, and interrupts, are shown without a traceback through the client."""
    try:
        return work(*arguments)
    except (AgentsError, KeyboardInterrupt) as error:
        said = error.message if isinstance(error, AgentsError) else "Interrupted: the run was cancelled."
        line = f"{type(error).__name__}: {said}"
        error._render_traceback_ = lambda: [line]  # type: ignore[union-attr]  # IPython's protocol (showtraceback)
        raise error.with_traceback(None) from None


def _follow_in_terminal(run: RunHandle) -> None:
    try:
        run.watch()
    except KeyboardInterrupt:
        try:
            run.cancel()
        except Conflict:
            run.refresh()
        raise


def _fenced(text: str) -> str:
    """As a block of Markdown that it cannot end."""
    fence = "`" * max(3, *(len(found) + 1 for found in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"
