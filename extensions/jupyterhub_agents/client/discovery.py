"""Where the workspace is and with which token to go there: from arguments, or from what Jupyter left here.

The only place of the client that reads environment variables. In order:

1. arguments: a workspace's URL, or a hub's URL and, when known, the user;
2. under a hub: JUPYTERHUB_SERVICE_URL and JUPYTERHUB_API_TOKEN, which JupyterHub gives every single-user server
   and which kernels and terminals inherit (JupyterHub's documentation, "Services", environment variables);
3. otherwise the files in which running Jupyter servers say where they are (`jpserver-PID.json` in Jupyter's
   runtime folder, as `jupyter server list` reads them): the one that started this kernel or terminal, else the
   only one there is;
4. and when these give no server with a token: the door, the unix socket of the workspace of this home, which the
   browser terminal and what agents run find by AGENTS_DOOR or in its usual place.
"""

from __future__ import annotations

import json
import os
import socket as sockets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from ..errors import InvalidInput
from ..models import Trigger
from .errors import NoWorkspace

TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105 -- a variable's name
_ANY_ADDRESS = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 -- read
DOOR_VARIABLE = "AGENTS_DOOR"
"""Where the file is that says where the workspace's socket is, when not in its usual place."""
DOOR_URL = "http://workspace.socket/"
"""What stands for the socket in messages and in the requests' Host."""
CONNECT_S = 1.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Workspace:
    """A single-user server: its base URL, with a slash at the end, and the token for it."""

    url: str
    token: str = field(default="", repr=False)
    socket: str | None = None
    """The unix socket to go by instead of the address's host and port."""
    is_door: bool = False
    """Whether this is the way through the front door of the hub's service, which can start it."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"} if self.token else {}

    @property
    def params(self) -> dict[str, str]:
        """What goes into the query of each request: the front door is not to start the workspace unasked, so that
        whoever waits can be told how far it is."""
        return {"wake": "no"} if self.is_door else {}

    @property
    def is_local(self) -> bool:
        """Whether the way there stays on this machine, where no proxy has a place."""
        return self.socket is not None or urlsplit(self.url).hostname in _LOOPBACK


@dataclass(frozen=True)
class Hub:
    """A hub that has to be asked for its front door, and whose token it is, before the workspace's URL is known."""

    url: str
    token: str = field(repr=False)
    user: str | None = None
    """Whose workspace is meant; none for the token's owner's."""

    def workspace_of(self, user: str) -> Workspace:
        return Workspace(f"{self.url}user/{quote(user, safe='@~')}/", self.token)

    @property
    def as_place(self) -> Workspace:
        """The hub as a place to send requests to."""
        return Workspace(self.url, self.token)


