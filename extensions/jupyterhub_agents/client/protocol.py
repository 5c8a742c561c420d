"""The HTTP API as values: what to send for each operation, and what its answer means. Nothing here does I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, JsonValue, ValidationError

from .. import errors
from .._version import __version__
from ..errors import AgentsError, InvalidInput
from ..models import (
    Agent,
    AgentCopy,
    AgentCreate,
    AgentSpec,
    AgentUpdate,
    Approval,
    ApprovalDecision,
    Decision,
    Event,
    Function,
    FunctionAnswer,
    FunctionCalls,
    FunctionsOffer,
    Page,
    PermissionMode,
    Run,
    RunCreate,
    RunError,
    RunResume,
    RunStatus,
    Share,
    ShareAccess,
    ShareAnswer,
    SharedAgent,
    ShareKind,
    ShareRequest,
    Trigger,
    split_reference,
)
from .discovery import Hub, Workspace
from .errors import NoWorkspace, TokenRefused, Unreachable, WorkspaceNotRunning

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

PAGE = 200


class AgentFields(TypedDict, total=False):
    """The fields of an agent besides its name, for keyword arguments; see `jupyterhub_agents.models.AgentSpec`."""

    description: str
    instructions: str
    model: str | None
    tools: list[str] | None
    disallowed_tools: list[str]
    allowed_tools: list[str]
    permission_mode: PermissionMode | str
    mcp_servers: dict[str, dict[str, JsonValue]]
    directory: str | None
    max_turns: int | None
    max_budget_usd: float | None
    timeout_s: float | None
    front_matter: dict[str, JsonValue]


class AgentChanges(AgentFields, total=False):
    name: str


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, by its path under the workspace's URL, and how to read the answer."""

    method: str
    path: str
    read: Callable[[Any], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    statuses: tuple[int, ...] = ()
    """What is an answer, too, besides 2xx."""

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice does no more than once."""
        return self.method == "GET"


class EventsPage(BaseModel):
    """A part of a run's events, and how the run stands."""

    items: list[Event]
    next: int | None
    run: Run


class Health(BaseModel):
    """How a workspace is; `problems` are sentences for people."""

    status: str
    version: str
    running: int
    notice: str | None = None
    problems: list[str] = []
    notes: list[str] = []


class Created(BaseModel):
    """The agent that a turn of a conversation made."""

    id: str
    name: str
    revision: int


class Component(BaseModel):
    """What a user interface shows with a turn: its text alone, an agent, the list of agents, or a run."""

    type: str
    agent_id: str | None = Field(default=None, alias="agentId")
    run_id: str | None = Field(default=None, alias="runId")


class Answer(BaseModel):
    """A turn of a conversation: what was said, and what came of it. `run_id` is the turn's own run."""

    conversation_id: str = Field(alias="conversationId")
    run_id: str = Field(alias="runId")
    status: RunStatus
    text: str
    component: Component
    agent_created: Created | None = Field(alias="agentCreated")
    error: RunError | None = None
    notice: str | None = None


PageCall: TypeAlias = Callable[[str | None], Call[Page[T]]]
"""Makes the request for the page after a cursor; None asks for the first."""


def get_agent(agent_id: str, revision: int | None = None) -> Call[Agent]:
    """One's own by its id, another's by OWNER/ID."""
    path, params = _agent_path(agent_id), _given(revision=revision)
    if "/" in agent_id:
        return Call("GET", path, lambda answer: SharedAgent.model_validate(answer).agent, params)
    return Call("GET", path, Agent.model_validate, params)


def list_shared(after: str | None = None) -> Call[Page[SharedAgent]]:
    return Call("GET", "api/shared", Page[SharedAgent].model_validate, _given(limit=PAGE, after=after))


def copy_agent(reference: str, new_id: str | None) -> Call[Agent]:
    if "/" not in reference:
        raise InvalidInput(f"{reference!r} names nobody who shares it: give OWNER/ID, as `shared` lists it.")
    body = _json(_checked(AgentCopy, _given(id=new_id)))
    return Call("POST", f"{_agent_path(reference)}/copy", Agent.model_validate, body=body)


def shares_pages(agent_id: str) -> PageCall[Share]:
    path = _path("agents", agent_id, "shares")
    return lambda after: Call("GET", path, Page[Share].model_validate, _given(limit=PAGE, after=after))


def share_agent(agent_id: str, kind: ShareKind | str, name: str, access: ShareAccess | str) -> Call[Share]:
    body = _json(_checked(ShareRequest, {"access": access}))
    return Call("PUT", _share_path(agent_id, kind, name), ShareAnswer.model_validate, body=body)


def unshare_agent(agent_id: str, kind: ShareKind | str, name: str) -> Call[None]:
    return Call("DELETE", _share_path(agent_id, kind, name), lambda _: None)


def _share_path(agent_id: str, kind: ShareKind | str, name: str) -> str:
    if name in ("", ".", ".."):
        raise InvalidInput(f"{name!r} is nobody's name: say with whom.")
    return _path("agents", agent_id, "shares", str(kind), name)


def functions_here(place: Workspace | Hub, functions: T) -> T:
    """The functions, if a run can be given some from here. Raises NotAllowed."""
    if functions and isinstance(place, Workspace) and place.socket is not None:
        raise errors.NotAllowed(
            "Functions as tools need a token of the person's: by the workspace's socket any program here could answer "
            "in their place. In a notebook of the workspace the client finds the token by itself."
        )
    return functions


def list_agents(after: str | None = None) -> Call[Page[Agent]]:
    return Call("GET", "api/agents", Page[Agent].model_validate, _given(limit=PAGE, after=after))


def create_agent(name: str, agent_id: str | None, fields: Mapping[str, Any]) -> Call[Agent]:
    wanted = _checked(AgentCreate, _given(name=name, id=agent_id) | dict(fields))
    return Call("POST", "api/agents", Agent.model_validate, body=_json(wanted))


def update_agent(agent_id: str, revision: int, changes: Mapping[str, Any]) -> Call[Agent]:
    if unknown := sorted(set(changes) - set(AgentSpec.model_fields)):
        raise InvalidInput(f"{unknown[0]}: an agent has no such field. It has {', '.join(AgentSpec.model_fields)}.")
    body = _json(_checked(AgentUpdate, {"revision": revision, **changes}))
    return Call("PATCH", _path("agents", agent_id), Agent.model_validate, body=body)


def delete_agent(agent_id: str, revision: int) -> Call[None]:
    return Call("DELETE", _path("agents", agent_id), lambda _: None, {"revision": revision})


def revisions_pages(agent_id: str) -> PageCall[Agent]:
    path = _path("agents", agent_id, "revisions")
    return lambda before: Call("GET", path, Page[Agent].model_validate, _given(limit=PAGE, before=before))


def restore_revision(agent_id: str, revision: int, seen: int) -> Call[Agent]:
    path = _path("agents", agent_id, "revisions", str(revision), "restore")
    return Call("POST", path, Agent.model_validate, body={"revision": seen})


def start_run(
    agent_id: str,
    prompt: str,
    trigger: Trigger,
    revision: int | None = None,
    continues: str | None = None,
    functions: Sequence[Function] = (),
) -> Call[Run]:
    given = _given(prompt=prompt, trigger=trigger, revision=revision, continues=continues)
    if functions:
        given["functions"] = list(functions)
    body = _json(_checked(RunCreate, given))
    return Call("POST", f"{_agent_path(agent_id)}/runs", Run.model_validate, body=body)


def get_run(run_id: str) -> Call[Run]:
    return Call("GET", _path("runs", run_id), Run.model_validate)


def runs_pages(
    agent: str | None, conversation: str | None, status: RunStatus | str | None, limit: int
) -> PageCall[Run]:
    given = _given(agent=agent, conversation=conversation, limit=max(1, min(PAGE, limit)))
    if status is not None:
        given["status"] = _status(status).value
    return lambda before: Call("GET", "api/runs", Page[Run].model_validate, given | _given(before=before))


def cancel_run(run_id: str) -> Call[Run]:
    return Call("POST", _path("runs", run_id, "cancel"), Run.model_validate, body={})


def resume_run(run_id: str, prompt: str | None, functions: Sequence[Function] = ()) -> Call[Run]:
    body = _json(_checked(RunResume, _given(prompt=prompt, functions=list(functions) or None)))
    return Call("POST", _path("runs", run_id, "resume"), Run.model_validate, body=body)


def function_calls(run_id: str, offer: FunctionsOffer) -> Call[FunctionCalls]:
    return Call("POST", _path("runs", run_id, "functions"), FunctionCalls.model_validate, body=_json(offer))


def answer_function(run_id: str, answer: FunctionAnswer) -> Call[None]:
    return Call("POST", _path("runs", run_id, "functions", "answers"), lambda _: None, body=_json(answer))


def list_events(run_id: str, after: int) -> Call[EventsPage]:
    return Call("GET", events_path(run_id), EventsPage.model_validate, {"after": after, "limit": PAGE})


def events_path(run_id: str) -> str:
    return _path("runs", run_id, "events")


def approvals_pages(run_id: str | None, waiting: bool | None) -> PageCall[Approval]:
    given = _given(run=run_id, limit=PAGE)
    if waiting is not None:
        given["waiting"] = "true" if waiting else "false"
    return lambda before: Call("GET", "api/approvals", Page[Approval].model_validate, given | _given(before=before))


def get_approval(approval_id: str) -> Call[Approval]:
    return Call("GET", _path("approvals", approval_id), Approval.model_validate)


def decide_approval(approval_id: str, decision: Decision | str, message: str | None) -> Call[Approval]:
    body = _json(_checked(ApprovalDecision, _given(decision=decision, message=message)))
    return Call("POST", _path("approvals", approval_id, "decide"), Approval.model_validate, body=body)


def converse(message: str, conversation_id: str | None, wait_s: float) -> Call[Answer]:
    body = _given(message=message, conversationId=conversation_id, wait=wait_s)
    return Call("POST", "api/conversation", Answer.model_validate, body=body)


def get_turn(conversation_id: str, run_id: str) -> Call[Answer]:
    return Call("GET", "api/conversation", Answer.model_validate, {"conversationId": conversation_id, "runId": run_id})


def health() -> Call[Health]:
    return Call("GET", "api/agents-health", _health, statuses=(503,))


def whose_token() -> Call[str]:
    """Asks a hub (at its base URL) for the name of the token's owner (JupyterHub's REST API, GET /user)."""
    return Call("GET", "hub/api/user", _user_name)


def http_options(place: Workspace | Hub) -> dict[str, Any]:
    """The arguments of an httpx client. Redirects are not followed: the token goes where it was meant for."""
    local = place.as_place.is_local if isinstance(place, Hub) else place.is_local
    return {
        "headers": {"User-Agent": f"jupyterhub-agents/{__version__}"},
        "timeout": httpx.Timeout(30.0, connect=10.0),
        "trust_env": not local,
    }


def _user_name(answer: Any) -> str:
    if isinstance(answer, dict) and answer.get("kind", "user") == "user" and isinstance(answer.get("name"), str):
        return str(answer["name"])
    raise NoWorkspace("This token belongs to no person: say whose workspace is meant with `user`.")


def read(call: Call[T], place: str, status: int, content: bytes, location: str = "") -> T:
    """What an answer holds. Raises the error it stands for; `place` is where it was asked for."""
    if not 200 <= status < 300 and status not in call.statuses:
        raise error_of(place, status, content, location)
    try:
        return call.read(json.loads(content) if content else None)
    except ValueError as error:
        # Both a body that is no JSON and one of another shape (pydantic's error is a ValueError).
        raise NoWorkspace(f"What answers at {place} is not this version's agents API: {_brief(error)}") from error


def error_of(place: str, status: int, content: bytes, location: str = "") -> AgentsError:
    """The error for an answer that is none of 2xx: the server's own, or what a hub or proxy in between means."""
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and {"code", "message", "reason"} <= answer.keys():
        return _as_met_here(errors.decode(status, answer))
    hub_says = str(answer.get("message", "")) if isinstance(answer, dict) else ""
    # A workspace that does not run has no route: the proxy asks the hub, which sends to its own page for it.
    at_the_hub = 300 <= status < 400 and ("/hub/user/" in location or "/hub/spawn-pending/" in location)
    if status == 424 or "no longer running" in hub_says or at_the_hub:
        return WorkspaceNotRunning(
            f"The workspace at {place} is not running. Start it in the browser (its address, or Start My "
            "Server on the hub's home page) and try again."
        )
    if 300 <= status < 400 and "/hub/services/" in location:
        # So does the proxy for the front door while the hub has not told it the service's route, as after a restart.
        return NoWorkspace(f"The hub does not lead to {place} ({status}): is its service for agents running?")
    if status in (401, 403) or 300 <= status < 400:
        return TokenRefused(
            f"{place} did not accept the token ({status}). Make a new one on the hub's page /hub/token, "
            "and give it as `token` or in JUPYTERHUB_API_TOKEN."
        )
    if status >= 500:
        return Unreachable(f"The workspace at {place} does not answer ({status}); it may be starting or stopping.")
    if status in (404, 405):
        return NoWorkspace(
            f"There is no agents API at {place} ({status}). Is the address right, and does the server there have "
            "jupyterhub-agents enabled?"
        )
    return errors.decode(status, answer if isinstance(answer, dict) else None)


def _as_met_here(error: AgentsError) -> AgentsError:
    """What the front door says of the way to a workspace, as the client's own errors."""
    if isinstance(error, errors.WorkspaceNotRunning):
        return WorkspaceNotRunning(error.message)
    if isinstance(error, errors.WorkspaceUnreachable | errors.HubUnavailable):
        return Unreachable(error.message)
    return error


def no_answer(place: str, error: httpx.TransportError) -> Unreachable:
    """A request that failed on the way."""
    kind = "took too long to answer" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    return Unreachable(f"The workspace at {place} {kind} ({str(error) or type(error).__name__}).")


def _status(value: RunStatus | str) -> RunStatus:
    try:
        return RunStatus(value)
    except ValueError:
        raise InvalidInput(f"{value!r} is no status; these are: {', '.join(RunStatus)}.") from None


def _health(answer: Any) -> Health:
    if isinstance(answer, dict) and "status" not in answer:
        # A 503 of somebody else.
        raise Unreachable("The workspace does not answer (503); it may be starting or stopping.")
    return Health.model_validate(answer)


def _path(*parts: str) -> str:
    return "/".join(("api", *(quote(part, safe="") for part in parts)))


def _agent_path(reference: str) -> str:
    """Where an agent is: one's own by its id, another's by OWNER/ID. Raises InvalidInput."""
    if "/" not in reference:
        return _path("agents", reference)
    owner, agent_id = split_reference(reference)
    # Dot segments would be resolved on the way.
    if owner in (None, ".", "..") or agent_id in ("", ".", ".."):
        raise InvalidInput(f"{reference!r} is no agent: give an ID, or OWNER/ID for one that is shared with you.")
    return _path("shared", owner or "", agent_id)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json(model: BaseModel) -> Any:
    """What was given of a model. A field that was left out stays out, so that the server's defaults hold."""
    return model.model_dump(mode="json", exclude_unset=True)


def _checked(kind: type[M], values: Mapping[str, Any]) -> M:
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidInput(_brief(error)) from None


def _brief(error: ValueError) -> str:
    """The first thing that is wrong, as `field: what`."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
