"""`/api/runs` and `/api/agents/{id}/runs`: start, look at, cancel and resume runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pydantic import Field

from ..models import (
    FunctionAnswer,
    FunctionCalls,
    FunctionsOffer,
    Model,
    RunCreate,
    RunResume,
    split_reference,
)
from ..queries import AgentRunsQuery, RunsQuery
from .base import AgentsHandler, Empty, authorized, web
from .terminal.entry import terminal


class RunsListHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.list_runs(self.query(RunsQuery))

    async def list_runs(self, query: RunsQuery) -> None:
        store = await self.store()
        agent_owner, agent_id = split_reference(query.agent) if query.agent is not None else (None, None)
        page = await store.list_runs(
            self.owner,
            agent_id=agent_id,
            agent_owner=agent_owner,
            conversation_id=query.conversation,
            statuses=query.status,
            limit=query.limit,
            before=query.before,
        )
        self.reply(page)


class AgentRunsHandler(RunsListHandler):
    @web.authenticated
    @authorized
    async def get(self, agent_id: str) -> None:
        query = self.query(AgentRunsQuery)
        await self.list_runs(RunsQuery(agent=agent_id, **query.model_dump()))

    @web.authenticated
    @authorized
    async def post(self, agent_id: str) -> None:
        request = self.body(RunCreate)
        run = await (await self.manager()).start(agent_id, request)
        self.set_header("Location", f"{self.base_url}api/runs/{run.id}")
        self.reply(run, 201)


class RunHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self, run_id: str) -> None:
        self.query(Empty)
        self.reply(await (await self.manager()).get(run_id))


class CancelHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        self.body(Empty)
        self.reply(await (await self.manager()).cancel(run_id), 202)


class TerminalPage(Model):
    path: str = Field(description="The terminal's page for this session, below the workspace's base URL.")


class TerminalHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        self.body(Empty)
        session_id, folder = await (await self.manager()).session_of(run_id)
        self.reply(TerminalPage(path=await asyncio.to_thread(terminal().offer, session_id, folder)))


class ResumeHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        request = self.body(RunResume)
        self.reply(await (await self.manager()).resume(run_id, request.prompt, request.functions), 202)


class FunctionsHandler(AgentsHandler):
    """A program asks for the calls of its functions; the answer waits until there is something new."""

    _asking: asyncio.Task[FunctionCalls] | None = None

    @web.authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        offer = self.body(FunctionsOffer)
        manager = await self.manager()
        self._asking = asyncio.create_task(manager.function_calls(run_id, offer), name=f"functions of {run_id}")
        with suppress(asyncio.CancelledError):  # the program left
            self.reply(await self._asking)

    def on_connection_close(self) -> None:
        """The program left: it counts as away from now on."""
        if self._asking is not None:
            self._asking.cancel()
        super().on_connection_close()


class FunctionAnswersHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        answer = self.body(FunctionAnswer)
        await (await self.manager()).answer_function(run_id, answer)
        self.set_status(204)
        self.finish()
