"""KubeSpawner, with what happens told in plain words while a workspace starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from kubespawner.spawner import KubeSpawner

from .progress import step_of


class PodSpawner(KubeSpawner):
    """Configured as KubeSpawner is, under `c.KubeSpawner`."""

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What JupyterHub's page and API show of a start: `progress` in percent, which never goes back, and `message`.
        `raw_event` is the cluster's own event, where there is one."""
        reached, last = 0, ""
        async for item in super().progress():  # type: ignore[no-untyped-call]  # KubeSpawner has no types
            event = item.get("raw_event")
            if event is None:  # KubeSpawner's own word that it takes long
                yield {**item, "message": f"{last} {item['message']}".strip()}
                continue
            step = step_of(event)
            reached = max(reached, step.progress)
            if step.message and step.message != last:
                last = step.message
                yield {"progress": reached, "message": last, "raw_event": event}
