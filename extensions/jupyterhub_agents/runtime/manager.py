"""Starts, queues, stops and resumes runs, and gives readers their streams."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from claude_agent_sdk import SettingSource
from traitlets import Any as AnyValue
from traitlets import Dict, Float, Int, List, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from ..errors import (
    AgentsError,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    QueueFull,
    RuntimeUnavailable,
    StaleRevision,
    StoreUnavailable,
)
from ..ids import Clock, new_id, new_session_id, utcnow
from ..models import (
    FUNCTIONS_SERVER,
    MAX_TOOLS,
    Agent,
    Approval,
    Decision,
    EventType,
    Function,
    FunctionAnswer,
    FunctionCalls,
    FunctionsOffer,
    Run,
    RunCreate,
    RunStatus,
    agent_reference,
    shared_directory,
)
from ..store import MAX_PAGE, AgentStore
from . import metrics
from .approvals import QUESTION, Gate
from .cli import cli_environment, config_folder, find_cli, has_session, kept_usage
from .execution import Execution, Stop, record_status
from .feed import RunFeed, StreamItem, stored
from .functions import FunctionDesk
from .keys import RunKeys
from .lifecycle import tell_ended, tell_queued, tell_started
from .logs import about, failed
from .options import PrivateFiles, RunExtras, SessionChoice, options_for
from .outcome import Outcome, interrupted
from .pool import Recipe, WarmCLI, WarmPool
from .recorder import Recorder
from .session import ClaudeSession
from .transcripts import Mirror, restore

log = logging.getLogger(__name__)

RESUME_PROMPT = "Continue from where you left off."
SHUTDOWN_S = 8.0


@dataclass(frozen=True)
class Turn:
    """What a CLI is started for: a prompt, in a new session or in the run's."""

    prompt: str
    resume: bool


class LiveRun:
    """A run that this server is working on, or will. While it `rests` it has no process and no place: all that is left
    to do is a person's."""

    def __init__(self, feed: RunFeed, recorder: Recorder, gate: Gate, desk: FunctionDesk) -> None:
        self.feed = feed
        self.recorder = recorder
        self.gate = gate
        self.desk = desk
        self.rests = False
        self.execution: Execution | None = None
        self.stopped: Stop | None = None
        self.task: asyncio.Task[None] | None = None
        self.warm: WarmCLI | None = None

    def stop(self, why: Stop) -> None:
        self.stopped = self.stopped or why
        if self.execution is not None:
            self.execution.stop(why)
        elif self.task is not None:
            self.task.cancel()


