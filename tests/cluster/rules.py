"""What a namespace that enforces Pod Security `restricted`, and GKE Autopilot, would not admit: their rules, over a pod
as JSON. An empty list is a pod that is admitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

Pod = Mapping[str, Any]

ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
"""Kubernetes documentation, "Pod Security Standards", Restricted."""

UNITS = {"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
GI = 2**30
MINIMUM_CPU = Decimal("0.05")
LARGEST_EPHEMERAL = 10 * GI
"""GKE documentation, "Resource requests in Autopilot", general-purpose, on clusters that allow bursting."""


def quantity(text: object) -> Decimal:
    """Of Kubernetes' resource model: `500m`, `2Gi`, 1073741824."""
    digits = str(text).rstrip("kMGiKm")
    return Decimal(digits) * UNITS[str(text)[len(digits) :]]


def containers(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    spec = pod["spec"]
    for container in [
        *spec.get("initContainers", ()),
        *spec.get("containers", ()),
        *spec.get("ephemeralContainers", ()),
    ]:
        yield container["name"], container


def against_restricted(pod: Pod) -> list[str]:
    """What Pod Security `restricted` objects to."""
    spec = pod["spec"]
    whole = spec.get("securityContext") or {}
    found = [f"spec.{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    for volume in spec.get("volumes", ()):
        if kinds := set(volume) - {"name"} - ALLOWED_VOLUMES:
            found.append(f"volume {volume['name']} is a {kinds.pop()}")
    if whole.get("sysctls"):
        found.append("sysctls are set")
    for name, container in containers(pod):
        own = container.get("securityContext") or {}
        both = {**whole, **own}
        capabilities = own.get("capabilities") or {}
        if own.get("privileged"):
            found.append(f"{name} is privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{name} allows privilege escalation")
        if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
            found.append(f"{name} has capabilities")
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            found.append(f"{name} may be root")
        if (both.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append(f"{name} has no seccomp profile")
        if own.get("procMount", "Default") != "Default":
            found.append(f"{name} has a procMount")
        found += [f"{name} has a host port" for port in container.get("ports", ()) if port.get("hostPort")]
    return found


def against_autopilot(pod: Pod) -> list[str]:
    """What GKE Autopilot refuses, or changes without a word, which is worse."""
    spec = pod["spec"]
    found = [f"spec.{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC", "nodeName") if spec.get(name)]
    found += [f"volume {volume['name']} is a hostPath" for volume in spec.get("volumes", ()) if "hostPath" in volume]
    cpu = memory = Decimal(0)
    for name, container in containers(pod):
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        if (container.get("securityContext") or {}).get("privileged"):
            found.append(f"{name} is privileged")
        for resource in ("cpu", "memory", "ephemeral-storage"):
            if resource not in requests:
                found.append(f"{name} requests no {resource}")
        cpu += quantity(requests.get("cpu", 0))
        memory += quantity(requests.get("memory", 0))
        if quantity(requests.get("ephemeral-storage", 0)) > LARGEST_EPHEMERAL:
            found.append(f"{name} requests more than 10 GiB of ephemeral storage")
        if limits.get("ephemeral-storage", 0) != requests.get("ephemeral-storage", 0):
            found.append(f"{name} has another limit than request of ephemeral storage")
    if cpu < MINIMUM_CPU:
        found.append(f"the pod requests {cpu} cores")
    if cpu and not 1 <= memory / GI / cpu <= Decimal("6.5"):
        found.append(f"the pod requests {memory / GI} GiB for {cpu} cores")
    return found
