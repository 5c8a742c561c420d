"""What the MCP server offers: six tools over a client, each with what it takes, said for a model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, ValidationError, create_model

from ..errors import AgentsError, InvalidInput, NotAllowed
from ..models import MAX_INSTRUCTIONS, MAX_PROMPT, Agent, AgentSpec, Event, Model, Run, RunStatus
from ..subagents import slug
from .aio import AsyncAgentClient, AsyncRunHandle
from .errors import ClientError
from .transcript import Transcript

MAX_TEXT = 20_000
"""Characters of an agent's words in one answer: Claude Code takes about 25,000 tokens of an MCP tool, and no more."""
MAX_WAIT_S = 600
DEFAULT_WAIT_S = 60
LAST_EVENTS = 200
LAST_TEXTS = 5
SIGN_OF_LIFE_S = 5.0

Report: TypeAlias = Callable[[float, str], Awaitable[None]]
"""Tells the caller how far a call has come: a number that rises, and words."""
Json: TypeAlias = dict[str, Any]

# Not front_matter and mcp_servers: those are for files and people. The rest a model can say well.
FIELDS = ("name", "description", "model", "tools", "disallowed_tools", "permission_mode", "directory", "max_turns",
          "max_budget_usd", "timeout_s")  # fmt: skip
# Not bypassPermissions: a model that was talked into it would let an agent do anything without asking. It can be set by
# hand.
Permissions: TypeAlias = Literal["default", "acceptEdits", "plan", "dontAsk", "auto"]
_SHARED: dict[str, Any] = {
    name: (AgentSpec.model_fields[name].annotation, AgentSpec.model_fields[name]) for name in FIELDS
} | {
    "permission_mode": (Permissions, Field(default="default", description="Which tool calls need a person's consent."))
}
_INSTRUCTIONS = "What it does and how, as you would tell a colleague who knows nothing of this conversation. Added to "
_INSTRUCTIONS += "Claude Code's own system prompt."

AnyId = Annotated[str, Field(min_length=1, max_length=400)]
NewId = Annotated[
    str | None,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$",
        description="A short id of a-z, 0-9 and '-', such as code-reviewer. Leave it out to have one made of the name.",
    ),
]


class _CreateAgent(Model):
    id: NewId = None
    instructions: str = Field(min_length=1, max_length=MAX_INSTRUCTIONS, description=_INSTRUCTIONS)


class _UpdateAgent(Model):
    id: AnyId = Field(description="The agent's id.")
    revision: int = Field(ge=1, description="The revision that you saw, from get_agent or list_agents.")
    instructions: str | None = Field(default=None, max_length=MAX_INSTRUCTIONS, description="All of them, anew.")


CreateAgent = create_model("CreateAgent", __base__=_CreateAgent, **_SHARED)
UpdateAgent = create_model(
    "UpdateAgent",
    __base__=_UpdateAgent,
    **_SHARED | {"name": (str, Field(default="", min_length=1, max_length=100, description="What people call it."))},
)


class ListAgents(Model):
    """Nothing to say."""


class GetAgent(Model):
    id: AnyId = Field(description="The agent's id, or OWNER/ID of a shared one.")
    revision: int | None = Field(default=None, ge=1, description="An earlier revision; leave it out for the newest.")


class RunAgent(Model):
    id: AnyId = Field(description="The agent's id, or OWNER/ID of one that another person shares.")
    prompt: str = Field(
        min_length=1, max_length=MAX_PROMPT,
        description="What it has to do now. It knows nothing of this conversation: say all that it needs.",
    )  # fmt: skip
    wait_s: float = Field(
        default=DEFAULT_WAIT_S, ge=0, le=MAX_WAIT_S,
        description="Seconds to wait for its end. The run goes on after that; look again with get_run.",
    )  # fmt: skip


class GetRun(Model):
    run_id: AnyId = Field(description="The run's id, as run_agent gave it.")


