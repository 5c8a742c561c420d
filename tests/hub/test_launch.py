"""Starting and stopping as a person does: what it says, what it keeps, and that nothing is left."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.files import contents_below
from tests.hub.kernel import Kernel
from tests.hub.people import Person, RunningHub, eventually, launch, running_hub

USER_PASSWORD = "correct horse"
ADMIN_PASSWORD = "battery staple battery staple battery"

DAEMON = """
import subprocess
command = "setsid sleep 600 > /dev/null 2>&1 & echo $!"
print(subprocess.run(["sh", "-c", command], capture_output=True, text=True).stdout)
"""
"""Prints the process id of a program that has nothing to do with its kernel any more."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def refusal(hub: RunningHub) -> str:
    """The one line that is all that a start says which cannot work."""
    assert hub.launcher.wait(timeout=60) == 1, hub.said
    (line,) = hub.said.splitlines()
    assert line.startswith("jupyterhub-agents: ")
    return line


def busy_workspace(person: Person) -> list[psutil.Process]:
    """A workspace with a kernel, a terminal and a daemon. Returns all processes of the hub."""
    person.spawn()
    assert person.workspace.post("api/terminals", json={}).status_code == 200
    with Kernel(person) as kernel:
        daemon = psutil.Process(int(kernel.execute(DAEMON)))
    processes = person.hub.processes()
    assert daemon in processes
    assert len(processes) >= 9  # launcher, hub, proxy, culler, demo model, service, workspace, kernel, shell, daemon
    return processes


def all_ended(processes: list[psutil.Process]) -> bool:
    return all(has_ended(process) for process in processes)


def has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def stops_without_a_trace(hub: RunningHub, processes: list[psutil.Process], sign: signal.Signals) -> None:
    port = hub.port
    assert hub.stop(sign) == 0
    assert all_ended(processes)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
    assert hub.said.endswith("Stopped.\n")
    assert not (hub.state / "running.json").exists()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_stopping_leaves_no_process_and_no_port_behind(state: Path, sign: signal.Signals) -> None:
    with running_hub(state) as hub:
        stops_without_a_trace(hub, busy_workspace(hub.person("ada")), sign)


def test_a_killed_hub_takes_everything_along_and_says_so(state: Path) -> None:
    with running_hub(state) as hub:
        processes = busy_workspace(hub.person("ada"))
        hub.process("jupyterhub").kill()
        assert hub.launcher.wait(timeout=60) == 1
        assert all_ended(processes)
        assert "the hub ended by itself (signal SIGKILL)" in hub.said


def test_when_the_launcher_is_killed_the_hub_stops_by_itself(state: Path) -> None:
    hub = launch(state).wait_until_ready()
    processes = hub.processes()
    hub.launcher.kill()
    hub.stop()
    eventually(lambda: all_ended(processes), within=60, what="the hub has stopped after its launcher")


def test_ctrl_c_leaves_nothing_behind_a_second_start_finds_all_again_and_one_after_a_crash_too(state: Path) -> None:
    """One state folder, through three hubs."""
    with running_hub(state) as hub:
        ada = hub.person("ada")
        processes = busy_workspace(ada)
        ada.workspace.put("api/contents/kept.txt", json={"type": "file", "format": "text", "content": "kept"})
        token, passwords = ada.token, (hub.user_password, hub.admin_password)
        stops_without_a_trace(hub, processes, signal.SIGINT)

    with running_hub(state) as hub:
        assert (hub.user_password, hub.admin_password) == passwords
        with Person(hub, "ada") as ada:
            headers = {"Authorization": f"token {token}"}
            assert ada.browser.get("/hub/api/user", headers=headers).json()["name"] == "ada"
        ada = hub.person("ada")
        processes = busy_workspace(ada)
        assert ada.workspace.get("api/contents/kept.txt").json()["content"] == "kept"
        # A crash of everything.
        hub.launcher.send_signal(signal.SIGSTOP)  # so that it cannot clear up in between
        hub.process("jupyterhub").kill()
        hub.launcher.kill()
        hub.stop()

    with running_hub(state) as hub:
        eventually(lambda: all_ended(processes), within=10, what="what the crash left is gone")
        assert hub.person("ada").spawn().workspace.get("api/contents/").status_code == 200


