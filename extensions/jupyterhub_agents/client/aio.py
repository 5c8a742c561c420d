"""`AsyncAgentClient`: the same as `AgentClient`, for programs with an event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, Self, TextIO, TypeVar, Unpack

import httpx
from httpx_sse import EventSource

from ..errors import AgentsError, NotFound
from ..models import (
    Agent,
    Approval,
    Decision,
    Event,
    Run,
    RunStatus,
    ShareAccess,
    SharedAgent,
    ShareKind,
    Trigger,
)
from . import discovery, door, protocol
from .attempts import Attempts
from .door import OnProgress, Progress
from .errors import RunFailed, WorkspaceNotRunning
from .follow import RETRIED, SILENCE_S, BrokenStream, Follow, Item
from .functions import PythonFunction, Tools, functions_of
from .many import DEFAULT_CONCURRENCY, Many, Prompts, Results
from .protocol import AgentChanges, AgentFields, Answer, Call, Health, PageCall
from .serving import Serving
from .transcript import PlainWriter, Transcript, Words
from .views import AgentView, ApprovalView, Listing, RunView, SharedAgentView, ShareView

T = TypeVar("T")


class AsyncAgentClient:
    """Agents and runs of one workspace. Arguments, methods and errors are those of AgentClient."""

    def __init__(
        self,
        hub_url: str | None = None,
        *,
        workspace_url: str | None = None,
        token: str | None = None,
        user: str | None = None,
        socket: str | None = None,
        trigger: Trigger | None = None,
        patience_s: float = 120.0,
        start: bool = True,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._place = discovery.find(hub_url, workspace_url=workspace_url, token=token, user=user, socket=socket)
        self._trigger = trigger or discovery.trigger_here()
        self._patience_s = patience_s
        self._may_start = start
        self._on_progress = on_progress
        self._client: httpx.AsyncClient | None = None
        self._beside: set[asyncio.Task[None]] = set()

    @classmethod
    def _twin(cls, place: discovery.Workspace | discovery.Hub, trigger: Trigger, patience_s: float) -> Self:
        """A client of a place that is known already."""
        twin = cls.__new__(cls)
        twin._place, twin._trigger, twin._patience_s = place, trigger, patience_s
        twin._may_start, twin._on_progress, twin._client, twin._beside = False, None, None, set()
        return twin

    def __repr__(self) -> str:
        return f"<AsyncAgentClient of {self._place.url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Runs go on; those that have functions of this program cannot call them any more."""
        beside = list(self._beside)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    # Agents

    async def agents(self) -> Listing[AsyncAgentHandle]:
        """All agents, by id."""
        return Listing(AsyncAgentHandle(self, agent) for agent in await self._all(protocol.list_agents))

    async def agent(self, agent_id: str, revision: int | None = None) -> AsyncAgentHandle:
        """One agent, as it is now or as it was in a revision. Another's that is shared is OWNER/ID."""
        return AsyncAgentHandle(self, await self._send(protocol.get_agent(agent_id, revision)), agent_id)

    async def create_agent(
        self, name: str, *, id: str | None = None, **fields: Unpack[AgentFields]
    ) -> AsyncAgentHandle:
        """Make an agent. Without `id`, one is made of the name. Raises AlreadyExists."""
        return AsyncAgentHandle(self, await self._send(protocol.create_agent(name, id, fields)))

    async def save_agent(self, id: str, **fields: Unpack[AgentChanges]) -> AsyncAgentHandle:
        """Make an agent of this id, or change these fields of the one there is. Doing it again changes nothing."""
        try:
            agent = await self.agent(id)
        except NotFound:
            name = fields.pop("name", id)
            return AsyncAgentHandle(self, await self._send(protocol.create_agent(name, id, fields)))
        return await agent.update(**fields)

    # Sharing

    async def shared(self) -> Listing[AsyncSharedAgentHandle]:
        """What others share with the person or their groups, by owner and id. `run("OWNER/ID", ...)` runs one."""
        return Listing(AsyncSharedAgentHandle(self, each) for each in await self._all(protocol.list_shared))

    async def copy_agent(self, reference: str, id: str | None = None) -> AsyncAgentHandle:
        """Make an agent of one's own of the shared one that `reference`, OWNER/ID, names. Without `id` it gets the same
        or a similar one. Raises NotAllowed when it is shared to use only."""
        return AsyncAgentHandle(self, await self._send(protocol.copy_agent(reference, id)))

    async def shares(self, agent_id: str) -> Listing[ShareView]:
        """With whom an agent is shared."""
        return Listing(ShareView(share) for share in await self._all(protocol.shares_pages(agent_id)))

    async def share(
        self,
        agent_id: str,
        name: str,
        *,
        kind: ShareKind | Literal["person", "group"] = "person",
        access: ShareAccess | Literal["use", "copy"] = "use",
    ) -> ShareView:
        """Share an agent with a person, or with a group of JupyterHub's. Doing it again changes what they may do."""
        return ShareView(await self._send(protocol.share_agent(agent_id, kind, name, access)))

    async def unshare(
        self, agent_id: str, name: str, *, kind: ShareKind | Literal["person", "group"] = "person"
    ) -> None:
        """Share it with them no more. Raises NotFound when it is not."""
        await self._send(protocol.unshare_agent(agent_id, kind, name))

    # Runs

    async def run(
        self,
        agent_id: str,
        prompt: str,
        *,
        revision: int | None = None,
        continues: str | None = None,
        trigger: Trigger | None = None,
        tools: Tools | None = None,
    ) -> AsyncRunHandle:
        """Start a run, of a shared agent by OWNER/ID. `continues` is the id of a run whose conversation it goes on
        with; `tools` are functions of this program that it may call: an async one on this loop, another in a thread."""
        functions = protocol.functions_here(self._place, functions_of(tools))
        definitions = [function.definition for function in functions.values()]
        call = protocol.start_run(agent_id, prompt, trigger or self._trigger, revision, continues, definitions)
        run = AsyncRunHandle(self, await self._send(call))
        run._offer(functions)
        return run

    async def run_many(
        self,
        agent_id: str,
        prompts: Prompts,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        revision: int | None = None,
        tools: Tools | None = None,
        progress: bool = True,
    ) -> Results:
        """Run an agent once for each prompt, `concurrency` at a time, with a progress bar. Errors are kept with their
        prompts; see `Results`, which can be made a DataFrame. Prompts may be a mapping or a column of a table: its keys
        are kept. An interrupt cancels what runs, and comes as CancelledError. Functions in `tools` may be
        called by several runs at once."""
        many = Many(prompts, concurrency=concurrency, tools=tools, progress=progress, revision=revision)
        return await many.work(self, agent_id)

    async def get_run(self, run_id: str) -> AsyncRunHandle:
        """A run that was started before."""
        return AsyncRunHandle(self, await self._send(protocol.get_run(run_id)))

    async def runs(
        self,
        agent_id: str | None = None,
        *,
        conversation: str | None = None,
        status: RunStatus | str | None = None,
        limit: int = 20,
    ) -> Listing[AsyncRunHandle]:
        """The newest runs first, at most `limit`."""
        runs = await self._all(protocol.runs_pages(agent_id, conversation, status, limit), limit)
        return Listing(AsyncRunHandle(self, run) for run in runs)

    async def approvals(
        self, run_id: str | None = None, *, waiting: bool | None = True
    ) -> Listing[AsyncApprovalHandle]:
        """Tool calls that wait for a person, the newest first; with `waiting` False those that were decided, with
        None all."""
        approvals = await self._all(protocol.approvals_pages(run_id, waiting))
        return Listing(AsyncApprovalHandle(self, approval) for approval in approvals)

    async def approval(self, approval_id: str) -> AsyncApprovalHandle:
        """One of them."""
        return AsyncApprovalHandle(self, await self._send(protocol.get_approval(approval_id)))

    # Conversations

    async def converse(self, message: str, conversation_id: str | None = None) -> Answer:
        """Say to the workspace's assistant in plain words what agent you want, and have it made, changed, listed or
        run. Waits for the answer. `conversation_id` of an answer goes on with its conversation."""
        return await self.answer(await self.say(message, conversation_id))

    async def say(self, message: str, conversation_id: str | None = None) -> AsyncRunHandle:
        """The same without waiting: gives the turn's run, which can be watched; `answer` gives what came of it."""
        begun = await self._send(protocol.converse(message, conversation_id, wait_s=0))
        return await self.get_run(begun.run_id)

    async def answer(self, turn: AsyncRunHandle) -> Answer:
        """Wait for the end of a turn, and give its answer."""
        await turn.wait()
        return await self._send(protocol.get_turn(turn.record.conversation_id, turn.id))

    async def health(self) -> Health:
        """How the workspace is: what runs, what is wrong, and whether a demo model answers (`notice`)."""
        return await self._send(protocol.health())

    # Below the surface

    def _serve(self, run_id: str, functions: dict[str, PythonFunction]) -> None:
        """Answer a run's calls of these functions until it ends or this is closed."""
        self._own(Serving(self, run_id, functions, patience_s=self._patience_s).serve())

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside, until this is closed."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def follow(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Item, None]:
        """Everything of a run after event number `after`, live, to its end."""
        place = await self._workspace()
        state = Follow(run_id, place.url, after=after, patience_s=self._patience_s)
        while state.ended is None:
            try:
                async with aclosing(self._connection(state, place)) as items:
                    async for item in items:
                        yield item
            except RETRIED as error:
                if self._can_start(place, error) and state.is_first:
                    await self._start(place)
                    state.began()
                    continue
                await asyncio.sleep(state.lost(error))

    async def _connection(self, state: Follow, place: discovery.Workspace) -> AsyncGenerator[Item, None]:
        """One connection's part of a run."""
        async with self._http().stream(
            "GET",
            place.url + protocol.events_path(state.run_id),
            params={**state.params, **place.params},
            headers={**place.headers, "Accept": "text/event-stream", "Cache-Control": "no-store"},
            timeout=httpx.Timeout(SILENCE_S, connect=10.0),
        ) as response:
            if response.status_code != 200:
                content = await response.aread()
                raise protocol.error_of(place.url, response.status_code, content, response.headers.get("location", ""))
            state.connected()
            async for sent in EventSource(response).aiter_sse():
                if (item := state.take(sent.event, sent.data)) is not None:
                    yield item
                if state.ended is not None:
                    return
        raise BrokenStream("the connection ended before the run.")

    async def _all(self, page_after: PageCall[T], limit: int | None = None) -> list[T]:
        """The items of all pages, or the first `limit` of them."""
        items: list[T] = []
        cursor: str | None = None
        while True:
            page = await self._send(page_after(cursor))
            items += page.items
            if (cursor := page.next) is None or (limit is not None and len(items) >= limit):
                return items[:limit]

    async def _send(self, call: Call[T]) -> T:
        place = await self._workspace()
        try:
            return await self._send_to(place, call)
        except WorkspaceNotRunning as error:
            if not self._can_start(place, error):
                raise
        await self._start(place)
        return await self._send_to(place, call)

    def _can_start(self, place: discovery.Workspace, error: Exception) -> bool:
        return self._may_start and place.is_door and isinstance(error, WorkspaceNotRunning)

    async def _start(self, place: discovery.Workspace) -> None:
        """Have the workspace started, and wait until it runs."""
        try:
            async with self._http().stream(
                "POST",
                place.url + "start",
                headers={**place.headers, "Accept": "text/event-stream"},
                timeout=httpx.Timeout(SILENCE_S, connect=10.0),
            ) as response:
                if response.status_code != 200:
                    content = await response.aread()
                    raise protocol.error_of(
                        place.url, response.status_code, content, response.headers.get("location", "")
                    )
                async for sent in EventSource(response).aiter_sse():
                    told = door.started(place, sent.event, sent.data)
                    if told is True:
                        return
                    if isinstance(told, Progress) and self._on_progress is not None:
                        self._on_progress(told)
        except httpx.TransportError as error:
            raise protocol.no_answer(place.url, error) from error
        raise door.not_started(place)

    async def _send_to(self, place: discovery.Workspace, call: Call[T]) -> T:
        attempts = Attempts(place.url, call)
        while True:
            try:
                response = await self._http().request(
                    call.method,
                    place.url + call.path,
                    params={**call.params, **place.params},
                    json=call.body,
                    headers=place.headers,
                )
                return protocol.read(
                    call, place.url, response.status_code, response.content, response.headers.get("location", "")
                )
            except attempts.retried as error:
                await asyncio.sleep(attempts.failed(error))

    async def _workspace(self) -> discovery.Workspace:
        """Where the workspace is. The first time a hub may have to be asked."""
        if isinstance(self._place, discovery.Workspace):
            return self._place
        hub = self._place
        try:
            found = door.place_of(hub, await self._send_to(hub.as_place, door.find(hub.user)))
        except AgentsError:
            # No such service on this hub, or a token that it does not take: straight to the workspace.
            user = hub.user
            if user is None:
                user = await self._send_to(hub.as_place, protocol.whose_token())
            found = hub.workspace_of(user)
        self._place = found
        return found

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            uds = discovery.socket_of(self._place)
            transport = httpx.AsyncHTTPTransport(uds=uds) if uds else None
            self._client = httpx.AsyncClient(**protocol.http_options(self._place), transport=transport)
        return self._client


