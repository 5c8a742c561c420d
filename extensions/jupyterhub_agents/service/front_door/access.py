"""Whose workspace a request is for, and whether its token opens it: by JupyterHub's scopes, as the workspace itself
checks them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from ...errors import NotAllowed, NotFound
from ..identity import Person

SCOPE = "access:servers"
"""JupyterHub's documentation, "Scopes in JupyterHub": what lets a token into single-user servers."""
SERVED = re.compile(
    r"api/(agents(/.+)?|shared(/.+)?|runs(/.+)?|approvals(/.+)?|conversation|agents-health|agents-openapi\.json)\Z",
    re.DOTALL,
)
"""The agents' part of a workspace. Its files, kernels and terminals have doors of their own."""
EVENTS = re.compile(r"api/runs/([^/]+)/events\Z")
SHARE = re.compile(r"api/agents/[^/]+/shares/[^/]+/[^/]+\Z")
STARTS_RUN = re.compile(r"api/(agents|shared/[^/]+)/[^/]+/runs\Z")


@dataclass(frozen=True)
class Target:
    """What is asked for: a person's name, and the path in their workspace, percent-encoded as it came."""

    user: str
    path: str

    @property
    def url_path(self) -> str:
        """Under the hub's base URL. JupyterHub leaves these two characters as they are (jupyterhub.user)."""
        return f"user/{quote(self.user, safe='@~')}/{self.path}"

    @property
    def run_id(self) -> str | None:
        """The run whose events are asked for."""
        found = EVENTS.match(self.path)
        return found[1] if found else None


def target_of(raw_path: str) -> Target:
    """What `NAME/api/...`, as it came over the wire, asks for. Raises NotFound for what is not served."""
    name, _, path = raw_path.partition("/")
    user = unquote(name)
    # A proxy on the way may resolve dot segments, also encoded ones: another person's workspace would be reached.
    steps = [unquote(step) for step in path.split("/")]
    # Groups may have slashes in their names, as Keycloak's do.
    parts = steps.pop().removeprefix("/").split("/") if SHARE.match(path) else []
    odd = any(step in ("", ".", "..") or "/" in step or "\\" in step for step in [*steps, *parts])
    steps += parts
    if not is_name(user) or odd or not SERVED.match("/".join(steps)):
        raise NotFound(
            f"There is nothing at {raw_path[:200]}. The front door leads to api/agents, api/shared, api/runs, "
            "api/approvals, api/conversation, api/agents-health and api/agents-openapi.json of a workspace."
        )
    return Target(user, path)


def is_name(user: str) -> bool:
    """Whether this can be a person's name in a path."""
    return user not in ("", ".", "..") and user.isprintable() and not {"/", "\\", "?", "#"} & set(user)


def check_access(person: Person, user: str) -> None:
    """Raises NotAllowed unless the token opens the default server of `user`; the same whether there is such a person or
    not. A scope for a group counts as little as in the workspace itself (jupyterhub.services.auth.check_scopes)."""
    if person.kind == "run":
        raise NotAllowed("A run key opens the gateway to the models, and nothing else.")
    if not {SCOPE, f"{SCOPE}!user={user}", f"{SCOPE}!server={user}/"} & person.scopes:
        raise NotAllowed(
            f"This token does not open {user[:100]}'s workspace: it lacks the scope {SCOPE}!user={user[:100]}. Make "
            "one with that scope on the hub's token page."
        )
