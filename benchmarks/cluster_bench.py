"""A workspace on a cluster: from the click to ready and to an agent's first word, beside plain JupyterLab by plain
KubeSpawner; the size of its image; and many at once.

    make images && KUBECONFIG=... make bench-cluster

Plain has the same image, the same cluster, node and kind of volume, and resources of the same size; none of the
project's choices, and JupyterLab without the extension. The two take turns, each with a hub of its own that the other's
policies do not concern. What an agent's first word is beside is `claude` itself, run in the plain workspace as soon as
that is ready. The figures are medians in seconds.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.cluster import stand_in
from tests.cluster.kubectl import Namespace, own_namespace
from tests.cluster.objects import image
from tests.cluster.runs import make_agent, start
from tests.cluster.site import MODEL_KEY, MODEL_PORT, Site, image_values, running_site
from tests.hub.people import Person, eventually

ROUNDS = 9
AT_ONCE = 20
LIMIT_S = 600.0
SCRIPT = """
from jupyterhub_agents.testing.replies import say
SCRIPT = {"hello": [say("Hello from the model.")]}
"""
SMALL = {
    "small": {
        "cpu": 0.05,
        "memory_gib": 0.25,
        "cpu_limit": 2,
        "memory_limit_gib": 1.5,
    }
}
"""So that many fit on one small node, and none of them lacks anything."""

PLAIN = """
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {password!r}
c.Authenticator.allow_all = True
c.KubeSpawner.image = {image!r}
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
c.KubeSpawner.args = ['--ServerApp.jpserver_extensions={{"jupyterhub_agents": False}}']
c.KubeSpawner.default_url = "/lab"
c.KubeSpawner.cpu_guarantee, c.KubeSpawner.cpu_limit = 0.05, 2
c.KubeSpawner.mem_guarantee, c.KubeSpawner.mem_limit = "0.25G", "1.5G"
c.KubeSpawner.uid, c.KubeSpawner.fs_gid = 1000, 100
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
c.KubeSpawner.pvc_name_template = "home-{{username}}"
c.KubeSpawner.volumes = [{{"name": "home", "persistentVolumeClaim": {{"claimName": "{{pvc_name}}"}}}}]
c.KubeSpawner.volume_mounts = [{{"name": "home", "mountPath": "/home/jovyan"}}]
"""


class NoCluster(Exception):
    """There is none to measure on."""


class PlainSite(Site):
    """A hub with KubeSpawner and nothing of this project's but the image. There is no chart, and no model."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.url = ""
        self.user_password = self.admin_password = secrets.token_hex(16)
        self._people = {}

    def start(self, *_: str) -> None:
        """Make it, and wait until it is there."""
        config = PLAIN.format(password=self.user_password, image=image("workspace"))
        values: dict[str, Any] = {
            "hub": {
                "config": {}, "extraConfig": {"plain": config},
                "extraEnv": {}, "extraVolumes": [], "extraVolumeMounts": [],
            },
            "singleuser": {"image": image_values("workspace")},
        }  # fmt: skip
        self.namespace.apply(*stand_in.objects(values))
        self.namespace.wait_until_available("proxy", "hub")


