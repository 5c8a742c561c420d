"""The nouns: agent, revision, run, event. What the store keeps and what HTTP carries are these, as JSON.

Unknown fields are refused everywhere; times are aware and in UTC; money is in US dollars.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, field_validator

MAX_INSTRUCTIONS = 200_000
"""Characters of an agent's instructions: about 50,000 tokens, a quarter of a usual context window."""
MAX_PROMPT = 1_000_000
MAX_NAME = 100
MAX_DESCRIPTION = 10_000
MAX_TOOLS = 200
MAX_MESSAGE = 10_000
"""Characters of what a person says with a decision."""
MAX_SHARES = 100
"""People and groups that one agent may be shared with; a group is one, whatever its size."""
MAX_FUNCTIONS = 50
MAX_FUNCTION_RESULT = 1_000_000
FUNCTIONS_SERVER = "notebook"
"""The name of the MCP server that a run's functions are behind: Claude knows them as `mcp__notebook__NAME`."""

CONVERSATION_MARK = "jupyterhub-agents-conversation"
"""The front matter that marks an agent which people speak with about their agents."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=False)


def _relative_directory(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\0" in value or str(path) in ("", "."):
        raise ValueError(
            f"{value!r} is not a folder under the home: give a relative path without '..', such as agents/reviewer"
        )
    return str(path)


AgentId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
"""A slug: 1 to 64 of a-z, 0-9 and '-', neither first nor last a '-'. Unique for its owner."""
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Directory = Annotated[str, Field(max_length=500), AfterValidator(_relative_directory)]
ToolRule = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[A-Za-z_][^\n\r\x00]*$")]
"""A tool's name, or a name with a pattern in Claude Code's rule syntax: `Bash`, `Bash(git diff:*)`."""


class PermissionMode(StrEnum):
    """Claude Code's permission modes (its documentation, "Permission modes")."""

    DEFAULT = "default"
    ACCEPT_EDITS = "acceptEdits"
    PLAN = "plan"
    DONT_ASK = "dontAsk"
    BYPASS = "bypassPermissions"
    AUTO = "auto"


class AgentSpec(Model):
    """What a person writes down of an agent."""

    name: str = Field(min_length=1, max_length=MAX_NAME, description="What people call it.")
    description: str = Field(
        default="", max_length=MAX_DESCRIPTION, description="When to use it; Claude reads this too."
    )
    instructions: str = Field(
        default="", max_length=MAX_INSTRUCTIONS, description="Added to Claude Code's own system prompt."
    )
    model: str | None = Field(
        default=None, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]*$",
        description="A model's name or alias; none is Claude Code's default.",
    )  # fmt: skip
    tools: list[ToolRule] | None = Field(
        default=None, max_length=MAX_TOOLS,
        description="The only tools it has; none means all. A rule with a pattern, such as "
        "`Bash(git diff:*)`, also allows the calls that match without asking.",
    )  # fmt: skip
    disallowed_tools: list[ToolRule] = Field(
        default_factory=list, max_length=MAX_TOOLS, description="Tools, or calls by pattern, that it never has."
    )
    allowed_tools: list[ToolRule] = Field(
        default_factory=list, max_length=MAX_TOOLS,
        description="Calls that need no person's consent, by rule, such as `Bash(git diff:*)`. What a person allows "
        "always is added here.",
    )  # fmt: skip
    permission_mode: PermissionMode = Field(
        default=PermissionMode.DEFAULT, description="Which tool calls need a person's consent."
    )
    mcp_servers: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, max_length=50, description="MCP servers by name, as in Claude Code's `mcpServers`."
    )
    directory: Directory | None = Field(default=None, description="Where it works, under the home; none is agents/ID.")
    max_turns: int | None = Field(default=None, ge=1, le=10_000, description="Turns a run may take.")
    max_budget_usd: float | None = Field(
        default=None, gt=0, le=100_000, allow_inf_nan=False, description="Dollars a run may cost."
    )
    timeout_s: float | None = Field(
        default=None, gt=0, le=7 * 86_400, allow_inf_nan=False, description="Seconds a run may take, by the wall clock."
    )
    front_matter: dict[str, JsonValue] = Field(
        default_factory=dict, max_length=100,
        description="Fields of its Claude Code subagent file that mean nothing here, kept for its export.",
    )  # fmt: skip

    @property
    def leads_conversations(self) -> bool:
        """People speak with it about their agents: its runs get the tools to make, change and run them."""
        return self.front_matter.get(CONVERSATION_MARK) is True


