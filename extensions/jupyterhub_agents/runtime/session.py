"""One running CLI, from its start to the end of the last process under it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
    ToolPermissionContext,
)
from claude_agent_sdk.types import PermissionRuleValue

from ..errors import RuntimeUnavailable
from .approvals import Verdict
from .cli import SessionEnded
from .transcripts import Mirror

STDERR_LINES = 20
CLOSE_TIMEOUT_S = 15.0
"""The SDK's own steps of ending a process add up to this at most: end of input, SIGTERM, SIGKILL, 5 s each."""

REHEARSALS = 2
"""A third gains nothing that can be measured."""


class ClaudeSession:
    """A connected CLI. `options` must start it through `launch`; their `stderr` and `can_use_tool` are set here.

    `permission` answers the calls that need a person's consent. It may be set at any time before the prompt.
    """

    def __init__(self, options: ClaudeAgentOptions) -> None:
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        options.stderr = self._stderr.append
        options.can_use_tool = self._ask
        self.permission: Callable[[str, dict[str, Any], ToolPermissionContext], Awaitable[Verdict]] | None = None
        store = options.session_store
        self.mirror = store if isinstance(store, Mirror) else None
        """What brings the CLI's transcript into our store."""
        self._client = ClaudeSDKClient(options)
        self._connected = False
        self.rehearsed = False
        self._closing: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Start the CLI, unless it runs, and wait until it takes prompts. Raises RuntimeUnavailable with its words."""
        if self._connected:
            return
        try:
            await self._client.connect()
        except (ClaudeSDKError, OSError) as error:
            raise RuntimeUnavailable(f"Claude Code could not be started: {self.last_words(str(error))}") from error
        except Exception as error:
            # The SDK raises a bare Exception for a control request that was answered with an error or not at all.
            raise RuntimeUnavailable(f"Claude Code did not get ready: {self.last_words(str(error))}") from error
        self._connected = True

    async def rehearse(self) -> None:
        """Have the CLI go through turns in which nothing is said, so that a run's first turn finds its code loaded:
        more than half of what a connected CLI needs until its first message is that (seen with 2.1.329).

        The messages are without content and with Claude Code's `shouldQuery: false`, which starts no turn of the model:
        nothing is asked of the API, nothing written to the transcript, and the model is told nothing of it. Raises
        SessionEnded when it does not go so.
        """
        self.rehearsed = True
        for _ in range(REHEARSALS):
            await self._client.query(_nothing())
            async with aclosing(self.messages()) as messages:
                async for message in messages:
                    if message.get("type") == "result" and (message.get("is_error") or message.get("num_turns")):
                        raise SessionEnded("Claude Code took an empty message for more than that.")
                    if message.get("subtype") == "session_state_changed" and message.get("state") == "idle":
                        break
                else:
                    raise SessionEnded(self.last_words("Claude Code ended at an empty message."))

    async def send(self, prompt: str) -> None:
        """Hand over a person's message. Raises SessionEnded when the CLI is no more."""
        try:
            await self._client.query(prompt)
        except ClaudeSDKError as error:
            raise SessionEnded(self.last_words(str(error))) from error

    async def messages(self) -> AsyncGenerator[dict[str, Any]]:
        """The CLI's stream-json messages, as they are, until it ends. Raises SessionEnded when it broke off.

        The SDK's own `receive_messages` parses each into a class and drops what that class has no field for;
        the undecoded ones can be had of its Query alone, which it keeps in an attribute that it calls private.
        """
        query = self._client._query
        if query is None:
            raise SessionEnded("Claude Code is not running.")
        try:
            async for message in query.receive_messages():
                yield message
        except ClaudeSDKError as error:
            raise SessionEnded(self.last_words(str(error))) from error

    async def _ask(
        self, tool: str, tool_input: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        if self.permission is None:
            return PermissionResultDeny(message="Nobody can be asked about this call.")
        return _told(await self.permission(tool, tool_input, context), tool_input)

    async def interrupt(self) -> None:
        """Ask the CLI to end the turn. It answers with a result when it can."""
        await self._client.interrupt()

    def kill(self) -> None:
        """End the CLI and all it started: SIGTERM to the reaper, which sees to the rest."""
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    @property
    def pid(self) -> int | None:
        """The process id of the reaper, while it runs."""
        transport = self._client._transport
        process = getattr(transport, "_process", None)
        return process.pid if process is not None and process.returncode is None else None

    async def close(self) -> None:
        """End what is left. The work is done in a task of its own: the SDK skips its last steps, the kill
        among them, when the task that closes is cancelled. Cancelling this call leaves that task running;
        calling again waits for it."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._client.disconnect(), name="close Claude session")
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await asyncio.shield(self._closing)

    def last_words(self, otherwise: str) -> str:
        """What the CLI last wrote to its standard error, for people; `otherwise` when it wrote nothing."""
        return "\n".join(self._stderr).strip()[-2_000:] or otherwise


def _told(verdict: Verdict, tool_input: dict[str, Any]) -> PermissionResultAllow | PermissionResultDeny:
    """A verdict, as the SDK tells it to the CLI."""
    if verdict.denial is not None:
        return PermissionResultDeny(message=verdict.denial)
    rules = [_rule_value(rule) for rule in verdict.rules]
    allow = [PermissionUpdate(type="addRules", rules=rules, behavior="allow", destination="session")] if rules else None
    return PermissionResultAllow(updated_input={**tool_input, **verdict.added}, updated_permissions=allow)


def _rule_value(rule: str) -> PermissionRuleValue:
    name, _, content = rule.partition("(")
    return PermissionRuleValue(tool_name=name, rule_content=content.removesuffix(")") or None)


async def _nothing() -> AsyncGenerator[dict[str, Any]]:
    """A message in which nothing is said."""
    message = {"role": "user", "content": []}
    yield {"type": "user", "message": message, "parent_tool_use_id": None, "shouldQuery": False}
