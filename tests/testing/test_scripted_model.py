"""The real Claude Code CLI on a scripted model."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.scripted_model import CLOSING, Script, fail, say, silent, think, use

if TYPE_CHECKING:
    from .conftest import Converse


def test_a_turn_is_thought_and_said_as_a_stream(converse: Converse) -> None:
    with ScriptedModel([think("Let me see.") + say("There is nothing to do.")]) as model:
        (turn,) = converse(model, "Hello")
    assert turn.thoughts == ["Let me see."]
    assert turn.texts == ["There is nothing to do."]
    assert len(turn.deltas) == 5
    assert "".join(turn.deltas) == turn.result.result == "There is nothing to do."
    assert [request.prompt for request in model.messages] == ["Hello"]
    assert "Be brief." in model.messages[0].system


def test_tools_really_run_and_their_results_come_back(converse: Converse, folder: Path) -> None:
    script = [
        say("I write it.") + use("Write", {"file_path": str(folder / "a.txt"), "content": "first\n"}),
        use("Bash", {"command": "sleep 0.5; echo slow"}) + use("Bash", {"command": "cat a.txt"}),
        say("Done."),
    ]
    with ScriptedModel({"write": script}) as model:
        (turn,) = converse(model, "Please write it")
    assert (folder / "a.txt").read_text() == "first\n"
    assert turn.result.result == "Done."
    assert [request.step for request in model.messages] == [0, 1, 2]
    assert [result.text for result in model.messages[-1].results[1:]] == ["slow", "first"]
    assert {"Bash", "Read", "Write", "Edit", "Agent"} <= set(model.messages[0].tools)


def test_a_call_without_permission_comes_back_as_an_error(converse: Converse, folder: Path) -> None:
    script = [use("Write", {"file_path": str(folder / "a.txt"), "content": "x"}), say("So be it.")]
    with ScriptedModel(script) as model:
        (turn,) = converse(model, "Write", allowed_tools=["Read"])
    assert model.messages[-1].results[0].is_error
    assert turn.result.result == "So be it."
    assert not (folder / "a.txt").exists()


def test_every_run_ends_although_its_script_does(converse: Converse) -> None:
    with ScriptedModel({"known": [use("Bash", {"command": "true"})]}) as model:
        known, unknown = converse(model, "the known prompt", "another prompt")
    assert known.result.result == unknown.result.result == CLOSING
    assert len(model.messages) == 3


def test_a_rate_limit_is_waited_for_as_long_as_it_says(converse: Converse) -> None:
    with ScriptedModel([fail(429, retry_after=1).times(2), say("Through.")]) as model:
        (turn,) = converse(model, "Hello")
    assert turn.result.result == "Through."
    assert [retry["error_status"] for retry in turn.retries] == [429, 429]
    assert turn.seconds >= 2
    assert [request.status for request in model.messages] == [429, 429, 200]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([fail(500), say("one two three")], id="500"),
        pytest.param([fail(529), say("one two three")], id="overloaded"),
        pytest.param([say("one two three").broken(after_events=0)], id="broken-at-once"),
        pytest.param([say("one two three").broken(after_events=4)], id="broken-in-the-text"),
        pytest.param([silent(0.1), say("one two three")], id="silent"),
    ],
)
def test_trouble_is_retried_and_the_answer_is_whole(converse: Converse, script: Script) -> None:
    with ScriptedModel(script) as model:
        (turn,) = converse(model, "Hello")
    assert turn.texts == ["one two three"]
    assert len(turn.retries) == 1
    assert len(model.messages) == 2


def test_after_an_error_in_the_stream_the_answer_is_asked_for_without_one(converse: Converse) -> None:
    with ScriptedModel([say("one two three").broken(after_events=4, error="overloaded_error")]) as model:
        (turn,) = converse(model, "Hello")
    assert turn.texts == ["one two three"]
    assert [request.body.get("stream", False) for request in model.messages] == [True, False]


def test_a_call_in_a_broken_stream_runs_once(converse: Converse, folder: Path) -> None:
    call = say("I add a line.") + use("Bash", {"command": "echo line >> lines"})
    with ScriptedModel([call.broken(after_events=9), say("Added.")]) as model:
        (turn,) = converse(model, "Add")
    assert turn.result.result == "Added."
    assert (folder / "lines").read_text() == "line\n"


def test_a_refusal_that_is_not_to_be_retried_ends_the_run(converse: Converse) -> None:
    with ScriptedModel(fail(401, headers={"x-should-retry": "false"}).always()) as model:
        (turn,) = converse(model, "Hello")
    assert turn.result.is_error
    assert turn.result.api_error_status == 401
    assert len(model.messages) == 1


def test_a_wrong_key_ends_the_run(converse: Converse) -> None:
    with ScriptedModel(say("Never."), api_key="right") as model:
        env = {"ANTHROPIC_API_KEY": "wrong", "CLAUDE_CODE_MAX_RETRIES": "0"}
        (turn,) = converse(model, "Hello", env=env)
    assert turn.result.is_error
    assert "API key" in (turn.result.result or "")


def test_a_delay_delays_the_turn(converse: Converse) -> None:
    with ScriptedModel(say("Late.").delayed(1)) as model:
        (turn,) = converse(model, "Hello")
    assert turn.result.result == "Late."
    assert turn.seconds >= 1


def test_a_cut_answer_goes_on_with_the_next_reply(converse: Converse) -> None:
    with ScriptedModel([say("The first half").stopping("max_tokens"), say("and the second.")]) as model:
        (turn,) = converse(model, "Tell")
    assert turn.texts == ["The first half", "and the second."]
    assert not turn.result.is_error


def test_a_subagent_has_a_conversation_of_its_own(converse: Converse) -> None:
    errand = {
        "description": "Look", "prompt": "look around", "subagent_type": "general-purpose",
        "run_in_background": False,
    }  # fmt: skip
    script = {
        "look around": [use("Bash", {"command": "echo seen"}), say("Seen by the child.")],
        "delegate": [use("Agent", errand), say("The child is back.")],
    }
    with ScriptedModel(script) as model:
        (turn,) = converse(model, "Please delegate it")
    assert turn.result.result == "The child is back."
    steps = [(request.prompt, request.step) for request in model.messages]
    assert steps == [
        ("Please delegate it", 0), ("look around", 0), ("look around", 1), ("Please delegate it", 1),
    ]  # fmt: skip
    assert "Seen by the child." in model.messages[-1].results[0].text


def test_a_second_process_goes_on_with_the_session(converse: Converse) -> None:
    session = str(uuid.uuid4())
    script = {"first": [use("Bash", {"command": "echo 1"}), say("One.")], "second": say("Two.")}
    with ScriptedModel(script) as model:
        (first,) = converse(model, "the first", session_id=session)
        (second,) = converse(model, "the second", resume=session)
    assert (first.result.result, second.result.result) == ("One.", "Two.")
    assert second.result.session_id == session
    last = model.messages[-1]
    assert last.step == 0
    assert {"the first", "One.", "the second"} <= {
        block["text"] for message in last.messages for block in message["content"] if block["type"] == "text"
    }


def test_a_compacted_session_keeps_its_place_in_the_script(converse: Converse) -> None:
    big = use("Bash", {"command": "echo 1"}).usage(input_tokens=150_000)
    script = [use("Bash", {"command": "echo 0"}), big, use("Bash", {"command": "echo 2"}), say("End.")]
    with ScriptedModel(script) as model:
        (turn,) = converse(model, "A long job", env={"CLAUDE_CODE_AUTO_COMPACT_WINDOW": "100000"})
    assert any(request.wants_summary for request in model.messages)
    assert [block.input["command"] for block in turn.blocks if hasattr(block, "input")] == [
        "echo 0",
        "echo 1",
        "echo 2",
    ]
    assert turn.result.result == "End."


def test_a_command_of_the_cli_itself_is_no_prompt(converse: Converse) -> None:
    with ScriptedModel({"one": say("One."), "two": say("Two.")}) as model:
        one, _, two = converse(model, "one", "/compact", "two")
    assert (one.result.result, two.result.result) == ("One.", "Two.")
    assert model.messages[-1].prompt == "two"


def test_sessions_at_once_do_not_disturb_each_other(converse: Converse) -> None:
    script = [fail(500), use("Bash", {"command": "echo x"}), say("Done.")]
    with ScriptedModel({"job": script}) as model, ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(converse, model, "the same job") for _ in range(2)]
        turns = [future.result()[0] for future in futures]
    assert [turn.result.result for turn in turns] == ["Done.", "Done."]
    assert [len(turn.retries) for turn in turns] == [1, 1]