def test_only_the_owner_can_read_the_state_folder(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    homes = hub.state / "homes"
    looked_at = 0
    for place, folders, files in os.walk(hub.state):
        for path in [Path(place), *(Path(place, name) for name in files)]:
            looked_at += 1
            with suppress(FileNotFoundError):  # a journal of a database may be there for a moment only
                mode = path.stat().st_mode
                assert mode & 0o777 == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"
        if Path(place).parent == homes:
            folders.clear()  # what is in a home is its person's own affair
    assert looked_at > 10


def test_it_says_where_to_sign_in_as_whom_and_that_the_model_is_a_demo(hub: RunningHub) -> None:
    for words in (hub.url, hub.user_password, hub.admin_password, str(hub.state), "Ctrl-C", "not an AI"):
        assert words in hub.said
    running = json.loads((hub.state / "running.json").read_text())
    assert running == {"pid": hub.launcher.pid, "url": f"{hub.url}/"}


def test_no_secret_is_on_a_command_line_or_in_the_log(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    key = hub.process("jupyterhub_agents.testing.demo_model").environ()["JUPYTERHUB_AGENTS_DEMO_KEY"]
    secrets = [hub.user_password, hub.admin_password, key, ada.token]
    said = [*hub.commands(), (hub.state / "hub.log").read_text()]
    assert not [secret for secret in secrets for text in said if secret in text]


def test_a_port_in_use_is_one_line_that_names_another(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refusal(launch(state, port=port))
    assert f"port {port} is in use" in line
    assert f"PORT={port + 1}" in line or "PORT=8000" in line


def test_a_folder_that_a_hub_holds_is_one_line_that_says_where_that_runs(hub: RunningHub) -> None:
    second = launch(hub.state)
    assert f"at {hub.url}/ (process {hub.launcher.pid})" in refusal(second)
    assert hub.person("ada").browser.get("/hub/home").status_code == 200


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"JUPYTERHUB_AGENTS_USER_PASSWORD": "secret7"}, "USER_PASSWORD (AgentHub.user_password) has 7 characters"),
        ({"JUPYTERHUB_AGENTS_ADMIN_PASSWORD": "secret7"}, "needs at least 32"),
        ({"JUPYTERHUB_AGENTS_USER_PASSWORD": "secret7-ü"}, "printable ASCII"),
        (
            {"JUPYTERHUB_AGENTS_USER_PASSWORD": "secret7" * 5, "JUPYTERHUB_AGENTS_ADMIN_PASSWORD": "secret7" * 5},
            "give them different ones",
        ),
    ],
)
def test_a_password_that_cannot_work_is_one_line_without_it(
    state: Path, environment: dict[str, str], words: str
) -> None:
    line = refusal(launch(state, environment=environment))
    assert words in line
    assert "secret7" not in line


def test_given_passwords_and_a_given_key_are_used_and_not_stored(state: Path) -> None:
    environment = {
        "JUPYTERHUB_AGENTS_USER_PASSWORD": USER_PASSWORD,
        "JUPYTERHUB_AGENTS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "ANTHROPIC_API_KEY": "a-key-of-the-site",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "SOME_SECRET_OF_THE_HUB": "x",
    }
    with running_hub(state, environment=environment) as hub:
        ada, admin = Person(hub, "ada"), Person(hub, "admin")
        with ada, admin:
            assert ada.sign_in(USER_PASSWORD).url.path == "/hub/home"
            assert admin.sign_in(ADMIN_PASSWORD).url.path == "/hub/home"
            ada.spawn()
        given = hub.process("jupyterhub.singleuser").environ()
        service = hub.process("jupyterhub_agents.service.app").environ()
        assert "a-key-of-the-site" not in service.values()
        assert Path(service["ANTHROPIC_API_KEY_FILE"]).read_text() == "a-key-of-the-site"
        assert service["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9"
        assert given["ANTHROPIC_BASE_URL"] == f"{service['JUPYTERHUB_SERVICE_URL']}/services/agents/anthropic"
        assert "a-key-of-the-site" not in given.values()
        assert "JUPYTERHUB_AGENTS_NOTICE" not in given
        assert not {"JUPYTERHUB_AGENTS_USER_PASSWORD", "SOME_SECRET_OF_THE_HUB", "CONFIGPROXY_AUTH_TOKEN"} & set(given)
        assert "the real API, at http://127.0.0.1:9" in hub.said
        assert not any("demo_model" in command for command in hub.commands())
    assert not list((state / "secrets").iterdir())
    for path, content in contents_below(state):
        assert b"a-key-of-the-site" not in content, path


def test_without_a_key_a_workspace_gets_the_demo_model_and_its_notice(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    workspaces = [process.environ() for process in hub.processes_of("jupyterhub.singleuser")]
    [given] = [environment for environment in workspaces if environment["JUPYTERHUB_USER"] == ada.name]
    assert given["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    assert "scripted demo model, not from an AI" in given["JUPYTERHUB_AGENTS_NOTICE"]
    assert Path(given["HOME"]) == ada.home


def test_a_hub_that_cannot_start_says_why(state: Path, tmp_path: Path) -> None:
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(
        "import sys\nfrom hub_config import configure\n"
        "own = {'name': 'own', 'url': 'http://127.0.0.1:9', 'command': [sys.executable, '-c', '1/0']}\n"
        "c.JupyterHub.services = [own]\nconfigure(c)\n"
    )
    hub = launch(state, config=config)
    assert hub.launcher.wait(timeout=60) == 1
    _, _, why = hub.said.partition("jupyterhub-agents: ")
    assert why.startswith(f"the hub did not start (exit code 1). The errors in {state / 'hub.log'}:\n")
    assert "Service own exited with status 1" in why
    assert "ConfigProxy" not in why
