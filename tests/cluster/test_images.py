"""The images, as a namespace that enforces Pod Security `restricted` runs them: as nobody in particular, on a root that
cannot be written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.kubectl import Namespace, Object, Refused
from tests.cluster.objects import container, pod_spec
from tests.hub.people import eventually

PARTS = {
    "workspace": ("/home/jovyan", 1000, 100),
    "hub": ("/srv/jupyterhub", 1000, 1000),
    "service": ("/srv/agents", 1000, 100),
}
SLEEPS = ["python3", "-c", "import signal; signal.sigwait([signal.SIGTERM])"]


@pytest.fixture(scope="module")
def pods(namespace: Namespace) -> Iterator[Namespace]:
    """One pod of each image, which does nothing; its home is an empty volume."""
    made: list[Object] = []
    for part, (home, _, group) in PARTS.items():
        mounts = [{"name": "home", "mountPath": home}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - a volume
        one = container(part, part, args=SLEEPS, volumeMounts=mounts)
        spec = pod_spec(one, volumes=[{"name": name, "emptyDir": {}} for name in ("home", "tmp")])
        spec["securityContext"]["fsGroup"] = group
        made.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"image-{part}"}, "spec": spec})
    namespace.apply(*made)
    namespace.run("wait", "--for=condition=Ready", "--timeout=90s", *[f"pod/image-{part}" for part in PARTS])
    yield namespace
    namespace.run("delete", "--now", *[f"pod/image-{part}" for part in PARTS])


@pytest.mark.parametrize("part", PARTS)
def test_an_image_runs_as_nobody_in_particular_and_writes_to_its_volumes_alone(pods: Namespace, part: str) -> None:
    home, user, group = PARTS[part]
    pod = f"image-{part}"
    assert pods.inside(pod, "id", "-u").strip() == str(user)
    assert pods.inside(pod, "id", "-g").strip() == str(group)
    for place in ("/", "/etc", "/usr/local/bin", "/opt/agents", "/var/tmp", "/opt/agents/bin"):  # noqa: S108 - not ours
        code, said = pods.try_inside(pod, f"touch {place}/mine")
        assert code != 0 and "Read-only" in said, (place, said)
    for place in (home, "/tmp"):  # noqa: S108 - a volume
        assert pods.try_inside(pod, f"touch {place}/mine && rm {place}/mine") == (0, "")


@pytest.mark.parametrize("part", PARTS)
def test_nobody_becomes_root(pods: Namespace, part: str) -> None:
    status = pods.inside(f"image-{part}", "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["Seccomp"] == "2"
    code, said = pods.try_inside(f"image-{part}", "su -c id || sudo id || setpriv --reuid 0 id")
    assert code != 0 and "uid=0" not in said, said


@pytest.mark.parametrize("part", PARTS)
def test_no_credential_of_the_clusters_is_in_the_pod(pods: Namespace, part: str) -> None:
    with pytest.raises(Refused, match="No such file"):
        pods.inside(f"image-{part}", "ls", "/var/run/secrets/kubernetes.io")


def test_the_workspace_has_its_programs_and_claude_code_once(pods: Namespace) -> None:
    pod = "image-workspace"
    programs = (
        "claude --version",
        "ttyd --version",
        "tmux -V",
        "git --version",
        "rg --version",
        "jupyter lab --version",
    )
    for command in programs:
        code, said = pods.try_inside(pod, command)
        assert code == 0 and any(sign.isdigit() for sign in said), (command, said)
    _, copies = pods.try_inside(pod, "find / -xdev -type f -size +100M 2>/dev/null")
    assert copies.split() == [pods.inside(pod, "readlink", "-f", "/usr/local/bin/claude").strip()]
    code, said = pods.try_inside(
        pod, "python -W error::DeprecationWarning -c 'import numpy, pandas, matplotlib.pyplot, nbclient'"
    )
    assert code == 0, said


def test_the_terminals_program_starts_on_a_unix_socket(pods: Namespace) -> None:
    """ttyd that was linked against another libwebsockets says its version, and yet ends at the start."""
    code, said = pods.try_inside("image-workspace", "python -m jupyterhub_agents.server.ttyd find")
    assert (code, said) == (0, "/usr/local/bin/ttyd")


def test_git_works_without_all_of_perl(pods: Namespace) -> None:
    script = (
        "cd $(mktemp -d) && git init --quiet . && git config user.name a && git config user.email a@example.org"
        " && echo one > a && git add a && git commit --quiet --message one"
        " && echo two > a && (echo y | git add --patch) && git stash --quiet; git log --oneline | wc -l"
    )
    code, said = pods.try_inside("image-workspace", script)
    assert code == 0 and said.endswith("1"), said


def test_what_a_start_imports_is_compiled(pods: Namespace) -> None:
    """The root cannot be written, so that what is not would be compiled at each start."""
    imports = "import jupyterlab.labapp, jupyterhub.singleuser.app, ipykernel.kernelapp"
    _, said = pods.try_inside(
        "image-workspace", f"python -v -c '{imports}' 2>&1 | grep -c \"code object from .*[.]py'\""
    )
    assert int(said.splitlines()[0]) <= 5, said


def test_the_policys_file_is_roots(pods: Namespace) -> None:
    listing = pods.inside(
        "image-workspace", "stat", "--format=%U %a", "/etc/claude-code", "/etc/claude-code/managed-settings.json"
    )
    assert listing.split("\n")[:2] == ["root 755", "root 444"]


def test_people_install_packages_for_themselves(pods: Namespace) -> None:
    """Into their home, as the environment of the image is none of theirs."""
    code, said = pods.try_inside("image-workspace", "python -m site")
    assert code == 0
    assert "ENABLE_USER_SITE: True" in said
    assert "/home/jovyan/.local/lib/python3.13/site-packages" in said


def test_the_proxy_of_the_image_serves(namespace: Namespace) -> None:
    one = container("proxy", "proxy", env=[{"name": "CONFIGPROXY_AUTH_TOKEN", "value": "of-the-test"}])
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "image-proxy"}, "spec": pod_spec(one)})
    try:
        eventually(lambda: "Proxy API at" in logs(namespace), within=60, what="the proxy serves")
    finally:
        namespace.run("delete", "--now", "pod/image-proxy")


def logs(namespace: Namespace) -> str:
    try:
        return namespace.logs("image-proxy")
    except Refused:
        return ""
