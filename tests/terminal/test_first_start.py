"""Claude Code's first-start questions are answered, and a person's own answers stay."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyterhub_agents.server.mcp_server import is_ours, mcp_server
from jupyterhub_agents.server.terminal.first_start import prepare

KEY = "sk-ant-a-key-that-is-longer-than-twenty"


def test_a_fresh_home_gets_the_answers(tmp_path: Path) -> None:
    prepare(tmp_path, {"ANTHROPIC_API_KEY": KEY})
    path = tmp_path / ".claude.json"
    assert json.loads(path.read_text()) == {
        "hasCompletedOnboarding": True,
        "projects": {str(tmp_path): {"hasTrustDialogAccepted": True}},
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [".claude.json"]


def test_what_a_person_has_set_stays(tmp_path: Path) -> None:
    path = tmp_path / ".claude.json"
    own = {
        "theme": "light",
        "hasCompletedOnboarding": False,
        "projects": {"/elsewhere": {"hasTrustDialogAccepted": False}, str(tmp_path): {"allowedTools": ["Bash"]}},
        "customApiKeyResponses": {"approved": ["another"], "rejected": [KEY[-20:]]},
    }
    path.write_text(json.dumps(own))
    prepare(tmp_path, {"ANTHROPIC_API_KEY": KEY})
    own["projects"][str(tmp_path)]["hasTrustDialogAccepted"] = True  # type: ignore[index]
    assert json.loads(path.read_text()) == own


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path, {"ANTHROPIC_API_KEY": KEY})
    before = (tmp_path / ".claude.json").stat()
    prepare(tmp_path, {"ANTHROPIC_API_KEY": KEY})
    assert (tmp_path / ".claude.json").stat().st_mtime_ns == before.st_mtime_ns


def test_the_folder_that_the_person_configured_is_used(tmp_path: Path) -> None:
    prepare(tmp_path, {"CLAUDE_CONFIG_DIR": str(tmp_path / "own")})
    assert (tmp_path / "own" / ".claude.json").exists()
    assert not (tmp_path / ".claude.json").exists()


def test_a_file_that_is_no_json_is_left_alone(tmp_path: Path) -> None:
    for content in ("not json", "[1, 2]", '{"projects": 3}'):
        (tmp_path / ".claude.json").write_text(content)
        prepare(tmp_path, {})
        assert (tmp_path / ".claude.json").read_text() == content


def test_a_lock_that_stays_does_not_hold_up_for_long(tmp_path: Path) -> None:
    (tmp_path / ".claude.json.lock").mkdir()
    prepare(tmp_path, {})
    assert (tmp_path / ".claude.json").exists()
    assert (tmp_path / ".claude.json.lock").exists()


def server(python: str) -> dict[str, Any]:
    return {
        "type": "stdio",
        "command": python,
        "args": ["-P", "-m", "jupyterhub_agents.client", "mcp", "--socket", "x"],
    }


def test_the_server_for_agents_is_noted_for_every_claude_and_follows_its_python(tmp_path: Path) -> None:
    path = tmp_path / ".claude.json"
    path.write_text(json.dumps({"mcpServers": {"other": {"command": "other"}}}))
    for python in ("/old/python", "/new/python"):
        prepare(tmp_path, {}, server(python))
        assert json.loads(path.read_text())["mcpServers"] == {
            "other": {"command": "other"},
            "agents": server(python),
        }


@pytest.mark.parametrize("own", [{"command": "mine", "args": []}, {"type": "http", "url": "https://x"}, None, "odd"])
def test_a_server_that_a_person_named_agents_stays(tmp_path: Path, own: Any) -> None:
    path = tmp_path / ".claude.json"
    path.write_text(json.dumps({"mcpServers": {"agents": own}}))
    prepare(tmp_path, {}, server("/some/python"))
    expected = server("/some/python") if own is None else own
    assert json.loads(path.read_text())["mcpServers"] == {"agents": expected}


def test_the_definition_starts_this_python_at_the_door(tmp_path: Path) -> None:
    assert is_ours(mcp_server(tmp_path / "door"))
    assert mcp_server(tmp_path / "door")["command"] == sys.executable
