"""Hub and proxy as plain objects, where there is no copy of the official chart: with its names, its labels and the
policies by which it lets others in, and told what this project's values tell them."""

from __future__ import annotations

import json
import secrets
from typing import Any

from tests.chart.helm import RELEASE
from tests.cluster.objects import Object, claim, container, deployment, pod_spec, probe, service

HUB_PORT, PROXY_PORT, API_PORT = 8081, 8000, 8001
ACCESS = "hub.jupyter.org/network-access"

CONFIG = """
import json

c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "/srv/jupyterhub/cookie_secret"
c.JupyterHub.services, c.JupyterHub.load_roles = [], []
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
c.KubeSpawner.environment = {}
for section, choices in json.loads(SETTINGS).items():
    c[section].update(choices)
"""
"""What the official chart tells the hub. SETTINGS, and what comes after, are this project's."""

ROLE = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hub"}},
    {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "hub"},
        "rules": [
            {
                "apiGroups": [""], "resources": ["pods", "persistentvolumeclaims"],
                "verbs": ["get", "watch", "list", "create", "delete"],
            },
            {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "watch", "list"]},
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "hub"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub"},
        "subjects": [{"kind": "ServiceAccount", "name": "hub"}],
    },
]  # fmt: skip


COMMON = {
    "app": "jupyterhub", "release": RELEASE,
    "app.kubernetes.io/name": "jupyterhub", "app.kubernetes.io/instance": RELEASE,
}  # fmt: skip


def labels(component: str, *access: str) -> dict[str, str]:
    own = {"component": component, "app.kubernetes.io/component": component}
    return COMMON | own | {f"{ACCESS}-{name}": "true" for name in access}


def let_in(component: str, *rules: tuple[int, str | None]) -> Object:
    """A policy that lets the pods that have the label network-access-NAME in to a port; None is everybody."""
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": component},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": component}}, "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"port": port}]}
                | ({"from": [{"podSelector": {"matchLabels": {f"{ACCESS}-{name}": "true"}}}]} if name else {})
                for port, name in rules
            ],
        },
    }  # fmt: skip


def hub_config(values: dict[str, Any]) -> str:
    """jupyterhub_config.py, of the values under `jupyterhub`."""
    spawner = {
        "image": "{name}:{tag}".format(**values["singleuser"]["image"]),
        "common_labels": COMMON,
        "extra_labels": {f"{ACCESS}-hub": "true"},
    }
    settings = json.dumps({"KubeSpawner": spawner, **values["hub"]["config"]})
    parts = [f"SETTINGS = {settings!r}", CONFIG, *(text for _, text in sorted(values["hub"]["extraConfig"].items()))]
    return "\n".join(parts)


def objects(values: dict[str, Any]) -> list[Object]:
    """All that the official chart would make of the values under `jupyterhub`, as far as the tests need it."""
    token = {"name": "CONFIGPROXY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "proxy-token"}}}
    given = [{"name": name, **source} for name, source in values["hub"]["extraEnv"].items()]
    hub = container(
        "hub", "hub", env=[token, *given], readinessProbe=probe(HUB_PORT, "/hub/health"),
        volumeMounts=[
            {"name": "state", "mountPath": "/srv/jupyterhub"}, *values["hub"]["extraVolumeMounts"],
            {
                "name": "config", "mountPath": "/usr/local/etc/jupyterhub/jupyterhub_config.py",
                "subPath": "jupyterhub_config.py",
            },
        ],
    )  # fmt: skip
    hub_spec = pod_spec(
        hub, serviceAccountName="hub", automountServiceAccountToken=True,
        volumes=[
            {"name": "state", "persistentVolumeClaim": {"claimName": "hub"}}, *values["hub"]["extraVolumes"],
            {"name": "config", "configMap": {"name": "hub"}},
        ],
    )  # fmt: skip
    hub_spec["securityContext"]["fsGroup"] = 1000
    proxy = container(
        "proxy", "proxy",
        args=[
            "--ip=0.0.0.0", "--api-ip=0.0.0.0",
            "--default-target=http://hub:8081", "--error-target=http://hub:8081/hub/error",
        ],
        env=[token], readinessProbe=probe(PROXY_PORT, "/_chp_healthz"),
    )  # fmt: skip
    config = {"jupyterhub_config.py": hub_config(values)}
    of_hub = labels("hub", "proxy-api", "proxy-http", "singleuser")
    of_proxy = labels("proxy", "hub", "singleuser")
    kept = {"proxy-token": secrets.token_hex(32)}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "stringData": kept},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hub"}, "data": config},
        claim("hub"), *ROLE,
        let_in("hub", (HUB_PORT, "hub")),
        let_in("proxy", (PROXY_PORT, None), (API_PORT, "proxy-api")),
        deployment("proxy", pod_spec(proxy), **of_proxy),
        service("proxy-public", 80, PROXY_PORT, **labels("proxy")), service("proxy-api", API_PORT, **labels("proxy")),
        deployment("hub", hub_spec, **of_hub), service("hub", HUB_PORT, **labels("hub")),
    ]  # fmt: skip
