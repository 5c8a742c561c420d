"""The real CLI reaches the model through the gateway, and the organisation's key is nowhere near it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from jupyterhub_agents.runtime.cli import find_cli
from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say, use
from tests.files import contents_below
from tests.hub.people import Person, RunningHub, eventually, running_hub
from tests.terminal.workspace import Terminal

CANARY = "sk-ant-canary-7f3a9c51e0b84d26"
SCRIPT = {
    "look around": [
        say("I look everywhere.")
        + use("Bash", {"command": "env; cat /proc/self/environ | tr '\\0' '\\n'; ls -la ~; cat ~/.claude.json"}),
        use("Bash", {"command": "python3 -c 'import time; time.sleep(8)'"}),
        say("That is all there is."),
    ],
    "hello": [say("Hello from the model.")],
}


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(SCRIPT, api_key=CANARY) as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("gateway") / "state", environment=model.env()) as running:
        yield running


@pytest.fixture(scope="module")
def ana(hub: RunningHub) -> Person:
    return hub.person("ana").spawn()


def workspace(hub: RunningHub) -> psutil.Process:
    return hub.process("jupyterhub.singleuser")


def start(person: Person, prompt: str) -> str:
    person.workspace.post("api/agents", json={"id": "looker", "name": "Looker", "tools": ["Bash(*)"]})
    answer = person.workspace.post("api/agents/looker/runs", json={"prompt": prompt})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def environments(process: psutil.Process) -> dict[str, dict[str, str]]:
    """What each process of a workspace has in its environment, by its command."""
    found = {}
    for each in [process, *process.children(recursive=True)]:
        try:
            found[f"{each.pid} {' '.join(each.cmdline())}"] = each.environ()
        except psutil.Error:
            continue
    return found


def test_the_organisations_key_is_nowhere_in_a_workspace(hub: RunningHub, ana: Person, model: ScriptedModel) -> None:
    run = start(ana, "look around")
    events = f"api/runs/{run}/events?limit=1000"
    eventually(lambda: "time.sleep" in ana.workspace.get(events).text, within=60, what="the run works")
    seen = environments(workspace(hub))
    assert any("claude" in command for command in seen), seen.keys()
    for command, environment in seen.items():
        assert not [name for name, value in environment.items() if CANARY in value], command
    keys = {value for environment in seen.values() for value in environment.values() if value.startswith("agents-run-")}
    assert keys, "the CLI holds a key of its own"
    below = [each for command, each in seen.items() if "claude" in command or "time.sleep" in command]
    assert not [name for each in below for name in each if name == "JUPYTERHUB_API_TOKEN" and each[name]]

    def ended() -> str:
        status = ana.workspace.get(f"api/runs/{run}").json()["status"]
        return status if status in ("succeeded", "failed", "cancelled", "interrupted") else ""

    assert eventually(ended, within=60, what="the run ends") == "succeeded"
    assert model.messages, "the model was not reached"
    assert all(request.headers.get("x-api-key") == CANARY for request in model.messages)
    assert all(request.headers.get("authorization") is None for request in model.messages)

    # Every answer of the workspace's API, and every file: homes (with the store and Claude Code's own), logs, the rest.
    said = [ana.workspace.get(path).text for path in (events, f"api/runs/{run}", "api/agents", "metrics")]
    assert "I look everywhere." in said[0] and "ANTHROPIC_BASE_URL" in said[0]
    assert not any(CANARY in text for text in said)
    searched = set()
    for path, content in contents_below(hub.state):
        searched.add(path.name)
        assert CANARY.encode() not in content, path
    assert len(searched) > 20
    assert "agents.db" in searched
    commands = list(environments(psutil.Process(hub.launcher.pid)))
    assert not any(CANARY in command or key in command for command in commands for key in keys)
    log = (hub.state / "hub.log").read_text()
    assert not any(key in log for key in keys)


def test_a_run_that_the_gateway_refuses_tells_the_person_why(hub: RunningHub, tmp_path: Path) -> None:
    """At once: without `x-should-retry: false` Claude Code would try for minutes."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ANTHROPIC_BASE_URL": workspace(hub).environ()["ANTHROPIC_BASE_URL"],
        "ANTHROPIC_AUTH_TOKEN": "agents-run-of-another-hub",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [str(find_cli()), "-p", "hello", "--output-format", "json"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    result = json.loads(done.stdout)
    assert result["is_error"] and result["api_error_status"] == 401
    assert "This run key is none of this hub's. Start the run again." in result["result"]


def test_the_terminals_claude_has_a_key_of_its_own(hub: RunningHub, ana: Person, model: ScriptedModel) -> None:
    address = f"{ana.base_url.replace('http://', 'ws://')}claude-code/ws"
    assert ana.workspace.get("claude-code/").status_code == 200
    with Terminal(address, {"Authorization": f"token {ana.token}"}) as terminal:
        terminal.read_until("/effort", 60)
        [held] = [
            environment
            for command, environment in environments(workspace(hub)).items()
            if command.split()[1].endswith("/claude") or command.split()[1] == "claude"
            if "stream-json" not in command  # those are of runs, or wait for one
        ]
        assert held["ANTHROPIC_AUTH_TOKEN"].startswith("agents-run-")
        assert not held.get("JUPYTERHUB_API_TOKEN")
        assert CANARY not in held.values()
        terminal.type("hello")
        terminal.read_until("hello")
        terminal.type("\r")
        terminal.read_until("Hello from the model.", 60)


def test_a_stranger_gets_nothing_from_the_gateway(hub: RunningHub) -> None:
    url = workspace(hub).environ()["ANTHROPIC_BASE_URL"]
    answer = httpx.post(f"{url}/v1/messages", json={"model": "m"}, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
