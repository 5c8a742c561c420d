"""What a person can do from inside a workspace, and what they cannot, tried there, in a notebook of it.

Every address is one of the cluster's own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.kubectl import Namespace, Object
from tests.cluster.objects import container, pod_spec
from tests.cluster.reach import Address, address_of, control_plane, in_pod, names_server, reached
from tests.cluster.runs import end_of, make_agent, start
from tests.cluster.site import KEY_SECRET, MODEL_KEY, MODEL_PORT, Site
from tests.hub.kernel import Kernel
from tests.hub.people import Person

WORKSPACE_PORT, HUB_PORT, PROXY_PORT, PROXY_API_PORT, SERVICE_PORT = 8888, 8081, 8000, 8001, 8040
STRANGERS_PORT = 8080
METADATA = ("169.254.169.254", 80)
"""Of a cloud's metadata server, which gives away the node's identity. The tests' cluster has a stand-in."""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def ada(site: Site) -> Iterator[Person]:
    """Whose workspace the others are after."""
    person = site.person("ada").spawn()
    make_agent(person, "greeter")
    yield person
    person.stop()


@pytest.fixture(scope="module")
def bob(site: Site) -> Iterator[Person]:
    person = site.person("bob").spawn()
    yield person
    person.stop()


@pytest.fixture(scope="module")
def inside(bob: Person) -> Iterator[Run]:
    """Runs a program in Python in a notebook of bob's."""
    with Kernel(bob) as kernel:
        yield kernel.execute


@pytest.fixture(scope="module")
def stranger(site: Site) -> Iterator[Object]:
    """A pod of the same namespace that no policy selects, with a web server."""
    one = container("stranger", "workspace", args=["python3", "-m", "http.server", str(STRANGERS_PORT)])
    one["workingDir"] = "/tmp"  # noqa: S108 - of a pod that has nothing else
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": pod_spec(one)}
    site.namespace.apply(pod)
    site.namespace.run("wait", "--for=condition=Ready", "--timeout=60s", "pod/stranger")
    yield site.namespace.get("pod", "stranger")
    site.namespace.run("delete", "--now", "pod/stranger")


@pytest.fixture(scope="module")
def addresses(site: Site, ada: Person, stranger: Object) -> dict[str, Address]:
    """All that there is to reach."""
    component = "app.kubernetes.io/component"
    [hub] = site.namespace.all("pods", **{component: "hub"})
    [proxy] = site.namespace.all("pods", **{component: "proxy"})
    [service] = site.namespace.all("pods", **{component: "agents"})
    [model] = site.namespace.all("pods", app="model")
    return {
        "another workspace": address_of(site.workspace_pod(ada), WORKSPACE_PORT),
        "the hub": address_of(hub, HUB_PORT),
        "the proxy": address_of(proxy, PROXY_PORT),
        "the proxy's API": address_of(proxy, PROXY_API_PORT),
        "the service": address_of(service, SERVICE_PORT),
        "the model": address_of(model, MODEL_PORT),
        "a pod beside": address_of(stranger, STRANGERS_PORT),
        "names": names_server(53),
        "the names' metrics": names_server(9153),
        "the metadata server": METADATA,
        **control_plane(),
    }


def control(addresses: dict[str, Address]) -> set[str]:
    return {name for name in addresses if name.startswith(("API server", "kubelet"))}


def test_a_workspace_reaches_what_it_needs_and_nothing_else(addresses: dict[str, Address], inside: Run) -> None:
    assert len(control(addresses)) >= 3
    assert reached(inside, addresses) == {"the hub", "the proxy", "the service", "names"}
    # By their names too, which says that names are told.
    program = "import socket\nfor name in {!r}: socket.create_connection(name, timeout=10).close()\nprint('all')"
    named = [("hub", HUB_PORT), ("proxy-public", 80), ("agents", SERVICE_PORT)]
    assert inside(program.format(named)).strip() == "all"


def test_a_pod_that_no_policy_holds_reaches_what_lets_everybody_in(
    site: Site, addresses: dict[str, Address], stranger: Object
) -> None:
    """So that the test before says something: these addresses answer. The rest has policies of its own."""
    open_to_all = {"the proxy", "the model", "a pod beside", "names", "the names' metrics", "the metadata server"}
    ours = {"another workspace", "the hub", "the service", "the proxy's API"}
    found = reached(in_pod(site.namespace, "stranger"), addresses)
    assert found >= open_to_all | control(addresses)
    assert not found & ours


