"""The wheel: what it brings to an environment that has JupyterLab and no Node.js."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.hub.people import ROOT

NAME = "@jupyterhub-agents/labextension"
BUILT = ROOT / "extensions" / "jupyterhub_agents" / "labextension" / "package.json"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel, and beside it JupyterLab as it is installed here. No network."""
    if not BUILT.exists():
        pytest.skip("the panel is not built: python tools/install.py panel")
    folder = tmp_path_factory.mktemp("wheel")
    made = os.environ | {"HATCH_JUPYTER_BUILDER_SKIP_NPM": "1"}
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, env=made, check=True, capture_output=True, timeout=120)
    [wheel] = folder.glob("*.whl")
    fresh = folder / "environment"
    venv.create(fresh, with_pip=True)
    python = fresh / "bin" / "python"
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    [packages] = fresh.glob("lib/python*/site-packages")
    (packages / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return fresh


def test_jupyterlab_finds_the_panel_of_the_wheel_enabled_and_ok(environment: Path, tmp_path: Path) -> None:
    own = {"PATH": os.defpath, "HOME": str(tmp_path), "JUPYTER_NO_CONFIG": "1"}
    command = [str(environment / "bin" / "python"), "-m", "jupyterlab.labextensions", "list"]
    listed = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60)
    said = listed.stdout + listed.stderr
    assert str(environment / "share" / "jupyter" / "labextensions") in said
    [line] = [line for line in said.splitlines() if NAME in line]
    assert "enabled" in line and "OK" in line, line


def test_the_wheel_has_the_panels_words(environment: Path) -> None:
    [words] = environment.glob("lib/python*/site-packages/jupyterhub_agents/locale/ko_KR/LC_MESSAGES/*.json")
    assert "에이전트" in words.read_text(encoding="utf-8") or "\\uc5d0" in words.read_text(encoding="utf-8")
