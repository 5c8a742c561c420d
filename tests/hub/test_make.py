"""What `make` says when it cannot set itself up, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.people import ROOT


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def refusal(answer: subprocess.CompletedProcess[str]) -> str:
    """The one line of ours; make adds which rule failed."""
    assert answer.returncode != 0
    (line,) = [line for line in answer.stderr.splitlines() if not line.startswith("make")]
    assert line.startswith("jupyterhub-agents: ")
    return line


@pytest.mark.parametrize("goal", ["run", "clean"])
def test_an_environment_that_make_did_not_make_is_never_touched(tmp_path: Path, goal: str) -> None:
    (tmp_path / "precious").write_text("mine")
    if goal == "run":
        line = refusal(make("run", f"VENV={tmp_path}", f"PYTHON={sys.executable}"))
        assert str(tmp_path) in line and "VENV=" in line
    else:
        assert f"if [ -f '{tmp_path}/.made-by-make' ]" in make("clean", "--dry-run", f"VENV={tmp_path}").stdout
    assert (tmp_path / "precious").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_wrong_python_is_one_line_that_says_which_ones_do(tmp_path: Path) -> None:
    fake = tmp_path / "python3.9"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.18\nexit 1\n')
    fake.chmod(0o755)
    for python, words in ((str(fake), "is Python 3.9.18"), ("/nowhere/python3", "there is no PYTHON=/nowhere/python3")):
        line = refusal(make("run", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}"))
        assert words in line and "3.11, 3.12 or 3.13" in line
    assert not (tmp_path / "venv").exists()


def test_make_alone_lists_what_can_be_done() -> None:
    answer = make()
    assert answer.returncode == 0
    for goal in ("run", "test", "check", "images", "cluster-test", "bench", "lock", "clean"):
        assert f"make {goal}" in answer.stdout
