"""Agents and runs of a person on a cluster, over the API of their workspace."""

from __future__ import annotations

from typing import Any

from tests.hub.people import Person, eventually

ENDED = ("succeeded", "failed", "cancelled", "interrupted")


def make_agent(person: Person, id: str, **more: Any) -> None:
    answer = person.workspace.post("api/agents", json={"id": id, "name": id.capitalize(), **more})
    assert answer.status_code == 201, answer.text


def start(person: Person, agent: str, prompt: str, **more: Any) -> str:
    answer = person.workspace.post(f"api/agents/{agent}/runs", json={"prompt": prompt, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def decide_all(person: Person, run: str) -> int:
    """Allow each call that a run asks about, until it ends. How many there were."""
    count = 0

    def ended() -> bool:
        nonlocal count
        for approval in person.workspace.get(f"api/approvals?waiting=true&run={run}").json()["items"]:
            answer = person.workspace.post(f"api/approvals/{approval['id']}/decide", json={"decision": "once"})
            count += answer.status_code == 200
        return status(person, run) in ENDED

    eventually(ended, within=90, what=f"run {run} ends")
    return count


def status(person: Person, run: str) -> str:
    answer = person.workspace.get(f"api/runs/{run}")
    return str(answer.json()["status"]) if answer.status_code == 200 else ""


def end_of(person: Person, run: str) -> str:
    return eventually(
        lambda: status(person, run) if status(person, run) in ENDED else "",
        within=90,
        every=0.5,
        what=f"run {run} ends",
    )


def events(person: Person, run: str) -> list[dict[str, Any]]:
    """All events of a run, whose numbers have no gap."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["seq"] if found else 0
        answer = person.workspace.get(f"api/runs/{run}/events", params={"after": after, "limit": 1000})
        assert answer.status_code == 200, answer.text
        if not (page := answer.json()["items"]):
            break
        found += page
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    return found


def results(person: Person, run: str) -> str:
    """What the tools of a run said, all in one text."""
    return "\n".join(str(event["payload"]) for event in events(person, run) if event["type"] == "message")
