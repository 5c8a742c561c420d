"""Following a run over any number of connections: what was seen, what is next, when to try again.

No I/O: a client opens a connection, hands in what arrives, and says when it broke.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import TypeAlias

import httpx
from pydantic import ValidationError

from ..errors import AgentsError, StoreUnavailable
from ..models import Delta, Event, Run
from .errors import NoWorkspace, Unreachable, WorkspaceNotRunning

Item: TypeAlias = Event | Delta | Run
"""What following yields: a durable event, a live piece of text, or the run's record when that changed."""

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 5.0
SILENCE_S = 12.0
"""Seconds without a byte after which a connection is taken for dead: the server says something every 5 s. It is
often the only sign, because JupyterHub's proxy keeps a stream open whose server has gone (seen with 5.3)."""
LASTING_S = 10.0
"""Seconds after which a connection was contact even when there was nothing new to say."""


def backoff(attempt: int) -> float:
    """Seconds to wait before try number `attempt` (from 0): doubling, capped, and spread by chance so that
    clients that lost the same server do not all come back at once."""
    delay: float = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(attempt, 10))
    return delay * (0.5 + secrets.randbelow(500) / 1000)


class BrokenStream(Exception):
    """The connection ended, or sent what makes no sense, before the run did."""


class Follow:
    """One reader's view of one run. Events come out once each and in order, whatever connections do."""

    def __init__(
        self,
        run_id: str,
        place: str,
        *,
        after: int = 0,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run_id = run_id
        self.last_seq = after
        self.ended: Run | None = None
        self._place = place
        self._patience_s = patience_s
        self._clock = clock
        self._attempt = 0
        self._out_of_contact_since: float | None = None
        self._ever_connected = False
        self._connected_at: float | None = None
        self._record: Run | None = None

    @property
    def params(self) -> dict[str, int]:
        """The query of the next request."""
        return {"after": self.last_seq}

    @property
    def is_first(self) -> bool:
        """Whether there was no connection yet: later, a workspace that was stopped stays so."""
        return not self._ever_connected

    def began(self) -> None:
        """The workspace was started for this."""
        self._ever_connected = True

    def connected(self) -> None:
        """The server accepted the request."""
        self._ever_connected = True
        self._connected_at = self._clock()

    def take(self, kind: str, data: str) -> Item | None:
        """One server-sent event. None when there is nothing new in it. Raises BrokenStream, to connect again."""
        try:
            if kind == "event":
                return self._event(Event.model_validate_json(data))
            if kind == "delta":
                self._in_contact()
                return Delta.model_validate_json(data)
            if kind in ("run", "end"):
                run = Run.model_validate_json(data)
                if kind == "end":
                    if run.last_seq > self.last_seq:
                        raise BrokenStream(f"the run ended at event {run.last_seq}, not all were sent")
                    self.ended = run
                # After a reconnect, and at the end, the server says again what it said before.
                known, self._record = self._record, run
                return None if run == known else run
        except ValidationError as error:
            raise BrokenStream(f"an unreadable {kind}: {error.errors(include_url=False)[0]['msg']}") from error
        if kind == "error":
            raise BrokenStream(_message(data))
        return None

    def _event(self, event: Event) -> Event | None:
        if event.seq <= self.last_seq:
            return None
        if event.seq > self.last_seq + 1:
            raise BrokenStream(f"event {event.seq} came after {self.last_seq}")
        self.last_seq = event.seq
        self._in_contact()
        return event

    def _in_contact(self) -> None:
        """Something new came. A connection alone is no contact: it may break each time before it says anything."""
        self._attempt = 0
        self._out_of_contact_since = None

    def lost(self, error: Exception) -> float:
        """Seconds to wait before connecting again. Raises when that has no sense or has lasted too long."""
        if isinstance(error, WorkspaceNotRunning) and not self._ever_connected:
            raise error
        # A proxy that was just restarted answers 404, or sends to the hub, until that has told it all the routes.
        away = self._ever_connected and isinstance(error, NoWorkspace)
        passing = isinstance(error, Unreachable | WorkspaceNotRunning | StoreUnavailable)
        if isinstance(error, AgentsError) and not (away or passing):
            raise error
        now = self._clock()
        lasted_s = now - self._connected_at if self._connected_at is not None else 0.0
        self._connected_at = None
        if self._out_of_contact_since is None or lasted_s >= LASTING_S:
            self._out_of_contact_since = now
        away_s = now - self._out_of_contact_since
        if away_s >= self._patience_s:
            why = error.message if isinstance(error, AgentsError) else str(error) or type(error).__name__
            raise Unreachable(
                f"Run {self.run_id} could not be followed for {away_s:.0f} s at {self._place}: {why} "
                f"It may still be at work; go on later after event {self.last_seq}."
            ) from error
        delay = backoff(self._attempt)
        self._attempt += 1
        return min(delay, max(0.0, self._patience_s - away_s))


RETRIED = (httpx.TransportError, httpx.StreamError, BrokenStream, AgentsError)
"""What breaks a connection; `Follow.lost` decides which of these end the following."""


def _message(data: str) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return "the server broke the stream off"
