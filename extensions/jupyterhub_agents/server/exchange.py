"""`/api/subagents` and `/api/agents/{id}/subagent`: agents as Claude Code's subagent files, for pages that cannot read
and write such files themselves."""

from __future__ import annotations

import asyncio

from pydantic import Field

from ..models import AgentCreate, Model
from ..queries import RevisionQuery
from ..subagents import MAX_FILE, parse, render
from .base import AgentsHandler, authorized, web


class SubagentFile(Model):
    """A file as it is put into `.claude/agents`."""

    name: str = Field(description="The file's name, such as reviewer.md.")
    text: str


class SubagentText(Model):
    """What a subagent file has in it."""

    text: str = Field(min_length=1, max_length=MAX_FILE)


class SubagentHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self, agent_id: str) -> None:
        query = self.query(RevisionQuery)
        agent = await (await self.store()).get_agent(self.owner, agent_id, query.revision)
        self.reply(SubagentFile(name=f"{agent.id}.md", text=await asyncio.to_thread(render, agent)))


class SubagentsHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Says what agent a file describes, and makes none: that is for `api/agents`, when its id is settled."""
        request = self.body(SubagentText)
        agent_id, spec = await asyncio.to_thread(parse, request.text)
        self.reply(AgentCreate(**spec.model_dump(), id=agent_id))