def run(rounds: int = ROUNDS, at_once: int = AT_ONCE) -> dict[str, float]:
    """The figures, by stable names such as `cluster.ready.ratio_to_plain`. Raises NoCluster."""
    if not os.environ.get("KUBECONFIG"):
        raise NoCluster("KUBECONFIG names no cluster.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "script.py").write_text(SCRIPT)
        ours = stack.enter_context(_ours(folder))
        plain = stack.enter_context(_plain())
        model = f"http://model.{ours.namespace.name}:{MODEL_PORT}"
        ready: dict[str, list[float]] = {"ours": [], "plain": []}
        event: dict[str, list[float]] = {"ours": [], "plain": []}
        people = {"ours": ours.person("ada"), "plain": plain.person("ada")}
        size = 0.0
        for number in range(rounds + 1):
            for which in ("ours", "plain") if number % 2 else ("plain", "ours"):
                person = people[which]
                begin = time.monotonic()
                _click(person)
                _wait(person)
                is_ready = time.monotonic() - begin
                if which == "ours":
                    if not number:
                        make_agent(person, "greeter")
                        size = _size_of_image(ours, person)
                    _first_event(person)
                else:
                    _first_line(plain, person, model)
                if number:  # The first makes volumes, and fills the node's caches.
                    ready[which].append(is_ready)
                    event[which].append(time.monotonic() - begin)
                person.stop()
        figures = {"cluster.image_mb": size / 1e6}
        for what, taken in (("ready", ready), ("first_event", event)):
            mine, theirs = median(taken["ours"]), median(taken["plain"])
            ratio = mine / theirs
            figures |= {f"cluster.{what}.ours_s": mine, f"cluster.{what}.plain_s": theirs}
            figures |= {f"cluster.{what}.ratio_to_plain": ratio}
        return figures | _many(ours, at_once)


@contextmanager
def _ours(folder: Path) -> Iterator[Site]:
    choices = {"profiles": SMALL, "autopilot_rules": False, "spawn_timeout": LIMIT_S}
    more = {"jupyterhub": {"hub": {"config": {"AgentHub": choices}}}}
    with own_namespace() as namespace, running_site(namespace, folder / "script.py", folder, more=more) as site:
        yield site


@contextmanager
def _plain() -> Iterator[PlainSite]:
    with own_namespace(labels={}) as namespace, ExitStack() as stack:
        site = PlainSite(namespace)
        stack.callback(site.close)
        site.start()
        site.url = stack.enter_context(namespace.forwarded("service/proxy-public", 80))
        site.wait_until_answers()
        yield site


def _click(person: Person) -> None:
    answer = person.api("POST", f"users/{person.name}/server")
    assert answer.status_code in (201, 202), answer.text


def _wait(person: Person) -> None:
    eventually(person.is_ready, within=LIMIT_S, every=0.05, what=f"{person.name}'s workspace is ready")


def _first_event(person: Person) -> None:
    """Start a run, and wait for the first that Claude Code says in it."""
    run = start(person, "greeter", "hello")

    def spoke() -> bool:
        page = person.workspace.get(f"api/runs/{run}/events", params={"after": 0, "limit": 100}).json()["items"]
        return any(event["type"] == "message" for event in page)

    eventually(spoke, within=LIMIT_S, every=0.02, what="the run's first message")


def _first_line(site: Site, person: Person, model: str) -> None:
    """Run `claude` in the workspace's pod, and wait for the first line of its output."""
    settings = [f"ANTHROPIC_BASE_URL={model}", f"ANTHROPIC_API_KEY={MODEL_KEY}"]
    command = ["claude", "-p", "hello", "--output-format", "stream-json", "--verbose"]
    where = ["kubectl", "--namespace", site.namespace.name, "exec", site.pod_name(person), "--", "env", *settings]
    with subprocess.Popen([*where, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert b'"type":"system"' in line, line
        process.stdout.read()


def _size_of_image(site: Site, person: Person) -> float:
    """Bytes of all files of the image, as they lie on the node's disk."""
    _, said = site.namespace.try_inside(site.pod_name(person), "du --one-file-system --summarize --bytes / 2>/dev/null")
    return float(said.split()[0])


def _many(site: Site, count: int) -> dict[str, float]:
    """So many people start their workspaces at the same moment."""
    people = [site.person(f"p{number}") for number in range(count)]
    for person in people:
        assert person.token
    begin = time.monotonic()

    def one(person: Person) -> float:
        _click(person)
        eventually(person.is_ready, within=LIMIT_S, every=1.0, what=f"{person.name}'s workspace is ready")
        return time.monotonic() - begin

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(_caught, [one] * count, people))
    taken = [each for each in results if each is not None]
    figures = {f"cluster.{count}_at_once.errors": float(count - len(taken))}
    if taken:
        figures |= {f"cluster.{count}_at_once.median_s": median(taken), f"cluster.{count}_at_once.last_s": max(taken)}
    return figures


def _caught(one: Any, person: Person) -> float | None:
    try:
        return float(one(person))
    except AssertionError as error:
        print(error)
        return None
