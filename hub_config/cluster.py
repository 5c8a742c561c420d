"""Cluster: the choices of a hub on Kubernetes, where each workspace is a pod."""

from __future__ import annotations

import os
from typing import Any, TypedDict

from traitlets import Any as AnyValue
from traitlets import Bool, Dict, Enum, Integer, List, TraitError, Unicode, default, validate
from traitlets.config import Configurable

MINIMUM_CPU = 0.25
CPU_STEP = 0.25
MEMORY_PER_CPU = (1.0, 6.5)
LARGEST_TEMPORARY_GIB = 10
"""What GKE Autopilot's general-purpose nodes take: vCPU from 0.25 in steps of that, GiB of memory for each, and GiB of
ephemeral storage (GKE documentation, "Resource requests in Autopilot"). Others it changes to fit, without a word."""

PROFILE_KEYS = ("cpu", "memory_gib", "cpu_limit", "memory_limit_gib", "description", "default")


class _Proposal(TypedDict):
    value: Any


class Cluster(Configurable):
    """What workspaces on Kubernetes are like. A part of AgentHub."""

    platform = Enum(
        ("machine", "kubernetes"),
        help="""
        What the hub runs on: `machine` makes each workspace a process beside the hub, `kubernetes` a pod.

        On `kubernetes` where the hub listens, its database and its proxy are the chart's to set, and the service is
        started on its own (`service_url`). Default: the environment variable JUPYTERHUB_AGENTS_PLATFORM, which the
        hub's image sets to `kubernetes`, else `machine`.
        """,
    ).tag(config=True)

    workspace_image = Unicode(
        help="""
        The image of a workspace, such as `registry.example.org/jupyterhub-agents/workspace:1.2.3`, made of
        images/workspace/Dockerfile.

        Default: the environment variable JUPYTERHUB_AGENTS_WORKSPACE_IMAGE.
        """
    ).tag(config=True)

    image_pull_secrets = List(
        Unicode(),
        help="""
        The names of the secrets by which the cluster gets the image from a registry that asks for a password.
        """,
    ).tag(config=True)

    profiles = Dict(
        key_trait=Unicode(),
        value_trait=AnyValue(),
        default_value={
            "small": {"cpu": 0.5, "memory_gib": 2, "description": "One agent at a time, notebooks, a terminal."},
            "medium": {"cpu": 1, "memory_gib": 4, "description": "Some agents at once, builds of small projects."},
            "large": {"cpu": 2, "memory_gib": 8, "description": "Many agents at once, larger data."},
        },
        help="""
        The sizes of workspaces that people choose from when they start theirs, from the smallest to the largest.

        Each has `cpu` (cores) and `memory_gib`, which are reserved for it and are its limits too, unless `cpu_limit` or
        `memory_limit_gib` allow more; and a `description`. Who does not choose gets the one with `default: true`, else
        the smallest. With one size there is nothing to choose. Claude Code takes 210 MB or more for each run at work.
        """,
    ).tag(config=True)

    autopilot_rules = Bool(
        True,
        help="""
        Whether sizes that GKE Autopilot would change without a word are refused.

        There are cores in steps of 0.25, 1 to 6.5 GiB of memory for each, and at most 10 GiB of temporary storage. Set
        it to false on another cluster.
        """,
    ).tag(config=True)

    home_gib = Integer(
        10,
        min=1,
        help="""
        GiB of a person's home, a volume that stays when the workspace stops. Homes that are there keep their size.
        """,
    ).tag(config=True)

    home_storage_class = Unicode(
        help="""
        The storage class of homes, such as `standard-rwo`. Without one the cluster's default.
        """
    ).tag(config=True)

    temporary_gib = Integer(
        2,
        min=1,
        help="""
        GiB that a workspace may write outside its home, to /tmp, which is empty at each start. One that writes more is
        stopped by the cluster.
        """,
    ).tag(config=True)

    stop_grace_s = Integer(
        30,
        min=1,
        help="""
        Seconds that a workspace gets to end in order when it is stopped: runs at work are marked interrupted, and what
        they did is brought to the service.
        """,
    ).tag(config=True)

    named_servers = Bool(
        False,
        help="""
        Whether a person may have several workspaces at once. They share one home, so the cluster has to be able to give
        one volume to several pods.
        """,
    ).tag(config=True)

    # What comes from the environment is read here and nowhere else.

    @default("platform")
    def _platform_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_PLATFORM") or "machine"

    @default("workspace_image")
    def _workspace_image_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_WORKSPACE_IMAGE", "")

    @validate("profiles")
    def _profiles_that_can_be(self, proposal: _Proposal) -> dict[str, dict[str, Any]]:
        profiles: dict[str, dict[str, Any]] = proposal["value"]
        if not profiles:
            raise TraitError("AgentHub.profiles is empty: leave it out for small, medium and large.")
        for name, profile in profiles.items():
            if not isinstance(profile, dict):
                raise TraitError(
                    f"AgentHub.profiles: {name!r} is {profile!r}, and not a dictionary with cpu and memory_gib."
                )
            if unknown := sorted(set(profile) - set(PROFILE_KEYS)):
                raise TraitError(
                    f"AgentHub.profiles: {name!r} has {unknown[0]!r}. There are: {', '.join(PROFILE_KEYS)}."
                )
            if not isinstance(profile.get("default", False), bool):
                raise TraitError(f"AgentHub.profiles: {name!r} has default {profile['default']!r}: true or false.")
            for key in ("cpu", "memory_gib"):
                if not _is_positive(profile.get(key)):
                    raise TraitError(
                        f"AgentHub.profiles: {name!r} needs {key}, a number above 0, not {profile.get(key)!r}."
                    )
            for key, least in (("cpu_limit", "cpu"), ("memory_limit_gib", "memory_gib")):
                limit = profile.get(key, profile[least])
                if not _is_positive(limit) or limit < profile[least]:
                    raise TraitError(
                        f"AgentHub.profiles: {name!r} has {key} {limit!r}, and it may not be below {least}."
                    )
        return profiles

    @property
    def on_kubernetes(self) -> bool:
        return self.platform == "kubernetes"

    def check_cluster(self, service_url: str) -> None:
        """What involves more than one choice. Raises TraitError."""
        if not self.on_kubernetes:
            return
        if not self.workspace_image:
            raise TraitError(
                "AgentHub.workspace_image is not set, nor is JUPYTERHUB_AGENTS_WORKSPACE_IMAGE: name the image of"
                " workspaces."
            )
        if not service_url:
            raise TraitError(
                "AgentHub.service_url is not set: on Kubernetes the service runs on its own. Say where it is, such as"
                " http://agents:8040."
            )
        if self.autopilot_rules:
            self._check_autopilot()

    def _check_autopilot(self) -> None:
        least, most = MEMORY_PER_CPU
        profiles: dict[str, dict[str, Any]] = self.profiles
        for name, profile in profiles.items():
            cpu, memory = float(profile["cpu"]), float(profile["memory_gib"])
            if cpu < MINIMUM_CPU or cpu % CPU_STEP:
                raise TraitError(f"AgentHub.profiles: {name!r} has {cpu} cores, and Autopilot has steps of {CPU_STEP}.")
            if not least <= memory / cpu <= most:
                raise TraitError(
                    f"AgentHub.profiles: {name!r} has {memory} GiB for {cpu} cores. Autopilot takes {least:g} to {most}"
                    f" GiB for each: {cpu * least:g} to {cpu * most:g}."
                )
        if self.temporary_gib > LARGEST_TEMPORARY_GIB:
            raise TraitError(
                f"AgentHub.temporary_gib is {self.temporary_gib}, and Autopilot gives at most {LARGEST_TEMPORARY_GIB}."
            )


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
