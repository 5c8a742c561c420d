"""Runs while Firestore is away: nothing is lost, the order stays, and the session can go on elsewhere."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from claude_agent_sdk import project_key_for_directory

from jupyterhub_agents.models import Event, EventType, Run, RunStatus, TranscriptKey
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.testing.replies import Reply, say, use
from tests.store.firestore_emulator import Emulator, Relay

from .conftest import OWNER

pytestmark = pytest.mark.anyio

OUTAGE_S = 60.0
STEP_S = 2


@pytest.fixture
def relay(emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    with Relay(emulator.port) as relay:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", relay.address)
        yield relay


def steps(name: str, count: int) -> list[Reply]:
    """Work that takes `count` times STEP_S and a little, with a word about each step."""
    wait = f"python3 -c 'import time; time.sleep({STEP_S})'; echo did-{name}"
    work = [(say(f"Now {name} {n}.") + use("Bash", {"command": f"{wait}-{n}."})).paced(0.02) for n in range(count)]
    return [*work, say(f"{name} is done.")]


def is_whole(events: list[Event], run: Run, name: str, count: int) -> None:
    """Every event is there once, in the order in which the CLI said it."""
    assert [event.seq for event in events] == list(range(1, run.last_seq + 1))
    statuses = [event.payload["status"] for event in events if event.type is EventType.STATUS]
    assert statuses == ["queued", "running", "succeeded"]
    messages = [event.payload for event in events if event.type is EventType.MESSAGE]
    assert not [message for message in messages if message.get("subtype") == "mirror_error"]
    told = [
        (message["type"], n)
        for message in messages
        if message["type"] in ("assistant", "user")
        for n in range(count)
        if f"did-{name}-{n}." in json.dumps(message["message"])
    ]
    assert told == [(kind, n) for n in range(count) for kind in ("assistant", "user")]


async def is_mirrored(bench: Any, run: Run) -> None:
    """The store has the session's transcript as the CLI has it."""
    directory = bench.home / "agents" / run.agent_id
    key = TranscriptKey(project_key=project_key_for_directory(directory), session_id=run.session_id)
    file = bench.home / ".claude" / "projects" / key.project_key / f"{run.session_id}.jsonl"
    written = [json.loads(line) for line in file.read_text().splitlines()]
    stored = await bench.store.load_transcript(OWNER, key) or []
    assert [entry["uuid"] for entry in stored if "uuid" in entry] == [e["uuid"] for e in written if "uuid" in e]


@asynccontextmanager
async def at_work(bench: Any, scripts: dict[str, int]) -> AsyncIterator[tuple[list[Run], list[list[int]]]]:
    """Runs of which each has begun, with a reader each; at the end all have ended. Gives what readers saw as well."""
    seen: list[list[int]] = []

    async def read(run: Run, numbers: list[int]) -> None:
        async for item in bench.manager.follow(run.id):
            if item.kind == "event":
                numbers.append(item.seq)

    runs = []
    async with asyncio.timeout(240), asyncio.TaskGroup() as readers:
        for name in scripts:
            await bench.agent(name, tools=["Bash(*)"])
            runs.append(await bench.start(f"work on {name}", name))
            seen.append([])
            readers.create_task(read(runs[-1], seen[-1]))
        for name, run in zip(scripts, runs, strict=True):
            await bench.seen(run, f"did-{name}-1.", within=60)
        yield runs, seen
    for number, (name, count) in enumerate(scripts.items()):
        runs[number] = run = await bench.manager.get(runs[number].id)
        assert (run.status, run.result) == (RunStatus.SUCCEEDED, f"{name} is done."), run.error
        events = await bench.events(run)
        is_whole(events, run, name, count)
        assert seen[number] == [event.seq for event in events]
        await is_mirrored(bench, run)


@pytest.mark.timeout(420)
async def test_three_runs_outlast_a_minute_without_firestore_and_go_on_in_an_empty_home(
    workshop: Any, relay: Relay, project: str
) -> None:
    # One ends during the outage, the others after it.
    counts = {"short": 10, "longer": 33, "longest": 34}
    script = {f"work on {name}": steps(name, count) for name, count in counts.items()}
    script["what did you do"] = [say("It is all in my mind.")]
    async with workshop(script, store=FirestoreStore(project)) as bench:
        async with at_work(bench, counts) as (runs, seen):
            before = [len(numbers) for numbers in seen]
            relay.cut()
            end = asyncio.get_running_loop().time() + OUTAGE_S
            async with asyncio.timeout(60):
                while not bench.manager.trouble:
                    await asyncio.sleep(0.1)
            assert project in bench.manager.trouble
            assert "does not answer" in bench.manager.trouble
            await asyncio.sleep(end - asyncio.get_running_loop().time())
            # What is not stored is not shown. The first events of the outage may have been on their way.
            assert all(len(numbers) - shown < 10 for numbers, shown in zip(seen, before, strict=True))
            assert bench.manager.working == 3
            relay.mend()
        assert bench.manager.trouble == ""
        shutil.rmtree(bench.home)
        bench.home.mkdir()
        for run, (name, count) in zip(runs, counts.items(), strict=True):
            after = await bench.do("what did you do?", name, continues=run.id)
            assert (after.result, after.session_id) == ("It is all in my mind.", run.session_id), after.error
            asked = [str(r.body["messages"]) for r in bench.model.messages if "what did you do?" in str(r.body)]
            assert any(all(f"did-{name}-{n}." in history for n in range(count)) for history in asked)


async def test_runs_whose_commits_were_carried_out_without_an_answer_have_each_event_once(
    workshop: Any, relay: Relay, project: str
) -> None:
    counts = {"one": 20, "two": 20}
    script = {f"work on {name}": steps(name, count) for name, count in counts.items()}
    async with workshop(script, store=FirestoreStore(project, timeout=3)) as bench, at_work(bench, counts):
        for _ in range(2):
            assert bench.manager.working
            with relay.losing_answers():
                async with asyncio.timeout(60):
                    while not bench.manager.trouble:
                        await asyncio.sleep(0.1)
            async with asyncio.timeout(60):
                while bench.manager.trouble:
                    await asyncio.sleep(0.1)
