"""Answers a run's calls of this program's functions, for as long as the run lasts."""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx

from ..errors import AgentsError, Conflict, NotFound, StoreUnavailable
from ..models import FunctionAnswer, FunctionCall, FunctionsOffer
from . import protocol
from .errors import NoWorkspace, Unreachable, WorkspaceNotRunning
from .follow import backoff
from .functions import PythonFunction, failure, said

if TYPE_CHECKING:
    from .aio import AsyncAgentClient

log = logging.getLogger(__name__)

WAIT_S = 20.0
"""How long a question for calls may wait for one. Below every timeout on the way (the client's is 30 s)."""

Execute: TypeAlias = Callable[[PythonFunction, Mapping[str, Any]], Awaitable[Any]]
"""Calls a function where it belongs. Cancelled when nobody waits for the result any more."""


class Interrupted(Exception):
    """The person interrupted a call."""

    def __str__(self) -> str:
        return "the person interrupted this call"


async def here(function: PythonFunction, arguments: Mapping[str, Any]) -> Any:
    """An async function on this loop, another in a thread, so that it blocks nothing."""
    if function.is_async:
        return await function.call(arguments)
    value = await asyncio.to_thread(function.call, arguments)
    return await value if inspect.isawaitable(value) else value


class Serving:
    """One program's part in a run: it asks for calls, makes them, and answers."""

    def __init__(
        self,
        client: AsyncAgentClient,
        run_id: str,
        functions: Mapping[str, PythonFunction],
        execute: Execute = here,
        *,
        patience_s: float,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._functions = functions
        self._execute = execute
        self._patience_s = patience_s
        self._holder = secrets.token_hex(16)
        self._known: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Answer calls until the run has ended, or the workspace cannot be reached for long."""
        attempt, lost_at = 0, 0.0
        try:
            while True:
                try:
                    if await self._ask():
                        return
                    attempt = 0
                except PASSING as error:
                    lost_at = time.monotonic() if attempt == 0 else lost_at
                    if time.monotonic() - lost_at > self._patience_s:
                        log.warning("run %s: its functions are no longer offered: %s", self._run_id, error)
                        return
                    await asyncio.sleep(backoff(attempt))
                    attempt += 1
                except AgentsError as error:
                    log.warning("run %s: its functions are not offered: %s", self._run_id, error.message)
                    return
        finally:
            left = list(self._known.values())
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _ask(self) -> bool:
        """One question. True when the run has ended."""
        definitions = [function.definition for function in self._functions.values()]
        offer = FunctionsOffer(holder=self._holder, functions=definitions, known=list(self._known), wait=WAIT_S)
        found = await self._client._send(protocol.function_calls(self._run_id, offer))
        for call_id in found.gone:
            if (task := self._known.pop(call_id, None)) is not None:
                task.cancel()
        for call in found.calls:
            if call.id not in self._known:
                self._known[call.id] = asyncio.create_task(self._answer(call), name=f"call of {call.name}")
        return found.ended

    async def _answer(self, call: FunctionCall) -> None:
        text, is_error = await self._result(call)
        answer = FunctionAnswer(holder=self._holder, call=call.id, text=text, is_error=is_error)
        try:
            attempt = 0
            while True:
                try:
                    await self._client._send(protocol.answer_function(self._run_id, answer))
                    return
                except PASSING:
                    # Sent twice it does no harm: the second finds nobody who waits.
                    if attempt >= MAX_ATTEMPTS:
                        raise
                    await asyncio.sleep(backoff(attempt))
                    attempt += 1
        except (NotFound, Conflict) as error:
            log.debug("run %s: %s", self._run_id, error.message)
        except AgentsError as error:
            log.warning("run %s: the result of %s did not arrive: %s", self._run_id, call.name, error.message)
        finally:
            self._known.pop(call.id, None)

    async def _result(self, call: FunctionCall) -> tuple[str, bool]:
        function = self._functions.get(call.name)
        if function is None:
            return f"There is no function {call.name!r} in this program.", True
        try:
            value = await self._execute(function, call.arguments)
            return await asyncio.to_thread(said, value), False
        except Exception as error:
            return failure(error), True


PASSING = (httpx.TransportError, Unreachable, WorkspaceNotRunning, StoreUnavailable, NoWorkspace)
"""What passes: a proxy that was just restarted answers 404, or sends to the hub, until it has been told all routes."""
MAX_ATTEMPTS = 8
