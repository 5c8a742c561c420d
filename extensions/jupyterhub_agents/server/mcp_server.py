"""How Claude Code starts the MCP server for agents (`jupyter agents mcp`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

SERVER = "agents"
"""The name of the MCP server in Claude Code: its tools are `mcp__agents__...`."""
PROGRAM = ["-P", "-m", "jupyterhub_agents.client", "mcp"]
"""What a Python is given to become the server. -P: what lies in the folder that it works in is no part of it."""


def mcp_server(door: Path) -> dict[str, Any]:
    """Its definition for Claude Code (`mcpServers`), by this Python, at the workspace of `door`."""
    return {
        "type": "stdio",
        "command": sys.executable,
        "args": [*PROGRAM, "--socket", str(door)],
        # The tools are there from the first word on: Claude Code waits for them at its start, for at most 5 s.
        "alwaysLoad": True,
    }


def is_ours(server: Any) -> bool:
    """Whether a definition is one that this project made, of whatever Python and door."""
    arguments = server.get("args") if isinstance(server, dict) else None
    return isinstance(arguments, list) and arguments[: len(PROGRAM)] == PROGRAM
