"""`/api/agents-health` and `/api/agents-openapi.json`."""

from __future__ import annotations

import json

from .._version import __version__
from ..errors import AgentsError
from ..models import Model
from ..runtime.cli import find_cli
from .base import AgentsHandler, authorized, web
from .subagent_files import FileProblem


class Health(Model):
    """How the workspace is. `problems` are sentences for people; with any, the status is 503.
    `notes` are sentences too, of what does not keep anyone from working, such as that the hub's service is behind.
    `files` are subagent files that are not taken as agents; they are the person's to mend, and nothing else is
    the worse for them."""

    status: str
    version: str
    running: int
    unfinished: int
    notice: str | None
    problems: list[str]
    notes: list[str]
    files: list[FileProblem]


class HealthHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        problems = []
        if trouble := await self.workspace.trouble():
            problems.append(trouble)
        try:
            find_cli()
        except AgentsError as error:
            problems.append(error.message)
        manager = self.workspace.manager
        health = Health(
            status="unavailable" if problems else "ok",
            version=__version__,
            running=manager.working if manager else 0,
            unfinished=manager.unfinished if manager else 0,
            notice=(manager.notice or None) if manager else None,
            problems=problems,
            notes=[] if problems else await self.workspace.notes(),
            files=self.workspace.files.problems if self.workspace.files else [],
        )
        self.reply(health, 503 if problems else 200)


class OpenAPIHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        from .openapi import document

        self.finish(json.dumps(document(self.base_url)))
