"""`Request`: what a request to the model asks, once everything that is not the conversation is set aside.

Claude Code sends more than what was said. What is known of it, as seen with version 2.1.329:

- messages of the role `system` and texts in `<system-reminder>` tags stand before a prompt, after it, and
  after a tool's result; so does the notice that a background task has ended;
- a slash command leaves `<command-name>` and `<local-command-...>` texts before the next prompt, and an
  interruption leaves a note in brackets; what a person says next is in the same message;
- a turn cut by `max_tokens` or refused goes on by a note of the CLI's own in a person's place;
- to compact a session the CLI asks for a summary, and goes on with that instead of the messages;
- side requests, such as the one for a session's title, have no tools and no thinking.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .messages_api import Json, blocks

_ADDITIONS = re.compile(
    r"<system-reminder>.*?</system-reminder>"
    r"|<(?P<tag>local-command-[a-z]+|command-[a-z]+)>.*?</(?P=tag)>"
    r"|\[Request interrupted by user[^\]]*\]",
    re.DOTALL,
)
_NOTES = ("Output token limit hit. Resume directly", "Your response above was stopped by a safety classifier")
_SUMMARY_WANTED = "Your task is to create a detailed summary"
_COMPACTED = "This session is being continued from a previous conversation"
_BOOKMARK = re.compile(r"<bookmark>(.*?)</bookmark>", re.DOTALL)


class Headers(dict[str, str]):
    """Headers by name, in any case of its letters."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


@dataclass(frozen=True)
class ToolResult:
    """What a tool call gave; `text` is without reminders."""

    tool: str
    input: Json
    text: str
    is_error: bool


@dataclass(frozen=True)
class _Place:
    """Where the latest prompt stands: its text, the number of its message, and how many replies to it a
    compaction has taken out of the history."""

    prompt: str = ""
    index: int = -1
    compacted: int = 0


@dataclass(eq=False)
class Request:
    """One request as it came in, and what became of it."""

    method: str
    path: str
    headers: Headers
    body: Json
    status: int | None = None
    """The status that was answered; None when nothing was, or not yet."""
    finished: bool = False
    """Nothing more is sent: the answer is complete, was cut, or the client went away."""
    disconnected: bool = False
    """The client went away before the answer was complete."""

    @cached_property
    def messages(self) -> list[Json]:
        """The history without messages of the role `system`, each content as a list of blocks."""
        return [
            {"role": message["role"], "content": blocks(message["content"])}
            for message in self.body.get("messages", [])
            if message["role"] != "system"
        ]

    @property
    def model(self) -> str:
        """The id of the model that was asked for."""
        return str(self.body.get("model", ""))

    @property
    def system(self) -> str:
        """The system prompt as one text."""
        return "\n".join(block.get("text", "") for block in blocks(self.body.get("system") or ""))

    @property
    def surroundings(self) -> str:
        """What the CLI tells of the place it works in: the system prompt and messages of the role `system`."""
        told = [m["content"] for m in self.body.get("messages", []) if m["role"] == "system"]
        return "\n".join([self.system, *(b.get("text", "") for content in told for b in blocks(content))])

    @property
    def tools(self) -> dict[str, Json]:
        """The tools on offer, by name."""
        return {str(tool.get("name")): tool for tool in self.body.get("tools") or []}

    @property
    def prompt(self) -> str:
        """The latest thing that was said to the model: by a person, or by an agent to its subagent."""
        return self._place.prompt

    @property
    def step(self) -> int:
        """How many replies to the prompt there are already: the number of the one now wanted."""
        replies = [message for message in self.since_prompt if message["role"] == "assistant"]
        return self._place.compacted + len(replies)

    @property
    def since_prompt(self) -> list[Json]:
        """The messages that followed the prompt."""
        return self.messages[self._place.index + 1 :]

    @property
    def results(self) -> list[ToolResult]:
        """The results of the tool calls since the prompt, in the order of the calls. The CLI sends those of
        one message in the order in which they ended."""
        since = [block for message in self.since_prompt for block in message["content"]]
        results = {block["tool_use_id"]: block for block in since if block.get("type") == "tool_result"}
        return [
            ToolResult(
                tool=call["name"],
                input=call["input"],
                text=_text_of(results[call["id"]]),
                is_error=bool(results[call["id"]].get("is_error")),
            )
            for call in since
            if call.get("type") == "tool_use" and call["id"] in results
        ]

    @property
    def wants_summary(self) -> bool:
        """The CLI compacts the session, and asks for the summary to go on with."""
        return any(_SUMMARY_WANTED in block.get("text", "") for block in self.messages[-1]["content"])

    @property
    def is_side_request(self) -> bool:
        """Asked by the CLI for itself, such as a session's title, and no part of a conversation."""
        wants_form = "format" in (self.body.get("output_config") or {})
        from_cli = self.headers.get("x-app") == "cli"
        return from_cli and not self.tools and (wants_form or "thinking" not in self.body)

    @property
    def bookmark(self) -> str:
        """Prompt and step in a form that a summary can carry and a later request is understood by."""
        return f"<bookmark>{json.dumps({'prompt': self.prompt, 'step': self.step})}</bookmark>"

    @property
    def input_tokens(self) -> int:
        """A quarter of the characters of system prompt, tools and messages."""
        parts = [self.body.get(name) or [] for name in ("system", "tools", "messages")]
        return max(1, sum(len(json.dumps(part, ensure_ascii=False)) for part in parts) // 4)

    @cached_property
    def _place(self) -> _Place:
        for index in range(len(self.messages) - 1, -1, -1):
            message = self.messages[index]
            if message["role"] != "user":
                continue
            for block in reversed(message["content"]):
                text = _ADDITIONS.sub("", block.get("text", "")).strip()
                if text.startswith(_COMPACTED) and (mark := _BOOKMARK.search(text)):
                    return _Place(**_read_bookmark(mark[1]), index=index)
                if text and not text.startswith(_NOTES) and _SUMMARY_WANTED not in text:
                    return _Place(text, index)
        return _Place()


def _read_bookmark(text: str) -> Json:
    mark = json.loads(text)
    return {"prompt": str(mark["prompt"]), "compacted": int(mark["step"])}


def _text_of(result: Json) -> str:
    text = "".join(part.get("text", "") for part in blocks(result.get("content") or ""))
    return _ADDITIONS.sub("", text).strip("\n")
