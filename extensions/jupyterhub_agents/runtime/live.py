"""`LiveRun`: one run from the queue to its end, with all that it needs on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import AgentsError
from ..ids import Clock
from ..models import Agent, EventType, Function, Run, RunStatus
from . import metrics
from .approvals import Gate
from .cli import kept_usage
from .execution import Execution, Stop, record_status
from .feed import RunFeed
from .functions import FunctionDesk
from .given import PrivateFiles, SessionChoice
from .lifecycle import tell_ended, tell_queued, tell_started
from .logs import about, failed
from .outcome import Outcome, interrupted
from .pool import WarmCLI, WarmPool
from .recorder import Recorder
from .settings import RunSettings
from .workplace import Workplace

if TYPE_CHECKING:
    from .session import ClaudeSession

log = logging.getLogger(__name__)

RESUME_PROMPT = "Continue from where you left off."


@dataclass(frozen=True)
class Turn:
    """What a CLI is started for: a prompt, in a new session or in the run's."""

    prompt: str
    resume: bool


@dataclass(frozen=True)
class Floor:
    """What all runs of a workspace share."""

    workplace: Workplace
    settings: RunSettings
    places: asyncio.Semaphore
    pool: WarmPool
    clock: Clock


class LiveRun:
    """A run that this server is working on, or will. While it `rests` it has no process and no place: all that is left
    to do is a person's. `on_trouble` hears why its events wait for the store, `on_release` that nothing is left to do.
    """

    def __init__(
        self,
        run: Run,
        functions: Sequence[Function],
        floor: Floor,
        *,
        on_trouble: Callable[[str], None],
        on_release: Callable[[], object],
    ) -> None:
        store = floor.workplace.store
        self.feed = RunFeed(run)
        self.recorder = Recorder(store, self.feed, floor.clock, on_trouble)
        self.gate = Gate(store, self.recorder, floor.clock)
        self.desk = FunctionDesk(functions, away_s=floor.settings.functions_away_s)
        self.rests = False
        self.execution: Execution | None = None
        self.stopped: Stop | None = None
        self.task: asyncio.Task[None] | None = None
        self.warm: WarmCLI | None = None
        self._floor = floor
        self._on_release = on_release

    @property
    def is_over(self) -> bool:
        """Whether its end is recorded: all that is left is to put away what it had."""
        # One that is resumed has the end that it had before, until it is in the queue.
        return self.task is not None and self.recorder.newest_status.is_final

    def stop(self, why: Stop) -> None:
        """End it, with its CLI and all that started, or without when it has none. One that is over stays as it is."""
        if self.is_over:
            return
        self.stopped = self.stopped or why
        if self.execution is not None:
            self.execution.stop(why)
        elif self.task is not None and not self.task.cancelling():  # a second time would keep it from recording its end
            self.task.cancel()

    async def release(self) -> None:
        """Let go of its place, its readers and what is ready for it."""
        self._on_release()
        self.gate.forget()
        self.desk.close()
        self.feed.end()
        await self.gate.rest()
        await self.recorder.stop()
        if self.warm is not None:
            await self.warm.discard()

    # How it begins

    async def enqueue(self, agent: Agent, turn: Turn) -> Run:
        """Put it into the queue. It begins while that is being stored; nobody sees more of it before that is."""
        self.recorder.start()
        await self._record_queued(turn)
        self._begin(agent, turn)
        try:
            await self.recorder.drain()
        except AgentsError:
            self.stop(Stop.SHUTDOWN)
            raise
        return self.feed.run

    async def wait_for_people(self) -> None:
        """Take it up at rest: its calls wait for a person, or were decided while nobody was there."""
        work, run = self._floor.workplace, self.feed.run
        # Another's is looked at when the run goes on: they may have withdrawn it, and the service may be away.
        agent = await work.agent_of(run) if run.agent_owner is None else None
        await self.gate.load()
        self.desk.expected = await work.had_functions(run)
        self.recorder.start()
        if run.status is not RunStatus.WAITING:
            await self.gate.announce()
        self.rests = True
        self._begin(agent, None)
        await asyncio.sleep(0)  # a task that is cancelled before its first step takes none, and would release nothing

    async def interrupt(self, why: str) -> Run:
        """Record that it was interrupted, and let go of it."""
        before = self.feed.run
        self.recorder.start()
        try:
            await record_status(self.recorder, interrupted(why), self._floor.clock)
        finally:
            await self.release()
        with about(before):
            tell_ended(self.feed.run, before)
        return self.feed.run

    async def next_turn(self, agent: Agent, prompt: str | None) -> Turn:
        """How it goes on in its session, or, when there is none yet, begins again. Decisions that its CLI has not been
        told are said with it."""
        work, run = self._floor.workplace, self.feed.run
        await work.restore_session(run, agent)
        resumable = await work.has_session(run)
        words = self.gate.words() if self.gate.untold else ""
        if prompt is None:
            answered = resumable and await work.was_answered(run)
            prompt = (RESUME_PROMPT if not words else "") if answered else run.prompt
        return Turn("\n\n".join(part for part in (prompt, words) if part), resumable)

    async def _record_queued(self, turn: Turn) -> None:
        payload: dict[str, Any] = {"status": RunStatus.QUEUED.value}
        if turn.resume:
            payload["prompt"] = turn.prompt
        if self.desk.functions:
            payload["functions"] = [function.name for function in self.desk.functions]
        await self.recorder.add(
            EventType.STATUS, payload, status=RunStatus.QUEUED, error=None, finished_at=None, result=None
        )
        with about(self.feed.run):
            tell_queued(self.feed.run, resumed=turn.resume)

    # How it goes

    def _begin(self, agent: Agent | None, turn: Turn | None) -> None:
        with about(self.feed.run):
            self.task = asyncio.create_task(self._live_out(agent, turn), name=f"live run {self.feed.run.id}")

    async def _live_out(self, agent: Agent | None, turn: Turn | None) -> None:
        """The whole life of a run from the queue to its end; without an agent and a turn it begins at rest. Owns the
        run's place, recorder and feed."""
        before = self.feed.run
        try:
            try:
                while True:
                    if turn is None or agent is None:
                        agent, turn = await self._rest(agent)
                    async with self._floor.places:
                        outcome = await self._execute(agent, turn)
                    if outcome.status is not RunStatus.WAITING:
                        break
                    if self.stopped is not None:
                        await self._record_end_without_process()
                        break
                    turn = None
            except asyncio.CancelledError:
                # Stopped while it had no process: there is nothing to end but the run itself, if that has not ended.
                if not self.is_over:
                    if self.stopped is None:
                        raise
                    await self._record_end_without_process()
            except AgentsError as error:
                await self.recorder.start_over()
                await self.gate.close()
                await record_status(self.recorder, Outcome.failed(error.code, error.message), self._floor.clock)
        except Exception as error:
            failed(log, "a run could not be brought to its end", error)
        finally:
            await self.release()
            if self.feed.run.status.is_final:
                metrics.count_end(self.feed.run, before.usage)
                tell_ended(self.feed.run, before)
            self._floor.pool.fill()

    async def _rest(self, agent: Agent | None) -> tuple[Agent, Turn]:
        """Wait, without a process, until a person has decided about all calls; gives how to go on. Raises NotAllowed as
        `Workplace.agent_of` does: another's agent may have been withdrawn meanwhile."""
        run = self.feed.run
        self.rests = True
        await self.gate.all_decided()
        self.rests = False
        if agent is None or run.agent_owner is not None:
            agent = await self.recorder.persist(lambda: self._floor.workplace.agent_of(run))
        turn = await self.recorder.persist(partial(self.next_turn, agent, None))
        await self._record_queued(turn)
        return agent, turn

    async def _record_end_without_process(self) -> None:
        if self.stopped is not Stop.CANCEL and (self.gate.waiting or self.gate.untold):
            # Left as it is: the next server takes it up, and it goes on when the person has decided.
            if self.recorder.newest_status is not RunStatus.WAITING:
                await record_status(self.recorder, Outcome(RunStatus.WAITING), self._floor.clock)
            return
        await self.gate.close()
        outcome = (
            Outcome(RunStatus.CANCELLED)
            if self.stopped is Stop.CANCEL
            else interrupted("The workspace was stopped before it began.")
        )
        await record_status(self.recorder, outcome, self._floor.clock)

    async def _execute(self, agent: Agent, turn: Turn) -> Outcome:
        run = self.feed.run
        files: list[PrivateFiles] = []

        async def open_session() -> ClaudeSession:
            await self.desk.offered()
            ready = await self.warm.hand_over() if self.warm is not None else None
            self.warm = None
            self.gate.directory = directory = await self._floor.workplace.directory_of(run, agent)
            if ready is None:
                choice = SessionChoice(run.session_id, turn.resume)
                ready = await asyncio.to_thread(
                    self._floor.workplace.prepare, agent, run.id, choice, directory, self.gate.rules, self.desk
                )
            session, made = ready
            files.append(made)
            return session

        config = self._floor.workplace.config_folder
        kept = await asyncio.to_thread(kept_usage, config, run.session_id) if turn.resume else {}
        self.execution = execution = Execution(
            self.recorder,
            open_session,
            gate=self.gate,
            prompt=turn.prompt,
            timeout_s=agent.timeout_s or self._floor.settings.default_timeout_s,
            stuck_after_s=self._floor.settings.stuck_after_s,
            rest_after_s=self._floor.settings.rest_after_s or None,
            kept_usage=kept,
            clock=self._floor.clock,
        )
        if self.stopped is not None:
            execution.stop(self.stopped)
        try:
            tell_started(run, agent)
            await self.recorder.add(
                EventType.STATUS,
                {"status": RunStatus.RUNNING.value},
                status=RunStatus.RUNNING,
                started_at=run.started_at or self._floor.clock(),
            )
            return await execution.run()
        finally:
            self.execution = None
            for made in files:
                await asyncio.to_thread(made.remove)
