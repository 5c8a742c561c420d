"""Fixtures: ttyd or a skip, and one workspace with the real Claude Code at a scripted model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterhub_agents.server import ttyd
from jupyterhub_agents.testing.scripted_model import ScriptedModel, say, use
from tests.terminal.workspace import Terminal, Workspace, screen, until, workspace


@pytest.fixture(scope="session")
def ttyd_program() -> Path:
    try:
        return ttyd.find()
    except ttyd.Unavailable as error:
        pytest.skip(f"{error} Get it with: python -m jupyterhub_agents.server.ttyd install")


@pytest.fixture(scope="session")
def path(ttyd_program: Path) -> str:
    return os.pathsep.join([str(ttyd_program.parent), "/usr/local/bin", "/usr/bin", "/bin"])


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    script = {"please list": [use("Bash", {"command": "echo from-a-tool"}), say("That was everything.")]}
    with ScriptedModel(script) as model:
        yield model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, path: str, model: ScriptedModel) -> Iterator[Workspace]:
    with workspace(tmp_path_factory.mktemp("terminal"), path, model.env()) as server:
        yield server


@pytest.fixture
def shell(server: Workspace) -> Iterator[Terminal]:
    """A connection whose session is at a shell: Claude Code was left."""
    with server.terminal() as terminal:
        terminal.read_until("Keeps running")
        until("Claude Code, or the shell after it", lambda: "claude" in server.running() or server.is_at_shell())
        if "claude" in server.running():
            until("Claude Code's prompt", lambda: "for shortcuts" in screen(server))
            terminal.type("/exit")
            until("the command in the prompt", lambda: "/exit" in screen(server))
            terminal.type("\r")
            until("the shell", lambda: "claude" not in server.running())
        terminal.type("clear\r")
        yield terminal