class Agent(AgentSpec):
    """One revision of an agent, as stored. Revisions count from 1 and never change."""

    id: AgentId
    owner: str = Field(min_length=1, max_length=255)
    revision: int = Field(ge=1)
    created_at: AwareDatetime = Field(description="When the agent was first made.")
    updated_at: AwareDatetime = Field(description="When this revision was made.")

    @classmethod
    def from_spec(
        cls, spec: AgentSpec, *, id: str, owner: str, revision: int = 1, now: AwareDatetime,
        created_at: AwareDatetime | None = None,
    ) -> Self:  # fmt: skip
        fields = {name: getattr(spec, name) for name in AgentSpec.model_fields}
        return cls(**fields, id=id, owner=owner, revision=revision, created_at=created_at or now, updated_at=now)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(**{name: getattr(self, name) for name in AgentSpec.model_fields})

    @property
    def working_directory(self) -> str:
        """Relative to the home."""
        return self.directory or f"agents/{self.id}"


def shared_directory(owner: str, agent_id: str) -> str:
    """Where `owner`'s agent works in the home of somebody it is shared with, whatever folder it has at its owner's:
    shared/OWNER/ID. The owner's name stands as it is, except for what no folder can be called."""
    name = owner.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    if name in (".", ".."):
        name = name.replace(".", "%2E")
    if len(name.encode()) > 200:  # file systems take 255 bytes
        name = hashlib.sha256(owner.encode()).hexdigest()[:40]
    return f"shared/{name}/{agent_id}"


def agent_reference(owner: str | None, agent_id: str) -> str:
    """How an agent is called: its id, and another person's OWNER/ID."""
    return agent_id if owner is None else f"{owner}/{agent_id}"


def split_reference(reference: str) -> tuple[str | None, str]:
    """The inverse of `agent_reference`. An id has no slash; a person's name may have."""
    owner, _, agent_id = reference.rpartition("/")
    return owner or None, agent_id


class Trigger(StrEnum):
    """What started a run."""

    BROWSER = "browser"
    NOTEBOOK = "notebook"
    CLI = "cli"
    API = "api"
    CONVERSATION = "conversation"
    SCHEDULE = "schedule"


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Nothing more happens by itself: the run ended, or stopped and waits to be resumed."""
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING)


class TokenUsage(Model):
    """Tokens and dollars of one model, as the CLI's `modelUsage` counts them."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cache_read_input_tokens: int = Field(default=0, ge=0)
    cache_creation_input_tokens: int = Field(default=0, ge=0)
    cost_usd: float = Field(default=0, ge=0)

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(**{name: getattr(self, name) + getattr(other, name) for name in TokenUsage.model_fields})

    def __sub__(self, other: TokenUsage) -> TokenUsage:
        """Never below zero."""
        return TokenUsage(
            **{name: max(getattr(self, name) - getattr(other, name), 0) for name in TokenUsage.model_fields}
        )


class RunUsage(Model):
    """What a run has used so far, over all its resumes."""

    models: dict[str, TokenUsage] = Field(default_factory=dict)
    cost_usd: float = Field(default=0, ge=0)


class RunError(Model):
    """Why a run did not succeed: `code` for programs, `message` for the person."""

    code: str
    message: str


class Run(Model):
    """One execution of an agent."""

    id: RunId
    owner: str = Field(min_length=1, max_length=255)
    agent_id: AgentId
    agent_owner: str | None = Field(
        default=None, min_length=1, max_length=255,
        description="Who shares the agent with the run's owner. None: it is the owner's own.",
    )  # fmt: skip
    agent_revision: int = Field(ge=1)
    trigger: Trigger
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    status: RunStatus = RunStatus.QUEUED
    session_id: str = Field(description="The Claude session; the same for all runs of a conversation.")
    conversation_id: str = Field(description="The id of the first run of the conversation.")
    continues: RunId | None = Field(default=None, description="The run whose session this one went on with.")
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    usage: RunUsage = Field(default_factory=RunUsage)
    turns: int = Field(default=0, ge=0)
    error: RunError | None = None
    result: str | None = Field(default=None, description="The agent's last words, when it succeeded.")
    notice: str | None = Field(
        default=None, description="What a reader must know of where the words come from, such as a demo model."
    )
    last_seq: int = Field(default=0, ge=0, description="The number of its newest event.")

    @property
    def agent(self) -> str:
        """What its agent is called: an id, or OWNER/ID."""
        return agent_reference(self.agent_owner, self.agent_id)