@dataclass(frozen=True)
class Tool:
    """One tool. `call` gets the checked input."""

    name: str
    description: str
    takes: type[BaseModel]
    call: Callable[[AsyncAgentClient, Any, Report], Awaitable[Json]]
    read_only: bool = False

    def schema(self) -> Json:
        """The JSON schema of its input. Without defaults: a model would repeat them, and an update must not."""
        found = self.takes.model_json_schema()
        for schema in (found, *found["properties"].values(), *found.get("$defs", {}).values()):
            for key in ("title", "default"):
                schema.pop(key, None)
        found.pop("description", None)
        return found

    def checked(self, arguments: Mapping[str, Any]) -> BaseModel:
        """The input. A null is as good as nothing where a field has no null. Raises InvalidInput."""
        given = {name: value for name, value in arguments.items() if value is not None or name in _NULLS}
        try:
            return self.takes.model_validate(given)
        except ValidationError as error:
            raise InvalidInput(explained(error, list(self.takes.model_fields))) from None


_NULLS = ("model", "tools", "directory", "max_turns", "max_budget_usd", "timeout_s")
"""Fields in which null means something: no limit, all tools, the default."""


async def create_agent(client: AsyncAgentClient, given: Any, report: Report) -> Json:
    fields = given.model_dump(mode="json", exclude_unset=True)
    made = await client.create_agent(fields.pop("name"), id=fields.pop("id", None), **fields)
    return summary(made.record)


async def update_agent(client: AsyncAgentClient, given: Any, report: Report) -> Json:
    changes = given.model_dump(mode="json", exclude_unset=True)
    agent_id, revision = changes.pop("id"), changes.pop("revision")
    if not changes:
        raise InvalidInput(f"There is nothing to change: give a field besides id and revision, of {', '.join(FIELDS)}.")
    agent = await client.agent(agent_id)
    if agent.record.leads_conversations:
        raise NotAllowed(f"{agent_id} is the agent that leads conversations: only the person changes it, by hand.")
    agent.record = agent.record.model_copy(update={"revision": revision})
    return summary((await agent.update(**changes)).record)


async def list_agents(client: AsyncAgentClient, given: Any, report: Report) -> Json:
    found: Json = {"agents": [summary(agent.record) for agent in await client.agents()]}
    try:
        shared = await client.shared()
    except ClientError:
        raise
    except AgentsError as error:
        # The person's own are not held up by what is not theirs.
        return found | {"shared_error": error.message}
    if shared:
        found["shared"] = [summary(each.record) | {"id": each.reference, "may": each.access.value} for each in shared]
    return found


async def get_agent(client: AsyncAgentClient, given: Any, report: Report) -> Json:
    agent = await client.agent(given.id, given.revision)
    return whole(agent.record) | {"id": agent.reference}


async def run_agent(client: AsyncAgentClient, given: Any, report: Report) -> Json:
    agent = await client.agent(given.id)
    if agent.record.leads_conversations and "/" not in given.id:
        raise NotAllowed(f"{given.id} is the agent that leads conversations: run the agent that does the work itself.")
    run = await agent.run(given.prompt)
    await _watch(run, given.wait_s, report)
    return outcome(run.record)


async def get_run(client: AsyncAgentClient, given: Any, report: Report) -> Json:
    run = await client.get_run(given.run_id)
    events = await run.history(after=max(0, run.record.last_seq - LAST_EVENTS))
    return outcome(run.record) | {"last_texts": [cut(text) for text in texts(events)[-LAST_TEXTS:]]}


