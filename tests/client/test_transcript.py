"""What is shown of a run."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from jupyterhub_agents.client.transcript import Piece, PlainWriter, Transcript, Words, clean, one_line
from jupyterhub_agents.ids import new_id
from jupyterhub_agents.models import Delta, Event, EventType

RUN_ID = new_id()


def delta(text: str, block: int = 0, message: str = "m", parent: str | None = None) -> Delta:
    return Delta(run_id=RUN_ID, kind="text", message_id=message, block=block, text=text, parent_tool_use_id=parent)


def message(*content: dict[str, Any], id: str = "m", type: str = "assistant", parent: str | None = None) -> Event:
    payload = {"type": type, "message": {"id": id, "content": list(content)}, "parent_tool_use_id": parent}
    return Event(run_id=RUN_ID, seq=1, time=datetime.now(UTC), type=EventType.MESSAGE, payload=payload)


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def shown(*items: Delta | Event) -> str:
    out, transcript = io.StringIO(), Transcript()
    writer = PlainWriter(out)
    for item in items:
        for piece in transcript.take(item):
            writer.write(piece)
    return out.getvalue()


def test_text_that_came_as_deltas_is_not_shown_again() -> None:
    assert shown(delta("Hel"), delta("lo"), message(text("Hello"))) == "Hello\n"


def test_deltas_that_did_not_come_are_made_up_for() -> None:
    assert shown(message(text("Hello"))) == "Hello\n"
    assert shown(delta("Hel"), message(text("Hello"))) == "Hello\n"


def test_text_whose_beginning_was_missed_is_shown_whole() -> None:
    assert shown(delta("lo"), message(text("Hello"))) == "lo\nHello\n"


def test_each_block_is_matched_with_its_own_deltas() -> None:
    items: list[Delta | Event] = [delta("One", 1), message(text("One")), delta("Tw", 3), message(text("Two"))]
    assert shown(*items) == "One\nTwo\n"


def test_a_tool_call_is_one_line() -> None:
    call = {"type": "tool_use", "name": "Bash", "input": {"command": "ls\n  -l", "description": "List"}}
    assert shown(delta("I look"), message(text("I look"), call)) == "I look\n● Bash ls -l\n"


def test_paths_are_given_from_where_the_agent_works() -> None:
    init = Event(
        run_id=RUN_ID, seq=1, time=datetime.now(UTC), type=EventType.MESSAGE,
        payload={"type": "system", "subtype": "init", "cwd": "/home/ana/agents/a"},
    )  # fmt: skip
    write = {"type": "tool_use", "name": "Write", "input": {"file_path": "/home/ana/agents/a/b/c.py"}}
    other = {"type": "tool_use", "name": "Read", "input": {"file_path": "/mnt/home/ana/agents/a/d"}}
    assert shown(init, message(write, other)) == "● Write b/c.py\n● Read /mnt/home/ana/agents/a/d\n"


def test_a_refused_call_is_said() -> None:
    result = {"type": "tool_result", "is_error": True, "content": [{"type": "text", "text": "Not\nallowed"}]}
    assert shown(message(result, type="user")) == "✗ Not allowed\n"


def test_the_words_of_a_subagent_are_its_own() -> None:
    call = {"type": "tool_use", "name": "Read", "input": {"file_path": "a"}}
    assert shown(delta("x", parent="t"), message(text("x"), call, parent="t")) == "●   Read a\n"


def test_words_alone_are_set_apart_by_an_empty_line() -> None:
    words = Words()
    call = {"type": "tool_use", "name": "Read", "input": {}}
    items = [message(text("One"), call), message(text("Two"), id="n")]
    assert "".join(part for item in items for part in words.take(item)) == "One\n\nTwo"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert clean("a\x1b]0;title\x07b\tc\nd\x9b") == "a]0;titleb\tc\nd"
    assert shown(delta("\x1b[2J"), message(text("\x1b[2J"))) == "[2J\n"


def test_a_line_has_a_readable_length() -> None:
    assert len(one_line("x" * 1000)) == 120


def test_a_writer_ends_the_line_before_something_else() -> None:
    out = io.StringIO()
    writer = PlainWriter(out)
    for piece in (Piece("text", "a"), Piece("block"), Piece("notice", "b"), Piece("text", "c\n"), Piece("block")):
        writer.write(piece)
    assert out.getvalue() == "a\n! b\nc\n"
