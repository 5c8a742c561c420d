"""A person's workspace as a process. Apart from `spawner`, because its import brings most of JupyterHub along, which
the launcher does without."""

from __future__ import annotations

from typing import Any

from jupyterhub.spawner import SimpleLocalProcessSpawner

from .ports import free_ports


class LocalSpawner(SimpleLocalProcessSpawner):
    """jupyterhub.spawner.SimpleLocalProcessSpawner, with a port that is still free when the workspace takes it, which
    is seconds later."""

    async def start(self) -> Any:
        """As jupyterhub.spawner.Spawner.start says: where the workspace will listen."""
        self.port = self.port or free_ports(1)[0]
        return await super().start()  # type: ignore[no-untyped-call]  # publishes no types
