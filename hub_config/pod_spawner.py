"""KubeSpawner, with what happens told in plain words while a workspace starts, and found ready as soon as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from kubespawner.spawner import KubeSpawner

from .progress import step_of

LOOK_EVERY_S = 0.1


class PodSpawner(KubeSpawner):
    """Configured as KubeSpawner is, under `c.KubeSpawner`."""

    async def start(self) -> str:
        """Start the pod, and wait until its server listens: the address.

        What JupyterHub does then, it does at intervals that double with each failure, so a server that took four
        seconds would be found after seven.
        """
        url = str(await super().start())  # type: ignore[no-untyped-call]  # KubeSpawner has no types
        with suppress(TimeoutError):  # which is JupyterHub's to say
            async with asyncio.timeout(self.http_timeout):
                await until_listening(url)
        return url

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


async def until_listening(url: str) -> None:
    """Wait until something takes connections at the address of `url`."""
    address = urlsplit(url)
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.close()
            return
        await asyncio.sleep(LOOK_EVERY_S)
