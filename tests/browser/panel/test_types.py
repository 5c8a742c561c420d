"""What the panel knows of the server's answers is what the server says of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from jupyterhub_agents.server.openapi import document
from tests.hub.people import ROOT

PANEL = ROOT / "extensions" / "labextension"


def test_the_panels_types_are_the_servers(tmp_path: Path) -> None:
    """When this fails: `python tools/install.py panel-types` makes them anew."""
    source = tmp_path / "openapi.json"
    source.write_text(json.dumps(document("/")))
    node = shutil.which("node")
    assert node is not None
    program = PANEL / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    made = tmp_path / "openapi.ts"
    command = [node, str(program), str(source), "--output", str(made), "--default-non-nullable=false"]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]}, timeout=240)
    assert made.read_text() == (PANEL / "src" / "openapi.ts").read_text()
