"""Claude Code's first-start questions are answered, and a person's own answers stay."""

from __future__ import annotations

import json
import stat
from pathlib import Path

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