class AsyncAgentHandle(AgentView):
    """An agent, and what can be done with it."""

    def __init__(self, client: AsyncAgentClient, record: Agent, reference: str | None = None) -> None:
        super().__init__(record, reference)
        self._client = client

    async def run(self, prompt: str, *, revision: int | None = None, tools: Tools | None = None) -> AsyncRunHandle:
        """Start a run of the newest revision, or of the one named. `tools` are functions that it may call."""
        return await self._client.run(self.reference, prompt, revision=revision, tools=tools)

    async def run_many(
        self,
        prompts: Prompts,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        revision: int | None = None,
        tools: Tools | None = None,
        progress: bool = True,
    ) -> Results:
        """Run it once for each prompt, as the client's `run_many` does."""
        return await self._client.run_many(
            self.reference, prompts, concurrency=concurrency, revision=revision, tools=tools, progress=progress
        )

    async def runs(self, *, status: RunStatus | str | None = None, limit: int = 20) -> Listing[AsyncRunHandle]:
        """Its newest runs first."""
        return await self._client.runs(self.reference, status=status, limit=limit)

    async def refresh(self) -> Self:
        """Read the newest revision."""
        self.record = await self._client._send(protocol.get_agent(self.reference))
        return self

    async def update(self, **changes: Unpack[AgentChanges]) -> Self:
        """Change fields; the rest stays. Raises StaleRevision when it was changed elsewhere meanwhile."""
        self.record = await self._client._send(protocol.update_agent(self.reference, self.revision, changes))
        return self

    async def delete(self) -> None:
        """Take it out of the list. Its runs and revisions stay."""
        await self._client._send(protocol.delete_agent(self.reference, self.revision))

    async def revisions(self) -> Listing[AsyncAgentHandle]:
        """All revisions, newest first."""
        revisions = await self._client._all(protocol.revisions_pages(self.reference))
        return Listing(AsyncAgentHandle(self._client, agent) for agent in revisions)

    async def restore(self, revision: int) -> Self:
        """Make a new revision equal to an old one."""
        self.record = await self._client._send(protocol.restore_revision(self.reference, revision, self.revision))
        return self

    async def share(
        self,
        name: str,
        *,
        kind: ShareKind | Literal["person", "group"] = "person",
        access: ShareAccess | Literal["use", "copy"] = "use",
    ) -> ShareView:
        """Share it with a person, or with a group of JupyterHub's, to use or to copy."""
        return await self._client.share(self.reference, name, kind=kind, access=access)

    async def unshare(self, name: str, *, kind: ShareKind | Literal["person", "group"] = "person") -> None:
        """Share it with them no more."""
        await self._client.unshare(self.reference, name, kind=kind)

    async def shares(self) -> Listing[ShareView]:
        """With whom it is shared."""
        return await self._client.shares(self.reference)


