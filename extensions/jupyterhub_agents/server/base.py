"""What all handlers share: who asks, what they ask, and how they are answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from pydantic import BaseModel, ValidationError
from tornado import web

from .. import errors
from ..errors import AgentsError, InvalidInput, TooLarge
from ..queries import Empty, asked, invalid, validated
from ..runtime.logs import failed
from ..runtime.manager import RunManager
from ..store import AgentStore
from .workspace import Workspace

log = logging.getLogger(__name__)

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a request's body. The longest that makes sense is a prompt of a million characters."""

AUTH_RESOURCE = "agents"
"""The name of this API in Jupyter Server's authorizer."""

# Arguments that Jupyter Server itself reads from a query.
SERVER_ARGUMENTS = {"token", "_xsrf", "no_track_activity"}

M = TypeVar("M", bound=BaseModel)

__all__ = ["AgentsHandler", "Empty", "authorized", "validated", "web"]


class AgentsHandler(ExtensionHandlerMixin, APIHandler):
    """A handler of the API. Errors of the project's own kinds become their answers here and nowhere else."""

    auth_resource: ClassVar[str] = AUTH_RESOURCE
    # What is done here is counted as activity by what it causes: a run. Looking on is none.
    _track_activity = False

    @property
    def workspace(self) -> Workspace:
        workspace: Workspace = self.settings["jupyterhub_agents"]
        return workspace

    @property
    def owner(self) -> str:
        return self.workspace.owner

    async def manager(self) -> RunManager:
        return await self.workspace.ready()

    async def store(self) -> AgentStore:
        return await self.workspace.store()

    def body(self, model: type[M]) -> M:
        """The request's JSON body as a `model`. Raises InvalidInput, TooLarge."""
        return parsed(model, self.request.body)

    def query(self, model: type[M]) -> M:
        """The query's arguments as a `model`. Raises InvalidInput for unknown or wrong ones."""
        names = [name for name in self.request.query_arguments if name not in SERVER_ARGUMENTS]
        return asked(model, ((name, value) for name in names for value in self.get_query_arguments(name)))

    def reply(self, answer: BaseModel | Mapping[str, Any], status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(answer.model_dump_json() if isinstance(answer, BaseModel) else json.dumps(answer))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error in the one shape of `errors`, and never a traceback."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if isinstance(error, ValidationError):
            error = invalid(error)
        if isinstance(error, AgentsError):
            status, answer = errors.encode(error)
        else:
            status, answer = status_code, self._foreign_error(status_code, error)
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(answer))

    def _foreign_error(self, status: int, error: BaseException | None) -> dict[str, Any]:
        """An error that Jupyter Server or Tornado raised, in our shape."""
        said = error.log_message if isinstance(error, web.HTTPError) and error.log_message else ""
        if status == 403 and "xsrf" in said.lower():
            return errors.body(
                status,
                "xsrf",
                "The XSRF token is missing or wrong. From a browser send the value of the cookie _xsrf in the header "
                "X-XSRFToken; from a program send `Authorization: token ...` instead of cookies.",
            )
        messages = {
            401: ("not_authenticated", "Sign in, or send a valid token in the header `Authorization: token ...`."),
            403: (
                "not_allowed",
                "This needs a signed-in person who may use this workspace: send their token in the header "
                "`Authorization: token ...`.",
            ),
            404: (
                "not_found",
                f"There is nothing at {self.request.path}. GET api/agents-openapi.json lists all paths.",
            ),
            405: ("method_not_allowed", f"{self.request.method} is not possible at {self.request.path}."),
        }
        if status in messages:
            code, message = messages[status]
        elif status < 500:
            code, message = "invalid_input", said or errors.reason_phrase(status)
        else:
            code, message = "internal_error", "The server failed for a reason of its own; its log has the details."
        return errors.body(status, code, message)

    def log_exception(self, *exc_info: Any) -> None:
        """What people are told is no news for the log; what is not theirs is, without the words of the request."""
        error = exc_info[1]
        if isinstance(error, web.HTTPError):
            super().log_exception(*exc_info)
        elif not isinstance(error, AgentsError | ValidationError):
            failed(log, f"{self.request.method} {self.request.path} failed", error)


class UnknownPathHandler(AgentsHandler):
    """Paths under the API's own that nothing answers."""

    async def prepare(self) -> None:  # type: ignore[override]  # APIHandler's is a coroutine; Tornado's stub is not
        await super().prepare()
        raise web.HTTPError(404)


def parsed(model: type[M], raw: bytes | str) -> M:
    """JSON as a `model`. Raises InvalidInput, TooLarge."""
    if len(raw) > MAX_BODY:
        raise TooLarge(f"The body has {len(raw)} bytes; at most {MAX_BODY} are taken.")
    try:
        data = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is not JSON ({error}). Send a JSON object.") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"The body is a JSON {_json_kind(data)}. Send a JSON object.")
    return validated(model, data)


def _json_kind(value: Any) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
