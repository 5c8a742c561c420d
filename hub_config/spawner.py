"""What a workspace is: a process of this machine, with a home of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from traitlets.config import Config

from .hub import AgentHub
from .state import LAUNCH_MARK


def configure(c: Config, hub: AgentHub) -> None:
    """One single-user JupyterLab a person, in `homes/NAME`, with an environment that is listed here."""
    c.JupyterHub.spawner_class = "hub_config.local_spawner.LocalSpawner"
    # str.format fills in the name: braces in the path are meant as they are.
    homes = str(hub.state.homes).replace("{", "{{").replace("}", "}}")
    c.SimpleLocalProcessSpawner.home_dir_template = f"{homes}/{{username}}"
    c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
    c.Spawner.default_url = hub.default_url
    c.Spawner.start_timeout = int(hub.spawn_timeout)
    c.Spawner.http_timeout = int(hub.spawn_timeout)
    c.Spawner.env_keep = hub.environment_keep
    c.Spawner.environment.update(_environment(hub))
    if os.geteuid() == 0:
        # Jupyter Server refuses root unless told. Here root started the hub, in a container most likely.
        c.Spawner.args = ["--allow-root"]


def _environment(hub: AgentHub) -> dict[str, str]:
    bin_folder = str(Path(sys.executable).parent)
    environment = {
        "PATH": os.pathsep.join([bin_folder, os.environ.get("PATH", os.defpath)]),
        "JUPYTERHUB_ACTIVITY_INTERVAL": str(hub.activity_interval),
        LAUNCH_MARK: hub.state_dir,
    }
    if hub.managed_settings:
        environment["JUPYTERHUB_AGENTS_MANAGED_SETTINGS"] = json.dumps(hub.managed_settings)
    if {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} & os.environ.keys():
        # The hub and its service are on this machine: no proxy can reach them for a workspace.
        kept = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
        direct = ",".join(filter(None, [kept, "127.0.0.1", "localhost"]))
        environment |= {"NO_PROXY": direct, "no_proxy": direct}
    return environment
