"""Every path of the API, what answers it, and what goes in and out; the OpenAPI document is made of this too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from .. import queries
from ..models import (
    Agent,
    AgentCopy,
    AgentCreate,
    AgentUpdate,
    Approval,
    ApprovalDecision,
    FunctionAnswer,
    FunctionCalls,
    FunctionsOffer,
    Page,
    Run,
    RunCreate,
    RunResume,
    Share,
    ShareAnswer,
    SharedAgent,
    ShareRequest,
)
from . import agents, approvals, budget, conversation, events, exchange, health, runs, shares
from .base import AgentsHandler, UnknownPathHandler


@dataclass(frozen=True)
class Operation:
    """One method at one path."""

    summary: str
    answer: type[BaseModel] | None = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    media: tuple[str, ...] = ("application/json",)


@dataclass(frozen=True)
class Route:
    """A path as OpenAPI writes it, its handler, and the operations the handler has."""

    path: str
    handler: type[AgentsHandler]
    operations: Mapping[str, Operation] = field(default_factory=dict)

    @property
    def pattern(self) -> str:
        """The path as Tornado matches it. An id of a wrong form is an id of nothing: it gets 404."""
        return "/" + re.sub(r"\{\w+\}", r"([^/]+)", self.path.replace("{number}", r"(\d{1,12})"))


ROUTES = (
    Route("api/agents", agents.AgentsListHandler, {
        "get": Operation("List agents, by id", Page[Agent], query=queries.ListQuery),
        "post": Operation("Create an agent", Agent, 201, AgentCreate, errors=(409,)),
    }),
    Route("api/agents/{id}", agents.AgentHandler, {
        "get": Operation("Get an agent", Agent, query=queries.RevisionQuery, errors=(404,)),
        "patch": Operation("Change an agent: a new revision", Agent, body=AgentUpdate, errors=(404, 409)),
        "delete": Operation("Delete an agent; its runs and revisions stay", None, 204, query=agents.DeleteQuery,
                            errors=(404, 409)),
    }),
    Route("api/agents/{id}/revisions", agents.RevisionsHandler, {
        "get": Operation("List an agent's revisions, newest first", Page[Agent], query=queries.RevisionsQuery,
                         errors=(404,)),
    }),
    Route("api/agents/{id}/revisions/{number}", agents.RevisionHandler, {
        "get": Operation("Get a revision", Agent, errors=(404,)),
    }),
    Route("api/agents/{id}/revisions/{number}/diff", agents.DiffHandler, {
        "get": Operation("Compare a revision with another", agents.Comparison, query=agents.DiffQuery, errors=(404,)),
    }),
    Route("api/agents/{id}/revisions/{number}/restore", agents.RestoreHandler, {
        "post": Operation("Make an old revision the newest again", Agent, body=agents.Restore, errors=(404, 409)),
    }),
    Route("api/agents/{id}/subagent", exchange.SubagentHandler, {
        "get": Operation("An agent as Claude Code's subagent file", exchange.SubagentFile, query=queries.RevisionQuery,
                         errors=(404,)),
    }),
    Route("api/subagents", exchange.SubagentsHandler, {
        "post": Operation("The agent that a subagent file describes; none is made", AgentCreate,
                          body=exchange.SubagentText),
    }),
    Route("api/agents/{id}/runs", runs.AgentRunsHandler, {
        "get": Operation("List an agent's runs, newest first", Page[Run], query=queries.AgentRunsQuery),
        "post": Operation("Start a run", Run, 201, RunCreate, errors=(404, 409, 429)),
    }),
    Route("api/agents/{id}/shares", shares.SharesHandler, {
        "get": Operation("With whom an agent is shared", Page[Share], query=shares.SharesQuery, errors=(404,)),
    }),
    Route("api/agents/{id}/shares/{kind}/{name}", shares.ShareHandler, {
        "put": Operation("Share an agent, or change what they may do", ShareAnswer, body=ShareRequest,
                         errors=(404, 409)),
        "delete": Operation("Share it no more", None, 204, errors=(404, 409)),
    }),
    Route("api/shared", shares.SharedListHandler, {
        "get": Operation("What others share with me or my groups, by owner and id", Page[SharedAgent],
                         query=shares.SharesQuery),
    }),
    Route("api/shared/{owner}/{id}", shares.SharedHandler, {
        "get": Operation("Get a shared agent", SharedAgent, query=queries.RevisionQuery, errors=(404, 409)),
    }),
    Route("api/shared/{owner}/{id}/runs", shares.SharedRunsHandler, {
        "post": Operation("Start a run of a shared agent, here and as one's own", Run, 201, RunCreate,
                          errors=(404, 409, 429)),
    }),
    Route("api/shared/{owner}/{id}/copy", shares.SharedCopyHandler, {
        "post": Operation("Make an agent of one's own of a shared one", Agent, 201, AgentCopy, errors=(404, 409)),
    }),
    Route("api/runs", runs.RunsListHandler, {
        "get": Operation("List runs, newest first", Page[Run], query=queries.RunsQuery),
    }),
    Route("api/runs/{id}", runs.RunHandler, {
        "get": Operation("Get a run", Run, errors=(404,)),
    }),
    Route("api/runs/{id}/cancel", runs.CancelHandler, {
        "post": Operation("Stop a run and all it started", Run, 202, errors=(404, 409)),
    }),
    Route("api/runs/{id}/resume", runs.ResumeHandler, {
        "post": Operation("Go on with a run that stopped before its end", Run, 202, RunResume, errors=(404, 409, 429)),
    }),
    Route("api/runs/{id}/terminal", runs.TerminalHandler, {
        "post": Operation("Have the terminal ready for a run's session", runs.TerminalPage, errors=(404, 409)),
    }),
    Route("api/runs/{id}/events", events.EventsHandler, {
        "get": Operation("Read or follow a run's events", queries.EventsPage, query=queries.EventsQuery, errors=(404,),
                         media=("application/json", "text/event-stream")),
    }),
    Route("api/runs/{id}/functions", runs.FunctionsHandler, {
        "post": Operation("Ask for calls of the functions that a run was given", FunctionCalls, body=FunctionsOffer,
                          errors=(404, 409)),
    }),
    Route("api/runs/{id}/functions/answers", runs.FunctionAnswersHandler, {
        "post": Operation("Answer such a call", None, 204, FunctionAnswer, errors=(404, 409)),
    }),
    Route("api/approvals", approvals.ApprovalsListHandler, {
        "get": Operation("List approvals, newest first", Page[Approval], query=queries.ApprovalsQuery),
    }),
    Route("api/approvals/{id}", approvals.ApprovalHandler, {
        "get": Operation("Get an approval", Approval, errors=(404,)),
    }),
    Route("api/approvals/{id}/decide", approvals.DecideHandler, {
        "post": Operation("Allow or deny a tool call that waits", Approval, body=ApprovalDecision, errors=(404, 409)),
    }),
    Route("api/conversation", conversation.ConversationHandler, {
        "get": Operation("The newest turn of a conversation", conversation.Answer,
                         query=conversation.ConversationQuery, errors=(404,)),
        "post": Operation("Say something to the assistant", conversation.Answer, body=conversation.Message,
                          errors=(404, 409, 429)),
    }),
    Route("api/budget", budget.BudgetHandler, {
        "get": Operation("What is left for the person of each budget that limits them", budget.BudgetLeft,
                         errors=(403, 503)),
    }),
    Route("api/agents-health", health.HealthHandler, {
        "get": Operation("How the workspace is", health.Health, errors=(503,)),
    }),
    Route("api/agents-openapi.json", health.OpenAPIHandler, {
        "get": Operation("This document"),
    }),
)  # fmt: skip


def tornado_handlers() -> list[tuple[str, type[AgentsHandler]]]:
    """The routes for ExtensionApp, which puts the base URL before each."""
    known: list[tuple[str, Any]] = [(route.pattern, route.handler) for route in ROUTES]
    parts = ("agents", "shared", "runs", "approvals", "conversation")
    return [*known, *((rf"/api/{part}/.*", UnknownPathHandler) for part in parts)]