def find(
    hub_url: str | None = None,
    *,
    workspace_url: str | None = None,
    token: str | None = None,
    user: str | None = None,
    socket: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Workspace | Hub:
    """The workspace, or the hub to ask for it. `socket` is a unix socket, or a file that has the path of one.
    Raises NoWorkspace, and InvalidInput for a malformed argument."""
    environ = os.environ if environ is None else environ
    if socket is not None:
        return Workspace(DOOR_URL, socket=_socket(Path(socket)))
    given = token if token is not None else environ.get(TOKEN_VARIABLE)
    given = _checked_token(given) if given else ""
    if workspace_url is not None:
        return Workspace(_base_url(workspace_url), given)
    if hub_url is not None:
        if not given:
            raise NoWorkspace(
                f"A hub needs a token: make one on its page {_hub_base(hub_url)}hub/token, "
                f"and give it as `token` or in {TOKEN_VARIABLE}."
            )
        return Hub(_hub_base(hub_url), given, user or None)
    if (service_url := environ.get("JUPYTERHUB_SERVICE_URL")) and given:
        prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX") or urlsplit(service_url).path
        return Workspace(_base_url(urlunsplit((*urlsplit(service_url)[:2], prefix, "", ""))), given)
    return _running_server(environ, token)


def socket_of(place: Workspace | Hub) -> str | None:
    """The unix socket to go by, if any."""
    return place.socket if isinstance(place, Workspace) else None


def trigger_here(environ: Mapping[str, str] | None = None) -> Trigger:
    """What starts runs from this process: a notebook when this is a kernel, else a program."""
    environ = os.environ if environ is None else environ
    in_kernel = "ipykernel" in sys.modules and "JPY_PARENT_PID" in environ
    return Trigger.NOTEBOOK if in_kernel else Trigger.API


def _checked_token(token: str) -> str:
    token = token.strip()
    # Said without the value: it would end up in logs.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput("The token has characters that no token has. Was something else pasted with it?")
    return token


def _base_url(url: str) -> str:
    """The URL with a slash at its end, an address that a server can listen on made one to connect to."""
    parts = urlsplit(url.strip())
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidInput(f"{parts._replace(query='', fragment='').geturl()!r} is not an http or https address.")
    host = parts.hostname or ""
    host = _ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    netloc = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/") + "/", "", ""))


def _hub_base(url: str) -> str:
    """The base of a hub from the address of any of its pages: what comes before `/hub/`."""
    base = _base_url(url)
    parts = urlsplit(base)
    return urlunsplit(parts._replace(path=parts.path.partition("/hub/")[0].rstrip("/") + "/"))


def _running_server(environ: Mapping[str, str], token: str | None) -> Workspace:
    servers = list(_servers(_runtime_folder(environ)))
    parent = environ.get("JPY_PARENT_PID")
    terminal = environ.get("JUPYTER_SERVER_URL")
    mine = [
        server
        for server in servers
        if str(server["pid"]) == parent or (terminal and _base_url(terminal) == _base_url(server["url"]))
    ]
    candidates = mine or servers
    one_with_a_token = len(candidates) == 1 and (token or candidates[0].get("token"))
    if not one_with_a_token and (door := _door(environ)):
        return Workspace(DOOR_URL, socket=door)
    if not candidates:
        raise NoWorkspace(
            "No workspace was found here. Inside one nothing needs to be said; elsewhere give the hub's "
            "address, AgentClient('https://hub.example.org') or --hub https://hub.example.org, and a token in "
            f"{TOKEN_VARIABLE}."
        )
    if len(candidates) > 1:
        urls = ", ".join(sorted(_base_url(server["url"]) for server in candidates))
        raise NoWorkspace(f"Several Jupyter servers run here; say which with `workspace_url`: {urls}.")
    server = candidates[0]
    own = server.get("token")
    return Workspace(_base_url(server["url"]), token or (own if isinstance(own, str) else ""))


def _door(environ: Mapping[str, str]) -> str | None:
    """The socket of the workspace of this home, when one listens there."""
    data = Path(environ.get("XDG_DATA_HOME") or Path(environ.get("HOME") or Path.home(), ".local/share"))
    place = Path(environ.get(DOOR_VARIABLE) or data / "jupyterhub-agents" / "door")
    try:
        path = _socket(place)
        with sockets.socket(sockets.AF_UNIX) as trial:
            trial.settimeout(CONNECT_S)
            trial.connect(path)
    except (NoWorkspace, OSError):
        return None
    return path


def _socket(place: Path) -> str:
    """The unix socket at a path, or the one that the file there names. Raises NoWorkspace."""
    try:
        if place.is_socket():
            return str(place)
        named = Path(place.read_text(encoding="utf-8").strip())
        if named.is_socket():
            return str(named)
        why = f"it names {str(named)[:200]!r}, where there is none"
    except (OSError, ValueError) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else "it is no text"
    raise NoWorkspace(f"There is no workspace's socket at {place} ({why}). Is the workspace running?")


def _servers(folder: Path) -> Iterator[dict[str, Any]]:
    """What running servers say of themselves. A file of one that is gone, or not yet whole, is passed over."""
    for path in sorted(folder.glob("jpserver-*.json")):
        try:
            server = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if (
            isinstance(server, dict)
            and isinstance(server.get("pid"), int)
            and str(server.get("url", "")).startswith("http")
            and not server.get("sock")
            and _is_alive(server["pid"])
        ):
            yield server


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _runtime_folder(environ: Mapping[str, str]) -> Path:
    """Jupyter's runtime folder, by its own rules where it is installed, else by those for Linux."""
    if folder := environ.get("JUPYTER_RUNTIME_DIR"):
        return Path(folder)
    try:
        from jupyter_core.paths import jupyter_runtime_dir
    except ImportError:
        data = environ.get("JUPYTER_DATA_DIR") or Path(
            environ.get("XDG_DATA_HOME") or Path.home() / ".local/share", "jupyter"
        )
        return Path(data, "runtime")
    return Path(jupyter_runtime_dir())
