"""`/api/conversation`: a person says in plain words what agent they want, and it is made, changed, listed or run.

A turn is a run of the assistant (`assistant`) with the trigger `conversation`; the turns of a conversation share a
Claude session. So all that is true of runs holds: a turn goes on when the one who asked has left, it is stored and
streamed with its events, and it can be cancelled.

What a turn did is read from its events: from what the tools answered, never from what the model says of it. The names
of fields here are in camel case, as the clients of conversations want them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Literal

from jupyter_server.base.websocket import WebSocketMixin
from pydantic import Field
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..errors import AgentsError, Conflict, NotFound, encode
from ..models import MAX_PROMPT, Event, Model, Run, RunCreate, RunError, RunStatus, Trigger
from ..runtime.manager import RunManager
from ..store import AgentStore
from .assistant import TOOL_PREFIX, assistant
from .base import AgentsHandler, authorized, parsed, web

DEFAULT_WAIT_S = 300.0
MAX_WAIT_S = 3_600.0
PAGE = 500


class Turn(Model):
    """What a person says, and to which conversation; without one, a new one begins."""

    message: str = Field(min_length=1, max_length=MAX_PROMPT)
    conversationId: str | None = Field(default=None, max_length=100)


class Message(Turn):
    wait: float = Field(default=DEFAULT_WAIT_S, ge=0, le=MAX_WAIT_S, description="Seconds to wait for the turn's end.")


class ConversationQuery(Model):
    conversationId: str = Field(max_length=100)
    runId: str | None = Field(default=None, max_length=100, description="Which turn; none is the newest.")
    wait: float = Field(default=0, ge=0, le=MAX_WAIT_S, description="Seconds to wait for the turn's end.")


class Made(Model):
    """The agent that a turn made."""

    id: str
    name: str
    revision: int


class Component(Model):
    """What a user interface shows with a turn: its text alone, an agent, the list of agents, or a run."""

    type: Literal["text", "agent", "agents", "run"] = "text"
    agentId: str | None = None
    runId: str | None = None


class Answer(Model):
    """A turn: what was said, and what came of it. `runId` is the turn's own run."""

    conversationId: str
    runId: str
    status: RunStatus
    text: str
    component: Component
    agentCreated: Made | None
    error: RunError | None = None
    notice: str | None = None


class ConversationHandler(WebSocketMixin, WebSocketHandler, AgentsHandler):
    """POST says something and waits for the answer; GET tells the newest turn, or becomes a WebSocket."""

    _waiting: asyncio.Task[Any] | None = None
    _left = False

    async def prepare(self) -> None:  # type: ignore[override]  # APIHandler's is a coroutine; Tornado's stub is not
        """As the API's other handlers. What WebSocketMixin would add keeps from a login page, which none here has."""
        await AgentsHandler.prepare(self)

    @web.authenticated
    @authorized
    async def get(self) -> None:  # type: ignore[override]  # Tornado's takes any arguments
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            await self.manager()  # what is wrong with the store is said with its status, before the upgrade
            await WebSocketHandler.get(self)
            return
        query = self.query(ConversationQuery)
        turn = await newest_turn(await self.store(), self.owner, query.conversationId)
        if query.runId not in (None, turn.id):
            turn = await (await self.manager()).get(str(query.runId))
            if turn.conversation_id != query.conversationId:
                raise NotFound(f"The run {turn.id} is no turn of the conversation {query.conversationId}.")
        await self._reply_when_ended(turn, query.wait)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        message = self.body(Message)
        run = await begin(await self.manager(), await self.store(), message)
        self.set_header("Location", f"{self.base_url}api/runs/{run.id}")
        await self._reply_when_ended(run, message.wait)

    async def _reply_when_ended(self, run: Run, wait: float) -> None:
        """Answer when the run has ended or waits for a person, or after `wait` seconds with how it stands. A caller who
        leaves ends the waiting, not the run."""
        manager = await self.manager()
        self._waiting = asyncio.create_task(ended(manager, run), name=f"wait for {run.id}")
        try:
            await asyncio.wait({self._waiting}, timeout=wait)
        finally:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
        if not self._left:
            self.reply(await answer(manager, await self.store(), run.id))

    def on_connection_close(self) -> None:
        self._left = True
        if self._waiting is not None:
            self._waiting.cancel()
        super().on_connection_close()

    # WebSocket: each message in is a turn; out come what its run tells, as on the stream of events, then the answer.

    async def open(self) -> None:
        WebSocketMixin.open(self)
        self.set_nodelay(True)

    async def on_message(self, message: str | bytes) -> None:
        try:
            turn = parsed(Turn, message)
            if self._waiting is not None and not self._waiting.done():
                raise Conflict("The turn before is still at work. Wait for its answer, or cancel its run.")
            run = await begin(await self.manager(), await self.store(), turn)
        except AgentsError as error:
            await self._tell("error", json.dumps(encode(error)[1]))
            return
        self._waiting = asyncio.create_task(self._follow(run), name=f"turn {run.id}")

    async def _follow(self, run: Run) -> None:
        manager = await self.manager()
        try:
            async with aclosing(manager.follow(run.id)) as items:
                async for item in items:
                    if item.kind != "end":
                        await self._tell(item.kind, item.json)
            told = await answer(manager, await self.store(), run.id)
        except AgentsError as error:
            await self._tell("error", json.dumps(encode(error)[1]))
        else:
            await self._tell("answer", told.model_dump_json())

    async def _tell(self, kind: str, data: str) -> None:
        with suppress(WebSocketClosedError, StreamClosedError):
            await self.write_message(f'{{"type":"{kind}","data":{data}}}')

    def on_close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().on_close()