class AsyncSharedAgentHandle(SharedAgentView):
    """An agent that somebody shares with the person, and what can be done with it."""

    def __init__(self, client: AsyncAgentClient, shared: SharedAgent) -> None:
        super().__init__(shared)
        self._client = client

    async def run(self, prompt: str) -> AsyncRunHandle:
        """Start a run of its newest revision, here and on one's own budget."""
        return await self._client.run(self.reference, prompt)

    async def runs(self, *, status: RunStatus | str | None = None, limit: int = 20) -> Listing[AsyncRunHandle]:
        """The person's own newest runs of it first."""
        return await self._client.runs(self.reference, status=status, limit=limit)

    async def copy(self, id: str | None = None) -> AsyncAgentHandle:
        """Make an agent of one's own of it."""
        return await self._client.copy_agent(self.reference, id)


class AsyncRunHandle(RunView):
    """A run, and what can be done with it. Iterating gives its durable events, from the first, as they come."""

    def __init__(self, client: AsyncAgentClient, record: Run) -> None:
        super().__init__(record)
        self._client = client
        self._functions: dict[str, PythonFunction] = {}

    def _ipython_display_(self) -> None:
        """In a notebook: how it stands, live for as long as it works."""
        from .notebook import live

        live.show_run(self.record, lambda: self._client.follow(self.id), self._client._own)

    def _offer(self, functions: dict[str, PythonFunction]) -> None:
        self._functions = functions
        if functions:
            self._client._serve(self.id, functions)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.events()

    async def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """The durable events after number `after`, to the end of the run."""
        async with aclosing(self.stream(after)) as items:
            async for item in items:
                if isinstance(item, Event):
                    yield item

    async def stream(self, after: int = 0) -> AsyncGenerator[Item, None]:
        """All there is to see, live: events, deltas, and the run's record whenever it changes."""
        async with aclosing(self._client.follow(self.id, after=after)) as items:
            async for item in items:
                if isinstance(item, Run):
                    self.record = item
                yield item

    async def text_stream(self) -> AsyncGenerator[str, None]:
        """The agent's words as they come. Blocks of text are set apart by an empty line."""
        words = Words()
        async with aclosing(self.stream()) as items:
            async for item in items:
                for text in words.take(item):
                    yield text

    async def watch(self, out: TextIO | None = None, after: int = 0) -> Self:
        """Write what happens, as it happens, to `out` (where print writes to): words, tool calls, notices."""
        writer, transcript = PlainWriter(out or sys.stdout), Transcript()
        async with aclosing(self.stream(after)) as items:
            async for item in items:
                for piece in transcript.take(item):
                    writer.write(piece)
        writer.end(self.record)
        return self

    async def wait(self, timeout_s: float | None = None) -> Self:
        """Wait for the end, whatever it is. Raises TimeoutError after `timeout_s` seconds; the run goes on."""
        async with asyncio.timeout(timeout_s):
            if not (await self.refresh()).status.is_final:
                async with aclosing(self.stream(self.record.last_seq)) as items:
                    async for _ in items:
                        pass
        return self

    async def result(self, timeout_s: float | None = None) -> str:
        """Wait for the end and give the agent's last words. Raises RunFailed when it did not succeed."""
        await self.wait(timeout_s)
        if self.status is not RunStatus.SUCCEEDED:
            raise RunFailed(self.record)
        return self.record.result or ""

    async def refresh(self) -> Self:
        """Read how it stands."""
        self.record = await self._client._send(protocol.get_run(self.id))
        return self

    async def history(self, after: int = 0) -> list[Event]:
        """The durable events after number `after` that there are by now, without waiting for more."""
        events: list[Event] = []
        while True:
            page = await self._client._send(protocol.list_events(self.id, after))
            self.record = page.run
            events += page.items
            if not page.items or page.next is None:
                return events
            after = page.items[-1].seq

    async def approvals(self, *, waiting: bool | None = True) -> Listing[AsyncApprovalHandle]:
        """Its tool calls that wait for a person."""
        return await self._client.approvals(self.id, waiting=waiting)

    async def approval(self, approval_id: str) -> AsyncApprovalHandle:
        """One of its tool calls."""
        return await self._client.approval(approval_id)

    async def cancel(self) -> Self:
        """Stop it. Raises Conflict when it has ended."""
        self.record = await self._client._send(protocol.cancel_run(self.id))
        return self

    async def resume(self, prompt: str | None = None, *, tools: Tools | None = None) -> Self:
        """Go on with it in its Claude session after it was interrupted, cancelled or failed. Functions that it was
        started with here it has again, unless others are given."""
        functions = (
            self._functions if tools is None else protocol.functions_here(self._client._place, functions_of(tools))
        )
        definitions = [function.definition for function in functions.values()]
        self.record = await self._client._send(protocol.resume_run(self.id, prompt, definitions))
        self._offer(functions)
        return self

    async def reply(self, prompt: str, *, tools: Tools | None = None) -> AsyncRunHandle:
        """Start a run that goes on with this conversation. `tools` are functions that it may call."""
        return await self._client.run(self.agent, prompt, continues=self.id, tools=tools)


class AsyncApprovalHandle(ApprovalView):
    """A tool call that waits for a person, and what they can say to it."""

    def __init__(self, client: AsyncAgentClient, record: Approval) -> None:
        super().__init__(record)
        self._client = client

    async def allow(self, always: Literal["run", "agent"] | None = None, *, answer: str | None = None) -> Self:
        """Let it be made: this once, or with such calls for the rest of the run or of all the agent's runs. `answer`
        is for a question. Raises Conflict when somebody else was faster, or the run has ended."""
        return await self._decide(always or Decision.ONCE, answer)

    async def deny(self, message: str | None = None) -> Self:
        """Refuse it; Claude gets to know the message. Raises Conflict as `allow` does."""
        return await self._decide(Decision.DENY, message)

    async def _decide(self, decision: Decision | str, message: str | None) -> Self:
        self.record = await self._client._send(protocol.decide_approval(self.id, decision, message))
        return self
