"""The programs that run beside the hub: the culler, and the demo model where there is no real one."""

from __future__ import annotations

import secrets
import sys

from traitlets.config import Config

from .hub import AgentHub
from .proxy import free_ports
from .state import LAUNCH_MARK

DEMO_NOTICE = (
    "These answers come from a scripted demo model, not from an AI."
    " Set ANTHROPIC_API_KEY and start the hub again for the real one."
)
"""Shown wherever the demo model's words appear."""


def configure(c: Config, hub: AgentHub) -> None:
    """Adds to what the site lists in `c.JupyterHub.services` and `load_roles` itself."""
    if hub.cull_timeout:
        _cull_idle_workspaces(c, hub)
    if hub.uses_demo_model:
        _run_demo_model(c, hub)


def _cull_idle_workspaces(c: Config, hub: AgentHub) -> None:
    """jupyterhub-idle-culler, with the scopes its documentation names and no more."""
    interval = hub.cull_interval or min(max(1, hub.cull_timeout // 2), 600)
    command = [
        sys.executable, "-m", "jupyterhub_idle_culler",
        f"--timeout={hub.cull_timeout}", f"--cull-every={interval}",
    ]  # fmt: skip
    environment = {LAUNCH_MARK: hub.state_dir}
    c.JupyterHub.services.append({"name": "idle-culler", "command": command, "environment": environment})
    c.JupyterHub.load_roles.append(
        {
            "name": "idle-culler",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["idle-culler"],
        }
    )


def _run_demo_model(c: Config, hub: AgentHub) -> None:
    """The scripted model as a service of the hub, with a key of this start that only workspaces know."""
    key = f"demo-{secrets.token_urlsafe(24)}"
    (port,) = free_ports(1)
    c.JupyterHub.services.append(
        {
            "name": "demo-model",
            "command": [
                sys.executable, "-m", "jupyterhub_agents.testing.demo_model",
                "--host", "127.0.0.1", "--port", str(port),
            ],
            "environment": {"JUPYTERHUB_AGENTS_DEMO_KEY": key, LAUNCH_MARK: hub.state_dir},
        }
    )  # fmt: skip
    c.Spawner.environment.update(
        {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
            "ANTHROPIC_API_KEY": key,
            "JUPYTERHUB_AGENTS_NOTICE": DEMO_NOTICE,
        }
    )
