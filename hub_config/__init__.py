"""What the hub is told: `configure(c)` turns a site's choices (`c.AgentHub.*`) into JupyterHub's settings."""

from traitlets.config import Config

from . import auth, pods, proxy, services, spawner, storage
from .hub import AgentHub

__all__ = ["AgentHub", "configure"]


def configure(c: Config) -> None:
    """Set all that the hub needs in `c`, from the choices in `c.AgentHub`.

    Call it last in jupyterhub_config.py; what is set after it wins. On one machine it makes the state folder; else it
    only sets. Raises traitlets.TraitError for a choice that cannot work.
    """
    hub = AgentHub.from_config(c)
    storage.configure(c, hub)
    auth.configure(c, hub)
    proxy.configure(c, hub)
    (pods if hub.on_kubernetes else spawner).configure(c, hub)
    services.configure(c, hub)
