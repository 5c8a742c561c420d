"""The Python client: `AgentClient` for notebooks and scripts, `AsyncAgentClient` for programs with a loop.

    from jupyterhub_agents.client import AgentClient

    client = AgentClient()  # in a workspace; elsewhere AgentClient("https://hub.example.org")
    agent = client.create_agent(name="Reviewer", instructions="Review the code in this folder.")
    run = agent.run("Look at hello.py")
    for event in run:
        print(event.seq, event.type)
    print(run.result())

Names are imported when they are first used: the command line starts quickly that way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncAgentClient, AsyncAgentHandle, AsyncApprovalHandle, AsyncRunHandle, AsyncSharedAgentHandle
    from .door import Progress
    from .errors import (
        ClientError,
        NoWorkspace,
        RunFailed,
        TokenRefused,
        Unreachable,
        WorkspaceNotRunning,
    )
    from .functions import rule_of, tool
    from .many import Results, RunsInterrupted
    from .protocol import Answer
    from .sync import AgentClient, AgentHandle, ApprovalHandle, RunHandle, SharedAgentHandle
    from .views import ShareView

_HOMES = {
    "AgentClient": "sync",
    "AgentHandle": "sync",
    "Answer": "protocol",
    "ApprovalHandle": "sync",
    "AsyncAgentClient": "aio",
    "AsyncAgentHandle": "aio",
    "AsyncApprovalHandle": "aio",
    "AsyncRunHandle": "aio",
    "AsyncSharedAgentHandle": "aio",
    "ClientError": "errors",
    "NoWorkspace": "errors",
    "Progress": "door",
    "RunFailed": "errors",
    "Results": "many",
    "RunHandle": "sync",
    "RunsInterrupted": "many",
    "ShareView": "views",
    "SharedAgentHandle": "sync",
    "TokenRefused": "errors",
    "Unreachable": "errors",
    "WorkspaceNotRunning": "errors",
    "rule_of": "functions",
    "tool": "functions",
}

__all__ = [
    "AgentClient",
    "AgentHandle",
    "Answer",
    "ApprovalHandle",
    "AsyncAgentClient",
    "AsyncAgentHandle",
    "AsyncApprovalHandle",
    "AsyncRunHandle",
    "AsyncSharedAgentHandle",
    "ClientError",
    "NoWorkspace",
    "Progress",
    "Results",
    "RunFailed",
    "RunHandle",
    "RunsInterrupted",
    "ShareView",
    "SharedAgentHandle",
    "TokenRefused",
    "Unreachable",
    "WorkspaceNotRunning",
    "rule_of",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
