"""Kubernetes objects of the project's own images, as JSON, as a namespace that enforces `restricted` admits them."""

from __future__ import annotations

import os
from typing import Any

Object = dict[str, Any]


def image(part: str) -> str:
    """The project's own images, as `make images` names them."""
    return f"{os.environ.get('IMAGES', 'jupyterhub-agents')}/{part}:{os.environ.get('TAG', '1')}"


def container(name: str, part: str, **more: Any) -> Object:
    """A container that `restricted` admits and that cannot write to its root."""
    return {
        "name": name,
        "image": image(part),
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        **more,
    }  # fmt: skip


def pod_spec(one: Object, **more: Any) -> Object:
    return {
        "securityContext": {"runAsNonRoot": True, "fsGroup": 100, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 15,
        "containers": [one],
        **more,
    }


def deployment(name: str, spec: Object, **labels: str) -> Object:
    own = {"app": name}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels or own}, "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": labels or own}, "spec": spec},
        },
    }  # fmt: skip


def service(name: str, port: int, target: int | None = None, **labels: str) -> Object:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": labels or {"app": name}, "ports": [{"port": port, "targetPort": target or port}]},
    }  # fmt: skip


def claim(name: str) -> Object:
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip


def probe(port: int, path: str) -> Object:
    return {"httpGet": {"port": port, "path": path}, "periodSeconds": 1, "failureThreshold": 60}
