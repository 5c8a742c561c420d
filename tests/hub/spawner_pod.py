"""The pod that KubeSpawner would ask a cluster for, without one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

with pytest.MonkeyPatch.context() as patch:
    # kubernetes_asyncio looks where a cluster is when it is imported.
    patch.setenv("KUBECONFIG", str(Path(__file__).with_name("no_cluster.yaml")))
    from kubernetes_asyncio.client import ApiClient
    from kubespawner.spawner import KubeSpawner as KubeSpawner

    from hub_config.pod_spawner import PodSpawner
    from hub_config.pod_spawner import until_listening as until_listening


def pod_of(c: Config, profile: str | None = None) -> dict[str, Any]:
    """The pod of a workspace with these settings, as JSON."""

    async def make() -> dict[str, Any]:
        spawner = PodSpawner(config=c, _mock=True)
        spawner.user_options = {"profile": profile} if profile else {}
        await spawner.load_user_options()
        async with ApiClient() as client:
            return dict(client.sanitize_for_serialization(await spawner.get_pod_manifest()))

    return asyncio.run(make())
