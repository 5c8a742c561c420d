"""What a client meets besides the server's own errors (those arrive as they were sent).

AgentsError                       (jupyterhub_agents.errors)
+-- ClientError
|   +-- NoWorkspace               nothing says where the workspace is, or what is there has no agents
|   +-- WorkspaceNotRunning       the hub says that the workspace is stopped or still starting
|   +-- TokenRefused              the hub or the workspace did not accept the token
|   +-- Unreachable               no answer, or only a proxy's; `run_id` when a run was being followed
+-- RunFailed                     a run ended otherwise than by success; `run` is its record
"""

from __future__ import annotations

from typing import ClassVar

from .. import errors
from ..errors import AgentsError, NotAllowed
from ..models import Run


class ClientError(AgentsError):
    code: ClassVar[str] = "client_error"


class NoWorkspace(ClientError):
    code = "no_workspace"


class WorkspaceNotRunning(ClientError, errors.WorkspaceNotRunning):
    code = "workspace_not_running"


class TokenRefused(ClientError, NotAllowed):
    code = "token_refused"


class Unreachable(ClientError):
    code = "unreachable"


class RunFailed(AgentsError):
    """A run failed, was cancelled or interrupted. The message is the run's own error."""

    code = "run_failed"

    def __init__(self, run: Run) -> None:
        why = run.error.message if run.error else f"the run was {run.status.value}"
        super().__init__(f"Run {run.id} of {run.agent_id} {run.status.value}: {why}")
        self.run = run
