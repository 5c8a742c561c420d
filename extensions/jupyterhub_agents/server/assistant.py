"""The agent that people speak with about their agents: how it is made, and what its runs get.

It is an ordinary agent: in the list, with revisions, and the person's to change; what they change holds in the next
turn. It is known by a mark in its front matter (`models.CONVERSATION_MARK`), so an agent of the person's own that
happens to have its id is left alone, and the next free id is taken. Deleted, it is made anew when it is needed.

The MCP server is no part of the stored agent: its command has paths of this machine. Each of its runs gets it.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import AlreadyExists, NotFound, RuntimeUnavailable
from ..models import CONVERSATION_MARK, Agent, AgentSpec
from ..runtime.given import RunExtras
from ..store import AgentStore
from .mcp_server import SERVER, mcp_server

TOOL_PREFIX = f"mcp__{SERVER}__"
TOOLS = ("list_agents", "get_agent", "create_agent", "update_agent", "run_agent", "get_run")
MAX_IDS = 20

SPEC = AgentSpec(
    name="Assistant",
    description="Speaks with you about your agents: makes, changes, lists and runs them as you say it.",
    instructions="""\
You help a person with their agents. An agent is a stored definition of a Claude Code that does one job: instructions, \
tools, a model, limits. You have tools to list, read, make, change and run the person's agents, and no others: you \
cannot read files or run commands yourself. The agents can.

- When the person says what agent they want, make it. Ask back only when you cannot guess what it should do. Choose a \
short name, write instructions that stand on their own, and give it only the tools that its job takes.
- Before you change or run an agent, find it with list_agents or get_agent; use the revision you saw.
- When a change is refused as stale, read the agent again and decide whether your change still makes sense.
- When the person asks for work, run the agent that fits, with a prompt that holds all it needs to know. Tell its \
result, not that it was run. When it still works, say so, and give the run's id.
- Say in a sentence or two what you did. Never claim what no tool has confirmed.
""",
    tools=[],
    front_matter={CONVERSATION_MARK: True},
)


async def assistant(store: AgentStore, owner: str) -> Agent:
    """The owner's assistant; made when there is none. Raises AlreadyExists when all its ids are taken."""
    for agent_id in ("assistant", "agents-assistant", *(f"agents-assistant-{n}" for n in range(2, MAX_IDS))):
        try:
            agent = await store.get_agent(owner, agent_id)
        except NotFound:
            try:
                return await store.create_agent(owner, agent_id, SPEC)
            except AlreadyExists:  # another request was quicker
                agent = await store.get_agent(owner, agent_id)
        if agent.leads_conversations:
            return agent
    raise AlreadyExists("There is no id left for the assistant: delete one of the agents named agents-assistant-...")


def extras(agent: Agent, door: Path) -> RunExtras | None:
    """What the runs of an agent get: the tools for agents, when it is the assistant. Raises RuntimeUnavailable."""
    if not agent.leads_conversations:
        return None
    if not door.exists():
        raise RuntimeUnavailable(
            "The workspace has no socket for its own programs, which conversations need; its log says why."
        )
    return RunExtras(mcp_servers={SERVER: mcp_server(door)}, allowed_tools=[TOOL_PREFIX + name for name in TOOLS])
