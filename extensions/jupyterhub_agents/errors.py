"""The errors people and programs meet, and the one encoding of them to HTTP and back.

    AgentsError                    something this project refuses or could not do
    +-- InvalidInput         400   a value is wrong; the message says which and what to do
    +-- NotAllowed           403   this person may not do that
    |   +-- NotSignedIn      401   the token or key is missing, unknown, expired or revoked
    +-- NotFound             404   no such agent, revision, run (or not this person's: the same answer)
    +-- Conflict             409   the thing changed meanwhile, or is in a state that does not allow this
    |   +-- StaleRevision    409   a write named an old revision; `current` is the newest
    |   +-- AlreadyExists    409   that id is taken
    |   +-- SequenceGap      409   events were offered that do not follow the last one
    +-- TooLarge             413   a value is over its limit
    +-- WorkspaceNotRunning  424   the workspace that was asked for is stopped, or did not start
    +-- QueueFull            429   too many runs are waiting
    +-- StoreUnavailable     503   the store could not be reached or written; nothing was half-written
    +-- RuntimeUnavailable   503   Claude Code could not be started here
    +-- HubUnavailable       503   JupyterHub could not be asked who somebody is
    +-- WorkspaceUnreachable 503   the workspace runs and did not answer; it may have taken the request

Over HTTP an error is `{"code", "message", "reason"}` with the status above (plus `current` for a stale
revision): `code` is for programs and never changes, `message` is for people and says what to do,
`reason` is the standard phrase of the status. `encode` and `decode` are exact inverses.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class AgentsError(Exception):
    """Something this project refuses or could not do. `message` is written for the person who reads it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def details(self) -> dict[str, Any]:
        """What the JSON body holds besides code, message and reason."""
        return {}


class InvalidInput(AgentsError):
    status = 400
    code = "invalid_input"


class NotAllowed(AgentsError):
    status = 403
    code = "not_allowed"


class NotSignedIn(NotAllowed):
    status = 401
    code = "not_signed_in"


class NotFound(AgentsError):
    status = 404
    code = "not_found"


class Conflict(AgentsError):
    status = 409
    code = "conflict"


class StaleRevision(Conflict):
    """A write named a revision that is no longer the newest; `current` (an int) is the newest."""

    code = "stale_revision"

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message)
        self.current = current

    def details(self) -> dict[str, Any]:
        return {"current": self.current}


class AlreadyExists(Conflict):
    code = "already_exists"


class SequenceGap(Conflict):
    """Events were offered that do not follow the last stored one, whose number is `last_seq`."""

    code = "sequence_gap"

    def __init__(self, message: str, last_seq: int) -> None:
        super().__init__(message)
        self.last_seq = last_seq

    def details(self) -> dict[str, Any]:
        return {"last_seq": self.last_seq}


class TooLarge(AgentsError):
    status = 413
    code = "too_large"


class WorkspaceNotRunning(AgentsError):
    """The status is the one that JupyterHub itself gives for a server that does not run."""

    status = 424
    code = "workspace_not_running"


class QueueFull(AgentsError):
    status = 429
    code = "queue_full"


class StoreUnavailable(AgentsError):
    status = 503
    code = "store_unavailable"


class RuntimeUnavailable(AgentsError):
    status = 503
    code = "runtime_unavailable"


class HubUnavailable(AgentsError):
    status = 503
    code = "hub_unavailable"


class WorkspaceUnreachable(AgentsError):
    status = 503
    code = "workspace_unreachable"


_BY_CODE: dict[str, type[AgentsError]] = {
    cls.code: cls
    for cls in (
        AgentsError, InvalidInput, NotAllowed, NotSignedIn, NotFound, Conflict, StaleRevision, AlreadyExists,
        SequenceGap, TooLarge, QueueFull, StoreUnavailable, RuntimeUnavailable, HubUnavailable,
        WorkspaceNotRunning, WorkspaceUnreachable,
    )
}  # fmt: skip
_BY_STATUS: dict[int, type[AgentsError]] = {
    400: InvalidInput, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict,
    413: TooLarge, 424: WorkspaceNotRunning, 429: QueueFull, 503: StoreUnavailable,
}  # fmt: skip


def reason_phrase(status: int) -> str:
    """The standard phrase of an HTTP status, as RFC 9110 names it; "Error" for one it does not name."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def body(status: int, code: str, message: str, **details: Any) -> dict[str, Any]:
    """The JSON body of every error answer."""
    return {"code": code, "message": message, "reason": reason_phrase(status), **details}


def encode(error: AgentsError) -> tuple[int, dict[str, Any]]:
    """`(status, body)` for an HTTP answer."""
    return error.status, body(error.status, error.code, error.message, **error.details())


def decode(status: int, answer: Mapping[str, Any] | None) -> AgentsError:
    """The error that an HTTP answer stands for. An answer of another server (no known code) still
    becomes the nearest kind, by its status."""
    answer = answer if isinstance(answer, Mapping) else {}
    message = answer.get("message")
    message = message if isinstance(message, str) and message else f"The server answered {status}."
    cls = _BY_CODE.get(str(answer.get("code"))) or _BY_STATUS.get(status, AgentsError)
    if cls is StaleRevision:
        return StaleRevision(message, int(answer.get("current", 0)))
    if cls is SequenceGap:
        return SequenceGap(message, int(answer.get("last_seq", 0)))
    return cls(message)
