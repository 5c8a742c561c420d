"""One execution of a run by one CLI process: from its start to a status that says how it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..errors import AgentsError
from ..ids import Clock
from ..models import EventType, RunStatus
from . import metrics
from .approvals import Gate
from .cli import SessionEnded
from .logs import failed
from .outcome import DeltaReader, Outcome, UsageCounter, interrupted, outcome_of
from .recorder import Recorder, without_half_characters
from .watch import StuckWatch

if TYPE_CHECKING:
    from .session import ClaudeSession

log = logging.getLogger(__name__)

INTERRUPT_S = 0.6
"""How long an interrupted CLI may take to tell its result, with what was used, before it is ended."""
IDLE_S = 5.0
"""How long to wait for the CLI's `idle` after a result, when it has not said that it goes on working."""


LEAVE_S = 1.5
"""How long a CLI that has done its work may take to leave, before it is ended."""


class Stop(StrEnum):
    """Why a run is stopped from outside."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    REST = "rest"
    """Its calls have waited for a person for long, and nothing else is done: the process is given up."""
    STUCK = "stuck"


class DiedWaiting(Exception):
    """A CLI that had waited for this run died before it said anything."""


class Execution:
    """Drives one run, or the part of it between two rests. `open_session` gives a session that is not connected yet.

    `timeout_s` is how long it may work; while it waits for a person, that clock stands still. After `rest_after_s`
    without anything but waiting its process is ended; None never does that.
    """

    def __init__(
        self,
        recorder: Recorder,
        open_session: Callable[[], Awaitable[ClaudeSession]],
        *,
        gate: Gate,
        prompt: str,
        timeout_s: float,
        stuck_after_s: float,
        rest_after_s: float | None,
        kept_usage: dict[str, Any],
        clock: Clock,
    ) -> None:
        self.recorder = recorder
        self.session: ClaudeSession | None = None
        self._open_session = open_session
        self._gate = gate
        self._rest_after_s = rest_after_s
        self._prompt = prompt
        self._timeout_s = timeout_s
        self._stuck_after_s = stuck_after_s
        self._silence = StuckWatch(stuck_after_s, lambda: self.stop(Stop.STUCK))
        self._clock = clock
        self._stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._usage = UsageCounter(recorder.run.usage, kept_usage)
        self._turns_before = recorder.run.turns
        self._turns = 0
        self._deltas = DeltaReader(recorder.run.id)
        self._heard_at = time.monotonic()

    def stop(self, why: Stop) -> None:
        """Have it end soon. The first reason counts."""
        if not self._stop.done():
            self._stop.set_result(why)

    async def run(self) -> Outcome:
        """Work to the end, or to a rest, and record how it ended. The outcome of a rest is WAITING."""
        work = asyncio.create_task(self._work(), name=f"run {self.recorder.run.id}")
        try:
            why = await self._watch(work)
            outcome = self._told(work) if why is None else await self._end_early(work, why)
            if outcome.status is RunStatus.WAITING:
                await self._gate.rest()
        finally:
            self._silence.stop()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._close_session()
        await self._complete_transcript()
        await self._record_end(outcome)
        return outcome

    async def _watch(self, work: asyncio.Task[Outcome]) -> Stop | None:
        """Wait for the end of the work (None), or for a reason to end it."""
        worked = 0.0
        while True:
            waiting = self._gate.waiting > 0
            self._gate.changed.clear()
            changed = asyncio.create_task(self._gate.changed.wait(), name=f"approvals of {self.recorder.run.id}")
            begin = time.monotonic()
            limit = self._until_rest() if waiting else max(self._timeout_s - worked, 0)
            try:
                either: set[asyncio.Future[Any]] = {work, self._stop, changed}
                await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if not waiting:
                worked += time.monotonic() - begin
            if work.done():
                return None
            if self._stop.done():
                return self._stop.result()
            if waiting and self._until_rest() == 0:
                return Stop.REST
            if worked >= self._timeout_s:
                return Stop.TIMEOUT

    def _until_rest(self) -> float | None:
        """Seconds until a run that only waits may rest; None when it never does."""
        if self._rest_after_s is None:
            return None
        since = max(self._heard_at, self._gate.asked_at)
        return max(since + self._rest_after_s - time.monotonic(), 0)

    async def _work(self) -> Outcome:
        """Work with the session that is given; with another when that one waited and died before it said anything."""
        try:
            return await self._converse()
        except DiedWaiting as died:
            log.info("run %s: the CLI that waited for it is gone: %s", self.recorder.run.id, died)
            await self._close_session()
            return await self._converse()

    async def _converse(self) -> Outcome:
        """Connect, hand over the prompt, record what comes back until the CLI has no more to do."""
        begin = time.perf_counter()
        self.session = session = await self._open_session()
        self._gate.begin()
        session.permission = self._gate.ask
        await session.connect()
        try:
            await session.send(self._prompt)
        except SessionEnded as ended:
            if session.rehearsed:
                raise DiedWaiting(str(ended)) from ended
            return Outcome.failed("session_ended", f"Claude Code broke off before it began: {ended}")
        await self._gate.told()
        result: dict[str, Any] | None = None
        idle = True
        heard = False
        async with aclosing(session.messages()) as messages:
            while True:
                # After a result the CLI may go on by itself, when work in the background has ended; while it
                # says that it is not idle, it is heard out.
                limit = IDLE_S if result is not None and idle else None
                self._silence.listen()
                try:
                    async with asyncio.timeout(limit):
                        message = await anext(messages, None)
                except TimeoutError:
                    break
                except SessionEnded as ended:
                    if session.rehearsed and not heard:
                        raise DiedWaiting(str(ended)) from ended
                    if result is None and self._gate.waiting:
                        return Outcome(RunStatus.WAITING)
                    if result is None:
                        return Outcome.failed("session_ended", f"Claude Code broke off before it was done: {ended}")
                    break
                if message is None:
                    if session.rehearsed and not heard:
                        raise DiedWaiting("it ended without a word")
                    break
                self._heard_at = time.monotonic()
                self._silence.take(message)
                kind = message.get("type")
                if not heard:
                    heard = True
                    metrics.FIRST_EVENT_SECONDS.observe(time.perf_counter() - begin)
                if kind == "stream_event":
                    if delta := self._deltas.read(message):
                        self.recorder.delta(delta)
                elif kind == "system" and message.get("subtype") == "session_state_changed":
                    idle = message.get("state") == "idle"
                    if idle and result is not None:
                        break
                else:
                    await self._record(message)
                    if kind == "result":
                        result = message
        if result is None and self._gate.waiting:
            return Outcome(RunStatus.WAITING)
        if result is None:
            return Outcome.failed(
                "no_result", "Claude Code ended without a result. " + session.last_words("It gave no reason.")
            )
        return outcome_of(result)

    async def _record(self, message: dict[str, Any]) -> None:
        self._usage.take(message)
        changes: dict[str, Any] = {}
        if message.get("type") == "result":
            self._turns += int(message.get("num_turns") or 0)
            changes = {"usage": self._usage.total, "turns": self._turns_before + self._turns}
        await self.recorder.add(EventType.MESSAGE, without_half_characters(message), **changes)

    async def _end_early(self, work: asyncio.Task[Outcome], why: Stop) -> Outcome:
        if self.session is not None and why not in (Stop.SHUTDOWN, Stop.REST):
            # An interrupted CLI writes its transcript to the end and tells what it used.
            with suppress(Exception):
                async with asyncio.timeout(INTERRUPT_S / 2):
                    await self.session.interrupt()
            await asyncio.wait({work}, timeout=INTERRUPT_S)
        if why in (Stop.SHUTDOWN, Stop.REST):
            await self._gate.rest()
        if self.session is not None:
            self.session.kill()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        match why:
            case Stop.CANCEL:
                return Outcome(RunStatus.CANCELLED)
            case Stop.TIMEOUT:
                return Outcome.failed(
                    "timeout",
                    f"It was stopped after {self._timeout_s:g} s, the longest it may take. Resume it to go on, or "
                    "raise the agent's timeout_s.",
                )
            case Stop.STUCK:
                return Outcome.failed(
                    "stuck",
                    f"Claude Code was silent for {self._stuck_after_s:g} s with no tool at work, so it was ended. "
                    "Resume it to go on where it was.",
                )
            case Stop.REST:
                return Outcome(RunStatus.WAITING)
            case Stop.SHUTDOWN if self._gate.waiting or self._gate.untold:
                return Outcome(RunStatus.WAITING)
            case Stop.SHUTDOWN:
                return interrupted("The workspace was stopped while it worked.")

    def _told(self, work: asyncio.Task[Outcome]) -> Outcome:
        error = work.exception()
        if error is None:
            return work.result()
        if isinstance(error, AgentsError):
            return Outcome.failed(error.code, error.message)
        failed(log, "a run failed for a reason of the server's own", error)
        return Outcome.failed("internal_error", "It failed for a reason of the server's own; its log has the details.")

    async def _close_session(self) -> None:
        """End the CLI. One that has done its work has a moment to leave by itself."""
        session = self.session
        if session is None:
            return
        closing = asyncio.create_task(session.close(), name=f"close {self.recorder.run.id}")
        await asyncio.wait({closing}, timeout=LEAVE_S)
        session.kill()
        try:
            await closing
        except Exception as error:
            failed(log, "a CLI could not be closed in order", error)

    async def _complete_transcript(self) -> None:
        """See that the store has all that the CLI wrote, so that the session can go on elsewhere when the run's end is
        known. What fails here is made good when the session goes on in this home."""
        mirror = self.session and self.session.mirror
        if not mirror:
            return
        try:
            if await mirror.find_missing():
                # The store is back when it has taken the events.
                await self.recorder.drain()
                await mirror.catch_up()
        except (AgentsError, OSError) as error:
            log.error("a transcript is not whole in the store: %s", error)

    async def _record_end(self, outcome: Outcome) -> None:
        usage = self._usage.total
        if usage != self.recorder.run.usage:
            await self.recorder.add(EventType.USAGE, usage.model_dump(mode="json"), usage=usage)
        if outcome.status is RunStatus.WAITING:
            await self.recorder.drain()
        else:
            await self._gate.close()
            await record_status(self.recorder, outcome, self._clock)


async def record_status(recorder: Recorder, outcome: Outcome, clock: Clock) -> None:
    """Record a status and wait until it is stored."""
    payload: dict[str, Any] = {"status": outcome.status.value}
    changes: dict[str, Any] = {"status": outcome.status, "error": outcome.error}
    if outcome.error is not None:
        payload["error"] = outcome.error.model_dump()
    if outcome.status.is_final:
        changes |= {"finished_at": clock(), "result": outcome.result}
    await recorder.add(EventType.STATUS, payload, **changes)
    await recorder.drain()
