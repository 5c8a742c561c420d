"""A Jupyter server as a process of a test: started, waited for until it answers, ended with nothing left of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil

BASE_URL = "/user/ana/"
START_S = 90.0
STOP_S = 20.0
OTHERS = ("jupyter_lsp", "jupyter_server_proxy", "jupyter_server_terminals", "jupyterlab", "notebook", "notebook_shim")
"""The extensions that are installed here beside the project's own."""


def lean(folder: Path) -> dict[str, str]:
    """The environment of a server that is about agents' runs alone: it loads no other extension, which is a third of
    what its start takes, and has no Claude Code wait for the next run. `folder` is made for its settings; an argument
    such as `--WarmPool.size=1` overrides them."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"ServerApp": {"jpserver_extensions": dict.fromkeys(OTHERS, False)}, "WarmPool": {"size": 0}}
    (folder / "jupyter_server_config.json").write_text(json.dumps(settings))
    return {"JUPYTER_CONFIG_DIR": str(folder)}


def start(
    home: Path, *arguments: str, environment: Mapping[str, str], log: Path, port: int = 0
) -> subprocess.Popen[bytes]:
    """Under the base URL that a hub would give it, at `port` or at any free one; `log` gets what it says."""
    command = [
        sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.base_url={BASE_URL}",
        f"--ServerApp.root_dir={home}", *arguments,
    ]  # fmt: skip
    with log.open("ab") as output:
        return subprocess.Popen(
            command, env=dict(environment), stdout=output, stderr=output, cwd=home, start_new_session=True
        )


def url_of(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Its address, from the file it writes into its runtime folder, once it answers there."""
    deadline = time.monotonic() + START_S
    file = runtime / f"jpserver-{process.pid}.json"
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended:\n{log.read_text()[-3000:]}"
        try:
            url = f"http://127.0.0.1:{json.loads(file.read_text())['port']}{BASE_URL}"
            httpx.get(f"{url}api", timeout=5)
        except (FileNotFoundError, ValueError, httpx.TransportError):
            time.sleep(0.05)
        else:
            return url
    raise TimeoutError(f"the server did not start:\n{log.read_text()[-3000:]}")


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Stop it as the hub does, or by `how`, and see that nothing is left of it. One that ended already is fine."""
    if process.poll() is not None:
        return
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
        raise
    _, left = psutil.wait_procs(below, timeout=30)
    for each in left:
        each.kill()
    assert not left, f"left behind: {left}"
