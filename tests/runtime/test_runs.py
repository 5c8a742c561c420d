"""What a run of the real CLI leaves: events, status, costs, files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyterhub_agents.errors import InvalidInput
from jupyterhub_agents.models import Event, EventType, RunStatus
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.replies import fail, say, think, use

pytestmark = pytest.mark.anyio


async def test_a_run_leaves_the_clis_own_messages_and_its_result(workshop: Any) -> None:
    async with workshop({"greet": [say("Hello, Ana.")]}) as bench:
        await bench.agent()
        run = await bench.do("greet me")
        assert (run.status, run.result, run.error) == (RunStatus.SUCCEEDED, "Hello, Ana.", None)
        events = await bench.events(run)
        assert [event.seq for event in events] == list(range(1, run.last_seq + 1))
        assert [e.payload["status"] for e in events if e.type is EventType.STATUS] == ["queued", "running", "succeeded"]
        messages = [e.payload for e in events if e.type is EventType.MESSAGE]
        assert messages[0]["subtype"] == "init"
        assert messages[-1]["type"] == "result"
        assert messages[-1]["session_id"] == run.session_id
        # The message as it is, with fields that the SDK's classes have no place for.
        assert "claude_code_version" in messages[0]


async def test_a_tool_really_runs_in_the_agents_own_directory(workshop: Any) -> None:
    script = {"write": [use("Bash", {"command": "pwd > where.txt; echo written"}), say("Done.")]}
    async with workshop(script) as bench:
        await bench.agent("writer", tools=["Bash(*)"])
        run = await bench.do("write", "writer")
        assert run.status is RunStatus.SUCCEEDED
        where = bench.home / "agents" / "writer"
        assert (where / "where.txt").read_text().strip() == str(where)


async def test_instructions_are_added_to_claude_codes_own_prompt_and_not_to_the_process_list(workshop: Any) -> None:
    async with workshop([say("Yes.")]) as bench:
        await bench.agent(instructions="Speak like a lighthouse keeper. 등대")
        await bench.do("hello")
        [request] = [r for r in bench.model.messages if "lighthouse" in str(r.body.get("system"))][:1]
        system = str(request.body["system"])
        assert "Claude Code" in system
        assert "등대" in system


async def test_deltas_come_before_the_message_and_are_not_stored(workshop: Any) -> None:
    async with workshop([(think("Hm.") + say("one two three four")).paced(0.05)]) as bench:
        await bench.agent()
        run = await bench.start("count")
        items = [item async for item in bench.manager.follow(run.id)]
        deltas = [item for item in items if item.kind == "delta"]
        assert "".join(d.data.text for d in deltas if d.data.kind == "text") == "one two three four"
        assert "".join(d.data.text for d in deltas if d.data.kind == "thinking") == "Hm."
        whole = next(
            i for i, item in enumerate(items)
            if item.kind == "event" and "one two three four" in item.json and '"assistant"' in item.json
        )  # fmt: skip
        assert items.index(deltas[0]) < whole
        assert [item.seq for item in items if item.kind == "event"] == list(range(1, items[-1].data.last_seq + 1))
        assert items[-1].kind == "end"


async def test_costs_are_counted_by_model_and_add_up_over_a_resume(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Time for the CLI to tell what it has used, also on a busy machine: without that, only what the model said counts.
    monkeypatch.setattr("jupyterhub_agents.runtime.execution.INTERRUPT_S", 20.0)
    first = say("Working.").usage(input_tokens=1000, output_tokens=100)
    long = use("Bash", {"command": "python3 -c 'import time; time.sleep(60)'"})
    script = {"begin": [first + long], "go on": [say("Finished.").usage(input_tokens=2000, output_tokens=50)]}
    async with workshop(script) as bench:
        await bench.agent(tools=["Bash(*)"], model="claude-sonnet-5")
        run = await bench.start("begin")
        await bench.seen(run, "time.sleep")
        await bench.written(run, "time.sleep")
        await bench.manager.cancel(run.id)
        stopped = await bench.finish(run)
        assert stopped.status is RunStatus.CANCELLED
        [used] = stopped.usage.models.values()
        assert (used.input_tokens, used.output_tokens) == (1000, 100)
        await bench.manager.resume(run.id, "go on")
        ended = await bench.finish(run)
        assert (ended.status, ended.result) == (RunStatus.SUCCEEDED, "Finished.")
        [both] = ended.usage.models.values()
        assert (both.input_tokens, both.output_tokens) == (3000, 150)
        assert ended.usage.cost_usd > stopped.usage.cost_usd > 0
        assert ended.session_id == run.session_id


async def test_a_resumed_run_remembers_what_was_said(workshop: Any) -> None:
    async with workshop({"remember": [say("I keep 4711 in mind.")], "what": [say("It was 4711.")]}) as bench:
        await bench.agent()
        first = await bench.do("remember 4711")
        second = await bench.do("what was it?", continues=first.id)
        assert second.result == "It was 4711."
        assert (second.session_id, second.conversation_id) == (first.session_id, first.id)
        history = str([r.body["messages"] for r in bench.model.messages if "what was it?" in str(r.body["messages"])])
        assert "I keep 4711 in mind." in history


async def test_a_session_goes_on_in_an_empty_home(workshop: Any) -> None:
    """As on another pod: the store has what Claude Code keeps in its own files."""
    script = {
        "remember": [use("Bash", {"command": "echo 4711"}), say("I keep 4711 in mind.")],
        "what": [say("It was 4711.")],
    }
    async with workshop(script) as bench:
        await bench.agent(tools=["Bash(*)"])
        first = await bench.do("remember 4711")
        [transcript] = (bench.home / ".claude").glob(f"projects/*/{first.session_id}.jsonl")
        before = transcript.read_text()
        shutil.rmtree(bench.home / ".claude")
        second = await bench.do("what was it?", continues=first.id)
        assert (second.result, second.session_id) == ("It was 4711.", first.session_id)
        history = str([r.body["messages"] for r in bench.model.messages if "what was it?" in str(r.body["messages"])])
        assert "I keep 4711 in mind." in history
        # The terminal's `claude --resume` finds it too.
        assert transcript.stat().st_mode & 0o077 == 0
        assert set(before.splitlines()) & set(transcript.read_text().splitlines())
        third = await bench.do("what was it?", continues=second.id)
        assert third.result == "It was 4711."


async def test_an_agent_that_uses_all_its_turns_is_stopped_and_says_so(workshop: Any) -> None:
    async with workshop([use("Bash", {"command": "echo again"})] * 5) as bench:
        await bench.agent(tools=["Bash(*)"], max_turns=2)
        run = await bench.do("loop")
        assert run.status is RunStatus.FAILED
        assert run.error.code == "max_turns"
        assert "max_turns" in run.error.message


async def test_an_agent_over_its_budget_is_stopped_and_says_so(workshop: Any) -> None:
    dear = use("Bash", {"command": "echo dear"}).usage(input_tokens=10_000_000, output_tokens=1000)
    async with workshop([dear] * 5) as bench:
        await bench.agent(tools=["Bash(*)"], max_budget_usd=0.01, model="claude-sonnet-5")
        run = await bench.do("spend")
        assert run.error.code == "max_budget"
        assert run.usage.cost_usd > 0.01


async def test_a_refusal_of_the_api_is_the_runs_error(workshop: Any) -> None:
    async with workshop([fail(400, message="The model is on holiday.").always()]) as bench:
        await bench.agent()
        run = await bench.do("hello")
        assert run.status is RunStatus.FAILED
        assert run.error.code == "api_error_400"
        assert "on holiday" in run.error.message


async def test_a_message_of_many_megabytes_passes(workshop: Any) -> None:
    """The SDK's own limit for one message is 1 MiB."""
    async with workshop([use("Read", {"file_path": "big.txt"}), say("x" * 3_000_000)]) as bench:
        await bench.agent()
        run = await bench.do("say much")
        assert run.status is RunStatus.SUCCEEDED
        assert len(run.result) == 3_000_000


class Picky(SQLiteStore):
    """Refuses, for good, events with a certain word."""

    async def append_events(self, owner: str, run_id: str, events: Sequence[Event], changes: Any = None) -> None:
        if any("unwelcome" in event.model_dump_json() for event in events):
            raise InvalidInput("This word is not taken here.")
        await super().append_events(owner, run_id, events, changes)


async def test_a_run_whose_event_is_refused_for_good_ends_and_says_why(workshop: Any, tmp_path: Path) -> None:
    ask = use("Bash", {"command": "echo asked > a"})
    script = [say("unwelcome") + ask, say("welcome")]
    async with workshop({"work": script, "after": [say("Back.")]}, store=Picky(tmp_path / "agents.db")) as bench:
        await bench.agent()
        run = await bench.do("work")
        assert run.status is RunStatus.FAILED
        assert "not taken here" in run.error.message
        assert run == await bench.store.get_run(run.owner, run.id)
        events = await bench.events(run)
        assert [event.seq for event in events] == list(range(1, run.last_seq + 1))
        assert events[-1].payload["status"] == "failed"
        assert (await bench.do("after")).status is RunStatus.SUCCEEDED
