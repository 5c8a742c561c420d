"""The functions of a person's program that their run may call: offered, called by Claude, answered.

Claude Code sees an MCP server within this process, over its own standard input and output (the SDK's `sdk` servers): no
further process, port or secret. Each call waits at the run's desk until the program that offered the functions, which
asks for calls over the API, has answered it. Calls are in the run's events as any tool's, the functions' names in its
first one; nothing else is stored, and nothing outlives the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..errors import Conflict, NotFound
from ..ids import new_session_id
from ..models import Function, FunctionAnswer, FunctionCall, FunctionCalls, FunctionsOffer

AWAY = (
    "The program with this function does not answer. Its notebook's kernel was stopped or restarted, or has lost its "
    "connection, so none of its functions can be called now."
)
GONE = "The run ends, so this call was given up."


class Called(NamedTuple):
    """What a call came to: its result, or with `is_error` what went wrong."""

    text: str
    is_error: bool


class FunctionDesk:
    """Where one run's calls of functions wait for the program that has them.

    One program answers: the first that asks for calls, until it has been away for `away_s` seconds. A call that waits
    for a program that is away ends with an error that says so.
    """

    def __init__(self, functions: Sequence[Function] = (), *, away_s: float) -> None:
        self.functions = tuple(functions)
        self.expected = False
        """Whether a program is to offer functions yet, as it did to a server before."""
        self._away_s = away_s
        self._holder: str | None = None
        self._seen_at = time.monotonic()
        self._asking = 0
        self._calls: dict[str, FunctionCall] = {}
        self._answers: dict[str, asyncio.Future[FunctionAnswer]] = {}
        self._news = asyncio.Event()
        self._offered = asyncio.Event()
        self._closed = False

    # What the program with the functions asks

    async def calls(self, offer: FunctionsOffer) -> FunctionCalls:
        """What changed about the calls that the program knows: at once, or when it comes within `offer.wait` seconds.
        Raises Conflict while another program answers."""
        self._take(offer.holder)
        # After a restart of the server the run has them again with the first question.
        self.functions = self.functions or tuple(offer.functions)
        self._offered.set()
        known = set(offer.known)
        self._asking += 1
        try:
            async with asyncio.timeout(offer.wait):
                while not (self._closed or known != self._calls.keys()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._asking -= 1
            self._seen_at = time.monotonic()
        return FunctionCalls(
            calls=[call for call in self._calls.values() if call.id not in known],
            gone=sorted(known - self._calls.keys()),
            ended=self._closed,
        )

    def answer(self, answer: FunctionAnswer) -> None:
        """Take a call's result. Raises NotFound when nobody waits for it (any more), Conflict as `calls` does."""
        self._take(answer.holder)
        waiting = self._answers.get(answer.call)
        if waiting is None or waiting.done():
            raise NotFound(f"No call {answer.call[:100]} waits for an answer: it was given up, or the run has ended.")
        waiting.set_result(answer)

    def _take(self, holder: str) -> None:
        if self._holder not in (None, holder) and not self._is_away():
            raise Conflict("Another program answers the calls of this run's functions, and it is there.")
        self._holder = holder
        self._seen_at = time.monotonic()

    async def offered(self) -> None:
        """Give a program that is expected the time in which it counts as there: the CLI is told of functions when it is
        started."""
        if self.expected and not self.functions:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._away_s):
                    await self._offered.wait()

    # What Claude asks

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Called:
        """Have the program call one of its functions."""
        if name not in {function.name for function in self.functions}:
            return _failed(f"There is no function {name!r} here.")
        call = FunctionCall(id=new_session_id(), name=name, arguments=dict(arguments))
        waiting: asyncio.Future[FunctionAnswer] = asyncio.get_running_loop().create_future()
        self._calls[call.id], self._answers[call.id] = call, waiting
        self._news.set()
        try:
            while not waiting.done():
                if self._closed:
                    return _failed(GONE)
                if self._is_away():
                    return _failed(AWAY)
                await asyncio.wait({waiting}, timeout=self._look_again_s())
            answer = waiting.result()
            return Called(answer.text, answer.is_error)
        finally:
            waiting.cancel()
            del self._calls[call.id], self._answers[call.id]
            self._news.set()

    def _is_away(self) -> bool:
        return not self._asking and time.monotonic() - self._seen_at > self._away_s

    def _look_again_s(self) -> float:
        return max(self._seen_at + self._away_s - time.monotonic(), 0.1) if not self._asking else self._away_s

    def close(self) -> None:
        """The run has ended: calls that wait are given up, and who asks for more is told."""
        self._closed = True
        for waiting in self._answers.values():
            waiting.cancel()
        self._news.set()


def _failed(text: str) -> Called:
    return Called(text, is_error=True)
