"""Runs of people's agents, by the real CLI."""

from __future__ import annotations

from typing import Any

from tests.hub.people import Person, eventually

SLEEP = "python3 -c 'import time; time.sleep(600)'"
ENDED = ("succeeded", "failed", "cancelled", "interrupted")


def run(person: Person, prompt: str = "What can you do?") -> dict[str, Any]:
    """A run of an agent of theirs by the real CLI, as it ended."""
    person.spawn()
    if person.workspace.get("api/agents/helper").status_code == 404:
        answer = person.workspace.post("api/agents", json={"id": "helper", "name": "helper"})
        assert answer.status_code == 201, answer.text
    answer = person.workspace.post("api/agents/helper/runs", json={"prompt": prompt})
    assert answer.status_code == 201, answer.text
    path = f"api/runs/{answer.json()['id']}"
    eventually(lambda: person.workspace.get(path).json()["status"] in ENDED, within=90, what="the run ended")
    ended: dict[str, Any] = person.workspace.get(path).json()
    return ended | {"events": person.workspace.get(f"{path}/events?limit=1000").text}


def begin(person: Person, prompt: str, agent_id: str = "worker", **fields: Any) -> str:
    """Start a run of an agent of theirs. Gives its id."""
    person.spawn()
    agent = {"id": agent_id, "name": agent_id, **fields}
    assert person.workspace.post("api/agents", json=agent).status_code in (201, 409)
    answer = person.workspace.post(f"api/agents/{agent_id}/runs", json={"prompt": prompt})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def status(person: Person, run_id: str) -> str:
    return str(person.workspace.get(f"api/runs/{run_id}").json()["status"])


def sleeping_run(person: Person, agent_id: str = "worker") -> str:
    """A run of theirs that is at work, and would be for long. Gives its id."""
    run_id = begin(person, f"Run `{SLEEP}`.", agent_id, tools=["Bash(*)"])
    events = f"api/runs/{run_id}/events?limit=1000"
    eventually(lambda: "tool_use" in person.workspace.get(events).text, within=60, what="it works")
    return run_id
