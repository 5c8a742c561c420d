"""What a workspace is on Kubernetes: a pod that Pod Security `restricted` admits, with a home on a volume."""

from __future__ import annotations

import json
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from .hub import AgentHub

USER = 1000
GROUP = 100
"""Of images/workspace/Dockerfile."""
HOME = "/home/jovyan"

RESTRICTED_POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": GROUP,
    "fsGroup": GROUP,
    # Only a volume's first use has its files gone through: later ones would make a start wait for each file in a home.
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": GROUP,
    "allowPrivilegeEscalation": False,
    "privileged": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Pod Security Standards, `restricted`; a read-only root besides."""


def configure(c: Config, hub: AgentHub) -> None:
    """KubeSpawner, from the choices. What the chart sets for the hub itself stays."""
    c.JupyterHub.spawner_class = "hub_config.pod_spawner.PodSpawner"
    c.JupyterHub.allow_named_servers = hub.named_servers
    # Workspaces go on while the hub restarts.
    c.JupyterHub.cleanup_servers = False
    c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
    c.KubeSpawner.default_url = hub.default_url
    c.KubeSpawner.start_timeout = int(hub.spawn_timeout)
    c.KubeSpawner.http_timeout = int(hub.spawn_timeout)
    c.KubeSpawner.slow_spawn_message = "It has taken {seconds} seconds so far."
    c.KubeSpawner.slow_spawn_message_frequency = 15
    # Whether a pod still is there is looked up in memory, as the cluster tells of changes: it may be looked up often.
    c.KubeSpawner.poll_interval = 10
    c.KubeSpawner.image = hub.workspace_image
    c.KubeSpawner.image_pull_policy = "IfNotPresent"
    if hub.image_pull_secrets:
        c.KubeSpawner.image_pull_secrets = hub.image_pull_secrets
    _one_environment(c)
    c.Spawner.environment.update(_environment(hub))
    _size(c, hub)
    _home(c, hub)
    _security(c)
    _end(c, hub)


def _one_environment(c: Config) -> None:
    """The official chart sets KubeSpawner's own, which would hide all that is set for Spawner here and in services."""
    given = c.KubeSpawner.pop("environment", {})
    c.Spawner.environment.update(given.get_value({}) if isinstance(given, LazyConfigValue) else given)


def _environment(hub: AgentHub) -> dict[str, str]:
    environment = {"JUPYTERHUB_ACTIVITY_INTERVAL": str(hub.activity_interval)}
    if hub.managed_settings:
        environment["JUPYTERHUB_AGENTS_MANAGED_SETTINGS"] = json.dumps(hub.managed_settings)
    # KubeSpawner fills in names between braces: those here are meant as they are.
    return {name: value.replace("{", "{{").replace("}", "}}") for name, value in environment.items()}


def _size(c: Config, hub: AgentHub) -> None:
    profiles = dict(sorted(hub.profiles.items(), key=lambda item: (item[1]["cpu"], item[1]["memory_gib"])))
    sizes = {name: _resources(profile) for name, profile in profiles.items()}
    first = next((name for name, profile in profiles.items() if profile.get("default")), next(iter(sizes)))
    for name, value in sizes[first].items():
        c.KubeSpawner[name] = value
    # Counted with what the container writes into its own layer and its logs.
    temporary = {"ephemeral-storage": f"{hub.temporary_gib}Gi"}
    c.KubeSpawner.extra_resource_guarantees = temporary
    c.KubeSpawner.extra_resource_limits = temporary
    c.KubeSpawner.profile_list = [] if len(sizes) == 1 else [
        {
            "slug": name, "display_name": name.capitalize(), "default": name == first,
            "description": _described(profiles[name]), "kubespawner_override": resources,
        }
        for name, resources in sizes.items()
    ]  # fmt: skip


def _resources(profile: dict[str, Any]) -> dict[str, Any]:
    memory = profile["memory_gib"]
    return {
        "cpu_guarantee": profile["cpu"],
        "cpu_limit": profile.get("cpu_limit", profile["cpu"]),
        "mem_guarantee": f"{memory}G",
        "mem_limit": f"{profile.get('memory_limit_gib', memory)}G",
    }


def _described(profile: dict[str, Any]) -> str:
    cpu, memory = profile.get("cpu_limit", profile["cpu"]), profile.get("memory_limit_gib", profile["memory_gib"])
    cores = "1 core" if cpu == 1 else f"{cpu:g} cores"
    return f"{profile.get('description', '')} {cores}, {memory:g} GiB of memory.".strip()


def _home(c: Config, hub: AgentHub) -> None:
    """The home on a volume of its own that outlives the pod, and /tmp, which does not."""
    c.KubeSpawner.working_dir = HOME
    c.KubeSpawner.storage_pvc_ensure = True
    c.KubeSpawner.storage_capacity = f"{hub.home_gib}Gi"
    c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
    if hub.home_storage_class:
        c.KubeSpawner.storage_class = hub.home_storage_class
    # One home a person, whatever the server is called.
    c.KubeSpawner.pvc_name_template = "home-{username}"
    c.KubeSpawner.delete_pvc = True
    _add(c, "volumes", "agents-home", {"persistentVolumeClaim": {"claimName": "{pvc_name}"}})
    _add(c, "volumes", "agents-tmp", {"emptyDir": {"sizeLimit": f"{hub.temporary_gib}Gi"}})
    _add(c, "volume_mounts", "agents-home", {"mountPath": HOME})
    _add(c, "volume_mounts", "agents-tmp", {"mountPath": "/tmp"})  # noqa: S108 - a volume of the pod's own


def _add(c: Config, trait: str, name: str, what: dict[str, Any]) -> None:
    """Add to what the chart or the site has set, which is a list, or a dictionary whose values are the list."""
    given = c.KubeSpawner.get(trait) or []
    c.KubeSpawner[trait] = [*(given.values() if isinstance(given, dict) else given), {"name": name, **what}]


def _security(c: Config) -> None:
    c.KubeSpawner.pod_security_context = RESTRICTED_POD
    c.KubeSpawner.container_security_context = RESTRICTED_CONTAINER
    c.KubeSpawner.uid = USER
    c.KubeSpawner.gid = GROUP
    c.KubeSpawner.fs_gid = GROUP
    c.KubeSpawner.privileged = False
    c.KubeSpawner.allow_privilege_escalation = False
    # Nothing in a workspace has business with the API server.
    c.KubeSpawner.service_account = None
    c.KubeSpawner.automount_service_account_token = False


def _end(c: Config, hub: AgentHub) -> None:
    """How a workspace ends: SIGTERM, and time to do what it has to."""
    c.KubeSpawner.delete_grace_period = hub.stop_grace_s
    pod = dict(c.KubeSpawner.get("extra_pod_config") or {})
    # The first holds when the cluster stops the pod, not the hub: a node that is drained.
    pod["terminationGracePeriodSeconds"] = hub.stop_grace_s
    # Addresses of the namespace's other services are none of its business either.
    pod["enableServiceLinks"] = False
    c.KubeSpawner.extra_pod_config = pod
