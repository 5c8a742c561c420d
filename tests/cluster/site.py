"""A site on a cluster, installed by helm from the project's chart with the project's own images, and a scripted model
behind the gateway. The official chart is there where JUPYTERHUB_CHART names a copy; else plain objects stand in for
it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.chart.helm import CHART, RELEASE, VALUES, helm, merged, official_chart, with_dependency
from tests.cluster import stand_in
from tests.cluster.kubectl import Namespace, Object
from tests.cluster.objects import container, deployment, image, pod_spec, service
from tests.hub.people import Person, eventually

MODEL_PORT = 8050
MODEL_KEY = "sk-ant-canary-of-the-cluster-41d7"
DENIED = "Bash(curl:*)"
KEY_SECRET = "agents-api-key"

MODEL = """
import os, signal
from jupyterhub_agents.testing import ScriptedModel
from tests_script import SCRIPT

with ScriptedModel(SCRIPT, host="0.0.0.0", port=8050, api_key=os.environ["MODEL_KEY"]):
    signal.sigwait([signal.SIGTERM])
"""


def image_values(part: str) -> dict[str, str]:
    name, _, tag = image(part).rpartition(":")
    return {"name": name, "tag": tag}


def site_values() -> dict[str, Any]:
    """What the tests' site sets besides helm-values/local.yaml."""
    model = {"podSelector": {"matchLabels": {"app": "model"}}}
    return {
        "service": {"image": image_values("service"), "stopSeconds": 5},
        "model": {"existingSecret": KEY_SECRET, "baseUrl": f"http://model:{MODEL_PORT}"},
        "networkPolicy": {"service": {"extraEgress": [{"to": [model], "ports": [{"port": MODEL_PORT}]}]}},
        "jupyterhub": {
            "hub": {
                "image": image_values("hub"),
                "config": {
                    "AgentHub": {
                        "cull_timeout": 0,
                        "stop_grace_s": 30,
                        "temporary_gib": 1,
                        "managed_settings": {"permissions": {"deny": [DENIED]}},
                    }
                },
            },
            "proxy": {"chp": {"image": image_values("proxy")}},
            "singleuser": {"image": image_values("workspace")},
        },
    }


class Site:
    """A site that runs. Towards Person it stands for a RunningHub."""

    def __init__(self, namespace: Namespace, script: str, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        self.namespace = namespace
        self.url = ""
        self.user_password = ""
        self.admin_password = ""
        self._script = script
        self._chart = with_dependency(folder, official_chart(), os.environ.get("JUPYTERHUB_CHART_SCHEMA", ""))
        self._values = [VALUES / "local.yaml", folder / "site.yaml", folder / "more.yaml"]
        self._values[1].write_text(yaml.safe_dump(site_values()))
        self._values[2].write_text(yaml.safe_dump(dict(more or {})))
        self._people: dict[str, Person] = {}

    def model(self) -> list[Object]:
        """The scripted model, and the secret with its key as a site makes it."""
        key = {"name": "MODEL_KEY", "valueFrom": {"secretKeyRef": {"name": KEY_SECRET, "key": "api-key"}}}
        one = container(
            "model", "workspace",
            args=["python", "/script/model.py"],
            env=[key],
            readinessProbe={"tcpSocket": {"port": MODEL_PORT}, "periodSeconds": 1, "failureThreshold": 60},
            volumeMounts=[{"name": "script", "mountPath": "/script"}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume
        )  # fmt: skip
        volumes = [{"name": "script", "configMap": {"name": "model"}}, {"name": "tmp", "emptyDir": {}}]
        texts = {"model.py": MODEL, "tests_script.py": self._script}
        return [
            {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEY_SECRET},
                "stringData": {"api-key": MODEL_KEY},
            },
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model"}, "data": texts},
            deployment("model", pod_spec(one, volumes=volumes)), service("model", MODEL_PORT),
        ]  # fmt: skip

    def install(self, *words: str) -> str:
        """Install the chart, or upgrade to other values, by helm. What it says."""
        files = [f"--values={file}" for file in self._values]
        where = ["--namespace", self.namespace.name]
        return helm("upgrade", "--install", RELEASE, str(self._chart), *where, *files, *words, limit_s=180)

    def start(self, *words: str) -> None:
        """Install all of it, with `words` for helm, and wait until it is there."""
        said = self.namespace.apply(*self.model())
        self.install(*words)
        if not official_chart():
            said += self.namespace.apply(*stand_in.objects(merged(CHART / "values.yaml", *self._values)["jupyterhub"]))
        assert "would violate" not in said, said
        self.namespace.wait_until_available("model", "proxy", "agents", "hub")
        kept = self.namespace.get("secret", "agents")["data"]
        self.user_password = base64.b64decode(kept["user-password"]).decode()
        self.admin_password = base64.b64decode(kept["admin-password"]).decode()

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
def running_site(
    namespace: Namespace, script: Path, folder: Path, *words: str, more: Mapping[str, Any] | None = None
) -> Iterator[Site]:
    """A site whose model plays the SCRIPT of a file. `folder` is for what helm reads, `words` are helm's, `more` are
    values besides the tests' own."""
    site = Site(namespace, script.read_text(), folder, more)
    with ExitStack() as stack:
        stack.callback(site.close)
        site.start(*words)
        site.url = stack.enter_context(namespace.forwarded("service/proxy-public", 80))
        site.wait_until_answers()
        yield site