class RunManager(LoggingConfigurable):
    """All runs of one person's workspace."""

    max_running = Int(
        4, min=1, help="How many runs may work at once in a workspace; each is a CLI process of its own. "
        "More are queued."
    ).tag(config=True)  # fmt: skip
    max_queued = Int(200, min=0, help="How many runs may wait in the queue. More are refused with status 429.").tag(
        config=True
    )
    default_timeout_s = Float(
        3600.0, min=1, help="Seconds by the wall clock that a run may take when its agent sets no timeout_s."
    ).tag(config=True)
    stuck_after_s = Float(
        900.0, min=0, help="Seconds after which a run is ended as stuck, when Claude Code says nothing, has no tool or "
        "task at work and waits for no one; 0 is never. Claude Code itself is silent for up to 6 minutes while an API "
        "call gets no answer (10 where API_TIMEOUT_MS counts), and then tries again: a shorter time ends such runs."
    ).tag(config=True)  # fmt: skip
    setting_sources = List(
        Unicode(),
        help="Which of Claude Code's settings on disk count in runs: any of `user`, `project`, `local`. None by "
        "default: a project's settings can run programs (hooks) and loosen permissions. With `project` a folder's "
        "CLAUDE.md is read as well.",
    ).tag(config=True)
    environment = Dict(
        value_trait=Unicode(), key_trait=Unicode(),
        help="Variables to set for the CLI, over those of the Jupyter server. Values that begin with a secret's name "
        "do not belong here: everything the agent runs can read them.",
    ).tag(config=True)  # fmt: skip
    cli_path = Unicode(
        help="The Claude Code executable. By default the one that claude-agent-sdk brings along, else `claude` on PATH."
    ).tag(config=True)
    managed_settings = Dict(
        key_trait=Unicode(), value_trait=AnyValue(),
        help="Claude Code's managed settings for runs, the site's policy: no agent, no project file and no person's "
        "`always` loosens them. With {'permissions': {'ask': ['Bash(git push:*)'], 'deny': ['WebFetch'], "
        "'disableBypassPermissionsMode': 'disable'}} each push is asked about, nothing is fetched, and no agent goes "
        "without asking. By default what the hub gives in JUPYTERHUB_AGENTS_MANAGED_SETTINGS, as JSON.",
    ).tag(config=True)  # fmt: skip
    rest_after_s = Float(
        900.0, min=0,
        help="Seconds after which a run that does nothing but wait for a person gives up its process and its place "
        "among max_running (and no longer keeps the workspace from being culled). It goes on by itself when the person "
        "has decided. 0 keeps the process for as long as it takes.",
    ).tag(config=True)  # fmt: skip
    functions_away_s = Float(
        20.0, min=0.1, help="Seconds after which a run's call of a notebook's function fails, when the notebook has "
        "ceased to ask for calls: its kernel was stopped, or its connection is lost."
    ).tag(config=True)  # fmt: skip
    kill_grace_s = Float(
        0.5,
        min=0,
        max=10,
        help="Seconds between asking a CLI to end (SIGTERM) and killing it with all it started.",
    ).tag(config=True)
    notice = Unicode(
        help="A sentence that each run shows its readers, such as that a demo model answers instead of an AI."
    ).tag(config=True)

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
        self._places = asyncio.Semaphore(self.max_running)
        self._closing = False
        self._keys = RunKeys(parent=self)
        self._troubles: dict[str, str] = {}
        self.extras: Callable[[Agent], RunExtras | None] = lambda agent: None
        """What runs of an agent get besides what it says; asked anew for each CLI that is started."""
        self.pool = WarmPool(
            lambda recipe, session_id, run_id: self._prepare(
                recipe.agent, run_id, SessionChoice(session_id, False), recipe.directory, rules=[]
            ),
            self._recipe,
            is_busy=lambda: sum(not live.rests for live in self._live.values()) >= self.max_running,
            clock=clock,
            parent=self,
        )
        metrics.UNFINISHED.set_function(lambda: self.unfinished)
        metrics.CLI_PROCESSES.set_function(lambda: self.working)

    @default("environment")
    def _default_environment(self) -> dict[str, str]:
        # The CLI is one pinned version, and a workspace reports to its own hub alone.
        return {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}

    @default("managed_settings")
    def _default_managed_settings(self) -> dict[str, Any]:
        given = os.environ.get("JUPYTERHUB_AGENTS_MANAGED_SETTINGS") or "{}"
        try:
            settings = json.loads(given)
        except ValueError as error:
            raise ValueError(f"JUPYTERHUB_AGENTS_MANAGED_SETTINGS is not JSON: {error}") from error
        if not isinstance(settings, dict):
            raise ValueError("JUPYTERHUB_AGENTS_MANAGED_SETTINGS must be a JSON object, as in a settings file.")
        return settings

    @default("cli_path")
    def _default_cli_path(self) -> str:
        return str(find_cli())

    @validate("setting_sources")
    def _known_sources(self, proposal: Any) -> list[str]:
        sources: list[str] = proposal["value"]
        if unknown := set(sources) - {"user", "project", "local"}:
            raise ValueError(f"setting_sources: {sorted(unknown)} is none of user, project, local")
        return sources

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
                    await self._record_interruption(run, "The workspace ended while it worked.")
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
            _, late = await asyncio.wait(tasks, timeout=SHUTDOWN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

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
        agent = await self._agent(agent_owner, agent_id, request.revision)
        check_functions(agent, request.functions)
        before = None
        if request.continues is not None:
            before = await self.store.get_run(self.owner, request.continues)
            if (before.agent_id, before.agent_owner) != (agent_id, agent_owner):
                raise InvalidInput(
                    f"The run {before.id} is one of the agent {before.agent}; the same agent must go on."
                )
        warm = None
        # Nothing of another person's is started before it is asked for, nor left when they have withdrawn it.
        if before is None and agent_owner is None:
            self.pool.used(agent)
            # What waits was started before this run's functions were known.
            warm = self.pool.take(agent) if not (self._places.locked() or request.functions) else None
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
                await self._restore_session(run, agent)
            # The run before may have been stopped before it came to a session.
            resumable = before is not None and await asyncio.to_thread(has_session, self._config_folder, run.session_id)
            return await self._enqueue(live, agent, Turn(run.prompt, resume=resumable))
        except BaseException:
            if live.task is None:
                await self._release(live)
            raise

    async def resume(self, run_id: str, prompt: str | None = None, functions: Sequence[Function] = ()) -> Run:
        """Go on with a run that stopped before its end, in the same Claude session. Raises NotFound, Conflict, and
        NotAllowed when its agent is another's who shares it no more."""
        self._take_more()
        run = await self.store.get_run(self.owner, run_id)
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
            agent = await self._agent_of(run)
            check_functions(agent, functions)
            await live.gate.load()
            return await self._enqueue(live, agent, await self._next_turn(live, agent, prompt))
        except BaseException:
            if live.task is None:
                await self._release(live)
            raise

    async def _agent(self, owner: str | None, agent_id: str, revision: int | None) -> Agent:
        """The person's own agent, or another's for as long as they share it. Raises NotFound."""
        if owner is None:
            return await self.store.get_agent(self.owner, agent_id, revision)
        # Which groups the person is in, the hub's service knows.
        return (await self.store.get_shared_agent(self.owner, (), owner, agent_id, revision)).agent

    async def _agent_of(self, run: Run) -> Agent:
        """The revision that a run is of. Raises NotAllowed when it is another's who shares it no more."""
        try:
            return await self._agent(run.agent_owner, run.agent_id, run.agent_revision)
        except NotFound as error:
            if run.agent_owner is None:
                raise
            raise NotAllowed(
                f"The run {run.id} cannot go on: {run.agent_owner} does not share revision {run.agent_revision} of the "
                f"agent {run.agent_id} with you any more. Ask {run.agent_owner} to share it again, or start a new run. "
                "What this run did stays here for you to read."
            ) from error

    async def _next_turn(self, live: LiveRun, agent: Agent, prompt: str | None) -> Turn:
        """How a run goes on in its session, or, when there is none yet, begins again. Decisions that its CLI has not
        been told are said with it."""
        run = live.feed.run
        await self._restore_session(run, agent)
        resumable = await asyncio.to_thread(has_session, self._config_folder, run.session_id)
        words = live.gate.words() if live.gate.untold else ""
        if prompt is None:
            answered = resumable and await self._was_answered(run)
            prompt = (RESUME_PROMPT if not words else "") if answered else run.prompt
        return Turn("\n\n".join(part for part in (prompt, words) if part), resumable)

    async def session_of(self, run_id: str) -> tuple[str, Path]:
        """The id of a run's Claude session and the folder it belongs to, for another `claude` to go on with: its
        transcript is in the home then. Raises NotFound, and Conflict while a run is at work in it or it has none."""
        run = await self.store.get_run(self.owner, run_id)
        if any(live.feed.run.session_id == run.session_id for live in self._live.values()) or not run.status.is_final:
            raise Conflict("The session is at work. Stop the run, or wait until it has ended, and open it then.")
        agent = await self._agent_of(run)
        await self._restore_session(run, agent)
        if not await asyncio.to_thread(has_session, self._config_folder, run.session_id):
            raise Conflict(f"The run {run.id} ended before it came to a Claude session. Start another run.")
        return run.session_id, self._inside_home(await self._directory_of(run, agent))

    async def _restore_session(self, run: Run, agent: Agent) -> None:
        directory = self._inside_home(await self._directory_of(run, agent))
        await restore(
            self.store, self.owner, config=self._config_folder, directory=directory, session_id=run.session_id
        )

    async def _was_answered(self, run: Run) -> bool:
        """Whether the model said anything in this run. If not, it may never have got the prompt."""
        first = await self.store.list_events(run.owner, run.id, limit=50)
        return any(event.payload.get("type") == "assistant" for event in first)

    async def _had_functions(self, run: Run) -> bool:
        """Whether the run was begun with functions. They are its program's to offer, now as before."""
        first = await self.store.list_events(run.owner, run.id, limit=1)
        return any(event.payload.get("functions") for event in first)

    async def cancel(self, run_id: str) -> Run:
        """Stop a run and all it started. Raises NotFound, and Conflict when it has ended."""
        live = self._live.get(run_id)
        if live is None:
            run = await self.store.get_run(self.owner, run_id)
            if not run.status.is_final:
                # A server that was killed left it so, and this one has not looked yet.
                return await self._record_interruption(run, "The workspace ended while it worked.")
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
        if len(self._live) >= self.max_running + self.max_queued:
            raise QueueFull(
                f"{len(self._live)} runs are working or waiting, which is all that this workspace takes. "
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
        # Another's is looked at when the run goes on: they may have withdrawn it, and the service may be away.
        agent = await self._agent_of(run) if run.agent_owner is None else None
        live = self._reserve(run)
        try:
            await live.gate.load()
            live.desk.expected = await self._had_functions(run)
            live.recorder.start()
            if run.status is not RunStatus.WAITING:
                await live.gate.announce()
        except BaseException:
            await self._release(live)
            raise
        live.rests = True
        self._begin(live, agent, None)
        await asyncio.sleep(0)  # a task that is cancelled before its first step takes none, and would release nothing
        return True

    async def _record_interruption(self, run: Run, why: str) -> Run:
        live = self._reserve(run)
        live.recorder.start()
        try:
            await record_status(live.recorder, interrupted(why), self._clock)
        finally:
            await self._release(live)
        with about(run):
            tell_ended(live.feed.run, run)
        return live.feed.run

    def _reserve(self, run: Run, functions: Sequence[Function] = ()) -> LiveRun:
        """Take the run's session and a place in the queue, at once, so that no other request can. Raises Conflict."""
        for other in self._live.values():
            if other.feed.run.session_id == run.session_id:
                raise Conflict(
                    f"The run {other.feed.run.id} is at work in the same session. Wait for its end, or cancel it first."
                )
        feed = RunFeed(run)
        recorder = Recorder(self.store, feed, self._clock, partial(self._note_trouble, run.id))
        desk = FunctionDesk(functions, away_s=self.functions_away_s)
        live = LiveRun(feed, recorder, Gate(self.store, recorder, self._clock), desk)
        self._live[run.id] = live
        return live

    async def _release(self, live: LiveRun) -> None:
        self._live.pop(live.feed.run.id, None)
        live.gate.forget()
        live.desk.close()
        live.feed.end()
        await live.recorder.stop()
        if live.warm is not None:
            await live.warm.discard()

    async def _enqueue(self, live: LiveRun, agent: Agent, turn: Turn) -> Run:
        """Put a run into the queue. It begins while that is being stored; nobody sees more of it before that is."""
        live.recorder.start()
        await self._record_queued(live, turn)
        self._begin(live, agent, turn)
        try:
            await live.recorder.drain()
        except AgentsError:
            live.stop(Stop.SHUTDOWN)
            raise
        return live.feed.run

    async def _record_queued(self, live: LiveRun, turn: Turn) -> None:
        payload: dict[str, Any] = {"status": RunStatus.QUEUED.value}
        if turn.resume:
            payload["prompt"] = turn.prompt
        if live.desk.functions:
            payload["functions"] = [function.name for function in live.desk.functions]
        await live.recorder.add(
            EventType.STATUS, payload, status=RunStatus.QUEUED, error=None, finished_at=None, result=None
        )
        with about(live.feed.run):
            tell_queued(live.feed.run, resumed=turn.resume)

    def _begin(self, live: LiveRun, agent: Agent | None, turn: Turn | None) -> None:
        with about(live.feed.run):
            live.task = asyncio.create_task(self._live_out(live, agent, turn), name=f"live run {live.feed.run.id}")

    async def _live_out(self, live: LiveRun, agent: Agent | None, turn: Turn | None) -> None:
        """The whole life of a run from the queue to its end; without an agent and a turn it begins at rest. Owns the
        run's place, recorder and feed."""
        before = live.feed.run
        try:
            try:
                while True:
                    if turn is None or agent is None:
                        agent, turn = await self._rest(live, agent)
                    async with self._places:
                        outcome = await self._execute(live, agent, turn)
                    if outcome.status is not RunStatus.WAITING:
                        break
                    if live.stopped is not None:
                        await self._record_end_without_process(live)
                        break
                    turn = None
            except asyncio.CancelledError:
                # Stopped while it had no process: there is nothing to end but the run itself.
                if live.stopped is None:
                    raise
                await self._record_end_without_process(live)
            except AgentsError as error:
                await live.recorder.start_over()
                await live.gate.close()
                await record_status(live.recorder, Outcome.failed(error.code, error.message), self._clock)
        except Exception as error:
            failed(log, "a run could not be brought to its end", error)
        finally:
            await self._release(live)
            if live.feed.run.status.is_final:
                metrics.count_end(live.feed.run, before.usage)
                tell_ended(live.feed.run, before)
            self.pool.fill()

    async def _rest(self, live: LiveRun, agent: Agent | None) -> tuple[Agent, Turn]:
        """Wait, without a process, until a person has decided about all calls; gives how to go on. Raises NotAllowed as
        `_agent_of` does: another's agent may have been withdrawn meanwhile."""
        run = live.feed.run
        live.rests = True
        await live.gate.all_decided()
        live.rests = False
        if agent is None or run.agent_owner is not None:
            agent = await live.recorder.persist(lambda: self._agent_of(run))
        turn = await live.recorder.persist(partial(self._next_turn, live, agent, None))
        await self._record_queued(live, turn)
        return agent, turn

    async def _record_end_without_process(self, live: LiveRun) -> None:
        if live.stopped is not Stop.CANCEL and (live.gate.waiting or live.gate.untold):
            # Left as it is: the next server takes it up, and it goes on when the person has decided.
            if live.recorder.newest_status is not RunStatus.WAITING:
                await record_status(live.recorder, Outcome(RunStatus.WAITING), self._clock)
            return
        await live.gate.close()
        outcome = (
            Outcome(RunStatus.CANCELLED)
            if live.stopped is Stop.CANCEL
            else interrupted("The workspace was stopped before it began.")
        )
        await record_status(live.recorder, outcome, self._clock)

    async def _execute(self, live: LiveRun, agent: Agent, turn: Turn) -> Outcome:
        run = live.feed.run
        files: list[PrivateFiles] = []

        async def open_session() -> ClaudeSession:
            await live.desk.offered()
            ready = await live.warm.hand_over() if live.warm is not None else None
            live.warm = None
            live.gate.directory = directory = self._inside_home(await self._directory_of(run, agent))
            if ready is None:
                choice = SessionChoice(run.session_id, turn.resume)
                ready = await asyncio.to_thread(
                    self._prepare, agent, run.id, choice, directory, live.gate.rules, live.desk
                )
            session, made = ready
            files.append(made)
            return session

        kept = await asyncio.to_thread(kept_usage, self._config_folder, run.session_id) if turn.resume else {}
        live.execution = execution = Execution(
            live.recorder,
            open_session,
            gate=live.gate,
            prompt=turn.prompt,
            timeout_s=agent.timeout_s or self.default_timeout_s,
            stuck_after_s=self.stuck_after_s,
            rest_after_s=self.rest_after_s or None,
            kept_usage=kept,
            clock=self._clock,
        )
        if live.stopped is not None:
            execution.stop(live.stopped)
        try:
            tell_started(run, agent)
            await live.recorder.add(
                EventType.STATUS,
                {"status": RunStatus.RUNNING.value},
                status=RunStatus.RUNNING,
                started_at=run.started_at or self._clock(),
            )
            return await execution.run()
        finally:
            live.execution = None
            for made in files:
                await asyncio.to_thread(made.remove)

    @property
    def _config_folder(self) -> Path:
        return config_folder({**os.environ, **self.environment})

    async def _directory_of(self, run: Run, agent: Agent) -> str:
        """Where a run works: the whole conversation stays where it began, because the CLI finds a session by its
        folder."""
        if run.agent_owner is not None:
            return shared_directory(run.agent_owner, run.agent_id)
        if run.conversation_id == run.id:
            return agent.working_directory
        first = await self.store.get_run(self.owner, run.conversation_id)
        return (await self.store.get_agent(self.owner, first.agent_id, first.agent_revision)).working_directory

    def _inside_home(self, relative: str) -> Path:
        directory = (self.home / relative).resolve()
        if not directory.is_relative_to(self.home.resolve()):
            raise RuntimeUnavailable(
                f"The agent's directory {relative} leads out of the home, by a symbolic link. Choose another directory "
                "for it."
            )
        return directory

    def _recipe(self, agent: Agent) -> Recipe | None:
        """What the CLI of an agent's run is started with, in a new session. None where settings on disk count: these
        are read, and their hooks run, when a CLI starts, which must not be before a person asks for it."""
        if self.setting_sources:
            return None
        try:
            directory = self._inside_home(agent.working_directory)
            options = {"managed_settings": self.managed_settings, "extras": self._extras_of(agent)}
            return Recipe(agent, directory, self.cli_path, {**os.environ, **self.environment}, options)
        except AgentsError:
            return None  # a run says it, when there is one

    def _extras_of(self, agent: Agent) -> RunExtras | None:
        """Another's agent gets none: what it says of itself opens nothing here."""
        return self.extras(agent) if agent.owner == self.owner else None

    def _prepare(
        self,
        agent: Agent,
        run_id: str,
        session: SessionChoice,
        directory: Path,
        rules: list[str],
        desk: FunctionDesk | None = None,
    ) -> tuple[ClaudeSession, PrivateFiles]:
        """Make the folder and the files of a run, and its session."""
        # Claude Code's variables are set when it is started: the key is made then, for the run or for its session.
        key = self._keys.environment(
            work_s=agent.timeout_s or self.default_timeout_s,
            run_id=run_id, session_id=session.id,
            agent_id=agent_reference(None if agent.owner == self.owner else agent.owner, agent.id),
        )  # fmt: skip
        try:
            directory.mkdir(parents=True, exist_ok=True)
            files = PrivateFiles(self.state / "runs")
        except OSError as error:
            raise RuntimeUnavailable(
                f"The run's folder could not be made: {error.strerror}: {error.filename}"
            ) from error
        options = options_for(
            agent,
            session=session,
            transcripts=Mirror(  # type: ignore[abstract]  # one method is optional
                self.store, self.owner, config=self._config_folder, directory=directory, session_id=session.id
            ),
            directory=directory,
            environment=cli_environment(
                {**self.environment, **key, "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"},
                cli=Path(self.cli_path),
                grace_s=self.kill_grace_s,
            ),
            setting_sources=cast(list[SettingSource], self.setting_sources),
            managed_settings=self.managed_settings,
            rules=rules,
            files=files,
            extras=self._extras_of(agent),
            functions=desk.server() if desk is not None and desk.functions else None,
        )
        return ClaudeSession(options), files


def check_functions(agent: Agent, functions: Sequence[Function]) -> None:
    """Raises InvalidInput where functions would stand in the place of a server that the agent has."""
    if functions and FUNCTIONS_SERVER in agent.mcp_servers:
        raise InvalidInput(
            f"The agent {agent.id} has an MCP server named {FUNCTIONS_SERVER!r}, which is the name of functions' own. "
            "Give it another name, or start the run without functions."
        )
