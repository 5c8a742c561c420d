"""`/api/agents`: agents and their revisions."""

from __future__ import annotations

import difflib

from pydantic import Field

from ..errors import AlreadyExists
from ..models import Agent, AgentCreate, AgentSpec, AgentUpdate, Model
from ..queries import ListQuery, RevisionQuery, RevisionsQuery, revision_number
from ..store import AgentStore
from ..subagents import render, slug
from .base import AgentsHandler, authorized, validated, web

ID_TRIES = 50


class DeleteQuery(Model):
    revision: int = Field(ge=1, description="The revision that was seen.")


class DiffQuery(Model):
    against: int | None = Field(default=None, ge=1, description="The revision to compare with; none is the one before.")


class Comparison(Model):
    """How two revisions differ: the fields, and all of it as a unified diff of their subagent files."""

    before: int
    after: int
    fields: list[str]
    diff: str = Field(description="Empty when they are equal.")


class Restore(Model):
    """A request to make an old revision the newest again."""

    revision: int = Field(ge=1, description="The newest revision that was seen.")


class AgentsListHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        query = self.query(ListQuery)
        self.reply(await (await self.store()).list_agents(self.owner, limit=query.limit, after=query.after))

    @web.authenticated
    @authorized
    async def post(self) -> None:
        request = self.body(AgentCreate)
        spec = AgentSpec(**{name: getattr(request, name) for name in AgentSpec.model_fields})
        wanted = slug(spec.name)[:60].rstrip("-") or "agent"
        agent = await created(await self.store(), self.owner, request.id, wanted, spec)
        self.set_header("Location", f"{self.base_url}api/agents/{agent.id}")
        self.reply(agent, 201)


class AgentHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self, agent_id: str) -> None:
        query = self.query(RevisionQuery)
        self.reply(await (await self.store()).get_agent(self.owner, agent_id, query.revision))

    @web.authenticated
    @authorized
    async def patch(self, agent_id: str) -> None:
        request = self.body(AgentUpdate)
        store = await self.store()
        newest = await store.get_agent(self.owner, agent_id)
        changed = validated(AgentSpec, newest.spec.model_dump() | (request.model_extra or {}))
        agent = await store.update_agent(self.owner, agent_id, changed, revision=request.revision)
        (await self.manager()).pool.changed(agent_id, agent)
        self.reply(agent)

    @web.authenticated
    @authorized
    async def delete(self, agent_id: str) -> None:
        query = self.query(DeleteQuery)
        await (await self.store()).delete_agent(self.owner, agent_id, revision=query.revision)
        (await self.manager()).pool.changed(agent_id, None)
        self.set_status(204)
        self.finish()


class RevisionsHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self, agent_id: str) -> None:
        query = self.query(RevisionsQuery)
        store = await self.store()
        self.reply(await store.list_revisions(self.owner, agent_id, limit=query.limit, before=query.before))


class RevisionHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self, agent_id: str, number: str) -> None:
        self.reply(await (await self.store()).get_agent(self.owner, agent_id, revision_number(number)))


class DiffHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self, agent_id: str, number: str) -> None:
        query = self.query(DiffQuery)
        store = await self.store()
        after = await store.get_agent(self.owner, agent_id, revision_number(number))
        earlier = query.against or max(after.revision - 1, 1)
        before = await store.get_agent(self.owner, agent_id, earlier)
        self.reply(comparison(before, after))


class RestoreHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def post(self, agent_id: str, number: str) -> None:
        request = self.body(Restore)
        store = await self.store()
        old = await store.get_agent(self.owner, agent_id, revision_number(number))
        agent = await store.update_agent(self.owner, agent_id, old.spec, revision=request.revision)
        (await self.manager()).pool.changed(agent_id, agent)
        self.reply(agent)


async def created(store: AgentStore, owner: str, agent_id: str | None, wanted: str, spec: AgentSpec) -> Agent:
    """Make an agent of this id; without one, of the id that is `wanted`, or of one like it that is free. Raises
    AlreadyExists."""
    if agent_id is not None:
        return await store.create_agent(owner, agent_id, spec)
    for number in range(1, ID_TRIES + 1):
        try:
            return await store.create_agent(owner, wanted if number == 1 else f"{wanted[:60]}-{number}", spec)
        except AlreadyExists:
            continue
    raise AlreadyExists(f"There are {ID_TRIES} agents named like {spec.name!r} already: give this one an `id`.")


def comparison(before: Agent, after: Agent) -> Comparison:
    """What changed from one revision to another, for people to read."""
    fields = [name for name in AgentSpec.model_fields if getattr(before, name) != getattr(after, name)]
    lines = difflib.unified_diff(
        render(before).splitlines(), render(after).splitlines(),
        f"revision {before.revision}", f"revision {after.revision}", lineterm="",
    )  # fmt: skip
    return Comparison(before=before.revision, after=after.revision, fields=fields, diff="\n".join(lines))
