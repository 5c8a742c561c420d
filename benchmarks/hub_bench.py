"""How long the hub takes to start, and a workspace to spawn, beside a bare JupyterHub.

Bare has the same proxy, authenticator and spawner, and no more: no culler, no demo model, no extension of ours in
the workspace. The two take turns, each with a fresh state folder a round. The figures are medians in seconds.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from hub_config.ports import free_ports

ROUNDS = 3
SPAWNS = 2
TIMEOUT_S = 60.0

OURS = """
from hub_config import configure

c.AgentHub.state_dir = {state!r}
c.AgentHub.port = {port}
configure(c)
"""

BARE = """
import os
import sys

from hub_config.node import find_proxy_command

os.chdir({state!r})
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = find_proxy_command()
c.ConfigurableHTTPProxy.log_level = "warn"
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {token!r}
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {state!r} + "/{{username}}"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.args = ['--ServerApp.jpserver_extensions={{"jupyterhub_agents": False}}']
if os.geteuid() == 0:
    c.Spawner.args.append("--allow-root")
"""

BENCH = """
c.JupyterHub.services.append({{"name": "bench", "api_token": {token!r}}})
c.JupyterHub.load_roles.append(
    {{"name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers"]}}
)
"""


def run(rounds: int = ROUNDS, spawns: int = SPAWNS) -> dict[str, float]:
    """The medians, and how many times as long ours takes (1 is the same), by stable names."""
    starts: dict[str, list[float]] = {"ours": [], "bare": []}
    spawned: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(rounds):
        order = ("ours", "bare") if number % 2 else ("bare", "ours")
        for which in order:
            with tempfile.TemporaryDirectory(prefix="jupyterhub-agents-bench-") as folder:
                start, times = _measure(OURS if which == "ours" else BARE, Path(folder), spawns)
            starts[which].append(start)
            spawned[which] += times
    figures: dict[str, float] = {}
    for what, taken in (("start", starts), ("spawn", spawned)):
        ours, bare = median(taken["ours"]), median(taken["bare"])
        figures |= {f"hub.{what}.ours_s": ours, f"hub.{what}.bare_s": bare, f"hub.{what}.ratio_to_bare": ours / bare}
    return figures


def _measure(config: str, folder: Path, spawns: int) -> tuple[float, list[float]]:
    """Seconds until the hub answers through its proxy, and until each of some workspaces is ready."""
    token = secrets.token_hex(16)
    port, hub_port, api_port = free_ports(3)
    values = {"state": str(folder), "port": port, "hub_port": hub_port, "api_port": api_port, "token": token}
    file = folder / "jupyterhub_config.py"
    file.write_text((config + BENCH).format(**values))
    before = time.perf_counter()
    with (
        _hub(file, folder / "bench.log") as process,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}/hub/api",
            headers={"Authorization": f"token {token}"},
            timeout=TIMEOUT_S,
            trust_env=False,
        ) as api,
    ):
        _wait_until_it_answers(api, process, folder / "bench.log")
        start = time.perf_counter() - before
        return start, [_spawn(api, f"person{number}") for number in range(spawns)]


def _spawn(api: httpx.Client, name: str) -> float:
    """Seconds from the request for a workspace to its being ready; it is stopped after."""
    api.post(f"/users/{name}").raise_for_status()
    before = time.perf_counter()
    answer = api.post(f"/users/{name}/server")
    while answer.status_code != 201:  # 202: still at it after the hub's slow_spawn_timeout
        answer.raise_for_status()
        if time.perf_counter() - before > TIMEOUT_S:
            raise TimeoutError(f"the workspace was not ready within {TIMEOUT_S:g} s")
        time.sleep(0.05)
        if api.get(f"/users/{name}").json()["servers"].get("", {}).get("ready"):
            break
    seconds = time.perf_counter() - before
    api.delete(f"/users/{name}/server").raise_for_status()
    return seconds


def _wait_until_it_answers(api: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if api.get("/").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"the hub did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def _hub(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=TIMEOUT_S)


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:28} {value:8.3f}")
