"""The gateway's own answers, in the API's shape ("Errors"), so that every client shows what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import AgentsError, HubUnavailable, NotSignedIn
from ...ids import new_id
from .headers import RawHeaders

STOP = {"x-should-retry": "false"}
"""Without it Claude Code takes even a 401 as passing, and tries again for minutes without a word (seen)."""


@dataclass(frozen=True)
class Refusal:
    """An answer of the gateway's own. One that will pass (`headers` without STOP) is tried again by clients."""

    status: int
    kind: str
    message: str
    headers: Mapping[str, str] = field(default_factory=lambda: STOP)

    def encode(self) -> tuple[RawHeaders, bytes]:
        """Its headers and body."""
        request_id = f"req_gateway_{new_id()}"
        error = {"type": self.kind, "message": self.message}
        body = json.dumps({"type": "error", "error": error, "request_id": request_id}, ensure_ascii=False).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "request-id": request_id,
            **self.headers,
        }
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()], body


def of_caller(error: AgentsError) -> Refusal:
    """The refusal of a caller that is not let in."""
    if isinstance(error, HubUnavailable):
        return Refusal(503, "api_error", error.message, {"retry-after": "2"})
    if isinstance(error, NotSignedIn):
        return Refusal(401, "authentication_error", error.message)
    return Refusal(403, "permission_error", error.message)


def too_large(limit: int) -> Refusal:
    return Refusal(
        413, "request_too_large", f"The request is larger than {limit // 1_000_000} MB, the most that the API takes."
    )


def not_served(method: str, path: str) -> Refusal:
    return Refusal(404, "not_found_error", f"{method} {path} is not served by this gateway.")


def unreachable(host: str) -> Refusal:
    """It may pass: clients try again, as they do when the API itself is not reached."""
    return Refusal(502, "api_error", f"{host}, where this hub's models are, cannot be reached just now.", {})


def unforeseen() -> Refusal:
    """It may pass, too."""
    return Refusal(500, "api_error", "It failed for a reason of the gateway's own; its log has the details.", {})


def redirected(host: str) -> Refusal:
    """Not handed on: a client that followed would take its key along."""
    return Refusal(
        502, "api_error", f"{host} answered with a redirect, which is not followed. Ask the hub's admin to set the "
        "address of the models' API right.",
    )  # fmt: skip
