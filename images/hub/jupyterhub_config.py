"""A hub in a pod, without the official chart: the proxy is another pod, the site's choices are in site.py beside this.

The chart brings a file of its own to this place, whose `hub.extraConfig` has the last two lines."""

import os
from pathlib import Path

from hub_config import configure

c.JupyterHub.hub_bind_url = "http://0.0.0.0:8081"  # noqa: F821 - JupyterHub gives it
c.JupyterHub.hub_connect_url = os.environ.get("JUPYTERHUB_AGENTS_HUB_CONNECT_URL", "http://hub:8081")  # noqa: F821
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"  # noqa: F821
c.JupyterHub.cookie_secret_file = "/srv/jupyterhub/cookie_secret"  # noqa: F821, S105 - where it is, not what it is
c.ConfigurableHTTPProxy.should_start = False  # noqa: F821
c.ConfigurableHTTPProxy.api_url = os.environ.get("JUPYTERHUB_AGENTS_PROXY_API_URL", "http://proxy-api:8001")  # noqa: F821
if (site := Path(__file__).with_name("site.py")).exists():
    load_subconfig(str(site))  # noqa: F821

configure(c)  # noqa: F821
