"""`StuckWatch`: notices a CLI that has gone silent with nothing to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class StuckWatch:
    """Calls `on_stuck` when the CLI says nothing for `limit_s` seconds (0 is never) while it is listened to.

    Silence is in order while a tool call is open, also one that waits for a person's consent, and while tasks of the
    CLI's work in the background. Before each new attempt at an API call the CLI says how long it will wait
    (`api_retry`); that wait does not count.
    """

    def __init__(self, limit_s: float, on_stuck: Callable[[], None]) -> None:
        self._limit_s = limit_s
        self._on_stuck = on_stuck
        self._calls: set[str] = set()
        self._tasks: set[str] = set()
        self._announced_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def listen(self) -> None:
        """From now on the next message is waited for. What the reader does between two messages is not silence."""
        self.stop()
        if self._limit_s and not self._calls and not self._tasks:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s + self._announced_s, self._on_stuck)

    def take(self, message: dict[str, Any]) -> None:
        """A message came."""
        self.stop()
        self._announced_s = 0.0
        match message.get("type"), message.get("subtype"):
            case "assistant", _:
                self._calls.update(str(block.get("id")) for block in blocks(message, "tool_use"))
            case "user", _:
                self._calls.difference_update(str(block.get("tool_use_id")) for block in blocks(message, "tool_result"))
            case "result", _:
                self._calls.clear()
            case "system", "background_tasks_changed":
                self._tasks = {str(task.get("task_id")) for task in message.get("tasks") or []}
            case "system", "api_retry":
                self._announced_s = float(message.get("retry_delay_ms") or 0) / 1000

    def stop(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def blocks(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The content blocks of that type in an `assistant` or `user` message."""
    content = (message.get("message") or {}).get("content")
    return [block for block in content if block.get("type") == kind] if isinstance(content, list) else []