async def _watch(run: AsyncRunHandle, wait_s: float, report: Report) -> None:
    """Wait for the end of a run, or until it waits for a person, and tell what it does meanwhile."""
    transcript = Transcript()
    begun = asyncio.get_running_loop().time()
    said = run.status.value

    async def follow() -> None:
        nonlocal said
        async with aclosing(run.stream()) as items:
            async for item in items:
                if isinstance(item, Run):
                    said = item.status.value
                    if item.status is RunStatus.WAITING:
                        return
                for piece in transcript.take(item):
                    if piece.kind == "tool":
                        said = piece.text

    following = asyncio.ensure_future(follow())
    try:
        while (left := begun + wait_s - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait({following}, timeout=min(left, SIGN_OF_LIFE_S))
            if following.done():
                following.result()
                return
            await report(asyncio.get_running_loop().time() - begun, said)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await run.refresh()


TOOLS = (
    Tool("list_agents", "List the person's agents: id, name, description and revision of each, and under `shared` "
         "those that others share with them, by OWNER/ID, which can be run but not changed. Look here before you make "
         "an agent, and to find the one that is meant.", ListAgents, list_agents, read_only=True),
    Tool("get_agent", "All of one agent: its instructions, model, tools, limits, and its revision, which update_agent "
         "wants to know.", GetAgent, get_agent, read_only=True),
    Tool("create_agent", "Make a new agent for the person: a stored definition of who does a job and how, which can be "
         "run any number of times. It becomes a Claude Code of its own with these instructions. Give it no more tools "
         "than its job takes: `tools` lists the only ones it has, such as [\"Read\", \"Grep\", "
         "\"Bash(git diff:*)\"]; a rule with a pattern also allows the calls that match without asking. Without "
         "`tools` it has all of them.", CreateAgent, create_agent),
    Tool("update_agent", "Change an agent: a new revision of it. Give the id, the revision that you saw and the fields "
         "to change; what is left out stays. When it was changed meanwhile you are told, with how it is now.",
         UpdateAgent, update_agent),
    Tool("run_agent", "Have an agent do something now. Waits for up to wait_s seconds, then tells how the run stands: "
         "its status, and its result when it has ended. A run that still works goes on by itself.",
         RunAgent, run_agent),
    Tool("get_run", "How a run stands: its status, its result or its error, and the last that it said.",
         GetRun, get_run, read_only=True),
)  # fmt: skip


def summary(agent: Agent) -> Json:
    """An agent in a few words: what create, update and list tell. Short, so that it always arrives whole."""
    found = {"id": agent.id, "name": agent.name, "revision": agent.revision}
    if agent.description:
        found["description"] = agent.description[:500]
    return found


def whole(agent: Agent) -> Json:
    """An agent with all that can be changed here, without what is as it is by default."""
    fields = agent.model_dump(mode="json", include={*FIELDS, "instructions"}, exclude_defaults=True)
    return {"id": agent.id, "revision": agent.revision, **fields}


def outcome(run: Run) -> Json:
    """How a run stands."""
    found: Json = {"run_id": run.id, "agent_id": run.agent, "status": run.status.value}
    if run.result is not None:
        found["result"] = cut(run.result)
    if run.error is not None:
        found["error"] = run.error.message
    if run.status is RunStatus.WAITING:
        found["note"] = "It waits until the person allows or refuses a tool call, in the workspace's list of approvals."
    elif not run.status.is_final:
        found["note"] = "It is still at work. Look again with get_run."
    return found


def texts(events: list[Event]) -> list[str]:
    """What the agent itself said in these events."""
    found = []
    for event in events:
        message = event.payload.get("message")
        if event.payload.get("type") != "assistant" or event.payload.get("parent_tool_use_id") is not None:
            continue
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else []:
            if isinstance(block, dict) and block.get("type") == "text" and block.get("text"):
                found.append(str(block["text"]))
    return found


def cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n[cut: {len(text)} characters in all]"


def explained(error: ValidationError, fields: list[str]) -> str:
    """What is wrong with an input, said so that a model can put it right at once."""
    lines = []
    for problem in error.errors(include_url=False)[:8]:
        where = ".".join(str(part) for part in problem["loc"])
        first, value = str(problem["loc"][0]) if problem["loc"] else "", problem["input"]
        if problem["type"] == "extra_forbidden":
            what = f"there is no such field; it takes {', '.join(fields)}"
        elif problem["type"] == "missing":
            what = "it is missing; this one is needed"
        elif first in ("tools", "disallowed_tools") and isinstance(value, str) and len(problem["loc"]) == 1:
            wanted = [part.strip() for part in value.strip("[]").replace('"', "").split(",") if part.strip()]
            what = f"give a JSON list of strings, not a string: {wanted or ['Read']}".replace("'", '"')
        elif first == "id" and isinstance(value, str):
            what = f"{value[:80]!r} is no id: 1 to 64 of a-z, 0-9 and '-', such as {slug(value)[:60] or 'my-agent'!r}"
        else:
            said = problem["msg"].removeprefix("Value error, ")
            what = said[:1].lower() + said[1:] + f" (it is {str(value)[:60]!r})"
        lines.append(f"{where}: {what}")
    return "; ".join(lines) + "."
