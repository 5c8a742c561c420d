"""What the SDK is told for an agent's run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from claude_agent_sdk import (
    CanUseToolShadowedWarning,
    ClaudeAgentOptions,
    SessionStore,
    SettingSource,
)
from claude_agent_sdk.types import McpSdkServerConfig

from ..models import Agent
from .cli import LAUNCHER
from .given import PrivateFiles, RunExtras, SessionChoice

# Calls that a rule allows are meant to pass by the person: that they do is no news.
warnings.filterwarnings("ignore", category=CanUseToolShadowedWarning)

MAX_BUFFER_SIZE = 64 * 1024 * 1024
"""Bytes of one message of the CLI. The SDK's own limit of 1 MiB ends a run at the first large file it reads."""


def base_tools(rules: Sequence[str]) -> list[str]:
    """The tools that rules name, each once: `Bash(git diff:*)` names `Bash`."""
    return list(dict.fromkeys(rule.partition("(")[0] for rule in rules))


def allowing_rules(rules: Sequence[str]) -> list[str]:
    """The rules that allow calls without asking: those with a pattern."""
    return [rule for rule in rules if "(" in rule]


def options_for(
    agent: Agent,
    *,
    session: SessionChoice,
    transcripts: SessionStore,
    directory: Path,
    environment: Mapping[str, str],
    setting_sources: Sequence[SettingSource],
    managed_settings: Mapping[str, Any],
    rules: Sequence[str],
    files: PrivateFiles,
    extras: RunExtras | None = None,
    functions: McpSdkServerConfig | None = None,
) -> ClaudeAgentOptions:
    """The SDK's options for a run of `agent` in `directory`. `rules` allow calls besides the agent's own; `functions`
    is the MCP server of the run's functions."""
    extras = extras or RunExtras()
    mcp_servers = {**agent.mcp_servers, **extras.mcp_servers}
    extra_args: dict[str, str | None] = {}
    if mcp_servers:
        # Not the SDK's option: of several servers it makes an argument, which everyone on the machine can read.
        extra_args["mcp-config"] = files.write("mcp.json", json.dumps({"mcpServers": mcp_servers}))
    if session.resume:
        # Not the SDK's `resume`: with a session store that moves the session into a temporary folder.
        extra_args["resume"] = session.id
    if agent.instructions:
        extra_args["append-system-prompt-file"] = files.write("instructions.md", agent.instructions)
    if managed_settings:
        # Claude Code lets no other settings, mode or rule loosen these.
        extra_args["managed-settings"] = json.dumps(managed_settings)
    allowed = [*agent.allowed_tools, *allowing_rules(agent.tools or []), *rules, *extras.allowed_tools]
    # Not as an argument: a rule may hold what separates rules there.
    settings = files.write("settings.json", json.dumps({"permissions": {"allow": allowed}})) if allowed else None
    return ClaudeAgentOptions(
        # Without a preset the SDK sends an empty system prompt, and the CLI is Claude Code no more.
        # Without a snapshot: a session that goes on would keep the instructions it began with (2.1.329), and not take
        # those that the person has changed since.
        system_prompt={"type": "preset", "preset": "claude_code", "snapshot": False},
        extra_args=extra_args,
        tools=None if agent.tools is None else base_tools(agent.tools),
        disallowed_tools=list(agent.disallowed_tools),
        permission_mode=agent.permission_mode.value,
        settings=settings,
        mcp_servers={functions["name"]: functions} if functions is not None else {},
        # A project's settings and MCP file can start programs: they count only where the site allows it.
        setting_sources=list(setting_sources),
        strict_mcp_config=True,
        model=None if agent.model == "inherit" else agent.model,
        max_turns=agent.max_turns,
        max_budget_usd=agent.max_budget_usd,
        cwd=directory,
        session_id=None if session.resume else session.id,
        session_store=transcripts,
        include_partial_messages=True,
        max_buffer_size=MAX_BUFFER_SIZE,
        cli_path=LAUNCHER,
        env=dict(environment),
    )
