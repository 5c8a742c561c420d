"""The main job, as a person does it: through the real hub and proxy, with the real CLI, on a scripted model."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from httpx_sse import connect_sse

from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import Reply, say, use
from tests.files import contents_below
from tests.hub.people import Person, RunningHub, eventually, running_hub
from tests.processes import environment_of
from tests.terminal.workspace import Terminal

STEPS = 12


def step(number: int) -> Reply:
    return say(f"Step {number} begins now.").paced(0.05) + use("Bash", {"command": f"echo {number} >> steps.txt"})


SCRIPT = {
    "take the steps": [*(step(number) for number in range(STEPS)), say("All steps are taken.")],
    "work for long": [say("I begin.") + use("Bash", {"command": "python3 -c 'import time; time.sleep(600)'"})],
    "Continue": [say("I am back, and done.")],
    "what did": [say("You asked me to take the steps.")],
}


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(SCRIPT, api_key="scripted-key-for-tests") as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("main-job") / "state", environment=model.env()) as running:
        yield running


@pytest.fixture(scope="module")
def ana(hub: RunningHub) -> Person:
    return hub.person("ana").spawn()


def make_agent(person: Person, id: str) -> None:
    spec = {"id": id, "name": "Walker", "instructions": "Take every step.", "tools": ["Bash(*)"]}
    answer = person.workspace.post("api/agents", json=spec)
    assert answer.status_code == 201, answer.text


def start(person: Person, agent: str, prompt: str, **fields: Any) -> dict[str, Any]:
    answer = person.workspace.post(f"api/agents/{agent}/runs", json={"prompt": prompt, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def get(person: Person, path: str) -> Any:
    answer = person.workspace.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def follow(person: Person, run_id: str, after: int, items: int | None = None) -> list[dict[str, Any]]:
    """What the stream tells after event `after`: all of it, or so many items, and then the connection is cut."""
    told: list[dict[str, Any]] = []
    with connect_sse(person.workspace, "GET", f"api/runs/{run_id}/events?after={after}") as source:
        for message in source.iter_sse():
            told.append({"type": message.event, "data": json.loads(message.data)})
            if items is not None and len(told) >= items:
                break
    return told


def test_the_whole_job_from_signing_in_to_finding_it_all_again(ana: Person, model: ScriptedModel) -> None:
    make_agent(ana, "walker")
    run = start(ana, "walker", "take the steps")

    # Watch it live, lose the connection again and again, and pick it up: no gap, no repeat.
    chance = random.Random(4)  # noqa: S311 - no secret
    events: list[dict[str, Any]] = []
    words = ""
    cuts = 0
    while True:
        told = follow(ana, run["id"], events[-1]["seq"] if events else 0, chance.randrange(2, 25))
        events += [item["data"] for item in told if item["type"] == "event"]
        words += "".join(item["data"]["text"] for item in told if item["type"] == "delta")
        if told[-1]["type"] == "end":
            break
        cuts += 1
    assert cuts >= 3
    assert "begins now" in words
    ended = told[-1]["data"]
    assert (ended["status"], ended["result"]) == ("succeeded", "All steps are taken.")
    assert [event["seq"] for event in events] == list(range(1, ended["last_seq"] + 1))
    steps = ana.home / "agents" / "walker" / "steps.txt"
    assert steps.read_text().split() == [str(number) for number in range(STEPS)]
    assert any("Take every step." in str(request.body.get("system")) for request in model.messages)

    # Restart the workspace in the middle of another run.
    broken = start(ana, "walker", "work for long")
    eventually(
        lambda: "time.sleep" in ana.workspace.get(f"api/runs/{broken['id']}/events").text, within=60, what="it works"
    )
    ana.stop()
    ana.spawn()

    # Everything is found again.
    assert [agent["id"] for agent in get(ana, "api/agents")["items"]] == ["walker"]
    assert [found["id"] for found in get(ana, "api/runs")["items"]] == [broken["id"], run["id"]]
    assert get(ana, f"api/runs/{run['id']}") == ended
    assert get(ana, f"api/runs/{run['id']}/events?limit=1000")["items"] == events
    assert get(ana, f"api/runs/{broken['id']}")["status"] == "interrupted"

    # The interrupted run goes on in its own session, and the finished one is talked to again.
    assert ana.workspace.post(f"api/runs/{broken['id']}/resume", json={}).status_code == 202
    resumed = follow(ana, broken["id"], 0)[-1]["data"]
    assert (resumed["result"], resumed["session_id"]) == ("I am back, and done.", broken["session_id"])
    more = start(ana, "walker", "what did I ask?", continues=run["id"])
    answer = follow(ana, more["id"], 0)[-1]["data"]
    assert (answer["result"], answer["session_id"]) == ("You asked me to take the steps.", run["session_id"])


def test_a_second_person_sees_and_reaches_none_of_it(hub: RunningHub, ana: Person) -> None:
    make_agent(ana, "secretive")
    run = start(ana, "secretive", "what did I ask?")
    follow(ana, run["id"], 0)
    bob = hub.person("bob").spawn()
    assert get(bob, "api/agents")["items"] == []
    assert get(bob, "api/runs")["items"] == []
    for path in ("api/agents/secretive", f"api/runs/{run['id']}", f"api/runs/{run['id']}/events"):
        assert bob.workspace.get(path).status_code == 404, path
    # Every path of ana's own workspace, tried with bob's token.
    numbers = {"{id}": run["id"], "{number}": "1"}
    for path, operations in get(ana, "api/agents-openapi.json")["paths"].items():
        concrete = path.lstrip("/")
        if concrete.startswith("api/agents/"):
            numbers["{id}"] = "secretive"
        for mark, value in numbers.items():
            concrete = concrete.replace(mark, value)
        for method in set(operations) - {"parameters"}:
            answer = httpx.request(
                method, ana.base_url + concrete, headers={"Authorization": f"token {bob.token}"}, json=None
            )
            assert answer.status_code in (403, 404), (method, path, answer.status_code)
            assert "secretive" not in answer.text.replace(concrete, "")
    assert bob.browser.get("/user/ana/lab").status_code in (403, 404)
    assert bob.browser.get("/user/ana/claude-code/").status_code in (403, 404)
    assert get(ana, f"api/runs/{run['id']}")["status"] == "succeeded"


def test_the_terminal_opens_through_the_proxy_and_answers_what_is_typed(ana: Person) -> None:
    if shutil.which("ttyd") is None or shutil.which("tmux") is None:
        pytest.skip("needs ttyd and tmux: `python -m jupyterhub_agents.server.ttyd install`, `apt-get install tmux`")
    page = ana.browser.get("/user/ana/claude-code/")
    assert page.status_code == 200
    assert "ttyd" in page.text
    cookies = "; ".join(f"{c.name}={c.value}" for c in ana.browser.cookies.jar if "/user/ana/".startswith(c.path))
    address = ana.base_url.replace("http", "ws", 1) + "claude-code/ws"
    with Terminal(address, {"Cookie": cookies, "Origin": ana.hub.url}) as terminal:
        # Claude Code runs in it; `!` at its prompt runs a command of the shell.
        terminal.read_until("ClaudeCode")
        for keys in ("!", "echo $((6700 + 38))", "\r"):
            terminal.type(keys)
        terminal.read_until("6738")


def command_of(process: psutil.Process) -> str:
    """Of one that has ended meanwhile: nothing."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_the_key_is_in_no_log_of_the_hub_and_the_hubs_token_in_no_cli(hub: RunningHub, ana: Person) -> None:
    run = start(ana, "walker", "work for long")
    eventually(
        lambda: "time.sleep" in ana.workspace.get(f"api/runs/{run['id']}/events").text, within=60, what="it works"
    )
    tokens = {
        value
        for process in psutil.Process(hub.launcher.pid).children(recursive=True)
        for name, value in environment_of(process).items()
        if name in ("JUPYTERHUB_API_TOKEN", "CONFIGPROXY_AUTH_TOKEN", "JPY_API_TOKEN") and value
    }
    assert len(tokens) >= 2
    clis = [
        process
        for process in psutil.Process(hub.launcher.pid).children(recursive=True)
        if "reaper.py" in (command := command_of(process)) and "stream-json" in command
    ]
    assert clis
    for reaper in clis:
        for process in [reaper, *reaper.children(recursive=True)]:
            assert not tokens & set(environment_of(process).values())
    ana.workspace.post(f"api/runs/{run['id']}/cancel", json={})
    for log, content in contents_below(hub.state, ".log"):
        assert b"scripted-key-for-tests" not in content, log
