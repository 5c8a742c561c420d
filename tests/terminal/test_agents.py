"""What the terminal can do with agents: the command, and `claude` by its MCP server. Neither has a token."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterhub_agents.testing.scripted_model import ScriptedModel, say, use
from tests.terminal.workspace import Terminal, Workspace, screen, until, workspace

COMMAND = f"{sys.executable} -m jupyterhub_agents.client"


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    script = {
        "which agents": [use("mcp__agents__list_agents"), say("There they are.")],
        "make a poet": [
            use("mcp__agents__create_agent", {"id": "poet", "name": "Poet", "instructions": "Rhyme."}),
            say("The poet is there."),
        ],
    }
    with ScriptedModel(script) as model:
        yield model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, path: str, model: ScriptedModel) -> Iterator[Workspace]:
    with workspace(tmp_path_factory.mktemp("agents"), path, model.env(), with_agents=True) as server:
        until("the door", (server.home / ".local/share/jupyterhub-agents/door").exists)
        yield server


def test_the_command_works_without_a_token(server: Workspace, shell: Terminal) -> None:
    made = server.http.post("api/agents", json={"id": "walker", "name": "Walker of all ways"})
    assert made.status_code == 201
    shell.type(f"{COMMAND} list; echo code-$?\r")
    shell.read_until("Walker of all ways")
    shell.read_until("code-0")


def test_a_claude_that_is_typed_by_hand_has_the_tools(server: Workspace, shell: Terminal, model: ScriptedModel) -> None:
    shell.type("cd /tmp; claude -p 'make a poet' --allowedTools mcp__agents__create_agent; echo code-$?\r")
    shell.read_until("The poet is there.")
    shell.read_until("code-0")
    assert server.http.get("api/agents/poet").json()["instructions"] == "Rhyme."
    shell.type("claude -p 'which agents' --allowedTools mcp__agents__list_agents; echo code-$?\r")
    shell.read_until("There they are.")
    results = [
        result for request in model.messages for result in request.results if result.tool.endswith("list_agents")
    ]
    assert {"id": "poet", "name": "Poet", "revision": 1} in json.loads(results[0].text)["agents"]


def test_the_claude_that_opens_with_the_terminal_has_the_tools(tmp_path: Path, path: str, model: ScriptedModel) -> None:
    with workspace(tmp_path, path, model.env(), with_agents=True) as server, server.terminal() as terminal:
        terminal.read_until("Claude Code v")
        until("the prompt", lambda: "for shortcuts" in screen(server))
        terminal.type("which agents")
        until("the words in the prompt", lambda: "which agents" in screen(server))
        terminal.type("\r")
        until("the question whether it may", lambda: "List Agents" in screen(server) and "1. Yes" in screen(server))
        terminal.type("1")
        terminal.read_until("There they are.")
