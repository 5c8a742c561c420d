"""What a workspace that does not run would answer: its agents, runs, events and approvals, from the service's store.

It is what the workspace has told the service. What it could not tell before it stopped is told when it starts; a run
that was at work when it stopped is marked interrupted then.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from re import Match
from urllib.parse import parse_qsl, unquote

from pydantic import BaseModel

from ...errors import WorkspaceNotRunning
from ...models import Run, split_reference
from ...queries import (
    AgentRunsQuery,
    ApprovalsQuery,
    Empty,
    EventsPage,
    EventsQuery,
    ListQuery,
    RevisionQuery,
    RevisionsQuery,
    RunsQuery,
    asked,
    revision_number,
)
from ...store import AgentStore
from .access import Target
from .passage import query_for_workspace
from .stream import Item

PAGE = 500

Pairs = list[tuple[str, str]]
Read = Callable[[str, Match[str], Pairs], Awaitable[BaseModel]]


class StoredAnswers:
    """Answers in the place of workspaces that do not run, with the same JSON."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store
        self._reads: Mapping[re.Pattern[str], Read] = {
            re.compile(pattern + r"\Z"): read
            for pattern, read in (
                (r"api/agents", self._agents),
                (r"api/agents/([^/]+)", self._agent),
                (r"api/agents/([^/]+)/revisions", self._revisions),
                (r"api/agents/([^/]+)/revisions/(\d{1,12})", self._revision),
                (r"api/agents/([^/]+)/runs", self._agent_runs),
                (r"api/runs", self._runs),
                (r"api/runs/([^/]+)", self._run),
                (r"api/runs/([^/]+)/events", self._events),
                (r"api/approvals", self._approvals),
                (r"api/approvals/([^/]+)", self._approval),
            )
        }

    async def answer(self, target: Target, query: str) -> str | None:
        """The JSON that is asked for; None when it is nothing that the store has. Raises what the workspace would:
        NotFound, InvalidInput; and StoreUnavailable."""
        path = "/".join(unquote(step) for step in target.path.split("/"))
        for pattern, read in self._reads.items():
            if match := pattern.match(path):
                pairs = parse_qsl(query_for_workspace(query), keep_blank_values=True)
                return (await read(target.user, match, pairs)).model_dump_json()
        return None

    async def run(self, target: Target) -> Run:
        """The run whose events are asked for, when they are all there. Raises NotFound, and WorkspaceNotRunning for a
        run that is not over: what it does next only the workspace knows."""
        run = await self._store.get_run(target.user, unquote(target.run_id or ""))
        if not run.status.is_final:
            raise WorkspaceNotRunning(
                f"The run {run.id} is not over, and {target.user}'s workspace does not run. Ask with wake=yes to have "
                "it started, or without `Accept: text/event-stream` for the events there are."
            )
        return run

    async def follow(self, run: Run, after: int) -> AsyncGenerator[Item]:
        """As the workspace streams a run that is over."""
        yield Item("run", run.model_dump_json())
        while True:
            events = await self._store.list_events(run.owner, run.id, after=after, limit=PAGE)
            for event in events:
                yield Item("event", event.model_dump_json(), event.seq)
                after = event.seq
            if len(events) < PAGE:
                break
        yield Item("end", run.model_dump_json())

    async def _agents(self, owner: str, _: Match[str], pairs: Pairs) -> BaseModel:
        query = asked(ListQuery, pairs)
        return await self._store.list_agents(owner, limit=query.limit, after=query.after)

    async def _agent(self, owner: str, path: Match[str], pairs: Pairs) -> BaseModel:
        return await self._store.get_agent(owner, path[1], asked(RevisionQuery, pairs).revision)

    async def _revisions(self, owner: str, path: Match[str], pairs: Pairs) -> BaseModel:
        query = asked(RevisionsQuery, pairs)
        return await self._store.list_revisions(owner, path[1], limit=query.limit, before=query.before)

    async def _revision(self, owner: str, path: Match[str], pairs: Pairs) -> BaseModel:
        return await self._store.get_agent(owner, path[1], revision_number(path[2]))

    async def _agent_runs(self, owner: str, path: Match[str], pairs: Pairs) -> BaseModel:
        query = asked(AgentRunsQuery, pairs)
        return await self._list_runs(owner, RunsQuery(agent=path[1], **query.model_dump()))

    async def _runs(self, owner: str, _: Match[str], pairs: Pairs) -> BaseModel:
        return await self._list_runs(owner, asked(RunsQuery, pairs))

    async def _list_runs(self, owner: str, query: RunsQuery) -> BaseModel:
        agent_owner, agent_id = split_reference(query.agent) if query.agent is not None else (None, None)
        return await self._store.list_runs(
            owner, agent_id=agent_id, agent_owner=agent_owner, conversation_id=query.conversation,
            statuses=query.status, limit=query.limit, before=query.before,
        )  # fmt: skip

    async def _run(self, owner: str, path: Match[str], pairs: Pairs) -> BaseModel:
        asked(Empty, pairs)
        return await self._store.get_run(owner, path[1])

    async def _events(self, owner: str, path: Match[str], pairs: Pairs) -> BaseModel:
        query = asked(EventsQuery, pairs)
        run = await self._store.get_run(owner, path[1])
        events = await self._store.list_events(owner, path[1], after=query.after, limit=query.limit)
        return EventsPage.of(run, events, query.after)

    async def _approvals(self, owner: str, _: Match[str], pairs: Pairs) -> BaseModel:
        query = asked(ApprovalsQuery, pairs)
        return await self._store.list_approvals(
            owner, run_id=query.run, waiting=query.waiting, limit=query.limit, before=query.before
        )

    async def _approval(self, owner: str, path: Match[str], pairs: Pairs) -> BaseModel:
        asked(Empty, pairs)
        return await self._store.get_approval(owner, path[1])
