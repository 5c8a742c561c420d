"""A run of 10,000 events opens at once and scrolls smoothly, as measured in the browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from jupyterhub_agents.ids import new_id
from jupyterhub_agents.models import Event, EventType, Run, RunChanges, RunStatus, Trigger
from jupyterhub_agents.store.sqlite import SQLiteStore
from tests.browser.panel.conftest import close_documents, make_agent, run_command
from tests.hub.people import Person

EVENTS = 10_000
OPENS_WITHIN_MS = 1_500
LONGEST_FRAME_MS = 100
ATTEMPTS = 4
"""On a machine that others use too, the best of so many counts."""
LAST_WORDS = "These are the last words of ten thousand."

OPEN = """
async ([runId, words]) => {
  const began = performance.now();
  const seen = new Promise(resolve => {
    const look = () => document.querySelector('.jp-AgentsRun-log')?.innerText.includes(words)
      ? resolve(performance.now() - began) : requestAnimationFrame(look);
    look();
  });
  await window.jupyterapp.commands.execute('agents:open-run', { runId });
  return await seen;
}
"""
SCROLL = """
async () => {
  const log = document.querySelector('.jp-AgentsRun-log');
  const frames = [];
  let before = await new Promise(requestAnimationFrame);
  for (let step = 0; step < 240; step += 1) {
    // A wheel that is turned fast, and now and then a jump by the scroll bar.
    log.scrollTop -= step % 60 === 59 ? log.scrollHeight / 6 : 180;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before);
    before = now;
  }
  return { longest: Math.max(...frames), frames, top: log.scrollTop };
}
"""


@pytest.fixture(scope="module")
def long_run(ada: Person) -> str:
    """The id of a run that has ended after 10,000 events, put into the store of Ada's home."""
    make_agent(ada, "Walker")
    # Playwright has an event loop in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, write(ada)).result(60)


@pytest.fixture(autouse=True)
def nothing_open(lab: Page) -> Iterator[None]:
    yield
    close_documents(lab)


def test_a_run_of_ten_thousand_events_opens_at_once(lab: Page, long_run: str) -> None:
    took = []
    for _ in range(ATTEMPTS):
        took.append(lab.evaluate(OPEN, [long_run, LAST_WORDS]))
        expect(lab.locator(".jp-AgentsRun progress")).to_have_count(0, timeout=60_000)
        close_documents(lab)
    print(f"opens in {sorted(round(one) for one in took)} ms")  # noqa: T201 - a measurement
    assert min(took) < OPENS_WITHIN_MS, took


def test_it_scrolls_without_a_long_frame_and_keeps_its_place(lab: Page, long_run: str) -> None:
    run_command(lab, "agents:open-run", runId=long_run)
    log = lab.get_by_role("log")
    expect(log).to_contain_text(LAST_WORDS, timeout=30_000)
    expect(lab.get_by_role("button", name="Copy as Markdown")).to_be_enabled(timeout=60_000)
    expect(log).to_contain_text(LAST_WORDS)
    longest = []
    for _ in range(ATTEMPTS):
        log.evaluate("log => { log.scrollTop = log.scrollHeight; }")
        lab.wait_for_function("() => new Promise(done => requestIdleCallback(() => done(true)))")
        longest.append(lab.evaluate(SCROLL)["longest"])
    print(f"longest frames {sorted(round(one) for one in longest)} ms")  # noqa: T201 - a measurement
    assert min(longest) < LONGEST_FRAME_MS, longest
    lab.get_by_role("button", name="To the end").click()
    expect(log.get_by_text(LAST_WORDS)).to_be_visible(timeout=30_000)
    log.evaluate("log => { log.scrollTop = 0; }")
    expect(log.get_by_text("walk ten thousand steps")).to_be_visible(timeout=30_000)
    assert log.locator(".jp-AgentsRun-item").count() < 200, "all of it is drawn at once"


async def write(person: Person) -> str:
    """Put the run into the store, as a recorder would have."""
    now = datetime.now(UTC)
    run = Run(
        id=new_id(lambda: now), owner=person.name, agent_id="walker", agent_revision=1, trigger=Trigger.API,
        prompt="walk ten thousand steps", session_id="5c3a2c0c-455f-40f3-ade4-9d0e74ef118b", conversation_id="",
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
