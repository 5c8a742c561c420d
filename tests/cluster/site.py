"""A site on a cluster, of the project's own images: hub, proxy and service in pods, and a scripted model behind the
gateway. Plain objects, where a real site has the chart."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.kubectl import Namespace, Object
from tests.hub.people import Person, eventually

HUB_PORT, PROXY_PORT, API_PORT, SERVICE_PORT, MODEL_PORT = 8081, 8000, 8001, 8040, 8050
MODEL_KEY = "sk-ant-canary-of-the-cluster-41d7"

SITE = """
c.AgentHub.service_url = "http://agents:8040"
c.AgentHub.profiles = {"test": {"cpu": 0.25, "memory_gib": 1.5, "cpu_limit": 2}}
c.AgentHub.home_gib = 1
c.AgentHub.cull_timeout = 0
c.AgentHub.stop_grace_s = 30
c.AgentHub.managed_settings = {"permissions": {"deny": ["Bash(curl:*)"]}}
"""
MODEL = """
import os, signal
from jupyterhub_agents.testing import ScriptedModel
from tests_script import SCRIPT

with ScriptedModel(SCRIPT, host="0.0.0.0", port=8050, api_key=os.environ["MODEL_KEY"]):
    signal.sigwait([signal.SIGTERM])
"""


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


def deployment(name: str, spec: Object) -> Object:
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}}, "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }  # fmt: skip


def service(name: str, app: str, port: int) -> Object:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": port, "targetPort": port}]},
    }  # fmt: skip


def claim(name: str) -> Object:
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip


def files(name: str, **texts: str) -> Object:
    data = {f"{key}.py": text for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret_value(name: str, key: str) -> Object:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "site", "key": key}}}


def value(name: str, text: str) -> Object:
    return {"name": name, "value": text}


def probe(port: int, path: str) -> Object:
    return {"httpGet": {"port": port, "path": path}, "periodSeconds": 1, "failureThreshold": 60}


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


class Site:
    """A site that runs. Towards Person it stands for a RunningHub."""

    def __init__(self, namespace: Namespace, script: str) -> None:
        self.namespace = namespace
        self.url = ""
        self.user_password = secrets.token_urlsafe(12)
        self.admin_password = secrets.token_urlsafe(32)
        self._script = script
        self._people: dict[str, Person] = {}

    def objects(self) -> list[Object]:
        kept = {
            "service-token": secrets.token_hex(32), "proxy-token": secrets.token_hex(32),
            "run-key": secrets.token_hex(32), "model-key": MODEL_KEY,
            "user-password": self.user_password, "admin-password": self.admin_password,
        }  # fmt: skip
        temporary = {"name": "tmp", "emptyDir": {}}
        tmp = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - the pod's own volume
        hub = container(
            "hub", "hub",
            env=[
                value("JUPYTERHUB_AGENTS_WORKSPACE_IMAGE", image("workspace")),
                secret_value("JUPYTERHUB_AGENTS_SERVICE_TOKEN", "service-token"),
                secret_value("CONFIGPROXY_AUTH_TOKEN", "proxy-token"),
                secret_value("JUPYTERHUB_AGENTS_USER_PASSWORD", "user-password"),
                secret_value("JUPYTERHUB_AGENTS_ADMIN_PASSWORD", "admin-password"),
            ],
            readinessProbe=probe(HUB_PORT, "/hub/health"),
            volumeMounts=[
                {"name": "state", "mountPath": "/srv/jupyterhub"}, tmp,
                {"name": "site", "mountPath": "/usr/local/etc/jupyterhub/site.py", "subPath": "site.py"},
            ],
        )  # fmt: skip
        hub_spec = pod_spec(
            hub, serviceAccountName="hub", automountServiceAccountToken=True,
            volumes=[
                {"name": "state", "persistentVolumeClaim": {"claimName": "hub"}}, temporary,
                {"name": "site", "configMap": {"name": "site"}},
            ],
        )  # fmt: skip
        hub_spec["securityContext"]["fsGroup"] = 1000
        proxy = container(
            "proxy", "proxy",
            args=[
                "--ip=0.0.0.0", "--api-ip=0.0.0.0",
                "--default-target=http://hub:8081", "--error-target=http://hub:8081/hub/error",
            ],
            env=[secret_value("CONFIGPROXY_AUTH_TOKEN", "proxy-token")],
            readinessProbe=probe(PROXY_PORT, "/_chp_healthz"),
        )  # fmt: skip
        agents = container(
            "agents", "service",
            env=[
                secret_value("JUPYTERHUB_API_TOKEN", "service-token"),
                secret_value("JUPYTERHUB_AGENTS_RUN_KEY_SECRET", "run-key"),
                secret_value("ANTHROPIC_API_KEY", "model-key"),
                value("ANTHROPIC_BASE_URL", f"http://model:{MODEL_PORT}"),
                value("JUPYTERHUB_API_URL", f"http://hub:{HUB_PORT}/hub/api"),
                value("JUPYTERHUB_AGENTS_HUB_URL", f"http://proxy:{PROXY_PORT}"),
            ],
            readinessProbe=probe(SERVICE_PORT, "/services/agents/health"),
            volumeMounts=[{"name": "state", "mountPath": "/srv/agents"}, tmp],
        )  # fmt: skip
        model = container(
            "model", "workspace",
            args=["python", "/script/model.py"],
            env=[secret_value("MODEL_KEY", "model-key")],
            readinessProbe={"tcpSocket": {"port": MODEL_PORT}, "periodSeconds": 1, "failureThreshold": 60},
            volumeMounts=[{"name": "script", "mountPath": "/script"}, tmp],
        )  # fmt: skip
        state = {"name": "state", "persistentVolumeClaim": {"claimName": "agents"}}
        script = {"name": "script", "configMap": {"name": "model"}}
        return [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "site"}, "stringData": kept},
            files("site", site=SITE), files("model", model=MODEL, tests_script=self._script),
            claim("hub"), claim("agents"), *ROLE,
            deployment("model", pod_spec(model, volumes=[script, temporary])), service("model", "model", MODEL_PORT),
            deployment("proxy", pod_spec(proxy)), service("proxy", "proxy", PROXY_PORT),
            service("proxy-api", "proxy", API_PORT),
            deployment("hub", hub_spec), service("hub", "hub", HUB_PORT),
            deployment("agents", pod_spec(agents, volumes=[state, temporary])),
            service("agents", "agents", SERVICE_PORT),
        ]  # fmt: skip

    def start(self) -> None:
        said = self.namespace.apply(*self.objects())
        assert "would violate" not in said, said
        self.namespace.wait_until_available("model", "proxy", "agents", "hub")

    def wait_until_answers(self) -> None:
        def answers() -> bool:
            try:
                return httpx.get(f"{self.url}/hub/health", trust_env=False, timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        eventually(answers, within=60, what="the hub answers through its proxy")

    def person(self, name: str) -> Person:
        """`name`, signed in; the same person when asked again."""
        if name not in self._people:
            person = self._people[name] = Person(self, name)  # type: ignore[arg-type]  # it has what a Person needs
            answer = person.sign_in()
            assert answer.status_code == 200 and answer.url.path == "/hub/home", answer.text
        return self._people[name]

    def workspace_pod(self, person: Person) -> Object:
        """The pod of a person's workspace."""
        [pod] = [
            pod for pod in self.namespace.all("pods", component="singleuser-server")
            if pod["metadata"]["annotations"]["hub.jupyter.org/username"] == person.name
        ]  # fmt: skip
        return pod

    def pod_name(self, person: Person) -> str:
        return str(self.workspace_pod(person)["metadata"]["name"])

    def close(self) -> None:
        for person in self._people.values():
            person.close()


@contextmanager
def running_site(namespace: Namespace, script: Path) -> Iterator[Site]:
    """A site whose model plays the SCRIPT of a file."""
    site = Site(namespace, script.read_text())
    with ExitStack() as stack:
        stack.callback(site.close)
        site.start()
        site.url = stack.enter_context(namespace.forwarded("service/proxy", PROXY_PORT))
        site.wait_until_answers()
        yield site
