"""`/api/agents/{id}/shares` and `/api/shared`: with whom a person shares agents, and what others share with them.

A shared agent runs here, in the caller's own home and on their own budget. What they may do is decided by the hub's
service, which knows who they are and which groups they are in; without it nothing is shared.
"""

from __future__ import annotations

from pydantic import Field

from ..errors import Conflict, InvalidInput, NotAllowed
from ..models import (
    CONVERSATION_MARK,
    Agent,
    AgentCopy,
    AgentSpec,
    Model,
    Page,
    RunCreate,
    Share,
    ShareAccess,
    ShareAnswer,
    SharedAgent,
    ShareKind,
    ShareRequest,
)
from ..queries import RevisionQuery
from ..store import AgentStore
from .agents import created
from .base import AgentsHandler, Empty, authorized, web

ALONE = (
    "This workspace keeps its agents in its home alone, where nobody else gets at them: agents can be shared only "
    "where the hub's agents service keeps them (AgentsApp.store is `remote`). Ask the hub's administrator, or hand the "
    "agent on as a file: `jupyter agents export`."
)


class SharesQuery(Model):
    limit: int = Field(default=100, ge=1, le=1000)
    after: str | None = Field(default=None, max_length=400)


class SharingHandler(AgentsHandler):
    @property
    def alone(self) -> bool:
        """Whether this workspace has no service through which anything could be shared."""
        return self.workspace.replicated is None

    async def sharing_store(self) -> AgentStore:
        """The open store. Raises Conflict where nothing can be shared, StoreUnavailable."""
        if self.alone:
            raise Conflict(ALONE)
        return await self.store()


class SharesHandler(SharingHandler):
    @web.authenticated
    @authorized
    async def get(self, agent_id: str) -> None:
        query = self.query(SharesQuery)
        store = await self.store()
        if self.alone:
            await store.get_agent(self.owner, agent_id)
            self.reply(Page[Share](items=[]))
        else:
            self.reply(await store.list_shares(self.owner, agent_id, limit=query.limit, after=query.after))


class ShareHandler(SharingHandler):
    @web.authenticated
    @authorized
    async def put(self, agent_id: str, kind: str, name: str) -> None:
        request = self.body(ShareRequest)
        store = await self.sharing_store()
        agent = await store.get_agent(self.owner, agent_id)
        share = await store.share_agent(self.owner, agent_id, share_kind(kind), name, request.access)
        self.reply(ShareAnswer(**share.model_dump(), notice=notice(agent)))

    @web.authenticated
    @authorized
    async def delete(self, agent_id: str, kind: str, name: str) -> None:
        self.query(Empty)
        await (await self.sharing_store()).unshare_agent(self.owner, agent_id, share_kind(kind), name)
        self.set_status(204)
        self.finish()


class SharedListHandler(SharingHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        query = self.query(SharesQuery)
        if self.alone:
            self.reply(Page[SharedAgent](items=[]))
        else:
            store = await self.store()
            self.reply(await store.list_shared(self.owner, (), limit=query.limit, after=query.after))


class SharedHandler(SharingHandler):
    @web.authenticated
    @authorized
    async def get(self, owner: str, agent_id: str) -> None:
        query = self.query(RevisionQuery)
        store = await self.sharing_store()
        self.reply(await store.get_shared_agent(self.owner, (), owner, agent_id, query.revision))


class SharedRunsHandler(SharingHandler):
    @web.authenticated
    @authorized
    async def post(self, owner: str, agent_id: str) -> None:
        request = self.body(RunCreate)
        if owner != self.owner:
            await self.sharing_store()
        run = await (await self.manager()).start(agent_id, request, agent_owner=owner)
        self.set_header("Location", f"{self.base_url}api/runs/{run.id}")
        self.reply(run, 201)


class SharedCopyHandler(SharingHandler):
    @web.authenticated
    @authorized
    async def post(self, owner: str, agent_id: str) -> None:
        request = self.body(AgentCopy)
        store = await self.sharing_store()
        shared = await store.get_shared_agent(self.owner, (), owner, agent_id)
        if shared.access is not ShareAccess.COPY:
            raise NotAllowed(
                f"{owner} shares {agent_id} with you to use, not to copy. Run it as {owner}/{agent_id}, or ask {owner} "
                "to share it for copying."
            )
        agent = await created(store, self.owner, request.id, agent_id, copied(shared.agent))
        self.set_header("Location", f"{self.base_url}api/agents/{agent.id}")
        self.reply(agent, 201)


def share_kind(text: str) -> ShareKind:
    """Raises InvalidInput."""
    try:
        return ShareKind(text)
    except ValueError:
        raise InvalidInput(f"kind is {text[:20]!r}: share with a `person` or a `group`.") from None


def copied(agent: Agent) -> AgentSpec:
    """What a copy says. It leads no conversations: that opens a workspace's agents to it, which its owner decides."""
    marks = {name: value for name, value in agent.front_matter.items() if name != CONVERSATION_MARK}
    return agent.spec.model_copy(update={"front_matter": marks})


def notice(agent: Agent) -> str | None:
    """What who shares an agent should know. Of secrets it is not known whether there are any."""
    if not agent.mcp_servers:
        return None
    return (
        "Those you share it with can read the whole definition, also what its MCP servers "
        f"({', '.join(sorted(agent.mcp_servers))}) are started with: keys and passwords there are theirs to see and "
        "to use."
    )
