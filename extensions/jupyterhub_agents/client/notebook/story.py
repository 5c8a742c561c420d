"""A run as a list of parts to show: words, thoughts, tool calls with their results, notices. No I/O.

Items of a followed run go in, the parts that they add or change come out. Each part is shown at its own place, and is
rendered again when it changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...models import FUNCTIONS_SERVER, Delta, Event, EventType, Run
from ..follow import Item
from ..transcript import clean, describe_call, one_line

MAX_SHOWN = 20_000
"""Characters of a result, or of a call's input, that a cell shows. The run's events have all of it."""

State = Literal["works", "waits", "done", "failed", "denied"]


@dataclass(eq=False)
class Words:
    """The agent's text, in Markdown; `done` when it is whole."""

    kind: Literal["text", "thinking"]
    text: str = ""
    done: bool = False


@dataclass(eq=False)
class CallPart:
    """A tool call. `approval_id` names the consent that it waits for."""

    line: str
    input: str
    state: State = "works"
    result: str = ""
    approval_id: str | None = None
    decided: str = ""
    nested: bool = False


@dataclass(eq=False)
class Notice:
    text: str


Part = Words | CallPart | Notice


@dataclass
class Story:
    """The parts of one run, in their order."""

    parts: list[Part] = field(default_factory=list)
    run: Run | None = None
    _notice: str | None = None
    _directory: str = ""
    _begun: dict[tuple[str, str], dict[int, Words]] = field(default_factory=dict)
    _calls: dict[str, CallPart] = field(default_factory=dict)
    _approvals: dict[str, CallPart] = field(default_factory=dict)

    def take(self, item: Item) -> list[Part]:
        """The parts that an item adds or changes."""
        if isinstance(item, Run):
            self.run = item
            if item.notice and item.notice != self._notice:
                self._notice = item.notice
                return [self._add(Notice(clean(item.notice)))]
            return []
        if isinstance(item, Delta):
            return self._delta(item)
        if item.type is EventType.MESSAGE:
            return self._message(item)
        if item.type is EventType.APPROVAL:
            return self._approval(item.payload)
        return []

    @property
    def now(self) -> str:
        """What goes on, in a line."""
        for part in reversed(self.parts):
            if isinstance(part, CallPart) and part.state in ("works", "waits"):
                return ("waits for your consent: " if part.state == "waits" else "") + part.line
        return ""

    @property
    def last_words(self) -> str:
        return next((part.text for part in reversed(self.parts) if isinstance(part, Words) and part.kind == "text"), "")

    def _add(self, part: Part) -> Part:
        self.parts.append(part)
        return part

    def _delta(self, delta: Delta) -> list[Part]:
        if delta.parent_tool_use_id is not None or delta.kind == "tool_input":
            return []
        begun = self._begun.setdefault((delta.message_id, delta.kind), {})
        if (words := begun.get(delta.block)) is None:
            begun[delta.block] = words = Words(delta.kind)
            self.parts.append(words)
        words.text += clean(delta.text)
        return [words]

    def _message(self, event: Event) -> list[Part]:
        kind, message = event.payload.get("type"), event.payload.get("message")
        if kind == "system" and event.payload.get("subtype") == "init":
            self._directory = str(event.payload.get("cwd") or "")
        content = message.get("content") if isinstance(message, Mapping) else None
        if kind not in ("assistant", "user") or not isinstance(message, Mapping) or not isinstance(content, list):
            return []
        nested = event.payload.get("parent_tool_use_id") is not None
        changed: list[Part] = []
        for block in content:
            if not isinstance(block, Mapping):
                continue
            match block.get("type"):
                case "text" if kind == "assistant" and not nested:
                    changed.append(self._whole(str(message.get("id")), "text", str(block.get("text", ""))))
                case "thinking" if kind == "assistant" and not nested:
                    changed.append(self._whole(str(message.get("id")), "thinking", str(block.get("thinking", ""))))
                case "tool_use":
                    changed.append(self._call(block, nested=nested))
                case "tool_result":
                    changed += self._result(block)
        return changed

    def _whole(self, message_id: str, kind: Literal["text", "thinking"], text: str) -> Part:
        """Claude Code sends each block of a message as an event of its own, in their order, so the first block of its
        kind that was begun is the one that is now whole."""
        begun = self._begun.get((message_id, kind), {})
        words = begun.pop(min(begun)) if begun else None
        if words is None:
            words = Words(kind)
            self.parts.append(words)
        words.text, words.done = clean(text), True
        return words

    def _call(self, block: Mapping[str, Any], *, nested: bool) -> Part:
        given = block.get("input")
        part = CallPart(line=call_line(block, self._directory), input=shown(given), nested=nested)
        self._calls[str(block.get("id"))] = part
        return self._add(part)

    def _result(self, block: Mapping[str, Any]) -> list[Part]:
        part = self._calls.get(str(block.get("tool_use_id")))
        if part is None:
            return []
        content = block.get("content")
        if isinstance(content, list):
            content = "\n".join(
                str(piece.get("text", f"[{piece.get('type')}]")) for piece in content if isinstance(piece, Mapping)
            )
        part.result = cut(clean(str(content or "")))
        if part.state != "denied":
            part.state = "failed" if block.get("is_error") else "done"
        part.approval_id = None
        return [part]

    def _approval(self, payload: Mapping[str, Any]) -> list[Part]:
        approval_id = str(payload.get("id"))
        if payload.get("tool") and not payload.get("decision"):
            part = self._calls.get(str(payload.get("tool_use_id")))
            if part is None:
                line = call_line({"name": payload["tool"], "input": payload.get("input")}, self._directory)
                part = CallPart(line=line, input=shown(payload.get("input")))
                self.parts.append(part)
            part.state, part.approval_id = "waits", approval_id
            self._approvals[approval_id] = part
            return [part]
        part = self._approvals.get(approval_id)
        if part is None or part.state != "waits":
            return []
        part.approval_id = None
        if payload.get("decision") == "deny":
            part.state = "denied"
            part.decided = one_line(f"denied by {payload.get('decided_by')} {payload.get('message') or ''}")
        else:
            part.state = "works"
            if payload.get("decision"):
                part.decided = one_line(f"allowed by {payload.get('decided_by')}")
        return [part]


def call_line(block: Mapping[str, Any], directory: str) -> str:
    """A call in a line; that of a function of this notebook as Python would write it."""
    name, given = str(block.get("name")), block.get("input")
    prefix = f"mcp__{FUNCTIONS_SERVER}__"
    if not name.startswith(prefix):
        return describe_call(block, directory)
    arguments = ", ".join(f"{key}={value!r}" for key, value in given.items()) if isinstance(given, Mapping) else ""
    return one_line(f"{name.removeprefix(prefix)} ({arguments})")


def shown(given: Any) -> str:
    """A call's input: the one text that says it all, or JSON."""
    if isinstance(given, Mapping):
        rest = {name: value for name, value in given.items() if name != "description"}
        if len(rest) == 1 and isinstance(next(iter(rest.values())), str):
            return cut(clean(str(next(iter(rest.values())))))
    return cut(clean(json.dumps(given, indent=2, ensure_ascii=False)))


def cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}\n... {len(text) - MAX_SHOWN} more characters"