class RunChanges(Model):
    """Fields of a run to set together with the events that say so. A field left out stays as it is."""

    status: RunStatus | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    usage: RunUsage | None = None
    turns: int | None = None
    error: RunError | None = None
    result: str | None = None
    notice: str | None = None

    def applied_to(self, run: Run) -> Run:
        """`run` with the fields that were given, an explicit None included."""
        return run.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class EventType(StrEnum):
    STATUS = "status"
    MESSAGE = "message"
    APPROVAL = "approval"
    USAGE = "usage"


class Event(Model):
    """One durable fact of a run. `seq` counts from 1 without a gap. The payload of a `message` is the
    CLI's own stream-json message, unchanged."""

    run_id: RunId
    seq: int = Field(ge=1)
    time: AwareDatetime
    type: EventType
    payload: dict[str, JsonValue]


class Delta(Model):
    """A live piece of text: sent at once, without a number, and not stored. The `message` event that
    follows has the whole."""

    run_id: RunId
    kind: Literal["text", "thinking", "tool_input"]
    message_id: str = Field(description="The API message it belongs to.")
    block: int = Field(ge=0, description="Which content block of that message.")
    text: str
    parent_tool_use_id: str | None = Field(default=None, description="Set within a subagent.")


T = TypeVar("T")


class Page(Model, Generic[T]):
    """A part of a list. `next` asks for the part after it; none says this was the last."""

    items: list[T]
    next: str | None = None


class AgentCreate(AgentSpec):
    """A request to make an agent. Without an id, one is made of the name."""

    id: AgentId | None = None


class AgentUpdate(Model):
    """A request to change an agent: the revision it was made from, and the fields to change. A field that
    is left out stays as it is."""

    model_config = ConfigDict(extra="allow")

    revision: int = Field(ge=1, description="The revision this change was made from.")

    def applied_to(self, agent: Agent) -> AgentSpec:
        """The changed definition. Raises pydantic's ValidationError for an unknown field or a wrong value."""
        return AgentSpec.model_validate(agent.spec.model_dump() | (self.model_extra or {}))