async def begin(manager: RunManager, store: AgentStore, turn: Turn) -> Run:
    """Start a turn. Raises NotFound for an unknown conversation, Conflict while a turn of it is at work."""
    if turn.conversationId is None:
        agent_id, continues = (await assistant(store, manager.owner)).id, None
    else:
        before = await newest_turn(store, manager.owner, turn.conversationId)
        agent_id, continues = before.agent_id, before.id
    request = RunCreate(prompt=turn.message, trigger=Trigger.CONVERSATION, continues=continues)
    return await manager.start(agent_id, request)


async def newest_turn(store: AgentStore, owner: str, conversation_id: str) -> Run:
    """The newest run of a conversation with the assistant. Raises NotFound."""
    found = await store.list_runs(owner, conversation_id=conversation_id, limit=1)
    for run in found.items:
        if run.trigger is Trigger.CONVERSATION and run.agent_owner is None:
            with suppress(NotFound):
                if (await store.get_agent(owner, run.agent_id)).leads_conversations:
                    return run
    raise NotFound(f"There is no conversation {conversation_id[:100]!r}. Leave conversationId out to begin a new one.")


async def ended(manager: RunManager, run: Run) -> None:
    """Wait for the end of a run, or until it waits for a person."""
    async with aclosing(manager.follow(run.id, run.last_seq)) as items:
        async for item in items:
            if isinstance(item.data, Run) and item.data.status is RunStatus.WAITING:
                return


async def answer(manager: RunManager, store: AgentStore, run_id: str) -> Answer:
    """A turn as it stands now."""
    run = await manager.get(run_id)
    facts = Facts()
    async with aclosing(_events(store, run)) as events:
        async for event in events:
            facts.take(event)
    return Answer(
        conversationId=run.conversation_id,
        runId=run.id,
        status=run.status,
        text=run.result if run.result is not None else facts.text,
        component=facts.component,
        agentCreated=facts.made,
        error=run.error,
        notice=run.notice,
    )


async def _events(store: AgentStore, run: Run) -> AsyncGenerator[Event]:
    after = 0
    while events := await store.list_events(run.owner, run.id, after=after, limit=PAGE):
        for event in events:
            yield event
        after = events[-1].seq


class Facts:
    """What the events of a turn say that it did. The last tool that succeeded decides what is shown."""

    def __init__(self) -> None:
        self.text = ""
        self.component = Component()
        self.made: Made | None = None
        self._calls: dict[str, str] = {}

    def take(self, event: Event) -> None:
        """An event of the run, in their order."""
        kind = event.payload.get("type")
        if event.payload.get("parent_tool_use_id") is not None:
            return
        for block in _blocks(event.payload.get("message")):
            if kind == "assistant" and block.get("type") == "text":
                self.text = str(block.get("text", ""))
            elif kind == "assistant" and block.get("type") == "tool_use":
                self._calls[str(block.get("id"))] = str(block.get("name", ""))
            elif kind == "user" and block.get("type") == "tool_result" and not block.get("is_error"):
                name = self._calls.get(str(block.get("tool_use_id")), "")
                if name.startswith(TOOL_PREFIX):
                    self._result(name.removeprefix(TOOL_PREFIX), _json(block.get("content")))

    def _result(self, tool: str, facts: Mapping[str, Any]) -> None:
        agent_id, run_id = facts.get("id"), facts.get("run_id")
        if tool == "list_agents":
            self.component = Component(type="agents")
        elif tool in ("create_agent", "update_agent", "get_agent") and isinstance(agent_id, str):
            self.component = Component(type="agent", agentId=agent_id)
            if tool == "create_agent":
                self.made = Made(id=agent_id, name=str(facts.get("name")), revision=int(facts.get("revision") or 1))
        elif tool in ("run_agent", "get_run") and isinstance(run_id, str):
            self.component = Component(type="run", agentId=str(facts.get("agent_id")), runId=run_id)


def _blocks(message: Any) -> Iterable[Mapping[str, Any]]:
    content = message.get("content") if isinstance(message, Mapping) else None
    return [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []


def _json(content: Any) -> Mapping[str, Any]:
    """What a tool answered: the JSON object that its text is; empty when it is none."""
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    try:
        found = json.loads(content) if isinstance(content, str) else None
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}
