"""The door: the API for programs of the workspace that hold no token."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from jupyterhub_agents.testing.replies import say, use
from tests.workspace import Server, StartServer

SCRIPT = {
    "list your agents": [
        use(
            "Bash",
            {"command": f"env -u JUPYTER_RUNTIME_DIR {sys.executable} -m jupyterhub_agents.client list --json; env"},
        ),
        say("Listed."),
    ],
    "greet": [say("Hello.")],
    "touch a file": [use("Bash", {"command": "touch made-here"}), say("Touched.")],
}


def state(server: Server) -> Path:
    return server.home / ".local" / "share" / "jupyterhub-agents"


def socket_of(server: Server, within: float = 60) -> Path:
    deadline = time.monotonic() + within
    while not (state(server) / "door").exists():
        assert time.monotonic() < deadline, "there is no door"
        time.sleep(0.02)
    return Path((state(server) / "door").read_text())


def through(socket: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://door/", timeout=20)


def command(server: Server, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`jupyter agents` as typed in the terminal of a workspace: with the home, and without a token."""
    return subprocess.run(
        [sys.executable, "-m", "jupyterhub_agents.client", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(server.home), **env},
        cwd=server.home, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_program_without_a_token_uses_agents_by_the_socket(server: Server) -> None:
    socket_of(server)
    made = command(server, "create", "Doorman", "--instructions", "Help.")
    assert (made.returncode, made.stderr) == (0, "")
    ran = command(server, "run", "doorman", "greet")
    assert (ran.returncode, ran.stdout) == (0, "Hello.\n"), ran.stderr
    assert [run["owner"] for run in server.get("api/runs?agent=doorman").json()["items"]] == ["ana"]


def test_the_socket_is_for_the_owner_alone(server: Server) -> None:
    socket = socket_of(server)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((state(server) / "door").stat().st_mode) == 0o600
    if os.geteuid() == 0:
        may_write = ["/bin/sh", "-c", 'test -w "$0"', str(socket)]
        assert subprocess.run(may_write).returncode == 0
        assert subprocess.run(may_write, user=65534, cwd="/").returncode == 1


def test_what_is_the_persons_own_to_say_is_not_offered(server: Server) -> None:
    before = server.get("api/runs").json()["items"]
    with through(socket_of(server)) as door:
        assert door.get("api/agents").status_code == 200
        for path in ("api/conversation", "api/approvals", "api/approvals/x", "api/approvals/x/decide"):
            for method in ("GET", "POST", "PATCH"):
                answer = door.request(method, path, json={"message": "hello"})
                assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), (method, path)
        for path in ("api/contents", "api/kernels", "api/terminals", "lab", "static/favicon.ico", "metrics"):
            assert door.get(path).status_code == 404, path
        assert server.get("api/runs").json()["items"] == before


def test_an_agent_cannot_allow_itself_what_it_asks_for(server: Server) -> None:
    with through(socket_of(server)) as door:
        server.agent()
        run = server.until(server.start("touch a file")["id"], "waiting")
        (asked,) = server.get("api/approvals?waiting=true").json()["items"]
        refused = door.post(f"api/approvals/{asked['id']}/decide", json={"decision": "once"})
        assert refused.status_code == 403
        assert server.run(run["id"])["status"] == "waiting"
        assert server.post(f"api/approvals/{asked['id']}/decide", {"decision": "once"}).status_code == 200
        assert server.finish(run["id"])["status"] == "succeeded"


def test_a_door_that_a_killed_server_left_is_replaced(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        socket_of(server)
        server.kill()
        assert command(server, "list").returncode == 3
    with start_server() as server:
        deadline = time.monotonic() + 60
        while command(server, "list").returncode != 0:
            assert time.monotonic() < deadline


def test_a_server_that_stops_in_order_takes_its_door_away(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        socket = socket_of(server)
        server.stop()
        assert not socket.exists()
        assert not (state(server) / "door").exists()


def test_a_second_server_in_a_home_leaves_the_door_to_the_first(start_server: StartServer) -> None:
    with start_server(SCRIPT) as first:
        socket = socket_of(first)
        with start_server() as second:
            assert second.get("api/agents-health").status_code == 200
        assert socket_of(first) == socket
        with through(socket) as door:
            assert door.get("api/agents").status_code == 200


def test_a_home_with_a_long_path_has_a_door_too(start_server: StartServer, tmp_path: Path) -> None:
    deep = tmp_path / ("long-" * 30)
    with start_server(SCRIPT, f"--AgentsApp.state_dir={deep}") as server:
        deadline = time.monotonic() + 60
        while not (deep / "door").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        socket = Path((deep / "door").read_text())
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        for listed in (
            command(server, "list", "--json", AGENTS_DOOR=str(deep / "door")),
            command(server, "list", "--json", "--socket", str(socket)),
            command(server, "list", "--json", "--socket", str(deep / "door")),
        ):
            assert (listed.returncode, listed.stdout) == (0, "[]\n"), listed.stderr
    assert not socket.parent.exists()


def test_what_an_agent_runs_finds_the_door_and_no_token(start_server: StartServer, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    environ = {"JUPYTERHUB_API_TOKEN": "secret-of-the-hub"}
    with start_server(SCRIPT, f"--AgentsApp.state_dir={elsewhere}", env=environ) as server:
        server.agent(tools=["Bash(*)"])
        run = server.finish(server.start("list your agents")["id"])
        events = server.get(f"api/runs/{run['id']}/events?limit=1000").text
        assert '"id": "helper"' in events.replace("\\", "")
        assert "secret-of-the-hub" not in events


@pytest.mark.parametrize("path", ["none", "folder"])
def test_a_socket_that_is_none_is_said(start_server: StartServer, tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    listed = subprocess.run(
        [sys.executable, "-m", "jupyterhub_agents.client", "list", "--socket", str(tmp_path / path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert listed.returncode == 3
    assert "no workspace's socket" in listed.stderr
