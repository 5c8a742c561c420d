"""A run of 10,000 events, put into a workspace's store as a recorder would have."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyterhub_agents.ids import new_id
from jupyterhub_agents.models import Event, EventType, Run, RunChanges, RunStatus, Trigger
from jupyterhub_agents.store.sqlite import SQLiteStore
from tests.browser.panel.conftest import make_agent
from tests.hub.people import Person

EVENTS = 10_000
FIRST_WORDS = "walk ten thousand steps"
LAST_WORDS = "These are the last words of ten thousand."


def make_long_run(person: Person) -> str:
    """The id of a run that has ended."""
    make_agent(person, "Walker")
    # Playwright has an event loop in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, write(person)).result(60)


async def write(person: Person) -> str:
    """Put the run into the store."""
    now = datetime.now(UTC)
    run = Run(
        id=new_id(lambda: now), owner=person.name, agent_id="walker", agent_revision=1, trigger=Trigger.API,
        prompt=FIRST_WORDS, session_id="5c3a2c0c-455f-40f3-ade4-9d0e74ef118b", conversation_id="",
        created_at=now, started_at=now,
    )  # fmt: skip
    run = run.model_copy(update={"conversation_id": run.id})
    path = person.home / ".local" / "share" / "jupyterhub-agents" / "agents.db"
    end = {"status": RunStatus.SUCCEEDED.value}
    payloads = [
        (EventType.STATUS, {"status": "queued"}), (EventType.STATUS, {"status": "running"}), *steps(EVENTS - 4),
        (EventType.MESSAGE, message("assistant", "last", {"type": "text", "text": LAST_WORDS})),
        (EventType.STATUS, end),
    ]  # fmt: skip
    events = [
        Event(run_id=run.id, seq=seq, time=now + timedelta(seconds=seq), type=kind, payload=payload)
        for seq, (kind, payload) in enumerate(payloads, 1)
    ]
    assert len(events) == EVENTS
    done = RunChanges(status=RunStatus.SUCCEEDED, finished_at=events[-1].time, turns=EVENTS // 4)
    async with SQLiteStore(path) as store:
        await store.create_run(run)
        for at in range(0, EVENTS, 1_000):
            part = events[at : at + 1_000]
            await store.append_events(person.name, run.id, part, done if part[-1] is events[-1] else None)
    return run.id


def steps(count: int) -> list[tuple[EventType, dict[str, Any]]]:
    """What a long run is made of: words, commands, changes, thoughts; of different lengths."""
    found: list[tuple[EventType, dict[str, Any]]] = []
    number = 0
    while len(found) < count:
        number += 1
        kind = number % 4
        if kind == 0:
            text = f"## Step {number}\n\nI **look** at `file{number}.py`: " + "and on, " * (number % 90)
            text += "\n\n```python\n" + "print('step')\n" * (number % 12) + "```\n\n- one\n- two\n"
            blocks = [{"type": "text", "text": text}]
        elif kind == 3:
            blocks = [{"type": "thinking", "thinking": f"Thought {number}. " * 10}]
        else:
            command: dict[str, Any] = {"command": f"seq {number % 40}"}
            edit: dict[str, Any] = {
                "file_path": f"/x/file{number}.py",
                "old_string": "a = 1\n" * 6,
                "new_string": "a = 2\n" * 8,
            }
            tool = ("Bash", command) if kind == 1 else ("Edit", edit)
            blocks = [{"type": "tool_use", "id": f"toolu_{number}", "name": tool[0], "input": tool[1]}]
        found.append((EventType.MESSAGE, message("assistant", f"msg_{number}", *blocks)))
        if kind in (1, 2):
            text = "\n".join(str(line) for line in range(number % 40))
            result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": text, "is_error": False}
            found.append((EventType.MESSAGE, message("user", "", result)))
    return found[:count]


def message(role: str, id: str, *content: dict[str, Any]) -> dict[str, Any]:
    """A message of Claude Code's stream."""
    whole = {"type": role, "message": {"role": role, "id": id, "content": list(content)}, "parent_tool_use_id": None}
    return dict(json.loads(json.dumps(whole)))
