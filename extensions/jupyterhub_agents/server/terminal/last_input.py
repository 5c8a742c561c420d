"""When a person last typed in the terminal, as tmux knows it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

SESSION = "claude"
"""The session's name; attach.sh uses the same."""
TMUX_LIMIT_S = 2.0


class LastInput:
    """The last input of the session behind a tmux socket."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._known: datetime | None = None

    async def ask(self) -> datetime | None:
        """When a person last typed (or used the mouse), to the second; None when nobody has. Takes two seconds at most.

        Output is no input. A connection is none either: an idle tab connects again by itself, and tmux counts that as
        activity of the session (tmux(1), session_activity), so only what is later than the last connection is taken.
        What was typed before a connection is remembered from the time one asked.
        """
        try:
            tmux = await asyncio.create_subprocess_exec(
                *("tmux", "-S", str(self.socket), "display-message", "-p", "-t", f"={SESSION}:"),
                "#{session_activity} #{session_last_attached}",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError:
            return self._known
        try:
            async with asyncio.timeout(TMUX_LIMIT_S):
                answer, _ = await tmux.communicate()
        except TimeoutError:
            tmux.kill()
            await tmux.wait()
            return self._known
        times = [int(word) for word in answer.split() if word.isdigit()]
        if len(times) == 2 and times[0] > times[1]:
            self._known = datetime.fromtimestamp(times[0], UTC)
        return self._known
