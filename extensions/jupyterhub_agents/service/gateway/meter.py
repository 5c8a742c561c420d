"""What the gateway asks before a call and tells after it. Budgets implement it; `Unlimited` is for sites without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..identity import Person


@dataclass(frozen=True)
class Usage:
    """What a call used, as the API counts it ("Messages", `usage`). `cache_creation_1h_input_tokens` is the part of
    `cache_creation_input_tokens` that is kept for an hour. `server_tool_requests` counts web searches, the server tool
    that is priced by the request."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_creation_1h_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    server_tool_requests: int = 0


@dataclass(frozen=True)
class Call:
    """A call that is about to be made. `model` is empty when the request names none; the API refuses it then.
    `input_chars` is the length of its body in bytes."""

    person: Person
    model: str
    max_tokens: int | None
    input_chars: int
    stream: bool
    started_at: datetime


class Refused(Exception):
    """The call may not be made. `message` is a sentence for the person: what happened, and whom to ask."""

    def __init__(self, status: int, error_type: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.headers = dict(headers or {})


class Reservation(Protocol):
    """Room for one call."""

    async def settle(self, usage: Usage, *, status: int, duration_s: float, complete: bool) -> None:
        """Say what the call used; called exactly once. `status` is the upstream's, or the gateway's own where there was
        none. `complete` is False when the end was not seen, because somebody cut the stream, or could not be read:
        `usage` is then what had been seen, with the output estimated from what was sent."""
        ...


class Meter(Protocol):
    """Decides about calls. Nothing on this path may wait for another machine."""

    async def reserve(self, call: Call) -> Reservation:
        """Room for `call`. Raises Refused."""
        ...

    def warm(self, person: Person) -> None:
        """Calls of this person's will come: get ready in the background, so that the first one waits for nothing."""
        ...

    async def trouble(self) -> str:
        """Why calls cannot be metered now, in a sentence; nothing when they can."""
        ...

    async def open(self) -> None:
        """Get ready, on the event loop that calls are made on."""
        ...

    async def close(self) -> None:
        """Let go of everything; what was settled is kept."""
        ...


@dataclass
class Unlimited:
    """Lets every call through and keeps no books. For a site that accounts at its provider alone."""

    settled: int = field(default=0, init=False)

    async def reserve(self, call: Call) -> Reservation:
        return self

    async def settle(self, usage: Usage, *, status: int, duration_s: float, complete: bool) -> None:
        self.settled += 1

    def warm(self, person: Person) -> None:
        """There is nothing to get ready."""

    async def trouble(self) -> str:
        return ""

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""