class Function(Model):
    """A function of the program that starts a run, as Claude sees it: a tool with the name `mcp__notebook__NAME`."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    description: str = Field(default="", max_length=MAX_DESCRIPTION, description="What it does, and when to call it.")
    input_schema: dict[str, JsonValue] = Field(description="JSON Schema of its arguments, of the type `object`.")

    @field_validator("input_schema")
    @classmethod
    def _of_an_object(cls, schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if schema.get("type") != "object":
            raise ValueError('arguments have names, so the schema needs `"type": "object"`')
        return schema


def _names_once(functions: list[Function]) -> list[Function]:
    names = [function.name for function in functions]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two functions have the name {twice!r}; give one of them another name")
    return functions


Functions = Annotated[list[Function], Field(max_length=MAX_FUNCTIONS), AfterValidator(_names_once)]


class FunctionCall(Model):
    """A call of a function, which waits for the program that has the function."""

    id: str
    name: str
    arguments: dict[str, JsonValue]


class FunctionsOffer(Model):
    """A program's question for calls of its functions. `holder` is its own random word; while it asks, no other program
    is given calls. `known` are the calls that it works on."""

    holder: str = Field(min_length=16, max_length=100)
    functions: Functions = Field(default_factory=list)
    known: list[str] = Field(default_factory=list, max_length=1_000)
    wait: float = Field(default=0, ge=0, le=60, description="Seconds to wait for something new.")


class FunctionCalls(Model):
    """What changed: calls to make, calls of `known` that nobody waits for any more, whether the run has ended."""

    calls: list[FunctionCall]
    gone: list[str]
    ended: bool


class FunctionAnswer(Model):
    """What came of a call: the result as text, or with `is_error` what went wrong."""

    holder: str = Field(min_length=16, max_length=100)
    call: str = Field(max_length=100)
    text: str = Field(max_length=MAX_FUNCTION_RESULT)
    is_error: bool = False


class RunCreate(Model):
    """A request to start a run."""

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    trigger: Trigger = Trigger.API
    revision: int | None = Field(default=None, ge=1, description="A revision to run; none is the newest.")
    continues: RunId | None = Field(default=None, description="A run whose conversation to go on with.")
    functions: Functions = Field(
        default_factory=list, description="What it may call of the program that starts it and answers the calls."
    )


class RunResume(Model):
    """A request to go on with a run that was interrupted, cancelled or failed, in its own session."""

    prompt: str | None = Field(default=None, min_length=1, max_length=MAX_PROMPT)
    functions: Functions = Field(default_factory=list, description="As when a run is started.")


class Decision(StrEnum):
    """What a person says to a tool call that waits for them."""

    ONCE = "once"
    RUN = "run"
    AGENT = "agent"
    DENY = "deny"


class Approval(Model):
    """A tool call that waits for a person, or what they said to it."""

    id: RunId = Field(description="Its own id, which sorts by the time it was asked.")
    owner: str = Field(min_length=1, max_length=255)
    run_id: RunId
    agent_id: AgentId
    agent_owner: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="As of its run. Another's agent is allowed nothing always.",
    )
    tool: str = Field(min_length=1, max_length=200)
    tool_use_id: str | None = None
    input: dict[str, JsonValue]
    reason: str | None = Field(default=None, description="Why it is asked, when Claude Code says so.")
    rules: list[str] = Field(
        default_factory=list,
        description="What `run` and `agent` allow from then on. None: such calls are asked about each time.",
    )
    created_at: AwareDatetime
    decision: Decision | None = Field(default=None, description="None while it waits.")
    message: str | None = Field(default=None, max_length=MAX_MESSAGE, description="What the person said with it.")
    decided_at: AwareDatetime | None = None
    decided_by: str | None = None
    delivered_at: AwareDatetime | None = Field(
        default=None, description="When Claude Code got to know the decision; an allowed call is let through once."
    )
    closed: bool = Field(default=False, description="It needs no decision any more: its run ended without one.")


class ApprovalDecision(Model):
    """A request to decide an approval."""

    decision: Decision
    message: str | None = Field(
        default=None, max_length=MAX_MESSAGE,
        description="With `deny`: what Claude is told. With a question: the answer.",
    )  # fmt: skip


class ShareKind(StrEnum):
    """Whom an agent is shared with: a person, or a group of JupyterHub's."""

    PERSON = "person"
    GROUP = "group"


class ShareAccess(StrEnum):
    """What they may do: run it, or also make an agent of their own of it."""

    USE = "use"
    COPY = "copy"


ShareName = Annotated[str, Field(min_length=1, max_length=255)]
"""A person's or a group's name on the hub."""


class Share(Model):
    """That an agent is shared with a person or a group."""

    owner: str = Field(min_length=1, max_length=255)
    agent_id: AgentId
    kind: ShareKind
    name: ShareName
    access: ShareAccess
    revision: int = Field(ge=1, description="The agent's newest when it was shared; earlier ones are not shown.")
    created_at: AwareDatetime


class ShareAnswer(Share):
    """A share as it was just made."""

    notice: str | None = Field(default=None, description="What its owner should know of it, such as of secrets.")


class ShareRequest(Model):
    """A request to share an agent, or to change what they may do with it."""

    access: ShareAccess = ShareAccess.USE


class SharedAgent(Model):
    """An agent that somebody shares with a person, themselves or by a group, and what they may do with it."""

    agent: Agent
    access: ShareAccess


class AgentCopy(Model):
    """A request to make an agent of one's own of a shared one. Without an id, it gets the same or a similar one."""

    id: AgentId | None = None


class TranscriptKey(Model):
    """Which transcript of Claude Code's: a session in a project, or with `subpath` one of the session's subagents
    (the SDK's SessionKey)."""

    project_key: str = Field(min_length=1, max_length=1_000)
    session_id: str = Field(min_length=1, max_length=200)
    subpath: str = Field(default="", max_length=1_000)
