"""Starts, queues, stops and resumes runs, and gives readers their streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    QueueFull,
    StaleRevision,
    StoreUnavailable,
)
from ..ids import Clock, new_id, new_session_id, utcnow
from ..models import (
    MAX_TOOLS,
    Approval,
    Decision,
    Function,
    FunctionAnswer,
    FunctionCalls,
    FunctionsOffer,
    Run,
    RunCreate,
    RunStatus,
)
from ..store import MAX_PAGE, AgentStore
from . import metrics
from .approvals import QUESTION
from .execution import Stop
from .feed import StreamItem, stored
from .given import SessionChoice
from .keys import RunKeys
from .live import Floor, LiveRun, Turn
from .pool import WarmPool
from .settings import RunSettings
from .workplace import Workplace, check_functions

log = logging.getLogger(__name__)

SHUTDOWN_S = 8.0
GIVE_UP_S = 1.0
"""Of these, how long a run that did not stop by itself may take to record its end."""
LEFT = "The workspace ended while it worked."


class RunManager(RunSettings):
    """All runs of one person's workspace."""

    def __init__(
        self, store: AgentStore, *, owner: str, home: Path, state: Path, clock: Clock = utcnow, **kw: Any
    ) -> None:
        super().__init__(**kw)
        self.store = store
        self.owner = owner
        self.home = home
        self.state = state
        self._clock = clock
        self._live: dict[str, LiveRun] = {}
        self._closing = False
        self._keys = RunKeys(parent=self)
        self._troubles: dict[str, str] = {}
        self.workplace = Workplace(store, owner, home=home, state=state, settings=self, keys=self._keys)
        self.pool = WarmPool(
            lambda recipe, session_id, run_id: self.workplace.prepare(
                recipe.agent, run_id, SessionChoice(session_id, False), recipe.directory, rules=[]
            ),
            self.workplace.recipe,
            is_busy=lambda: sum(not live.rests for live in self._live.values()) >= self.max_running,
            clock=clock,
            parent=self,
        )
        self._floor = Floor(self.workplace, self, asyncio.Semaphore(self.max_running), self.pool, clock)
        metrics.UNFINISHED.set_function(lambda: self.unfinished)
        metrics.CLI_PROCESSES.set_function(lambda: self.working)

    # The life of the manager

    async def start_up(self) -> list[str]:
        """Take up the runs that a former server left behind: those that wait for a person go on waiting, the others
        are marked as interrupted; gives the ids of these. Call it only when no other server works for this owner."""
        left = []
        unfinished = [status for status in RunStatus if not status.is_final]
        cursor: str | None = None
        while True:
            page = await self.store.list_runs(self.owner, statuses=unfinished, limit=MAX_PAGE, before=cursor)
            for run in page.items:
                if not await self._wait_again(run):
                    await self._reserve(run).interrupt(LEFT)
                    left.append(run.id)
            cursor = page.next
            if cursor is None:
                return left

    async def shut_down(self) -> None:
        """Stop every run; those become interrupted. Takes at most SHUTDOWN_S seconds."""
        self._closing = True
        self._keys.stop()
        await asyncio.gather(self._stop_runs(), self.pool.close())

    async def _stop_runs(self) -> None:
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for live in list(self._live.values()):
            live.stop(Stop.SHUTDOWN)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SHUTDOWN_S - GIVE_UP_S)
            while late:
                # The first time it records its end. While the store is away it cannot; the next server does then.
                for task in late:
                    task.cancel()
                _, late = await asyncio.wait(late, timeout=GIVE_UP_S)

    @property
    def unfinished(self) -> int:
        """How many runs are queued, work or wait now."""
        return len(self._live)

    @property
    def busy(self) -> int:
        """How many runs are queued or have a CLI: what is left when those are gone waits for people alone."""
        return sum(not live.rests for live in self._live.values())

    @property
    def working(self) -> int:
        """How many runs have a CLI now."""
        return sum(live.execution is not None for live in self._live.values())

    # What people ask for

    async def start(self, agent_id: str, request: RunCreate, *, agent_owner: str | None = None) -> Run:
        """Make a run of an agent, the person's own or one that `agent_owner` shares with them, and put it into the
        queue. Raises NotFound, QueueFull, Conflict."""
        self._take_more()
        if agent_owner == self.owner:
            agent_owner = None
        agent = await self.workplace.agent(agent_owner, agent_id, request.revision)
        check_functions(agent, request.functions)
        before = None
        if request.continues is not None:
            before = await self.store.get_run(self.owner, request.continues)
            if (before.agent_id, before.agent_owner) != (agent_id, agent_owner):
                raise InvalidInput(
                    f"The run {before.id} is one of the agent {before.agent}; the same agent must go on."
                )
            before = await self._let_go(before)
            self._take_more()
        warm = None
        # Nothing of another person's is started before it is asked for, nor left when they have withdrawn it.
        if before is None and agent_owner is None:
            self.pool.used(agent)
            # What waits was started before this run's functions were known.
            warm = self.pool.take(agent) if not (self._floor.places.locked() or request.functions) else None
        run_id = warm.run_id if warm else new_id(self._clock)
        run = Run(
            id=run_id,
            owner=self.owner,
            agent_id=agent.id,
            agent_owner=agent_owner,
            agent_revision=agent.revision,
            trigger=request.trigger,
            prompt=request.prompt,
            session_id=before.session_id if before else warm.session_id if warm else new_session_id(),
            conversation_id=before.conversation_id if before else run_id,
            continues=before.id if before else None,
            created_at=self._clock(),
            notice=self.notice or None,
        )
        live = self._reserve(run, request.functions)
        live.warm = warm
        try:
            await self.store.create_run(run)
            if before is not None:
                await self.workplace.restore_session(run, agent)
            # The run before may have been stopped before it came to a session.
            resumable = before is not None and await self.workplace.has_session(run)
            return await live.enqueue(agent, Turn(run.prompt, resume=resumable))
        except BaseException:
            if live.task is None:
                await live.release()
            raise

    async def resume(self, run_id: str, prompt: str | None = None, functions: Sequence[Function] = ()) -> Run:
        """Go on with a run that stopped before its end, in the same Claude session. Raises NotFound, Conflict, and
        NotAllowed when its agent is another's who shares it no more."""
        self._take_more()
        run = await self._let_go(await self.store.get_run(self.owner, run_id))
        self._take_more()
        if run.status is RunStatus.SUCCEEDED:
            raise Conflict(
                f"The run {run.id} succeeded; to say more to it, start a new run with `continues` set to its id."
            )
        if run.status is RunStatus.WAITING:
            raise Conflict(
                f"The run {run.id} waits for a person to decide about its tool calls (GET api/approvals?run={run.id}). "
                "Decide them and it goes on, or cancel it first."
            )
        live = self._reserve(run, functions)
        try:
            agent = await self.workplace.agent_of(run)
            check_functions(agent, functions)
            await live.gate.load()
            return await live.enqueue(agent, await live.next_turn(agent, prompt))
        except BaseException:
            if live.task is None:
                await live.release()
            raise

    async def session_of(self, run_id: str) -> tuple[str, Path]:
        """The id of a run's Claude session and the folder it belongs to, for another `claude` to go on with: its
        transcript is in the home then. Raises NotFound, and Conflict while a run is at work in it or it has none."""
        run = await self._let_go(await self.store.get_run(self.owner, run_id))
        if any(live.feed.run.session_id == run.session_id for live in self._live.values()) or not run.status.is_final:
            raise Conflict("The session is at work. Stop the run, or wait until it has ended, and open it then.")
        agent = await self.workplace.agent_of(run)
        await self.workplace.restore_session(run, agent)
        if not await self.workplace.has_session(run):
            raise Conflict(f"The run {run.id} ended before it came to a Claude session. Start another run.")
        return run.session_id, await self.workplace.directory_of(run, agent)

    async def cancel(self, run_id: str) -> Run:
        """Stop a run and all it started. Raises NotFound, and Conflict when it has ended."""
        live = self._live.get(run_id)
        if live is None or (live.is_over and live.feed.run.status.is_final):
            run = await self.get(run_id)
            if not run.status.is_final:
                # A server that was killed left it so, and this one has not looked yet.
                return await self._reserve(run).interrupt(LEFT)
            raise Conflict(f"The run {run.id} has ended already: it is {run.status}.")
        live.stop(Stop.CANCEL)
        if live.task is not None:
            await asyncio.wait({live.task}, timeout=SHUTDOWN_S)
        return live.feed.run

    async def decide(self, approval_id: str, decision: Decision, *, message: str | None, by: str) -> Approval:
        """Decide whether a tool call that waits may be made. Raises NotFound, InvalidInput, and Conflict when somebody
        was faster or the run has ended."""
        approval = await self.store.get_approval(self.owner, approval_id)
        if decision is Decision.AGENT and approval.agent_owner is not None:
            raise NotAllowed(
                f"The agent {approval.agent_id} is {approval.agent_owner}'s, who alone says what it may always do. "
                "Decide `run` to allow such calls for this run, or make a copy of the agent and run that."
            )
        if decision in (Decision.RUN, Decision.AGENT) and not approval.rules:
            raise InvalidInput(
                f"This call of {approval.tool} can be allowed once only: no rule describes such calls, or the site has "
                "each of them asked about. Decide `once` or `deny`."
            )
        if approval.tool == QUESTION and decision is not Decision.DENY and not (message or "").strip():
            raise InvalidInput("This is a question. Give the answer as `message`, or decide `deny`.")
        if decision is Decision.AGENT and len(await self._rules_with(approval)) > MAX_TOOLS:
            raise InvalidInput(
                f"The agent {approval.agent_id} has as many allowed_tools as it can, {MAX_TOOLS}. Remove some, or "
                "decide `once` or `run`."
            )
        approval = await self.store.decide_approval(self.owner, approval_id, decision, message=message, by=by)
        if decision is Decision.AGENT:
            await self._allow_always(approval)
        if (live := self._live.get(approval.run_id)) is not None:
            await live.gate.decided(approval)
        return approval

    async def _rules_with(self, approval: Approval) -> list[str]:
        """What the agent allows, and what this approval would add; nothing for an agent that was deleted."""
        try:
            agent = await self.store.get_agent(self.owner, approval.agent_id)
        except NotFound:
            return []
        return list(dict.fromkeys([*agent.allowed_tools, *approval.rules]))

    async def _allow_always(self, approval: Approval) -> None:
        """Add what was allowed to the agent, as its next revision. The run itself has it by the decision."""
        while True:
            try:
                agent = await self.store.get_agent(self.owner, approval.agent_id)
                rules = list(dict.fromkeys([*agent.allowed_tools, *approval.rules]))
                spec = agent.spec.model_copy(update={"allowed_tools": rules})
                agent = await self.store.update_agent(self.owner, agent.id, spec, revision=agent.revision)
                self.pool.changed(agent.id, agent)
            except StaleRevision:
                continue
            except NotFound:
                log.info("run %s: its agent was deleted; the rule holds for this run", approval.run_id)
            except StoreUnavailable as error:
                # The decision is stored: the run must hear of it, whatever becomes of the agent.
                log.warning("run %s: the rule holds for this run, its agent has not got it: %s", approval.run_id, error)
            return

    async def function_calls(self, run_id: str, offer: FunctionsOffer) -> FunctionCalls:
        """The calls of a run's functions, for the program that has them. Raises NotFound, Conflict."""
        live = self._live.get(run_id)
        if live is not None:
            return await live.desk.calls(offer)
        await self.store.get_run(self.owner, run_id)
        return FunctionCalls(calls=[], gone=offer.known, ended=True)

    async def answer_function(self, run_id: str, answer: FunctionAnswer) -> None:
        """Take what came of such a call. Raises NotFound, Conflict."""
        live = self._live.get(run_id)
        if live is None:
            run = await self.store.get_run(self.owner, run_id)
            raise NotFound(f"The run {run.id} waits for no call: it is {run.status}.")
        live.desk.answer(answer)

    async def get(self, run_id: str) -> Run:
        """The run as it is now. Raises NotFound."""
        live = self._live.get(run_id)
        return live.feed.run if live is not None else await self.store.get_run(self.owner, run_id)

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[StreamItem]:
        """The run's record, then everything after event number `after` as it comes, then, when the run has
        ended, an `end` with the record. Raises NotFound before the first item."""
        run = await self.get(run_id)
        yield StreamItem("run", run)
        live = self._live.get(run_id)
        items = live.feed.follow(self.store, after) if live is not None else stored(self.store, run, after)
        async for item in items:
            yield item
        yield StreamItem("end", await self.get(run_id))

    # How it is done

    def _take_more(self) -> None:
        if self._closing:
            raise Conflict("This workspace is being stopped. Start it again, then try again.")
        taken = sum(not live.is_over for live in self._live.values())
        if taken >= self.max_running + self.max_queued:
            raise QueueFull(
                f"{taken} runs are working or waiting, which is all that this workspace takes. "
                "Wait for some to end, or cancel some."
            )

    @property
    def trouble(self) -> str:
        """Why events of runs wait for the store, in a sentence; nothing when none do."""
        return next(iter(self._troubles.values()), "")

    def _note_trouble(self, run_id: str, message: str) -> None:
        if message:
            self._troubles[run_id] = message
        else:
            self._troubles.pop(run_id, None)

    async def _wait_again(self, run: Run) -> bool:
        """Take up a run whose calls wait for a person, or were decided while nobody was there; False for another."""
        waiting = (await self.store.list_approvals(self.owner, run_id=run.id, waiting=True, limit=1)).items
        if not waiting and run.status is not RunStatus.WAITING:
            return False
        live = self._reserve(run)
        try:
            await live.wait_for_people()
        except BaseException:
            await live.release()
            raise
        return True

    async def _let_go(self, run: Run) -> Run:
        """The run, once one that has ended in its session has put away what it had: it holds the session until then.
        Waits at most SHUTDOWN_S seconds."""
        ending = [
            live.task
            for live in self._live.values()
            if live.task is not None and live.is_over and live.feed.run.session_id == run.session_id
        ]
        if not ending:
            return run
        await asyncio.wait(ending, timeout=SHUTDOWN_S)
        return await self.store.get_run(self.owner, run.id)

    def _reserve(self, run: Run, functions: Sequence[Function] = ()) -> LiveRun:
        """Take the run's session and a place in the queue, at once, so that no other request can. Raises Conflict."""
        for other in self._live.values():
            if other.feed.run.session_id == run.session_id:
                raise Conflict(
                    f"The run {other.feed.run.id} is at work in the same session. Wait for its end, or cancel it first."
                )
        self._live[run.id] = live = LiveRun(
            run,
            functions,
            self._floor,
            on_trouble=partial(self._note_trouble, run.id),
            on_release=partial(self._live.pop, run.id, None),
        )
        return live
