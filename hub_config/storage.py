"""Where the hub keeps its own files."""

from __future__ import annotations

import os

from traitlets.config import Config

from .hub import AgentHub


def configure(c: Config, hub: AgentHub) -> None:
    """Database, cookie secret and process id in the state folder, readable by the hub's account alone. On Kubernetes
    the chart says where."""
    os.umask(0o077)  # also of all the hub starts: homes and files are private from the first moment
    if hub.on_kubernetes:
        return
    hub.state.make()
    c.JupyterHub.db_url = f"sqlite:///{hub.state.hub / 'jupyterhub.sqlite'}"
    c.JupyterHub.cookie_secret_file = str(hub.state.hub / "cookie_secret")
    c.JupyterHub.pid_file = str(hub.state.hub / "jupyterhub.pid")