def test_the_service_reaches_what_it_needs_and_nothing_else(site: Site, addresses: dict[str, Address]) -> None:
    [service] = site.namespace.all("pods", **{"app.kubernetes.io/component": "agents"})
    found = reached(in_pod(site.namespace, service["metadata"]["name"]), addresses)
    # Itself, which no policy is asked about; and the model, which the site allows.
    assert found == {"the hub", "the proxy", "the service", "the model", "names"}


def test_the_hub_reaches_workspaces_the_service_and_the_proxys_api(site: Site, addresses: dict[str, Address]) -> None:
    [hub] = site.namespace.all("pods", **{"app.kubernetes.io/component": "hub"})
    found = reached(in_pod(site.namespace, hub["metadata"]["name"]), addresses)
    assert found >= {"another workspace", "the service", "the proxy's API", "names"}


ASK = """
import os, urllib.error, urllib.request

def ask(url, token=os.environ["JUPYTERHUB_API_TOKEN"]):
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code

print({name: ask(url) for name, url in URLS.items()})
"""


def test_a_workspaces_own_token_opens_nothing_of_another_person_or_the_hub(inside: Run, ada: Person) -> None:
    hub, proxy, service = "http://hub:8081/hub", "http://proxy-public", "http://agents:8040/services/agents"
    urls = {
        "oneself": f"{hub}/api/user",
        "one's own in the store": f"{service}/store/bob/runs",
        "everybody": f"{hub}/api/users",
        "another person": f"{hub}/api/users/ada",
        "the hub's metrics": f"{hub}/metrics",
        "the hub's proxy": f"{hub}/api/proxy",
        "another's agents": f"{proxy}/user/ada/api/agents",
        "another's files": f"{proxy}/user/ada/api/contents",
        "another's by the front door": f"{proxy}/services/agents/workspace/ada/api/agents",
        "another's in the store": f"{service}/store/ada/agents",
        "the service's metrics": f"{service}/metrics",
    }
    answers: dict[str, int] = eval(inside(f"URLS = {urls!r}\n{ASK}"))  # noqa: S307 - what the program above prints
    assert {name for name, status in answers.items() if status == 200} == {"oneself", "one's own in the store"}
    assert set(answers.values()) <= {200, 403, 404}, answers


def secrets_of(namespace: Namespace) -> dict[str, str]:
    """All that only the hub and the service know."""
    found = {}
    for secret in ("agents", "hub", KEY_SECRET):
        for key, value in namespace.get("secret", secret)["data"].items():
            found[f"{secret}/{key}"] = base64.b64decode(value).decode()
    return {name: value for name, value in found.items() if value}


SEARCH = """
import base64, json, os, pathlib

# Taken apart, so that what the notebook keeps of this program is not what it searches for.
WANTED = {name: base64.b64decode(value) for name, value in json.loads(WORDS).items()}

def texts():
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            yield process / name
    # All that is no part of the image: volumes and what the node mounts.
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if place != "/" and not place.startswith(("/proc", "/sys", "/dev")):
            yield pathlib.Path(place)
            yield from pathlib.Path(place).rglob("*")
    for place in ("/etc", "/run", "/var", "/srv", "/opt/agents/etc", "/dev/shm"):
        yield from pathlib.Path(place).rglob("*")

found, looked = {}, 0
for path in texts():
    try:
        if not path.is_file() or path.stat().st_size > 50_000_000:
            continue
        content = path.read_bytes()
    except OSError:
        continue
    looked += 1
    for name, value in WANTED.items():
        if value in content:
            found.setdefault(name, []).append(str(path))
print(json.dumps([found, looked]))
"""


def search(inside: Run, wanted: dict[str, str]) -> tuple[dict[str, list[str]], int]:
    """Where these words are, in all processes and all files that a notebook can read; and in how many it looked."""
    words = json.dumps({name: base64.b64encode(value.encode()).decode() for name, value in wanted.items()})
    said = inside(f"WORDS = {words!r}\n{SEARCH}", within=90)
    found, looked = json.loads(said)
    return found, looked


