"""What counts as activity of a workspace, so that the hub's culler spares the busy and stops the idle.

Jupyter Server counts every authenticated request to its API, and so the polling of a JupyterLab tab that nobody
looks at; and it counts a kernel's messages, but not a cell that computes for hours and says nothing. Here:

- reading is no activity: GET and HEAD do not count, other methods do (RFC 9110, section 9.2.1: safe methods);
- nor is JupyterLab's note of how its panels are laid out, which an idle tab writes every 10 s (seen with 4.6);
- what is at work counts at every moment: a kernel that executes, and whatever `is_busy` tells of;
- the rest stays as Jupyter Server has it: messages of kernels, input and output of terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerWebApplication
from jupyterlab_server.workspaces_handler import WorkspacesHandler

from ..ids import utcnow

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def install(web_app: ServerWebApplication, is_busy: Sequence[Callable[[], bool]] = ()) -> None:
    """Make `web_app.last_activity` tell what the module says. Each of `is_busy` says, at once and without
    raising, whether something is at work now. Call it once, when the server starts."""
    # The handlers' own switch. Those that set it to False for themselves keep that.
    APIHandler._track_activity = property(_changes_something)  # type: ignore[assignment]  # a bool there
    WorkspacesHandler._track_activity = False

    recorded: Callable[[], datetime] = web_app.last_activity

    def last_activity() -> datetime:
        if _a_kernel_executes(web_app) or any(busy() for busy in is_busy):
            return utcnow()
        return recorded()

    web_app.last_activity = last_activity  # type: ignore[method-assign]  # the hub's report calls it


def _changes_something(handler: APIHandler) -> bool:
    return handler.request.method not in SAFE_METHODS


def _a_kernel_executes(web_app: ServerWebApplication) -> bool:
    kernels = web_app.settings["kernel_manager"].list_kernels()
    return any(kernel["execution_state"] == "busy" for kernel in kernels)
