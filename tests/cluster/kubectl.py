"""The cluster that KUBECONFIG points at, by kubectl; and a namespace of the tests' own."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hub_config.ports import free_ports
from tests.hub.people import eventually

LIMIT_S = 120
ENFORCED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
    "pod-security.kubernetes.io/warn": "restricted",
}

Object = dict[str, Any]


class Refused(Exception):
    """kubectl failed; the message is what it said."""


class Namespace:
    """One namespace, and what kubectl does in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *words: str, given: str | None = None, limit_s: float = LIMIT_S) -> str:
        """What kubectl says. Raises Refused."""
        return self._run(words, given, limit_s).stdout

    def run_saying_all(self, *words: str, given: str | None = None, limit_s: float = LIMIT_S) -> str:
        """What kubectl says, the API server's warnings too. Raises Refused."""
        done = self._run(words, given, limit_s)
        return done.stdout + done.stderr

    def _run(self, words: Sequence[str], given: str | None, limit_s: float) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--namespace", self.name, *words]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode:
            raise Refused(f"kubectl {' '.join(words[:4])}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def apply(self, *objects: Object) -> str:
        """Make these, or change them to this. What kubectl says, warnings too."""
        return self.run_saying_all(
            "apply", "--filename=-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def get(self, kind: str, name: str) -> Object:
        return dict(json.loads(self.run("get", kind, name, "--output=json")))

    def all(self, kind: str, **labels: str) -> list[Object]:
        selector = ",".join(f"{key.replace('__', '/')}={value}" for key, value in labels.items())
        return list(json.loads(self.run("get", kind, f"--selector={selector}", "--output=json"))["items"])

    def inside(self, pod: str, *command: str, container: str | None = None) -> str:
        """What a command says that is run in a pod. Raises Refused."""
        where = [f"--container={container}"] if container else []
        return self.run("exec", pod, *where, "--", *command)

    def try_inside(self, pod: str, script: str) -> tuple[int, str]:
        """The exit code of a shell script in a pod, and all it said."""
        text = self.inside(pod, "sh", "-c", f"({script}) 2>&1; code=$?; echo; echo ended with $code")
        said, _, code = text.strip().rpartition("ended with ")
        return int(code), said.strip()

    def logs(self, pod: str) -> str:
        return self.run("logs", pod, "--tail=-1")

    @contextmanager
    def watched(self, pod: str) -> Iterator[Callable[[], str]]:
        """Tells all that the pod's containers were since then. A look at the pod may come when it is gone already."""
        what = "--output=jsonpath={.status.containerStatuses}{'\\n'}"
        command = ["kubectl", "--namespace", self.name, "get", "pod", pod, "--watch", what]
        with tempfile.NamedTemporaryFile() as said, subprocess.Popen(command, stdout=said) as process:

            def tell() -> str:
                return Path(said.name).read_text()

            try:
                eventually(tell, within=LIMIT_S, what=f"what {pod} is")
                yield tell
            finally:
                process.terminate()

    def wait_until_available(self, *deployments: str, limit_s: float = LIMIT_S) -> None:
        """Wait until all pods of these deployments are ready. Fails with what they say when they are not."""
        for name in deployments:
            try:
                self.run("rollout", "status", f"deployment/{name}", f"--timeout={limit_s:.0f}s", limit_s=limit_s + 30)
            except Refused as error:
                raise AssertionError(f"{error}\n{self.what_is_wrong()}") from error

    def what_is_wrong(self) -> str:
        """The namespace's events and the ends of its logs, for a person who reads that a test failed."""
        parts = [
            self.run("get", "pods", "--output=wide"),
            self.run("get", "events", "--sort-by=.lastTimestamp")[-4000:],
        ]
        for pod in self.run("get", "pods", "--output=name").split():
            try:
                parts.append(f"--- {pod}\n{self.run('logs', pod, '--tail=30')}")
            except Refused as error:
                parts.append(f"--- {pod}: {error}")
        return "\n".join(parts)

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """An address on this machine that leads to a port of a service or pod, until the end: kubectl ends when a
        connection is reset in the pod (kubernetes/kubernetes#111825), and is then started again."""
        (local,) = free_ports(1)
        command = ["kubectl", "--namespace", self.name, "port-forward", target, f"{local}:{port}"]
        enough = threading.Event()

        def keep() -> None:
            while not enough.is_set():
                # It says a line about each connection.
                with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                    while process.poll() is None and not enough.wait(0.1):
                        pass
                    process.terminate()
                enough.wait(0.5)

        def answers() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", local), 5):
                return True
            return False

        keeper = threading.Thread(target=keep, name=f"port-forward {target}")
        keeper.start()
        try:
            eventually(answers, within=LIMIT_S, what=f"kubectl port-forward {target}")
            yield f"http://127.0.0.1:{local}"
        finally:
            enough.set()
            keeper.join()


@contextmanager
def own_namespace(labels: Mapping[str, str] = ENFORCED) -> Iterator[Namespace]:
    """A new namespace that enforces Pod Security `restricted`; removed at the end, with all that is in it."""
    namespace = Namespace(f"agents-test-{secrets.token_hex(4)}")
    cluster = Namespace("default")
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name, "labels": dict(labels)}}
    )
    eventually(
        lambda: "default" in cluster.run("get", "serviceaccounts", f"--namespace={namespace.name}", "--output=name"),
        within=30, what="the namespace has its service account",
    )  # fmt: skip
    try:
        yield namespace
    finally:
        cluster.run("delete", "namespace", namespace.name, "--wait=true", "--timeout=240s", limit_s=270)


def names(objects: Sequence[Object]) -> list[str]:
    return [str(each["metadata"]["name"]) for each in objects]
