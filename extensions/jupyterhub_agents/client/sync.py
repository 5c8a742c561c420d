"""`AgentClient`: agents and runs from a notebook or a script."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Literal, Self, TextIO, TypeVar, Unpack

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
from .aio import AsyncAgentClient
from .attempts import Attempts
from .background import Background
from .counter import Counter
from .door import OnProgress, Progress
from .errors import RunFailed, WorkspaceNotRunning
from .follow import RETRIED, SILENCE_S, BrokenStream, Follow, Item
from .functions import PythonFunction, Tools, functions_of
from .many import DEFAULT_CONCURRENCY, Many, Prompts, Results, run_many
from .protocol import AgentChanges, AgentFields, Answer, Call, Health, PageCall
from .serving import Serving
from .transcript import PlainWriter, Transcript, Words
from .views import AgentView, ApprovalView, Listing, RunView, SharedAgentView, ShareView

T = TypeVar("T")


class AgentClient:
    """Agents and runs of one workspace.

    In a workspace it finds everything by itself. Elsewhere give the hub's address (the token comes from
    `token` or the variable JUPYTERHUB_API_TOKEN, and says whose workspace it is unless `user` does), or a
    workspace's address as `workspace_url`. Following a run goes on over lost connections for as long as
    `patience_s` seconds without contact.

    With a hub's address the way is through the front door of the hub's service, where there is one. A workspace that
    does not run is read from the service's store, and started for everything else, unless `start` is False;
    `on_progress` is called with how far it is.

    Methods raise what the server answers (`jupyterhub_agents.errors`) or `jupyterhub_agents.client.errors`.
    """

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
        self._client: httpx.Client | None = None
        self._beside: tuple[Background, AsyncAgentClient] | None = None

    def __repr__(self) -> str:
        return f"<AgentClient of {self._place.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Runs go on; those that have functions of this program cannot call them any more."""
        beside, self._beside = self._beside, None
        if beside is not None:
            background, twin = beside
            background.call(twin.close())
            background.close()
        if self._client is not None:
            self._client.close()
            self._client = None

    # Agents

    def agents(self) -> Listing[AgentHandle]:
        """All agents, by id."""
        return Listing(AgentHandle(self, agent) for agent in self._all(protocol.list_agents))

    def agent(self, agent_id: str, revision: int | None = None) -> AgentHandle:
        """One agent, as it is now or as it was in a revision. Another's that is shared is OWNER/ID."""
        return AgentHandle(self, self._send(protocol.get_agent(agent_id, revision)), agent_id)

    def create_agent(self, name: str, *, id: str | None = None, **fields: Unpack[AgentFields]) -> AgentHandle:
        """Make an agent. Without `id`, one is made of the name. Raises AlreadyExists."""
        return AgentHandle(self, self._send(protocol.create_agent(name, id, fields)))

    def save_agent(self, id: str, **fields: Unpack[AgentChanges]) -> AgentHandle:
        """Make an agent of this id, or change these fields of the one there is. Doing it again changes nothing."""
        try:
            agent = self.agent(id)
        except NotFound:
            name = fields.pop("name", id)
            return AgentHandle(self, self._send(protocol.create_agent(name, id, fields)))
        return agent.update(**fields)

    # Sharing

    def shared(self) -> Listing[SharedAgentHandle]:
        """What others share with the person or their groups, by owner and id. `run("OWNER/ID", ...)` runs one."""
        return Listing(SharedAgentHandle(self, each) for each in self._all(protocol.list_shared))

    def copy_agent(self, reference: str, id: str | None = None) -> AgentHandle:
        """Make an agent of one's own of the shared one that `reference`, OWNER/ID, names. Without `id` it gets the same
        or a similar one. Raises NotAllowed when it is shared to use only."""
        return AgentHandle(self, self._send(protocol.copy_agent(reference, id)))

    def shares(self, agent_id: str) -> Listing[ShareView]:
        """With whom an agent is shared."""
        return Listing(ShareView(share) for share in self._all(protocol.shares_pages(agent_id)))

    def share(
        self,
        agent_id: str,
        name: str,
        *,
        kind: ShareKind | Literal["person", "group"] = "person",
        access: ShareAccess | Literal["use", "copy"] = "use",
    ) -> ShareView:
        """Share an agent with a person, or with a group of JupyterHub's. Doing it again changes what they may do."""
        return ShareView(self._send(protocol.share_agent(agent_id, kind, name, access)))

    def unshare(self, agent_id: str, name: str, *, kind: ShareKind | Literal["person", "group"] = "person") -> None:
        """Share it with them no more. Raises NotFound when it is not."""
        self._send(protocol.unshare_agent(agent_id, kind, name))

    # Runs

    def run(
        self,
        agent_id: str,
        prompt: str,
        *,
        revision: int | None = None,
        continues: str | None = None,
        trigger: Trigger | None = None,
        tools: Tools | None = None,
    ) -> RunHandle:
        """Start a run, of a shared agent by OWNER/ID. `continues` is the id of a run whose conversation it goes on
        with; `tools` are functions of this program that it may call: where you wait for the run (`result`, `watch`,
        iterating), in that thread, else in one beside."""
        functions = protocol.functions_here(self._place, functions_of(tools))
        definitions = [function.definition for function in functions.values()]
        call = protocol.start_run(agent_id, prompt, trigger or self._trigger, revision, continues, definitions)
        run = RunHandle(self, self._send(call))
        run._offer(functions)
        return run

    def run_many(
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
        are kept. An interrupt cancels what runs, and is raised as RunsInterrupted. Functions in `tools` may be
        called by several runs at once."""
        many = Many(prompts, concurrency=concurrency, tools=tools, progress=progress, revision=revision)
        return run_many(self, agent_id, many)

    def get_run(self, run_id: str) -> RunHandle:
        """A run that was started before."""
        return RunHandle(self, self._send(protocol.get_run(run_id)))

    def runs(
        self,
        agent_id: str | None = None,
        *,
        conversation: str | None = None,
        status: RunStatus | str | None = None,
        limit: int = 20,
    ) -> Listing[RunHandle]:
        """The newest runs first, at most `limit`."""
        runs = self._all(protocol.runs_pages(agent_id, conversation, status, limit), limit)
        return Listing(RunHandle(self, run) for run in runs)

    def approvals(self, run_id: str | None = None, *, waiting: bool | None = True) -> Listing[ApprovalHandle]:
        """Tool calls that wait for a person, the newest first; with `waiting` False those that were decided, with
        None all."""
        approvals = self._all(protocol.approvals_pages(run_id, waiting))
        return Listing(ApprovalHandle(self, approval) for approval in approvals)

    def approval(self, approval_id: str) -> ApprovalHandle:
        """One of them."""
        return ApprovalHandle(self, self._send(protocol.get_approval(approval_id)))

    # Conversations

    def converse(self, message: str, conversation_id: str | None = None) -> Answer:
        """Say to the workspace's assistant in plain words what agent you want, and have it made, changed, listed or
        run. Waits for the answer. `conversation_id` of an answer goes on with its conversation."""
        return self.answer(self.say(message, conversation_id))

    def say(self, message: str, conversation_id: str | None = None) -> RunHandle:
        """The same without waiting: gives the turn's run, which can be watched; `answer` gives what came of it."""
        begun = self._send(protocol.converse(message, conversation_id, wait_s=0))
        return self.get_run(begun.run_id)

    def answer(self, turn: RunHandle) -> Answer:
        """Wait for the end of a turn, and give its answer."""
        turn.wait()
        return self._send(protocol.get_turn(turn.record.conversation_id, turn.id))

    def health(self) -> Health:
        """How the workspace is: what runs, what is wrong, and whether a demo model answers (`notice`)."""
        return self._send(protocol.health())

    # Below the surface

    @property
    def beside(self) -> tuple[Background, AsyncAgentClient]:
        """A loop in a thread of its own, and the client of the same workspace on it; made when first used."""
        if self._beside is None:
            self._beside = Background(), AsyncAgentClient._twin(self._place, self._trigger, self._patience_s)
        return self._beside

    def follow(self, run_id: str, *, after: int = 0, deadline: float | None = None) -> Generator[Item, None, None]:
        """Everything of a run after event number `after`, live, to its end. `deadline` is a time of
        time.monotonic(); past it TimeoutError is raised."""
        place = self._workspace()
        state = Follow(run_id, place.url, after=after, patience_s=self._patience_s)
        while state.ended is None:
            try:
                yield from self._connection(state, place, deadline)
            except RETRIED as error:
                if self._can_start(place, error) and state.is_first:
                    self._start(place)
                    state.began()
                    continue
                delay = state.lost(error)
                _check(deadline)
                time.sleep(delay)

    def _connection(self, state: Follow, place: discovery.Workspace, deadline: float | None) -> Iterator[Item]:
        """One connection's part of a run."""
        # Less than the 15 s between signs of life, so that a silent connection cannot outlast the deadline.
        silence_s = SILENCE_S if deadline is None else max(0.05, min(10.0, deadline - time.monotonic()))
        with self._http().stream(
            "GET",
            place.url + protocol.events_path(state.run_id),
            params={**state.params, **place.params},
            headers={**place.headers, "Accept": "text/event-stream", "Cache-Control": "no-store"},
            timeout=httpx.Timeout(silence_s, connect=10.0),
        ) as response:
            if response.status_code != 200:
                raise protocol.error_of(
                    place.url, response.status_code, response.read(), response.headers.get("location", "")
                )
            state.connected()
            for sent in EventSource(response).iter_sse():
                _check(deadline)
                if (item := state.take(sent.event, sent.data)) is not None:
                    yield item
                if state.ended is not None:
                    return
        raise BrokenStream("the connection ended before the run.")

    def _all(self, page_after: PageCall[T], limit: int | None = None) -> list[T]:
        """The items of all pages, or the first `limit` of them."""
        items: list[T] = []
        cursor: str | None = None
        while True:
            page = self._send(page_after(cursor))
            items += page.items
            if (cursor := page.next) is None or (limit is not None and len(items) >= limit):
                return items[:limit]

    def _send(self, call: Call[T]) -> T:
        place = self._workspace()
        try:
            return self._send_to(place, call)
        except WorkspaceNotRunning as error:
            if not self._can_start(place, error):
                raise
        self._start(place)
        return self._send_to(place, call)

    def _can_start(self, place: discovery.Workspace, error: Exception) -> bool:
        return self._may_start and place.is_door and isinstance(error, WorkspaceNotRunning)

    def _start(self, place: discovery.Workspace) -> None:
        """Have the workspace started, and wait until it runs."""
        try:
            with self._http().stream(
                "POST",
                place.url + "start",
                headers={**place.headers, "Accept": "text/event-stream"},
                timeout=httpx.Timeout(SILENCE_S, connect=10.0),
            ) as response:
                if response.status_code != 200:
                    content = response.read()
                    raise protocol.error_of(
                        place.url, response.status_code, content, response.headers.get("location", "")
                    )
                for sent in EventSource(response).iter_sse():
                    told = door.started(place, sent.event, sent.data)
                    if told is True:
                        return
                    if isinstance(told, Progress) and self._on_progress is not None:
                        self._on_progress(told)
        except httpx.TransportError as error:
            raise protocol.no_answer(place.url, error) from error
        raise door.not_started(place)

    def _send_to(self, place: discovery.Workspace, call: Call[T]) -> T:
        attempts = Attempts(place.url, call)
        while True:
            try:
                response = self._http().request(
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
                time.sleep(attempts.failed(error))

    def _workspace(self) -> discovery.Workspace:
        """Where the workspace is. The first time a hub may have to be asked."""
        if isinstance(self._place, discovery.Workspace):
            return self._place
        hub = self._place
        try:
            found = door.place_of(hub, self._send_to(hub.as_place, door.find(hub.user)))
        except AgentsError:
            # No such service on this hub, or a token that it does not take: straight to the workspace.
            found = hub.workspace_of(hub.user or self._send_to(hub.as_place, protocol.whose_token()))
        self._place = found
        return found

    def _http(self) -> httpx.Client:
        if self._client is None:
            uds = discovery.socket_of(self._place)
            transport = httpx.HTTPTransport(uds=uds) if uds else None
            self._client = httpx.Client(**protocol.http_options(self._place), transport=transport)
        return self._client


class AgentHandle(AgentView):
    """An agent, and what can be done with it."""

    def __init__(self, client: AgentClient, record: Agent, reference: str | None = None) -> None:
        super().__init__(record, reference)
        self._client = client

    def run(self, prompt: str, *, revision: int | None = None, tools: Tools | None = None) -> RunHandle:
        """Start a run of the newest revision, or of the one named. `tools` are functions that it may call."""
        return self._client.run(self.reference, prompt, revision=revision, tools=tools)

    def run_many(
        self,
        prompts: Prompts,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        revision: int | None = None,
        tools: Tools | None = None,
        progress: bool = True,
    ) -> Results:
        """Run it once for each prompt, as the client's `run_many` does."""
        return self._client.run_many(
            self.reference, prompts, concurrency=concurrency, revision=revision, tools=tools, progress=progress
        )

    def runs(self, *, status: RunStatus | str | None = None, limit: int = 20) -> Listing[RunHandle]:
        """Its newest runs first."""
        return self._client.runs(self.reference, status=status, limit=limit)

    def refresh(self) -> Self:
        """Read the newest revision."""
        self.record = self._client._send(protocol.get_agent(self.reference))
        return self

    def update(self, **changes: Unpack[AgentChanges]) -> Self:
        """Change fields; the rest stays. Raises StaleRevision when it was changed elsewhere meanwhile."""
        self.record = self._client._send(protocol.update_agent(self.reference, self.revision, changes))
        return self

    def delete(self) -> None:
        """Take it out of the list. Its runs and revisions stay."""
        self._client._send(protocol.delete_agent(self.reference, self.revision))

    def revisions(self) -> Listing[AgentHandle]:
        """All revisions, newest first."""
        revisions = self._client._all(protocol.revisions_pages(self.reference))
        return Listing(AgentHandle(self._client, agent) for agent in revisions)

    def restore(self, revision: int) -> Self:
        """Make a new revision equal to an old one."""
        self.record = self._client._send(protocol.restore_revision(self.reference, revision, self.revision))
        return self

    def share(
        self,
        name: str,
        *,
        kind: ShareKind | Literal["person", "group"] = "person",
        access: ShareAccess | Literal["use", "copy"] = "use",
    ) -> ShareView:
        """Share it with a person, or with a group of JupyterHub's, to use or to copy."""
        return self._client.share(self.reference, name, kind=kind, access=access)

    def unshare(self, name: str, *, kind: ShareKind | Literal["person", "group"] = "person") -> None:
        """Share it with them no more."""
        self._client.unshare(self.reference, name, kind=kind)

    def shares(self) -> Listing[ShareView]:
        """With whom it is shared."""
        return self._client.shares(self.reference)


class SharedAgentHandle(SharedAgentView):
    """An agent that somebody shares with the person, and what can be done with it."""

    def __init__(self, client: AgentClient, shared: SharedAgent) -> None:
        super().__init__(shared)
        self._client = client

    def run(self, prompt: str) -> RunHandle:
        """Start a run of its newest revision, here and on one's own budget."""
        return self._client.run(self.reference, prompt)

    def runs(self, *, status: RunStatus | str | None = None, limit: int = 20) -> Listing[RunHandle]:
        """The person's own newest runs of it first."""
        return self._client.runs(self.reference, status=status, limit=limit)

    def copy(self, id: str | None = None) -> AgentHandle:
        """Make an agent of one's own of it."""
        return self._client.copy_agent(self.reference, id)


class RunHandle(RunView):
    """A run, and what can be done with it. Iterating gives its durable events, from the first, as they come."""

    def __init__(self, client: AgentClient, record: Run) -> None:
        super().__init__(record)
        self._client = client
        self._functions: dict[str, PythonFunction] = {}
        self._counter: Counter | None = None

    def _offer(self, functions: dict[str, PythonFunction]) -> None:
        self._functions = functions
        if functions:
            background, twin = self._client.beside
            self._counter = Counter(background)
            serving = Serving(twin, self.id, functions, self._counter.execute, patience_s=twin._patience_s)
            background.start(serving.serve())

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def events(self, after: int = 0) -> Iterator[Event]:
        """The durable events after number `after`, to the end of the run."""
        for item in self.stream(after):
            if isinstance(item, Event):
                yield item

    def stream(self, after: int = 0, *, timeout_s: float | None = None) -> Iterator[Item]:
        """All there is to see, live: events, deltas, and the run's record whenever it changes."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        items: Generator[Item | None, None, None]
        if self._counter is None:
            items = self._client.follow(self.id, after=after, deadline=deadline)
        else:
            _, twin = self._client.beside
            items = self._counter.follow(lambda: twin.follow(self.id, after=after), deadline=deadline)
        with closing(items):
            for item in items:
                if isinstance(item, Run):
                    self.record = item
                if item is not None:
                    yield item

    def _ticking(self, after: int, tick_s: float) -> Generator[Item | None, None, None]:
        """As `stream`, and None for each `tick_s` of silence."""
        background, twin = self._client.beside
        counter = self._counter or Counter(background)
        with closing(counter.follow(lambda: twin.follow(self.id, after=after), tick_s=tick_s)) as items:
            for item in items:
                if isinstance(item, Run):
                    self.record = item
                yield item

    def _ipython_display_(self) -> None:
        """In a notebook: how it stands, live for as long as it works."""
        from .notebook import live

        background, twin = self._client.beside
        live.show_run(self.record, lambda: twin.follow(self.id), background.start)

    def text_stream(self) -> Iterator[str]:
        """The agent's words as they come. Blocks of text are set apart by an empty line."""
        words = Words()
        for item in self.stream():
            yield from words.take(item)

    def watch(self, out: TextIO | None = None, after: int = 0) -> Self:
        """Write what happens, as it happens, to `out` (where print writes to): words, tool calls, notices."""
        writer, transcript = PlainWriter(out or sys.stdout), Transcript()
        for item in self.stream(after):
            for piece in transcript.take(item):
                writer.write(piece)
        writer.end(self.record)
        return self

    def wait(self, timeout_s: float | None = None) -> Self:
        """Wait for the end, whatever it is. Raises TimeoutError after `timeout_s` seconds; the run goes on."""
        if not self.refresh().status.is_final:
            for _ in self.stream(self.record.last_seq, timeout_s=timeout_s):
                pass
        return self

    def result(self, timeout_s: float | None = None) -> str:
        """Wait for the end and give the agent's last words. Raises RunFailed when it did not succeed."""
        self.wait(timeout_s)
        if self.status is not RunStatus.SUCCEEDED:
            raise RunFailed(self.record)
        return self.record.result or ""

    def refresh(self) -> Self:
        """Read how it stands."""
        self.record = self._client._send(protocol.get_run(self.id))
        return self

    def history(self, after: int = 0) -> list[Event]:
        """The durable events after number `after` that there are by now, without waiting for more."""
        events: list[Event] = []
        while True:
            page = self._client._send(protocol.list_events(self.id, after))
            self.record = page.run
            events += page.items
            if not page.items or page.next is None:
                return events
            after = page.items[-1].seq

    def approvals(self, *, waiting: bool | None = True) -> Listing[ApprovalHandle]:
        """Its tool calls that wait for a person."""
        return self._client.approvals(self.id, waiting=waiting)

    def approval(self, approval_id: str) -> ApprovalHandle:
        """One of its tool calls."""
        return self._client.approval(approval_id)

    def cancel(self) -> Self:
        """Stop it. Raises Conflict when it has ended."""
        self.record = self._client._send(protocol.cancel_run(self.id))
        return self

    def resume(self, prompt: str | None = None, *, tools: Tools | None = None) -> Self:
        """Go on with it in its Claude session after it was interrupted, cancelled or failed. Functions that it was
        started with here it has again, unless others are given."""
        functions = (
            self._functions if tools is None else protocol.functions_here(self._client._place, functions_of(tools))
        )
        definitions = [function.definition for function in functions.values()]
        self.record = self._client._send(protocol.resume_run(self.id, prompt, definitions))
        self._offer(functions)
        return self

    def reply(self, prompt: str, *, tools: Tools | None = None) -> RunHandle:
        """Start a run that goes on with this conversation. `tools` are functions that it may call."""
        return self._client.run(self.agent, prompt, continues=self.id, tools=tools)


class ApprovalHandle(ApprovalView):
    """A tool call that waits for a person, and what they can say to it."""

    def __init__(self, client: AgentClient, record: Approval) -> None:
        super().__init__(record)
        self._client = client

    def allow(self, always: Literal["run", "agent"] | None = None, *, answer: str | None = None) -> Self:
        """Let it be made: this once, or with such calls for the rest of the run or of all the agent's runs. `answer`
        is for a question. Raises Conflict when somebody else was faster, or the run has ended."""
        return self._decide(always or Decision.ONCE, answer)

    def deny(self, message: str | None = None) -> Self:
        """Refuse it; Claude gets to know the message. Raises Conflict as `allow` does."""
        return self._decide(Decision.DENY, message)

    def _decide(self, decision: Decision | str, message: str | None) -> Self:
        self.record = self._client._send(protocol.decide_approval(self.id, decision, message))
        return self


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError("The run has not ended in the time given; it goes on.")