def test_no_secret_of_the_organisation_is_anywhere_in_a_workspace(site: Site, inside: Run, bob: Person) -> None:
    run_to_its_end(bob)
    wanted = secrets_of(site.namespace)
    assert wanted[f"{KEY_SECRET}/api-key"] == MODEL_KEY and len(wanted) >= 6
    # What is there is found: bob's own token in the environment, and a file of his own.
    own = {"own token": inside("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip(), "own note": "of bob's"}
    inside("import pathlib; pathlib.Path.home().joinpath('note.txt').write_text('a note of bob\\'s')")
    found, looked = search(inside, own)
    assert set(found) == set(own) and looked > 200, (found, looked)
    found, _ = search(inside, wanted)
    assert found == {}


def run_to_its_end(person: Person) -> None:
    """So that all that runs leave is there."""
    make_agent(person, "greeter")
    run = start(person, "greeter", "hello")
    assert end_of(person, run) == "succeeded"


ROOT = """
import ctypes, json, os, subprocess, pathlib

def outcome(attempt):
    try:
        return str(attempt())
    except OSError as error:
        return type(error).__name__

def call(*command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    return f"{done.returncode} {done.stdout}{done.stderr}"

def mount():
    if ctypes.CDLL(None, use_errno=True).mount(b"none", b"/tmp", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
    return "done"

listed = subprocess.run("find / -xdev -perm -4000 -type f 2>/dev/null", shell=True, capture_output=True, text=True)
tries = {
    "setuid": lambda: os.setuid(0),
    "setgid": lambda: os.setgid(0),
    "chown": lambda: (pathlib.Path("/tmp/mine").touch(), os.chown("/tmp/mine", 0, 0)),
    "mknod": lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0)),
    "mount": mount,
    "user namespace": lambda: os.unshare(os.CLONE_NEWUSER),
    "mount namespace": lambda: os.unshare(os.CLONE_NEWNS),
    "chroot": lambda: os.chroot("/tmp"),
    "host name": lambda: pathlib.Path("/proc/sys/kernel/hostname").write_text("mine"),
    "init's memory": lambda: open("/proc/1/mem", "rb").read(1) and os.open("/dev/mem", os.O_RDONLY),
    "sudo": lambda: call("sudo", "--non-interactive", "id"),
}
commands = {
    "su": ("su", "-c", "id"),
    "mount": ("mount", "-t", "tmpfs", "none", "/mnt"),
    "umount": ("umount", "/tmp"),
    "newgrp": ("newgrp", "root"),
    "chsh": ("chsh", "-s", "/bin/sh", "root"),
    "passwd": ("passwd", "--delete", "root"),
}
print(json.dumps({
    "status": pathlib.Path("/proc/self/status").read_text(),
    "setuid programs": listed.stdout.split(),
    "tries": {name: outcome(attempt) for name, attempt in tries.items()},
    "commands": {name: call(*command) for name, command in commands.items()},
    "user": [os.getuid(), os.geteuid(), os.getgid()],
}))
"""


def test_nobody_in_a_workspace_is_root_or_becomes_root(inside: Run) -> None:
    said: dict[str, Any] = json.loads(inside(ROOT))
    status = dict(line.split(":\t", 1) for line in said["status"].splitlines() if ":\t" in line)
    assert said["user"] == [1000, 1000, 100]
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert "0" not in status["Groups"].split()
    assert {"sudo": "FileNotFoundError"}.items() <= said["tries"].items()
    del said["tries"]["sudo"]
    assert set(said["tries"].values()) <= {"PermissionError", "OSError", "FileNotFoundError"}, said["tries"]
    # Debian's programs that would make one root are there, and do not.
    assert "/usr/bin/su" in said["setuid programs"]
    assert all(not each.startswith("0 ") and "uid=0" not in each for each in said["commands"].values()), said


WRITE = """
import json, os, pathlib

kept, written = [], []
for place, folders, files in os.walk("/"):
    if place.startswith(("/proc", "/sys")):
        folders.clear()
        continue
    if any(place == each or place.startswith(each + "/") for each in kept):
        continue
    try:
        path = pathlib.Path(place, "made-by-a-test")
        path.write_text("x")
        path.unlink()
        kept.append(place)
        continue
    except OSError:
        pass
    for name in files:
        try:
            os.close(os.open(os.path.join(place, name), os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY))
            written.append(os.path.join(place, name))
        except OSError:
            pass
system = []
for place, _, files in os.walk("/proc/sys"):
    for name in files:
        try:
            os.close(os.open(os.path.join(place, name), os.O_WRONLY))
            system.append(os.path.join(place, name))
        except OSError:
            pass
print(json.dumps({"folders": kept, "files": written, "settings": system}))
"""


def test_a_workspace_writes_to_its_home_and_temporary_places_alone(inside: Run) -> None:
    said = json.loads(inside(WRITE, within=90))
    # Shared memory, which every container is given, counts as the pod's memory.
    assert set(said["folders"]) == {"/home/jovyan", "/tmp", "/dev/shm"}  # noqa: S108 - named, not used
    devices = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "termination-log"}
    assert {file for file in said["files"] if not file.startswith("/dev/pts/")} <= {f"/dev/{name}" for name in devices}
    assert said["settings"] == []
