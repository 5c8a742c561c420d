"""The door: the agents API on a unix socket, for programs of the workspace itself that hold no token.

Claude Code and what it starts never see a token of the hub's (`runtime.cli.HIDDEN_PREFIXES`). Who may open the socket
is the person: it has mode 0600, in a folder of mode 0700. No browser can reach it, so there is no XSRF to look for.

The file `door` in the state folder has the socket's path, so that it is found after restarts too. Only the first
server of a home opens a door.

What is the person's own to say is not offered: decisions on approvals, because an agent must not allow itself what it
asks for, with whom agents are shared, because that hands them on to others, and conversations, whose agent would talk
to itself. Nor are the calls of a run's functions: an agent must not answer in the place of the notebook that it asks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, User
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler

from ..errors import NotAllowed
from .base import MAX_BODY, AgentsHandler, UnknownPathHandler
from .folders import make_folder, remove_left_folders
from .routes import ROUTES

log = logging.getLogger(__name__)

NAME = "jupyterhub_agents"
"""The extension's name, which ExtensionApp gives its handlers."""
OFFERED = ("agents", "shared", "runs", "agents-health", "agents-openapi.json")
"""The first words of the paths under `api/` that are answered here."""
SHARES = "api/agents/{id}/shares"
FOLDER_PREFIX = "agents-door-"
LONGEST_PATH = 100
"""Bytes. The path of a unix socket holds 107 of them, 103 on macOS (unix(7))."""
CLOSE_S = 3.0


class OwnerIdentity(IdentityProvider):
    """Who comes by the socket is the owner of the workspace: nobody else can open it."""

    owner = ""

    def get_user(self, handler: RequestHandler) -> User:
        return User(self.owner)


class NotOfferedHandler(AgentsHandler):
    """What the API has, but not here."""

    async def prepare(self) -> None:  # type: ignore[override]  # APIHandler's is a coroutine; Tornado's stub is not
        await super().prepare()
        raise NotAllowed(
            f"{self.request.path} is for the person, not for programs that hold no token of theirs. Use the browser, "
            "or send `Authorization: token ...` to the workspace's own address."
        )


class Door:
    """The door of the workspace that `settings` (of the server's web application) are of."""

    def __init__(self, settings: dict[str, Any], *, owner: str, state: Path) -> None:
        self.pointer = pointer(state)
        self._settings = settings
        self._owner = owner
        self._state = state
        self._server: HTTPServer | None = None
        self._folder: Path | None = None
        self.socket: Path | None = None

    async def open(self) -> None:
        """Listen, and say where. Raises OSError."""
        self._server = HTTPServer(self._application(), max_buffer_size=2 * MAX_BODY)
        listener = await asyncio.to_thread(self._bind)
        self._server.add_socket(listener)
        assert self.socket is not None  # noqa: S101 - _bind sets it
        await asyncio.to_thread(_write, self.pointer, str(self.socket))

    async def close(self) -> None:
        """Listen no more, and take away what says so."""
        if self._server is None or self.socket is None:
            return
        self._server.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._server.close_all_connections()
        await asyncio.to_thread(self._remove)
        self._server = None

    def _application(self) -> Application:
        identity = OwnerIdentity()
        identity.owner = self._owner
        handlers: list[tuple[str, Any]] = [
            (route.pattern, route.handler if _is_offered(route.path) else NotOfferedHandler) for route in ROUTES
        ]
        handlers.append((r".*", UnknownPathHandler))
        settings = {
            **self._settings,
            "base_url": "/",
            "identity_provider": identity,
            "authorizer": AllowAllAuthorizer(),
            "disable_check_xsrf": True,
            "xsrf_cookies": False,
            # There is no name by which a page of another site could mean a socket (DNS rebinding).
            "allow_remote_access": True,
        }
        del settings["static_path"]  # with it Tornado would serve the server's static files here too
        return Application([(path, handler, {"name": NAME}) for path, handler in handlers], **settings)

    def _bind(self) -> Any:
        remove_left_folders(FOLDER_PREFIX)
        path = self._state / "door.d" / "agents.sock"
        try:
            if len(os.fsencode(path)) >= LONGEST_PATH:
                raise OSError("the path is too long for a socket")
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            listener = bind_unix_socket(str(path), mode=0o600)
        except OSError as error:
            # Some network file systems hold no sockets.
            log.debug("the door is not in %s: %s", self._state, error)
            self._folder = make_folder(FOLDER_PREFIX)
            path = self._folder / "agents.sock"
            listener = bind_unix_socket(str(path), mode=0o600)
        self.socket = path
        return listener

    def _remove(self) -> None:
        assert self.socket is not None  # noqa: S101 - close() looks
        with suppress(OSError):
            if self.pointer.read_text(encoding="utf-8") == str(self.socket):
                self.pointer.unlink()
        self.socket.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _is_offered(path: str) -> bool:
    parts = path.split("/")
    return parts[1] in OFFERED and not path.startswith(SHARES) and "functions" not in parts


def pointer(state: Path) -> Path:
    """The file that says where the door is."""
    return state / "door"


def _write(path: Path, text: str) -> None:
    """Write a file for the owner alone, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
