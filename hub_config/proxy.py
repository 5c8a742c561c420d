"""How people reach the hub and their workspaces: addresses, and the proxy in front."""

from __future__ import annotations

from traitlets.config import Config

from .hub import AgentHub
from .ports import free_ports


def configure(c: Config, hub: AgentHub) -> None:
    """The public address as chosen; the inner ones on loopback, on free ports, so that hubs do not collide. On
    Kubernetes the chart starts the proxy and says where it is."""
    c.JupyterHub.proxy_class = "hub_config.quiet_proxy.QuietProxy"
    if hub.on_kubernetes:
        return
    hub_port, api_port = free_ports(2, besides=[hub.port])
    c.JupyterHub.bind_url = f"http://{_bracketed(hub.ip)}:{hub.port}"
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port}"
    c.ConfigurableHTTPProxy.command = hub.proxy_command
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{api_port}"
    c.ConfigurableHTTPProxy.pid_file = str(hub.state.hub / "proxy.pid")
    c.ConfigurableHTTPProxy.log_level = "warn"


def _bracketed(ip: str) -> str:
    """An address as URLs write it: IPv6 in brackets (RFC 3986, section 3.2.2)."""
    return f"[{ip}]" if ":" in ip else ip
