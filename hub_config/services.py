"""The programs that run beside the hub: the agents' service, the culler, a demo model where there is no real one."""

from __future__ import annotations

import os
import secrets
import sys

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from .handover import hold
from .hub import AgentHub
from .ports import free_ports
from .state import LAUNCH_MARK

SERVICE = "agents"
PAGE_SCOPES = [f"access:services!service={SERVICE}", "access:servers"]
"""The most that people's sign-ins to the service's pages are for; nobody gets more than they have themselves. With the
second an administrator cancels a run in somebody's workspace; the service's own token has no such scope."""
SERVICE_SCOPES = [
    "list:users", "read:users:name", "read:users:groups", "read:users:activity", "read:servers", "read:groups:name",
]  # fmt: skip
"""Who somebody is, and whether a workspace still runs; for the administrators' page everybody, and when they were last
seen; and whether there is a group that something is shared with."""
GOOGLE_IDENTITY = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME")
"""Where Google's client finds the service's own identity (Application Default Credentials)."""

DEMO_NOTICE = (
    "These answers come from a scripted demo model, not from an AI."
    " Set ANTHROPIC_API_KEY and start the hub again for the real one."
)
"""Shown wherever the demo model's words appear."""


def configure(c: Config, hub: AgentHub) -> None:
    """Adds to what the site lists in `c.JupyterHub.services` and `load_roles` itself."""
    if hub.cull_timeout:
        _cull_idle_workspaces(c, hub)
    if hub.service_url:
        url = hub.service_url.rstrip("/")
        c.JupyterHub.services.append(
            {
                "name": SERVICE,
                "url": url,
                "display": True,
                "oauth_no_confirm": True,
                "api_token": hub.service_token,
                "oauth_client_allowed_scopes": PAGE_SCOPES,
            }
        )
    else:
        url = _run_agents_service(c, hub, _run_demo_model(c, hub) if hub.uses_demo_model else _real_model(hub))
    _let_in(c, url)


def _run_agents_service(c: Config, hub: AgentHub, model: dict[str, str]) -> str:
    """The service that holds the key to the models, started by the hub. It alone gets `model`. Gives its address."""
    (port,) = free_ports(1, besides=[hub.port])
    url = f"http://127.0.0.1:{port}"
    kept = {name: os.environ[name] for name in hub.environment_keep if name in os.environ}
    c.JupyterHub.services.append(
        {
            "name": SERVICE,
            "url": url,
            # In the hub's menu of services; the site's own service asks nobody whether it may know who they are.
            "display": True,
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": PAGE_SCOPES,
            "command": [sys.executable, "-m", "jupyterhub_agents.service.app", *hub.service_arguments],
            "environment": {
                **kept, **model, "JUPYTERHUB_AGENTS_SERVICE_STATE": str(hub.state.service),
                "JUPYTERHUB_AGENTS_HUB_URL": hub.local_url, LAUNCH_MARK: hub.state_dir,
            },
        }
    )  # fmt: skip
    return url


def _let_in(c: Config, url: str) -> None:
    """What the service may, and who may use it. Workspaces reach it at its own address, because the proxy would hide
    from them that a stream was cut."""
    _add_scopes(c, "agents-service", SERVICE_SCOPES, services=[SERVICE])
    # A role that is given here replaces JupyterHub's own of that name: its scopes are repeated ("RBAC", Default roles).
    use = f"access:services!service={SERVICE}"
    _add_scopes(c, "user", ["self", use])
    _add_scopes(c, "server", ["users:activity!user", "access:servers!server", use])
    c.Spawner.environment.update(
        {
            "JUPYTERHUB_AGENTS_SERVICE_URL": f"{url}/services/{SERVICE}/",
            "JUPYTERHUB_AGENTS_STORE_URL": f"{url}/services/{SERVICE}/",
            "ANTHROPIC_BASE_URL": f"{url}/services/{SERVICE}/anthropic",
        }
    )


def _add_scopes(c: Config, name: str, scopes: list[str], **holders: list[str]) -> None:
    """A role with these scopes; one that the site has set itself gets what it lacks."""
    if isinstance(c.JupyterHub.load_roles, LazyConfigValue):
        c.JupyterHub.load_roles = c.JupyterHub.load_roles.get_value([])
    for role in c.JupyterHub.load_roles:
        if role["name"] == name:
            role["scopes"] = list(dict.fromkeys([*role.get("scopes", []), *scopes]))
            return
    c.JupyterHub.load_roles.append({"name": name, "scopes": scopes, **holders})


def _real_model(hub: AgentHub) -> dict[str, str]:
    """What tells the service where the real models are, in the words that Claude Code uses itself."""
    said = {
        "ANTHROPIC_BASE_URL": hub.anthropic_base_url,
        "ANTHROPIC_VERTEX_PROJECT_ID": hub.vertex_project,
        "CLOUD_ML_REGION": hub.vertex_region,
    }
    google = {name: os.environ[name] for name in GOOGLE_IDENTITY if hub.vertex_project and name in os.environ}
    return {name: value for name, value in said.items() if value} | google | _held_key(hub.anthropic_api_key)


def _held_key(key: str) -> dict[str, str]:
    return {"ANTHROPIC_API_KEY_FILE": hold(key)} if key else {}


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


def _run_demo_model(c: Config, hub: AgentHub) -> dict[str, str]:
    """The scripted model as a service of the hub, with a key of this start. Gives what the agents' service is told."""
    key = f"demo-{secrets.token_urlsafe(24)}"
    (port,) = free_ports(1, besides=[hub.port])
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
    c.Spawner.environment.update({"JUPYTERHUB_AGENTS_NOTICE": DEMO_NOTICE})
    return {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", **_held_key(key)}
