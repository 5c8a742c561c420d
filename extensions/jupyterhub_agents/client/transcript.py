"""What a person wants to see of a run, in words: the agent's text as it comes, its tool calls a line each.

No I/O: items of a followed run go in, pieces to show come out. The text of a block is shown once, whether it
came as deltas, as the durable message, or partly so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from ..models import Delta, Event, EventType, Run
from .follow import Item

MAX_LINE = 120
"""Characters of a line about a tool call."""
_TELLING = (
    "command",
    "file_path",
    "notebook_path",
    "path",
    "pattern",
    "url",
    "query",
    "description",
    "prompt",
    "skill",
)
"""The fields of a tool's input that say best what it does, in the order of preference."""


@dataclass(frozen=True)
class Piece:
    """`text` is a part of the agent's words and goes on where the last one ended; `block` ends them.
    The other kinds are a line each."""

    kind: Literal["text", "block", "tool", "problem", "notice"]
    text: str = ""


class Transcript:
    """Turns the items of one run into pieces."""

    def __init__(self, *, tools: bool = True) -> None:
        self._tools = tools
        self._notice: str | None = None
        self._directory = ""
        self._blocks: dict[str, dict[int, str]] = {}

    def take(self, item: Item) -> Iterator[Piece]:
        """The pieces that an item adds."""
        if isinstance(item, Run):
            if item.notice and item.notice != self._notice:
                self._notice = item.notice
                yield Piece("notice", clean(item.notice))
        elif isinstance(item, Delta):
            if item.kind == "text" and item.parent_tool_use_id is None:
                blocks = self._blocks.setdefault(item.message_id, {})
                blocks[item.block] = blocks.get(item.block, "") + item.text
                yield Piece("text", clean(item.text))
        elif item.type is EventType.MESSAGE:
            yield from self._message(item)
        elif item.type is EventType.APPROVAL:
            yield from self._approval(item.payload)

    def _approval(self, payload: Mapping[str, Any]) -> Iterator[Piece]:
        if payload.get("tool") and not payload.get("decision"):
            call = describe_call({"name": payload["tool"], "input": payload.get("input")}, self._directory)
            yield Piece("notice", f"waits for consent: {call}  (jupyter agents approve {payload.get('id')})")
        elif payload.get("decision") and not payload.get("tool"):
            verdict = "denied" if payload["decision"] == "deny" else "allowed"
            yield Piece("notice", one_line(f"{verdict} by {payload.get('decided_by')} {payload.get('message') or ''}"))

    def _message(self, event: Event) -> Iterator[Piece]:
        kind = event.payload.get("type")
        message = event.payload.get("message")
        if kind == "system" and event.payload.get("subtype") == "init":
            self._directory = str(event.payload.get("cwd") or "")
        if kind not in ("assistant", "user") or not isinstance(message, Mapping):
            return
        content = message.get("content")
        in_subagent = event.payload.get("parent_tool_use_id") is not None
        for block in content if isinstance(content, list) else []:
            if not isinstance(block, Mapping):
                continue
            if kind == "assistant" and block.get("type") == "text" and not in_subagent:
                yield from self._text(str(message.get("id")), str(block.get("text", "")))
            elif block.get("type") == "tool_use" and self._tools:
                yield Piece("tool", ("  " if in_subagent else "") + describe_call(block, self._directory))
            elif block.get("type") == "tool_result" and block.get("is_error") and self._tools:
                yield Piece("problem", one_line(_result_text(block)))

    def _text(self, message_id: str, whole: str) -> Iterator[Piece]:
        """What of a block was not shown yet. Claude Code sends each block of a message as an event of its own,
        in their order, so the first block that was begun is the one that is now whole."""
        blocks = self._blocks.get(message_id, {})
        shown = blocks.pop(min(blocks)) if blocks else ""
        if whole.startswith(shown):
            if rest := whole[len(shown) :]:
                yield Piece("text", clean(rest))
        else:
            # Deltas got lost on the way, and what stands there cannot be mended: the whole, once more.
            yield Piece("block")
            yield Piece("text", clean(whole))
        yield Piece("block")


class Words:
    """The agent's words alone, blocks of text set apart by an empty line."""

    def __init__(self) -> None:
        self._transcript = Transcript(tools=False)
        self._apart = ""

    def take(self, item: Item) -> Iterator[str]:
        for piece in self._transcript.take(item):
            if piece.kind == "text" and piece.text:
                yield self._apart + piece.text
                self._apart = ""
            elif piece.kind == "block":
                self._apart = "\n\n"


class PlainWriter:
    """Writes pieces to a text stream: words as they come, everything else on lines of its own."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._within_line = False

    def write(self, piece: Piece) -> None:
        if piece.kind == "text":
            self._out.write(piece.text)
            self._within_line = not piece.text.endswith("\n") if piece.text else self._within_line
        else:
            if self._within_line:
                self._out.write("\n")
                self._within_line = False
            if piece.kind != "block":
                self._out.write(f"{MARKS[piece.kind]} {piece.text}\n")
        self._out.flush()

    def end(self, run: Run) -> None:
        """How the run stands, and why it did not succeed."""
        self.write(Piece("block"))
        if run.error is not None:
            self.write(Piece("problem", clean(run.error.message)))
        self._out.write(f"[{outcome(run)}]\n")
        self._out.flush()


MARKS = {"tool": "●", "problem": "✗", "notice": "!"}


def describe_call(block: Mapping[str, Any], directory: str = "") -> str:
    """A tool call in one line, such as `Bash python3 hello.py`. Paths are given from `directory`."""
    given = block.get("input")
    given = given if isinstance(given, Mapping) else {}
    said = next((str(given[name]) for name in _TELLING if given.get(name)), "")
    if directory:
        said = re.sub(rf"(?<![^\s'\"=]){re.escape(directory.rstrip('/'))}/", "", said)
    return one_line(f"{block.get('name', 'tool')} {said}".strip())


def outcome(run: Run) -> str:
    """How a run stands, in one line."""
    parts = [run.status.value]
    if run.turns:
        parts.append(f"{run.turns} turn{'s' if run.turns != 1 else ''}")
    if run.usage.cost_usd:
        parts.append(f"${run.usage.cost_usd:.4f}")
    if run.started_at and run.finished_at:
        parts.append(f"{(run.finished_at - run.started_at).total_seconds():.1f} s")
    return " · ".join(parts)


def one_line(text: str) -> str:
    """The text within one line of readable length."""
    text = clean(" ".join(text.split()))
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


def clean(text: str) -> str:
    """Without control characters, which could drive the terminal that shows the text. Line ends and tabs stay."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)


def _result_text(block: Mapping[str, Any]) -> str:
    content = block.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content or "")
